"""Which windows of a recording are usable: finite, not flat, not railed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class WindowFlags:
    """Verdicts for every start 0 .. n - T of a recording: bool[n - T + 1] each."""

    non_finite: NDArray[np.bool_]
    flat: NDArray[np.bool_]
    railed: NDArray[np.bool_]


def _window_sums(values: NDArray[np.int64], frame: int) -> NDArray[np.int64]:
    """Sum of every window, modulo 2^64: exact wherever the true sum fits, even after the running sum wraps."""
    running = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return np.asarray(running[frame:] - running[:-frame])


def window_spread(samples: NDArray[np.signedinteger[Any]], frame: int) -> NDArray[np.float64]:
    """Squared standard deviation of every window times T^2: float64[n - T + 1].

    ``T * sum(x^2) - sum(x)^2`` is exact below 2^61 (where any flatness threshold lies) because two's complement
    arithmetic cancels the overflow of both terms; above, the float estimate is returned.
    """
    wide = samples.astype(np.int64)
    total, square = _window_sums(wide, frame), _window_sums(wide * wide, frame)
    exact = (frame * square - total * total).astype(np.float64)
    estimate = frame * square.astype(np.float64) - total.astype(np.float64) ** 2
    return np.where(estimate < 2.0**61, exact, estimate)


def flag_windows(
    samples: NDArray[np.signedinteger[Any]],
    missing: NDArray[np.bool_] | None,
    railed: NDArray[np.bool_],
    frame: int,
    flat_std: float,
    railed_max: float,
) -> WindowFlags:
    """Judge every window of ``frame`` samples.

    Args:
        samples: int16[n] or int32[n], n >= frame.
        missing: bool[n], or None for no gap.
        railed: bool[n], see :func:`kit.data.recording.railed_samples`.
        frame: T, samples per frame.
        flat_std: a window whose population standard deviation is not above this (ADC codes) is flat.
        railed_max: a window with a larger fraction of railed samples is railed.
    """
    flat = window_spread(samples, frame) <= (flat_std * frame) ** 2
    none = np.zeros(flat.size, np.bool_)
    gaps = none if missing is None else _window_sums(missing.astype(np.int64), frame) > 0
    at_rail = _window_sums(railed.astype(np.int64), frame) > railed_max * frame if railed.any() else none
    return WindowFlags(gaps, flat, at_rail)


def runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First and last index of every stretch of True: int64[k, 2], both inclusive."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1], axis=1).astype(np.int64)
