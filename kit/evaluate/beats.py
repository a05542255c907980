"""Beat detection, the same on original and reconstruction.

Peaks come from libraries that others keep: ``scipy.signal.find_peaks`` for PPG, ``sleepecg`` (extra ``evaluate``) for
ECG, a C implementation of a Pan-Tompkins detector without heavy dependencies. Beats are timed between samples by a
parabola.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from kit.errors import ToolchainError

BAND_HZ = {"ppg": (0.5, 5.0), "ecg": (5.0, 20.0)}
"""Where beats are looked for: second-order Butterworth, zero phase."""
REFRACTORY_S = 0.33
PROMINENCE = 0.6
"""Least prominence of a pulse in units of the signal's own level around it (root mean square over ``LEVEL_S``)."""
LEVEL_S = 6.0
REFINE_S = 0.05

Signal = NDArray[np.float64]


def require_detector(kind: str) -> None:
    """Fail now rather than after minutes.

    Raises:
        ToolchainError: the detector of this kind of signal is not installed.
    """
    if kind == "ecg":
        _sleepecg()


def _sleepecg() -> Any:
    try:
        import sleepecg
    except ImportError:
        raise ToolchainError(
            "heart rates of ECG need the package sleepecg, which is not installed",
            "install rvq-firmware-kit[evaluate]",
        ) from None
    return sleepecg


@lru_cache(maxsize=8)
def _sections(kind: str, rate_hz: float) -> Any:
    low, high = BAND_HZ[kind]
    return signal.butter(2, (low, min(high, 0.45 * rate_hz)), "bandpass", fs=rate_hz, output="sos")


def upright(samples: Signal, kind: str) -> float:
    """1 or -1: the sign that makes a pulse's fast edge rise (sensors differ). ECG detectors need none."""
    if kind == "ecg":
        return 1.0
    change = np.diff(samples)
    change = change - change.mean()
    return -1.0 if float((change**3).mean()) < 0 else 1.0


def detect_beats(samples: Signal, rate_hz: float, kind: str, sign: float = 1.0) -> Signal:
    """Times of beats in seconds from the first sample, rising.

    Args:
        samples: float64[n], any unit; finite.
        rate_hz: samples per second.
        kind: ``ppg`` or ``ecg``.
        sign: of :func:`upright`, taken from the original.
    """
    if len(samples) < 3 * rate_hz or float(np.ptp(samples)) == 0.0:
        return np.empty(0)
    band = signal.sosfiltfilt(_sections(kind, rate_hz), sign * samples)
    if kind == "ecg":
        found = np.asarray(_sleepecg().detect_heartbeats(samples, rate_hz), np.int64)
        return _timed(np.abs(band), found, rate_hz)
    size = max(1, round(LEVEL_S * rate_hz))
    level = np.sqrt(np.convolve(np.square(band), np.ones(size) / size, mode="same"))
    # A window that is silent next to the rest holds no pulses: do not raise its rounding errors to pulses.
    level = np.maximum(level, 1e-3 * float(np.sqrt(np.square(band).mean())) + 1e-12)
    found, _ = signal.find_peaks(band / level, distance=max(1, round(REFRACTORY_S * rate_hz)), prominence=PROMINENCE)
    return _timed(band, found, rate_hz)


def _timed(curve: Signal, found: NDArray[np.int64], rate_hz: float) -> Signal:
    """Times of the highest points of ``curve`` near ``found``, by a parabola through three samples."""
    reach = max(1, round(REFINE_S * rate_hz))
    times = []
    for at in found.tolist():
        first = max(0, at - reach)
        top = first + int(np.argmax(curve[first : at + reach + 1]))
        offset = 0.0
        if 0 < top < len(curve) - 1:
            left, middle, right = curve[top - 1 : top + 2]
            bend = left - 2 * middle + right
            offset = max(-0.5, min(0.5, float(0.5 * (left - right) / bend))) if bend < 0 else 0.0
        times.append((top + offset) / rate_hz)
    return np.unique(np.array(times, np.float64))


def is_regular(beats: Signal) -> bool:
    """Whether beats look like a pulse: four or more, 40 to 180 a minute, intervals that vary by a fifth (CV)."""
    intervals = np.diff(beats)
    if len(intervals) < 3:
        return False
    mean = float(intervals.mean())
    return bool(60 / 180 <= mean <= 60 / 40 and float(intervals.std()) <= 0.2 * mean)
