"""Causes in the zero points: input or output offset by something else than the model says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kit.graph.ir import weight_sums
from kit.host.hypothesis import Evidence, Hypothesis, Output
from kit.reference.encoder import accumulate, requantize

CANDIDATES = range(-256, 256)
"""Zero points tried: those of int8, and what comes of one that is counted twice or not at all."""

PROBE_VALUES = 20_000
"""Values that each of them is tried on."""


def zero_point_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """The input and the output zero point that fit best, where they are not the model's."""
    given, result = evidence.zero_points
    kinds: tuple[tuple[str, int, Callable[[int], Output]], ...] = (
        ("input", given, partial(_input_output, evidence, padding_too=False)),
        ("input", given, partial(_input_output, evidence, padding_too=True)),
        ("output", result, partial(_output_output, evidence, clamps_move=True)),
        ("output", result, partial(_output_output, evidence, clamps_move=False)),
    )
    for side, right, output in kinds:
        found = _best(evidence, right, output)
        sentence = f"wrong {side} zero point: it takes {found}, the model says {right}"
        yield Hypothesis(f"{side}-zero-point", sentence, output(found))


def _best(evidence: Evidence, given: int, output: Callable[[int], Output]) -> int:
    """The zero point, other than the given one, that leaves the fewest values unexplained; ties take the nearest."""
    values = evidence.got[0].size
    few = evidence.frames(np.arange(min(len(evidence.got), max(1, PROBE_VALUES // values))))
    scores = {}
    for value in CANDIDATES:
        if value != given:
            scores[value] = (int(np.count_nonzero(few.cut(output(value)(few.x)) != few.got)), abs(value - given))
    return min(scores, key=lambda value: scores[value])


def _input_output(evidence: Evidence, value: int, padding_too: bool) -> Output:
    """Another input zero point. What that adds to an accumulator is the same for every frame: the sum of the weights
    that see the frame, or of all of them where padding columns hold the model's zero point and are offset as well."""
    encoder, node, (given, _) = evidence.encoder, evidence.node, evidence.zero_points
    by = given - value
    # One more than the zero point, or one less where there is no more, is a centred 1 or -1 in every column.
    step = 1 if given < 127 else -1
    column = np.full((1, *evidence.x.shape[1:]), given + step, np.int8)
    sums = (accumulate(encoder, node, column) - encoder.node_bias(node)) * step
    if padding_too:
        sums = np.broadcast_to(weight_sums(encoder, node)[0], sums.shape)
    return lambda x: _finish(evidence, accumulate(encoder, node, x) + by * sums)


def _finish(evidence: Evidence, acc: NDArray[np.int64]) -> NDArray[np.int8]:
    node, (_, zero_point) = evidence.node, evidence.zero_points
    y = requantize(acc, node.requant) + zero_point
    return np.clip(y, node.act_min, node.act_max).astype(np.int8)


def _output_output(evidence: Evidence, value: int, clamps_move: bool) -> Output:
    node, (_, zero_point) = evidence.node, evidence.zero_points
    by = value - zero_point if clamps_move else 0
    low = node.act_min if node.act_min == -128 else max(-128, node.act_min + by)
    high = node.act_max if node.act_max == 127 else min(127, node.act_max + by)

    def output(x: NDArray[np.int8]) -> NDArray[np.int8]:
        y = requantize(accumulate(evidence.encoder, node, x), node.requant) + value
        return np.clip(y, low, max(low, high)).astype(np.int8)

    return output
