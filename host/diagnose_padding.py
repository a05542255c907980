"""Causes in the padding: columns beyond the frame that hold something else than the input zero point.

What stale memory held is not known, but it can be asked for. First the columns of the layer's own input are tried, then
whether any content at all explains every output: each output bounds its accumulator from both sides, which makes it a
linear programme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from kit.graph.ir import Conv, Encoder
from kit.host.hypothesis import Evidence, Hypothesis, Output
from kit.reference.encoder import accumulate, requantize

SEARCH_BITS = 24
"""Accumulators looked at when an output is taken back to what it may come from: up to 2^24 in magnitude."""

_HELIUM = (
    "; CMSIS-NN's Helium kernel for 1xN convolutions is known for this: it fills one column too few where a layer of "
    "stride 2 pads more columns on the right than on the left"
)

Content = Callable[[NDArray[np.int8]], NDArray[np.int64]]
"""What the wrong padding columns hold, less the zero point, for a layer's input: int64 [n, columns, in]."""


@dataclass(frozen=True, slots=True)
class _Edge:
    """The outermost padding columns of one side: ``count`` of ``padding``."""

    right: bool
    count: int
    padding: int

    def columns(self, node: Conv, length: int) -> NDArray[np.int64]:
        """Their numbers, counted from the first input column: negative on the left."""
        first = length + self.padding - self.count if self.right else -node.pad_left
        return np.arange(first, first + self.count)

    def __str__(self) -> str:
        side = "right" if self.right else "left"
        if self.count == self.padding:
            which = "the padding column" if self.count == 1 else f"the {self.count} padding columns"
            return f"{which} on the {side}"
        which = "the outermost padding column" if self.count == 1 else f"the {self.count} outermost padding columns"
        return f"{which} on the {side} (of {self.padding})"


def padding_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Zeros for the zero point everywhere, then one side after the other: zeros, input columns, anything."""
    node, (zero_point, _) = evidence.node, evidence.zero_points
    if zero_point != 0 and node.pad_left + node.pad_right:
        edges = [_Edge(True, node.pad_right, node.pad_right), _Edge(False, node.pad_left, node.pad_left)]
        zeros = [(edge, _constant(edge, -zero_point, evidence)) for edge in edges if edge.count]
        sentence = f"wrong padding value: it pads with 0 where the model pads with the input zero point, {zero_point}"
        yield Hypothesis("padding-zero", sentence, _output(evidence, zeros))
    for edge in _edges(evidence):
        where = "right" if edge.right else "left"
        key = f"{where}-padding"
        if zero_point != 0:
            holds = "holds" if edge.count == 1 else "hold"
            sentence = f"wrong {where}-edge padding: {edge} {holds} 0 instead of the input zero point, {zero_point}"
            yield Hypothesis(key, sentence, _output(evidence, [(edge, _constant(edge, -zero_point, evidence))]))
        yield from _stale(evidence, edge, key, where)


def _edges(evidence: Evidence) -> list[_Edge]:
    """Sides and numbers of padding columns whose outputs are all those that differ, fewest columns first."""
    node = evidence.node
    columns = np.flatnonzero((evidence.want != evidence.got).any(axis=(0, 2)))
    found = []
    for right, padding in ((True, node.pad_right), (False, node.pad_left)):
        for count in range(1, padding + 1):
            edge = _Edge(right, count, padding)
            reached = _reach(evidence, edge)[0]
            if set(columns) <= set(reached):
                found.append(edge)
    return found


def _reach(evidence: Evidence, edge: _Edge) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Output columns that read the wrong padding columns, and through which tap: int64 [outputs], and
    int64 [outputs, columns], -1 where an output does not read a column."""
    node = evidence.node
    tensors = evidence.encoder.graph.tensors
    positions = np.arange(tensors[node.output].length)
    taps = edge.columns(node, tensors[node.input].length)[None] - (positions * node.stride - node.pad_left)[:, None]
    taps = np.where((taps >= 0) & (taps < node.kernel), taps, -1)
    outputs = np.flatnonzero((taps >= 0).any(axis=1))
    return outputs, taps[outputs]


def _dense(encoder: Encoder, node: Conv) -> NDArray[np.int64]:
    """Weights int64 [out, kernel, in] of any node."""
    weights = encoder.node_weights(node).astype(np.int64)
    if not node.depthwise:
        return weights
    dense: NDArray[np.int64] = np.einsum("kc,cd->ckd", weights, np.eye(weights.shape[1], dtype=np.int64))
    return dense


