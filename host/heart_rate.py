"""Heart rate of a stretch of pulse or ECG signal, for a display: no beat is marked, nothing is diagnosed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BPM_MIN, BPM_MAX = 35.0, 210.0
PERIODICITY_MIN = 0.4
"""Least autocorrelation at one beat's distance, 1 = perfectly periodic, below which no rate is given."""
NEARLY_BEST = 0.85
"""The shortest distance whose correlation comes so near the best: two beats fit almost as well as one."""


def heart_rate_bpm(samples: NDArray[np.float32], sample_rate_hz: float) -> float | None:
    """Beats per minute by autocorrelation; None when the stretch is short, flat, holed or not periodic.

    Args:
        samples: float32[n], any unit; NaN where signal is missing.
        sample_rate_hz: samples per second.
    """
    shortest = round(sample_rate_hz * 60.0 / BPM_MAX)
    longest = round(sample_rate_hz * 60.0 / BPM_MIN)
    if len(samples) < 2 * longest or shortest < 2 or not np.isfinite(samples).all():
        return None
    # Differences over an eighth of a second take away the baseline and keep the upstrokes.
    step = max(1, round(sample_rate_hz / 8))
    signal = (samples[step:] - samples[:-step]).astype(np.float64)
    signal -= signal.mean()
    size = 1 << (2 * len(signal) - 1).bit_length()
    spectrum = np.fft.rfft(signal, size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, size)[: longest + 2]
    if correlation[0] <= 0:
        return None
    # Fewer products enter at longer distances.
    correlation = correlation / correlation[0] * len(signal) / (len(signal) - np.arange(len(correlation)))
    lags = np.arange(shortest, longest + 1)
    inner = correlation[lags]
    peaks = lags[(inner >= correlation[lags - 1]) & (inner > correlation[lags + 1])]
    if len(peaks) == 0 or correlation[peaks].max() < PERIODICITY_MIN:
        return None
    lag = int(peaks[np.argmax(correlation[peaks] >= NEARLY_BEST * correlation[peaks].max())])
    left, middle, right = correlation[lag - 1 : lag + 2]
    bend = left - 2 * middle + right
    offset = 0.0 if bend == 0 else 0.5 * (left - right) / bend
    return float(60.0 * sample_rate_hz / (lag + offset))
