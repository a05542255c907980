"""What a wearable does to a signal, done to training windows: pulse rate, pulse height, drift and motion.

Everything happens in ADC codes, before the frame is normalised, and to input and target alike: a codec must carry
what the sensor delivers. All draws come from the generator given, in a fixed order and number for the sections that
are on, so that a step's batch depends on its seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.config import AugmentConfig, SignalConfig
from kit.data.store import Samples

Codes = NDArray[np.float64]

BEAT_HZ = (0.05, 0.4)
"""Modulation of the pulse height: posture and breathing."""

WANDER_HZ = (0.05, 0.5)
"""Drift of the baseline."""

MOTION_HZ = (0.5, 6.0)
"""Band of motion."""

MOTION_SECONDS = (0.5, 3.0)
"""Duration of a burst of motion."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Where the windows of a batch lie in a store's flat array.

    Attributes:
        start: int64[B], position of the first sample.
        first: int64[B], first sample that belongs to the same permitted stretch of recording.
        last: int64[B], its last sample, at least start + T - 1.
    """

    start: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def augmented(
    flat: Samples, windows: Windows, signal: SignalConfig, settings: AugmentConfig, rng: np.random.Generator
) -> Samples:
    """Windows of ``flat`` with the augmentations that are on: integers [B, T] within the sensor's range.

    Args:
        flat: all samples, in ADC codes.
        windows: B of them.
        signal: rate, frame length and sample width.
        settings: what to do, how much.
        rng: source of every draw.
    """
    stretch = np.ones(len(windows.start))
    if settings.time_warp:
        stretch += settings.time_warp * rng.uniform(-1.0, 1.0, len(stretch))
    x = warped(flat, windows, stretch, signal.frame_samples)
    # Recordings may use the whole container even where the sensor is narrower: never clip what they hold already.
    top = (1 << (signal.sample_bits - 1)) - 1
    low, high = min(-top - 1.0, float(x.min())), max(float(top), float(x.max()))
    mean, deviation = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
    seconds = np.arange(signal.frame_samples) / signal.sample_rate_hz
    if settings.beat_scale:
        depth = settings.beat_scale * rng.random((len(x), 1))
        x = mean + (x - mean) * (1.0 + depth * _waves(seconds, BEAT_HZ, len(x), rng))
    if settings.baseline_wander:
        height = settings.baseline_wander * rng.random((len(x), 1))
        x += deviation * height * _waves(seconds, WANDER_HZ, len(x), rng)
    if settings.motion:
        moving = rng.random(len(x)) < settings.motion
        height = settings.motion_height * rng.random((len(x), 1))
        noise = _bursts(seconds, signal.sample_rate_hz, len(x), rng)
        x[moving] += (deviation * height * noise)[moving]
    container = np.iinfo(flat.dtype)
    return np.clip(np.rint(x), max(low, container.min), min(high, container.max)).astype(flat.dtype)


def warped(flat: Samples, windows: Windows, stretch: Codes, samples: int) -> Codes:
    """Windows resampled by cubic (Catmull-Rom) interpolation: float64[B, samples].

    Args:
        flat: all samples.
        windows: B of them; one that would read beyond its stretch of recording is moved back, and where that is
            shorter than needed, is warped less.
        stretch: float64[B], samples of the recording per sample of the window; above 1 the pulse is faster.
        samples: T.
    """
    room = (windows.last - windows.first) / (samples - 1)
    span = np.minimum(stretch, room) * (samples - 1)
    begin = np.minimum(windows.start.astype(np.float64), windows.last - span)
    position = begin[:, None] + (span / (samples - 1))[:, None] * np.arange(samples)
    base = np.floor(position)
    u = position - base
    taps = base.astype(np.int64)[..., None] + np.arange(-1, 3)
    p = flat[np.clip(taps, windows.first[:, None, None], windows.last[:, None, None])].astype(np.float64)
    a, b, c, d = p[..., 0], p[..., 1], p[..., 2], p[..., 3]
    slope, bend, twist = c - a, 2.0 * a - 5.0 * b + 4.0 * c - d, 3.0 * (b - c) + d - a
    return np.asarray(b + 0.5 * u * (slope + u * (bend + u * twist)))


def _waves(seconds: Codes, band: tuple[float, float], count: int, rng: np.random.Generator) -> Codes:
    """Sum of two sine waves of random rate in ``band`` and random phase, at most 1 in magnitude: [count, T]."""
    rate = rng.uniform(*band, (2, count, 1))
    phase = rng.uniform(0.0, 2.0 * np.pi, (2, count, 1))
    share = rng.random((1, count, 1))
    waves = np.sin(2.0 * np.pi * rate * seconds + phase)
    return np.asarray(share[0] * waves[0] + (1.0 - share[0]) * waves[1])


def _bursts(seconds: Codes, sample_rate_hz: int, count: int, rng: np.random.Generator) -> Codes:
    """Noise of unit deviation in the band of motion, under a raised cosine at a random place: [count, T]."""
    spectrum = np.fft.rfft(rng.standard_normal((count, len(seconds))), axis=1)
    rate = np.fft.rfftfreq(len(seconds), 1.0 / sample_rate_hz)
    spectrum[:, (rate < MOTION_HZ[0]) | (rate > MOTION_HZ[1])] = 0.0
    noise = np.fft.irfft(spectrum, len(seconds), axis=1)
    noise /= noise.std(axis=1, keepdims=True) + 1e-12
    half = 0.5 * rng.uniform(*MOTION_SECONDS, (count, 1))
    centre = rng.uniform(0.0, seconds[-1], (count, 1))
    place = np.clip((seconds - centre) / half, -1.0, 1.0)
    return np.asarray(noise * 0.5 * (1.0 + np.cos(np.pi * place)))
