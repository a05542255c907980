"""Causes in the arithmetic behind the accumulator: rounding, float requantization, bias, clamp, scales."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kit.host.hypothesis import Evidence, Hypothesis, Output, changed
from kit.reference.encoder import accumulate, high_mul

Finish = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""Accumulators int64[n, W, out] to output LSB, zero point not yet added."""


def arithmetic_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Rounding first: it is what runtimes differ in most often."""
    yield from rounding_hypotheses(evidence)
    yield from _bias(evidence)
    yield from _clamps(evidence)
    yield from _scales(evidence)


def rounding_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Habits of whole runtimes: they show in every layer."""
    requant = evidence.node.requant
    if requant.rounding == "double":
        single = changed(evidence, requant=replace(requant, rounding="single"))
        yield Hypothesis(
            "single-rounding",
            "single against double rounding: it rounds once where the golden rounds twice, after the product and the "
            "shift together, not after each (TFLITE_SINGLE_ROUNDING, or CMSIS_NN_USE_SINGLE_ROUNDING of CMSIS-NN)",
            single,
            global_cause=True,
        )
    else:
        double = changed(evidence, requant=replace(requant, rounding="double"))
        yield Hypothesis(
            "double-rounding",
            "double against single rounding: it rounds twice where the golden rounds once, after the product and "
            "again after the shift",
            double,
            global_cause=True,
        )
    yield Hypothesis(
        "xnnpack",
        "XNNPACK instead of the golden: accumulators are scaled in float32 and rounded to nearest even, as TensorFlow "
        "Lite's default delegate does; ask for the reference kernels by name",
        _finished(evidence, _xnnpack(evidence)),
        global_cause=True,
    )
    yield Hypothesis(
        "ties-up",
        "rounding of ties: it rounds twice, but ties of the second rounding go up instead of away from zero, as "
        "TensorFlow Lite's own optimized kernels do",
        _finished(evidence, _ties_up(evidence)),
        global_cause=True,
    )
    yield Hypothesis(
        "truncation",
        "truncation: it cuts off where the golden rounds",
        _finished(evidence, _truncated(evidence)),
        global_cause=True,
    )


def _finished(evidence: Evidence, finish: Finish) -> Output:
    """The layer with another requantization."""
    node, (_, zero_point) = evidence.node, evidence.zero_points

    def output(x: NDArray[np.int8]) -> NDArray[np.int8]:
        y = finish(accumulate(evidence.encoder, node, x)) + zero_point
        result: NDArray[np.int8] = np.clip(y, node.act_min, node.act_max).astype(np.int8)
        return result

    return output


def _factors(evidence: Evidence) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    requant = evidence.node.requant
    return np.array(requant.multiplier, np.int64), np.array(requant.shift, np.int64)


def _xnnpack(evidence: Evidence) -> Finish:
    """XNNPACK's QC8 requantization ("fp32"): float32 factor, product in float32, ties to even."""
    multiplier, shift = _factors(evidence)
    # The factor that both runtimes start from is real; its 31 bits, rounded to the 24 of a float32, are XNNPACK's.
    factor = np.ldexp(multiplier.astype(np.float64), shift - 31).astype(np.float32)

    def finish(acc: NDArray[np.int64]) -> NDArray[np.int64]:
        rounded: NDArray[np.int64] = np.rint(acc.astype(np.float32) * factor).astype(np.int64)
        return rounded

    return finish


def _ties_up(evidence: Evidence) -> Finish:
    multiplier, shift = _factors(evidence)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    half: NDArray[np.int64] = np.where(right > 0, 1 << np.maximum(right - 1, 0), 0)

    def finish(acc: NDArray[np.int64]) -> NDArray[np.int64]:
        shifted: NDArray[np.int64] = np.right_shift(high_mul(acc << left, multiplier) + half, right)
        return shifted

    return finish


def _truncated(evidence: Evidence) -> Finish:
    multiplier, shift = _factors(evidence)

    def finish(acc: NDArray[np.int64]) -> NDArray[np.int64]:
        shifted: NDArray[np.int64] = (acc * multiplier) >> (31 - shift)
        return shifted

    return finish


def _bias(evidence: Evidence) -> Iterator[Hypothesis]:
    bias = evidence.encoder.node_bias(evidence.node)
    if bias.any():
        none = changed(evidence, bias=np.zeros_like(bias))
        yield Hypothesis("bias-missing", "missing bias: it leaves the bias out", none)
        twice = np.clip(2 * bias.astype(np.int64), -(1 << 31), (1 << 31) - 1).astype(np.int32)
        yield Hypothesis("bias-twice", "doubled bias: it adds the bias twice", changed(evidence, bias=twice))


def _clamps(evidence: Evidence) -> Iterator[Hypothesis]:
    node, (_, zero_point) = evidence.node, evidence.zero_points
    ranges = {
        (-128, 127): "does not clamp to the activation's range, [{0}, {1}]",
        (max(-128, zero_point), node.act_max): "clamps at the zero point (ReLU), where the model has no activation",
        (max(-128, zero_point), 127): "clamps as a ReLU without an upper limit",
        (0, node.act_max): "clamps below at 0 instead of at the output zero point",
        (node.act_min, node.act_max - 1): "clamps one below the activation's upper limit",
    }
    for (low, high), sentence in ranges.items():
        if (low, high) != (node.act_min, node.act_max):
            text = "wrong activation clamp: it " + sentence.format(node.act_min, node.act_max)
            yield Hypothesis("clamp", text, changed(evidence, act_min=low, act_max=high))
    yield Hypothesis("wraparound", "no saturation: it wraps around where the golden saturates", _wrapping(evidence))


def _wrapping(evidence: Evidence) -> Output:
    """The layer without any clamp: what remains is the conversion to int8, modulo 256."""
    return changed(evidence, act_min=-(1 << 31), act_max=(1 << 31) - 1)


def _scales(evidence: Evidence) -> Iterator[Hypothesis]:
    """One channel's factor for all of them."""
    requant = evidence.node.requant
    channels = len(requant.multiplier)
    if len(set(zip(requant.multiplier, requant.shift, strict=True))) > 1:
        first = replace(
            requant, multiplier=(requant.multiplier[0],) * channels, shift=(requant.shift[0],) * channels
        )
        yield Hypothesis(
            "per-tensor-scale",
            "per-tensor scale: it requantizes every channel with the first channel's scale",
            changed(evidence, requant=first),
        )
