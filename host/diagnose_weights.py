"""Causes in the order of constants and columns: weights in another layout, channels or columns in other places."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from kit.host.hypothesis import Evidence, Hypothesis, Output, changed

_DENSE = ("out", "tap", "in")
_DEPTHWISE = ("tap", "channel")


def weight_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Every way to read the weights in another order, then outputs that are right but in other places."""
    yield from _layouts(evidence)
    yield from _places(evidence)


def _layouts(evidence: Evidence) -> Iterator[Hypothesis]:
    """Axes taken in another order, taps or channels reversed; each different table once."""
    weights = evidence.encoder.node_weights(evidence.node)
    names = _DEPTHWISE if weights.ndim == 2 else _DENSE
    seen = [weights]
    for sentence, other in _readings(weights, names):
        if not any(np.array_equal(other, table) for table in seen):
            seen.append(other)
            text = f"swapped weight layout: it reads the weights {sentence}"
            yield Hypothesis("weight-layout", text, changed(evidence, weights=other))


def _readings(weights: NDArray[np.int8], names: tuple[str, ...]) -> Iterator[tuple[str, NDArray[np.int8]]]:
    shape = weights.shape
    written = f"[{'][' .join(names)}]"
    for order in permutations(range(weights.ndim)):
        axes = f"[{']['.join(names[axis] for axis in order)}]"
        if order != tuple(range(weights.ndim)):
            read = weights.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
            yield f"as {axes}, but they are stored as {written}", np.ascontiguousarray(read)
            stored = np.ascontiguousarray(weights.transpose(order)).reshape(shape)
            yield f"as {written}, but they are stored as {axes}", stored
    for axis, name in enumerate(names):
        yield f"with the axis '{name}' reversed", np.ascontiguousarray(np.flip(weights, axis))
    for axis, name in enumerate(names):
        if shape[axis] % 2 == 0:
            yield f"with neighbours of the axis '{name}' swapped", _swapped(weights, axis)


def _swapped(weights: NDArray[np.int8], axis: int) -> NDArray[np.int8]:
    order = np.arange(weights.shape[axis]) ^ 1
    return np.ascontiguousarray(np.take(weights, order, axis))


def _places(evidence: Evidence) -> Iterator[Hypothesis]:
    order = _channel_order(evidence)
    if order is not None:
        shown = ", ".join(str(channel) for channel in order[:8]) + (", ..." if len(order) > 8 else "")
        sentence = f"output channels in another order: where the golden has 0, 1, ..., it has {shown}"
        yield Hypothesis("channel-order", sentence, _taken(evidence, order))
    node = evidence.node
    for by in (-2, -1, 1, 2):
        left, right = node.pad_left + by, node.pad_right - by
        if left >= 0 and right >= 0:
            sentence = (
                f"padding split otherwise: it pads {left} columns on the left and {right} on the right, the model "
                f"{node.pad_left} and {node.pad_right}"
            )
            yield Hypothesis("padding-split", sentence, changed(evidence, pad_left=left, pad_right=right))


def _channel_order(evidence: Evidence) -> NDArray[np.intp] | None:
    """Which of the golden's channels each observed one is; None unless that is a new order of all of them."""
    channels = evidence.got.shape[2]
    want, got = (values.reshape(-1, channels).T for values in (evidence.want, evidence.got))
    rows: dict[bytes, list[int]] = {}
    for channel in range(channels):
        rows.setdefault(want[channel].tobytes(), []).append(channel)
    order = []
    for channel in range(channels):
        found = rows.get(got[channel].tobytes())
        if not found:
            return None
        order.append(found.pop(0))
    chosen = np.array(order)
    return None if (chosen == np.arange(channels)).all() else chosen


def _taken(evidence: Evidence, order: NDArray[np.intp]) -> Output:
    right = changed(evidence)
    return lambda x: right(x)[:, :, order]
