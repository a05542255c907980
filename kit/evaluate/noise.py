"""How noisy a frame is, from the original alone, so that figures can be read for clean and for noisy signal apart.

PPG: share of the frame's power that is not at its pulse: outside the strongest line between 0.6 and 3.5 Hz and its
second and third harmonic. ECG: share of power outside 1 to 40 Hz (baseline wander, mains, muscle). 0 is clean, 1 noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import get_window

DEFINITION = {
    "ppg": "share of a frame's power outside its strongest line between 0.6 and 3.5 Hz and two harmonics",
    "ecg": "share of a frame's power outside 1 to 40 Hz",
}
TERTILES = ("cleanest third", "middle third", "noisiest third")
_PULSE_HZ = (0.6, 3.5)
_ECG_HZ = (1.0, 40.0)
_HARMONICS = (1, 2, 3)
_PADDING = 4


def noise_index(frames: NDArray[Any], rate_hz: float, kind: str) -> NDArray[np.float64]:
    """Noise index of each frame, float64[n] in 0..1; 1 for a flat frame.

    Args:
        frames: numbers [n, T].
        rate_hz: samples per second.
        kind: ``ppg`` or ``ecg``.
    """
    samples = frames.shape[1]
    centred = frames - frames.mean(axis=1, keepdims=True, dtype=np.float64)
    spectrum = np.abs(np.fft.rfft(centred * get_window("hann", samples), _PADDING * samples, axis=1)) ** 2
    hertz = np.fft.rfftfreq(_PADDING * samples, 1 / rate_hz)
    total = spectrum.sum(axis=1)
    if kind == "ecg":
        kept = spectrum[:, (hertz >= _ECG_HZ[0]) & (hertz <= _ECG_HZ[1])].sum(axis=1)
    else:
        inside = np.flatnonzero((hertz >= _PULSE_HZ[0]) & (hertz <= _PULSE_HZ[1]))
        pulse = hertz[inside[np.argmax(spectrum[:, inside], axis=1)]]
        # A Hann window's line is two bins of the unpadded transform wide on either side.
        reach = 2 * rate_hz / samples
        near = np.zeros(spectrum.shape, np.bool_)
        for harmonic in _HARMONICS:
            near |= np.abs(hertz[None, :] - harmonic * pulse[:, None]) <= reach
        kept = np.where(near, spectrum, 0.0).sum(axis=1)
    return np.asarray(np.where(total > 0, 1.0 - kept / np.maximum(total, 1e-300), 1.0))


def tertiles(index: NDArray[np.float64], usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Third of each frame, int64[n]: 0, 1, 2, the bounds taken from the ``usable`` ones; -1 for the others."""
    third = np.full(len(index), -1, np.int64)
    if usable.any():
        bounds = np.percentile(index[usable], [100 / 3, 200 / 3])
        third[usable] = np.searchsorted(bounds, index[usable], side="left")
    return third
