"""Generated PPG for tests, demonstrations and a first build without recordings. It is never evidence of quality.

A subject's pulse is a sum of three Gaussian-like bumps on the phase of the beat (systolic peak, reflected wave,
dicrotic wave), in the manner of McSharry et al., "A dynamical model for generating synthetic electrocardiogram
signals", IEEE TBME 50(3):289-294, 2003. The phase advances with a heart rate that respiration and a slower 0.1 Hz
rhythm modulate; respiration also moves amplitude and baseline. Baseline wander, motion bursts, sensor noise and an
ADC of ``sample_bits`` follow.

Everything is made of additions, multiplications, divisions and floor of doubles, and of uniform draws of PCG64. No
call goes to a mathematics library, whose last bit differs between machines: ``_bump`` and ``_sine`` are polynomials
and noise is a sum of uniform draws. The same arguments therefore give the same codes everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Subject:
    """What distinguishes one generated person; times are fractions of a beat, amplitudes of the systolic peak."""

    heart_hz: float
    respiration_hz: float
    respiration_phase: float
    sinus_arrhythmia: float
    slow_arrhythmia: float
    peaks: tuple[float, float, float]
    widths: tuple[float, float, float]
    heights: tuple[float, float, float]
    amplitude: float
    respiration_amplitude: float
    respiration_baseline: float
    wander: float
    noise: float
    bursts_per_minute: float


def _bump(u: Array) -> Array:
    """Close to exp(-u^2 / 2): (1 - u^2 / 128)^64 by six squarings, zero beyond |u| = 11.3."""
    value = np.maximum(1.0 - u * u / 128.0, 0.0)
    for _ in range(6):
        value = value * value
    return value


def _sine(turns: Array) -> Array:
    """Sine of ``turns`` full turns, to 1e-5: Taylor polynomial of degree 9 on a quarter turn, by symmetry."""
    folded = turns - np.floor(turns + 0.5)
    folded = np.where(folded > 0.25, 0.5 - folded, np.where(folded < -0.25, -0.5 - folded, folded))
    x = folded * 6.283185307179586
    square = x * x
    series = 1.0 - square / 72.0
    for divisor in (42.0, 20.0, 6.0):
        series = 1.0 - square / divisor * series
    return np.asarray(x * series)


def _draw_subject(rng: np.random.Generator) -> Subject:
    draws = iter(rng.random(24).tolist())

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(next(draws))

    systolic = between(0.17, 0.24)
    dicrotic = between(0.50, 0.58)
    return Subject(
        heart_hz=between(0.85, 1.6),
        respiration_hz=between(0.18, 0.35),
        respiration_phase=between(0.0, 1.0),
        sinus_arrhythmia=between(0.01, 0.06),
        slow_arrhythmia=between(0.01, 0.04),
        peaks=(systolic, systolic + between(0.14, 0.20), dicrotic),
        widths=(between(0.055, 0.075), between(0.08, 0.11), between(0.07, 0.11)),
        heights=(1.0, between(0.25, 0.6), between(0.2, 0.5)),
        amplitude=between(0.06, 0.25),
        respiration_amplitude=between(0.03, 0.15),
        respiration_baseline=between(0.02, 0.12),
        wander=between(0.1, 0.5),
        noise=between(0.004, 0.02),
        bursts_per_minute=between(0.3, 1.5),
    )


def _bell_noise(rng: np.random.Generator, count: int) -> Array:
    """Zero-mean noise of variance one: scaled sum of three uniform draws."""
    draws = rng.random((3, count))
    return np.asarray((draws[0] + draws[1] + draws[2] - 1.5) * 2.0)


def _ramp_noise(rng: np.random.Generator, count: int, knot_samples: int) -> Array:
    """Piecewise linear noise in -1..1 with a knot every ``knot_samples``."""
    knots = rng.random(count // knot_samples + 2) * 2.0 - 1.0
    at = np.arange(count)
    knot, part = at // knot_samples, (at % knot_samples) / float(knot_samples)
    return np.asarray(knots[knot] * (1.0 - part) + knots[knot + 1] * part)


def _pulse(phase: Array, person: Subject) -> Array:
    """Pulse wave of the beat's phase, about 0..1."""
    wave = np.zeros_like(phase)
    for peak, width, height in zip(person.peaks, person.widths, person.heights, strict=True):
        distance = phase - peak
        distance = distance - np.floor(distance + 0.5)
        wave = wave + height * _bump(distance / width)
    return wave


def _motion(rng: np.random.Generator, person: Subject, count: int, rate: int) -> Array:
    """Bursts of 1 to 5 s of fast wander, up to a few pulse amplitudes, with soft edges."""
    shake = np.zeros(count)
    bursts = int(person.bursts_per_minute * count / (60.0 * rate) + rng.random())
    fast = _ramp_noise(rng, count, max(1, rate // 8))
    for _ in range(bursts):
        centre, half, strength = rng.random(3).tolist()
        half_samples = (0.5 + 2.0 * half) * rate
        u = (np.arange(count) - centre * count) / (half_samples / 2.5)
        shake = shake + (0.5 + 2.0 * strength) * _bump(u) * fast
    return shake


def generate_ppg(*, seed: int, subject: int, seconds: int, sample_rate_hz: int, sample_bits: int) -> NDArray[np.int32]:
    """PPG of one generated person.

    Args:
        seed: of the whole set.
        subject: index within the set; its own independent stream.
        seconds: duration.
        sample_rate_hz: rate in Hz.
        sample_bits: ADC resolution, 8..24; codes are two's complement.

    Returns:
        int32[seconds * sample_rate_hz] in -2^(bits-1) .. 2^(bits-1) - 1.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, subject])))
    person = _draw_subject(rng)
    count, rate = seconds * sample_rate_hz, sample_rate_hz
    time = np.arange(count) / float(rate)
    breath = _sine(time * person.respiration_hz + person.respiration_phase)
    slow = _sine(time * 0.1 + float(rng.random()))
    rhythm = person.sinus_arrhythmia * breath + person.slow_arrhythmia * slow
    rhythm = rhythm + 0.02 * _ramp_noise(rng, count, 3 * rate)
    phase = np.cumsum(person.heart_hz * (1.0 + rhythm)) / float(rate)
    wave = _pulse(phase, person) * (1.0 + person.respiration_amplitude * breath)
    wave = wave + person.respiration_baseline * breath + person.wander * _ramp_noise(rng, count, 4 * rate)
    wave = wave + person.noise * _bell_noise(rng, count) + _motion(rng, person, count, rate)
    half_scale = float(1 << (sample_bits - 1))
    codes = np.floor((wave - 0.4) * person.amplitude * half_scale + 0.5)
    return np.clip(codes, -half_scale, half_scale - 1.0).astype(np.int32)
