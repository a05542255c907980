"""A frame that was lost between two that came: filled by what both sides predict.

Autoregressive interpolation (Janssen, Veldhuis and Vries, 1986), one pass: a linear predictor is fitted to the signal
on both sides, and the gap takes the values whose prediction error, over every prediction that touches the gap, is
smallest. The matrix of that problem is a symmetric Toeplitz band, so that a frame costs about a millisecond.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz

HISTORY_FRAMES = 3
"""Frames before the gap that the predictor is fitted to; behind it one, so that a stream waits for one frame only."""
ORDER_SECONDS = 1.0
"""Reach of the predictor: about one beat."""
ORDERS = (16, 128)
RIDGE = 1e-4
"""Of the mean power: keeps the fit of flat and of purely periodic signals defined."""


def predictor_order(sample_rate_hz: float) -> int:
    """Coefficients of the predictor at a sample rate, 16..128."""
    return min(max(round(ORDER_SECONDS * sample_rate_hz), ORDERS[0]), ORDERS[1])


def conceal(before: NDArray[np.float32], after: NDArray[np.float32], count: int, order: int) -> NDArray[np.float32]:
    """Fill a gap.

    Args:
        before: float32[n], n >= 8, the signal that ends where the gap begins.
        after: float32[m], m >= 8, the signal that begins where the gap ends.
        count: samples that are missing.
        order: coefficients of the predictor; fewer where there is little signal.

    Returns:
        float32[count]; the mean of both sides where they are flat.
    """
    mean = (float(before.mean()) + float(after.mean())) / 2
    left, right = before.astype(np.float64) - mean, after.astype(np.float64) - mean
    order = min(order, len(left) // 3, len(right) // 3)
    predictor = _fit(left, right, order)
    if predictor is None:
        return np.full(count, mean, np.float32)
    error = np.concatenate([[1.0], -predictor])
    known = np.concatenate([left[-order:], np.zeros(count), right[:order]])
    # Prediction errors that the known samples cause while the gap is zero, one for each place that sees the gap.
    residual = np.convolve(known, error)[order : order + count + order]
    wanted = -np.correlate(residual, error, "valid")
    band = np.zeros(count)
    power = np.correlate(error, error, "full")[order:]
    band[: min(count, order + 1)] = power[:count]
    band[0] *= 1.0 + 1e-9
    filled: NDArray[np.float64] = solve_toeplitz(band, wanted)
    # A prediction must not leave what was seen by more than its own span.
    low, high = min(left.min(), right.min()), max(left.max(), right.max())
    margin = 0.5 * (high - low)
    return (np.clip(filled, low - margin, high + margin) + mean).astype(np.float32)


def _fit(left: NDArray[np.float64], right: NDArray[np.float64], order: int) -> NDArray[np.float64] | None:
    """Least-squares predictor of both sides together; None where they are flat."""
    normal = np.zeros((order, order))
    target = np.zeros(order)
    for side in (left, right):
        past = np.lib.stride_tricks.sliding_window_view(side, order)[:-1, ::-1]
        normal += past.T @ past
        target += past.T @ side[order:]
    power = np.trace(normal) / order
    if not power > 0:
        return None
    normal[np.diag_indices(order)] += RIDGE * power
    return np.linalg.solve(normal, target).astype(np.float64)
