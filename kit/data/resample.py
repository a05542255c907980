"""Sample-rate conversion with an anti-alias filter, in arithmetic that is exact on every machine.

The filter's taps are rounded to integers, so that all products and sums of a polyphase filter over integer samples
are integers below 2^53 and double precision holds them exactly. Each polyphase branch sums to the same power of two,
so that a constant stays that constant: a flat stretch of a recording is flat after conversion as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.data.recording import saturate

LOBES = 16
"""Zero crossings of the sinc on each side, counted at the lower of the two rates."""

KAISER_BETA = 8.0
"""About 80 dB of stop-band attenuation, below one code of a 13-bit ADC."""

TAP_BITS = 20
"""Taps sum to 2^20 per branch; 24-bit samples then stay below 2^53 with room for the filter's absolute sum."""

DENOMINATOR_MAX = 1000


@dataclass(frozen=True, slots=True)
class Ratio:
    """Rate conversion by ``up / down``, in lowest terms."""

    up: int
    down: int

    def length(self, samples: int) -> int:
        """Samples after conversion: ceil(samples * up / down)."""
        return -(-samples * self.up // self.down)


def rate_ratio(source_hz: float, target_hz: float) -> Ratio:
    """Rational approximation of ``target_hz / source_hz`` with a denominator of at most 1000.

    Rates are taken to the millihertz first, so that 100.4 Hz is 1004 / 10 and not its nearest double. A rate so far
    from the target that no such fraction exists gives ``up`` or ``down`` of one on the nearest side.
    """
    exact = Fraction(round(target_hz * 1000), max(1, round(source_hz * 1000)))
    near = exact.limit_denominator(DENOMINATOR_MAX)
    if near == 0:
        near = Fraction(1, round(1 / exact))
    return Ratio(near.numerator, near.denominator)


@lru_cache(maxsize=16)
def _taps(up: int, down: int) -> NDArray[np.float64]:
    """Integer-valued low-pass filter at rate ``up * source``: every branch ``taps[i::up]`` sums to 2^TAP_BITS."""
    from scipy.signal import firwin

    wide = max(up, down)
    half = LOBES * wide
    taps = np.asarray(firwin(2 * half + 1, 1.0 / wide, window=("kaiser", KAISER_BETA)), dtype=np.float64)
    unity = float(1 << TAP_BITS)
    for branch in range(up):
        part = taps[branch::up]
        part *= unity / part.sum()
        np.rint(part, out=part)
        part[int(np.argmax(np.abs(part)))] += unity - part.sum()
    taps.flags.writeable = False
    return taps


def resample(
    samples: NDArray[np.signedinteger[Any]], ratio: Ratio, container_bits: int
) -> NDArray[np.signedinteger[Any]]:
    """Recording at the target rate.

    Args:
        samples: int16[n] or int32[n].
        ratio: see :func:`rate_ratio`; one to one returns ``samples`` untouched.
        container_bits: 16 or 32, width of the result.

    Returns:
        int16 or int32 [ceil(n * up / down)], rounded to nearest (ties to even) and saturated. The ends are extended
        with the first and last sample.
    """
    if ratio.up == ratio.down:
        return saturate(samples, container_bits)
    from scipy.signal import upfirdn

    taps = _taps(ratio.up, ratio.down)
    half = (taps.size - 1) // 2
    # Extend by whole filter halves of source samples, filter, then keep outputs from the first true sample on.
    # An extension that is a multiple of `down` puts an output exactly there.
    reach = -(-half // ratio.up)
    margin = -(-reach // ratio.down) * ratio.down
    padded = np.pad(samples.astype(np.float64), margin, mode="edge")
    # upfirdn delays by `half` ticks of the fast clock; leading zeros make that a multiple of `down`.
    lead = -half % ratio.down
    filtered = upfirdn(np.concatenate([np.zeros(lead), taps]), padded, ratio.up, ratio.down)
    first = (margin * ratio.up + half + lead) // ratio.down
    kept = filtered[first : first + ratio.length(samples.size)]
    return saturate(np.rint(kept / (1 << TAP_BITS)), container_bits)


def carry_mask(mask: NDArray[np.bool_], ratio: Ratio, touching: bool) -> NDArray[np.bool_]:
    """A per-sample mask at the target rate.

    Args:
        mask: bool[n] at the source rate.
        ratio: conversion that the samples went through.
        touching: True marks an output where either neighbouring source sample is marked, False where the nearest is.

    Returns:
        bool[ceil(n * up / down)].
    """
    if ratio.up == ratio.down:
        return mask
    ticks = np.arange(ratio.length(mask.size), dtype=np.int64) * ratio.down
    last = mask.size - 1
    if not touching:
        return mask[np.minimum((ticks + ratio.up // 2) // ratio.up, last)]
    # When downsampling, outputs are further apart than inputs: a gap between two outputs marks both of them.
    before = np.concatenate([[0], np.cumsum(mask)])
    step = max(ratio.up, ratio.down)
    low = np.clip(-(-(ticks - step) // ratio.up), 0, last)
    high = np.clip((ticks + step) // ratio.up, 0, last)
    return np.asarray(before[high + 1] - before[low] > 0)
