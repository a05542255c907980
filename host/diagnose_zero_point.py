"""Causes in the zero points: input or output offset by something else than the model says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kit.host.hypothesis import Evidence, Hypothesis, Output, changed
from kit.reference.encoder import accumulate, requantize

PROBE_VALUES = 20_000
"""Values that every possible zero point is tried on."""


def zero_point_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """The input and the output zero point that fit best, where they are not the model's."""
    given, result = evidence.zero_points
    kinds: tuple[tuple[str, int, Callable[[int], Output]], ...] = (
        ("input", given, partial(_input_output, evidence)),
        ("input", given, partial(_offset_output, evidence)),
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
    for value in range(-128, 128):
        if value != given:
            tried = output(value)
            scores[value] = (int(np.count_nonzero(few.cut(tried(few.x)) != few.got)), abs(value - given))
    return min(scores, key=lambda value: scores[value])


def _input_output(evidence: Evidence, value: int) -> Output:
    """Another input zero point; padding columns still count as zero, as where they are left out."""
    return changed(evidence, zero_points=(value, evidence.zero_points[1]))


def _offset_output(evidence: Evidence, value: int) -> Output:
    """Another offset of the input, while padding columns hold the model's zero point."""
    node, (given, result) = evidence.node, evidence.zero_points
    offset = changed(evidence, zero_points=(value, result), pad_left=0, pad_right=0)
    padding = ((0, 0), (node.pad_left, node.pad_right), (0, 0))
    return lambda x: offset(np.pad(x, padding, constant_values=given))


def _output_output(evidence: Evidence, value: int, clamps_move: bool) -> Output:
    node, (_, zero_point) = evidence.node, evidence.zero_points
    by = value - zero_point if clamps_move else 0
    low = node.act_min if node.act_min == -128 else max(-128, node.act_min + by)
    high = node.act_max if node.act_max == 127 else min(127, node.act_max + by)

    def output(x: NDArray[np.int8]) -> NDArray[np.int8]:
        y = requantize(accumulate(evidence.encoder, node, x), node.requant) + value
        return np.clip(y, low, max(low, high)).astype(np.int8)

    return output