def _matrix(evidence: Evidence, edge: _Edge) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Output columns, and int64 [outputs, out, columns, in]: what the wrong columns add to each accumulator."""
    outputs, taps = _reach(evidence, edge)
    weights = _dense(evidence.encoder, evidence.node)
    chosen = weights[:, np.maximum(taps, 0)]  # [out, outputs, columns, in]
    return outputs, np.where((taps >= 0)[None, :, :, None], chosen, 0).transpose(1, 0, 2, 3)


def _finish(evidence: Evidence, acc: NDArray[np.int64]) -> NDArray[np.int8]:
    node, (_, zero_point) = evidence.node, evidence.zero_points
    y = requantize(acc, node.requant) + zero_point
    return np.clip(y, node.act_min, node.act_max).astype(np.int8)


def _constant(edge: _Edge, value: int, evidence: Evidence) -> Content:
    channels = evidence.x.shape[2]
    return lambda x: np.full((len(x), edge.count, channels), value, np.int64)


def _output(evidence: Evidence, contents: list[tuple[_Edge, Content]]) -> Output:
    """The layer with other content of padding columns."""

    def output(x: NDArray[np.int8]) -> NDArray[np.int8]:
        acc = accumulate(evidence.encoder, evidence.node, x)
        for edge, content in contents:
            outputs, matrix = _matrix(evidence, edge)
            acc[:, outputs] += np.einsum("jokc,nkc->njo", matrix, content(x))
        return _finish(evidence, acc)

    return output


def _stale(evidence: Evidence, edge: _Edge, key: str, where: str) -> Iterator[Hypothesis]:
    """Input columns in place of the padding, the best of them; then anything at all."""
    node, (zero_point, _) = evidence.node, evidence.zero_points
    start = f"wrong {where}-edge padding: {edge} "
    stale = f"hold{'s' if edge.count == 1 else ''} stale memory instead of the input zero point"
    known = _HELIUM if edge.right and node.stride == 2 and not node.depthwise and node.pad_right > node.pad_left else ""
    first = _best_column(evidence, edge)

    def content(x: NDArray[np.int8]) -> NDArray[np.int64]:
        return x[:, first : first + edge.count].astype(np.int64) - zero_point

    again = f"input column {first}" if edge.count == 1 else f"input columns {first} to {first + edge.count - 1}"
    yield Hypothesis(key, f"{start}{stale}, namely {again} once more{known}", _output(evidence, [(edge, content)]))
    solved = _solved(evidence, edge)
    unknown, known_values = edge.count * evidence.x.shape[2], len(_reach(evidence, edge)[0]) * evidence.got.shape[2]
    yield Hypothesis(
        key,
        f"{start}{stale} (one content of {unknown} values for each frame explains its {known_values} outputs){known}",
        lambda x: solved,
        fitted=True,
    )


def _best_column(evidence: Evidence, edge: _Edge) -> int:
    """The first of the input columns that, in place of the padding, explain most."""
    node, (zero_point, _) = evidence.node, evidence.zero_points
    outputs, matrix = _matrix(evidence, edge)
    base = accumulate(evidence.encoder, node, evidence.x)[:, outputs]
    inside = outputs < evidence.got.shape[1]
    centred = evidence.x.astype(np.int64) - zero_point
    scores = []
    for first in range(evidence.x.shape[1] - edge.count + 1):
        added = np.einsum("jokc,nkc->njo", matrix, centred[:, first : first + edge.count])
        tried = _finish(evidence, base + added)[:, inside]
        scores.append(int(np.count_nonzero(tried != evidence.got[:, outputs[inside]])))
    return int(np.argmin(scores)) if scores else 0


def _solved(evidence: Evidence, edge: _Edge) -> NDArray[np.int8]:
    """The golden's output, with the observed edge wherever some content of the padding columns explains it."""
    outputs, matrix = _matrix(evidence, edge)
    outputs, matrix = outputs[: evidence.got.shape[1]], matrix[: evidence.got.shape[1]]
    base = accumulate(evidence.encoder, evidence.node, evidence.x)[:, outputs]
    low, high = _accumulators(evidence, evidence.got[:, outputs])
    result = evidence.want.copy()
    zero_point = evidence.zero_points[0]
    rows = matrix.reshape(-1, matrix.shape[2] * matrix.shape[3]).astype(np.float64)
    for frame in range(len(result)):
        upper, lower = (high[frame] - base[frame]).reshape(-1), (low[frame] - base[frame]).reshape(-1)
        limits = np.concatenate([upper, -lower])
        bounded = np.isfinite(limits)
        system = np.concatenate([rows, -rows])[bounded]
        if (lower > upper).any():
            continue
        done = linprog(
            np.zeros(rows.shape[1]), A_ub=system, b_ub=limits[bounded], bounds=(-128 - zero_point, 127 - zero_point)
        )
        if done.status == 0:
            result[frame, outputs] = evidence.got[frame, outputs]
    return result


def _accumulators(evidence: Evidence, got: NDArray[np.int8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest accumulator that gives each output, infinite at a clamp: float64 like ``got``."""
    node = evidence.node

    def first_at_least(wanted: NDArray[np.int64]) -> NDArray[np.float64]:
        low = np.full(got.shape, -(1 << SEARCH_BITS), np.int64)
        high = np.full(got.shape, 1 << SEARCH_BITS, np.int64)
        for _ in range(SEARCH_BITS + 1):
            middle = (low + high) >> 1
            reached = _finish(evidence, middle) >= wanted
            low, high = np.where(reached, low, middle + 1), np.where(reached, middle, high)
        return low.astype(np.float64)

    values = got.astype(np.int64)
    low = np.where(values <= node.act_min, -np.inf, first_at_least(values))
    high = np.where(values >= node.act_max, np.inf, first_at_least(values + 1) - 1)
    return low, high
