"""Hallucination probes: what the codec makes of signals without a pulse.

Flat inputs must come back flat. Noise must come back as noise: the share of noise-only windows in which the detector
finds a regular pulse is compared with its share in the noise itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.evaluate.beats import detect_beats, is_regular
from kit.evaluate.rhythm import WINDOW_S

WINDOWS = 500
"""Windows of each kind of noise."""
SEED = 20261123
Z = 1.96
"""Of a 95 % interval."""

PASSED, FAILED, WITHIN_CHANCE = "passed", "failed", "within chance"
"""Verdicts; the last: more regular windows than in the noise, by no more than their number explains."""

Codec = Callable[[NDArray[Any]], NDArray[np.float32]]
"""Frames int[n, T] to reconstruction float32[n, T], both in ADC codes."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Windows of one kind, int[w, k, T]: ``w`` windows of ``k`` consecutive frames."""

    name: str
    text: str
    windows: NDArray[Any]
    noise: bool


def make_probes(config: Config) -> list[Probe]:
    """The probes of a build's signal; the same for the same configuration."""
    signal = config.signal
    samples, bits = signal.frame_samples, signal.sample_bits
    together = max(1, math.ceil(WINDOW_S * signal.sample_rate_hz / samples))
    whole, full = together * samples, (1 << (bits - 1)) - 1
    random = np.random.Generator(np.random.PCG64(SEED))
    level = full // 8
    step = np.full(whole, -level // 2)
    step[samples // 2 :] = level // 2
    white = random.standard_normal((WINDOWS, whole))
    pink = _low_passed(random.standard_normal((WINDOWS, whole)), signal.sample_rate_hz)
    kinds = [
        ("zeros", "every sample 0", np.zeros((1, whole)), False),
        ("flat", f"every sample {level}", np.full((1, whole), level), False),
        ("step", f"from {-level // 2} to {level // 2} in the middle of the first frame", step[None], False),
        ("white noise", f"standard deviation {full // 50}", white * (full // 50), True),
        ("low noise", "standard deviation 1.5 codes", random.standard_normal((WINDOWS, whole)) * 1.5, True),
        ("slow noise", f"white noise below 8 Hz, standard deviation {full // 50}", pink * (full // 50), True),
    ]
    container = np.int16 if signal.container_bits == 16 else np.int32
    probes = []
    for name, text, values, noise in kinds:
        codes = np.clip(np.rint(values), -full, full).astype(container)
        probes.append(Probe(name, text, codes.reshape(-1, together, samples), noise))
    return probes


def _low_passed(white: NDArray[np.float64], rate_hz: float) -> NDArray[np.float64]:
    """Noise in the band of a pulse, of unit variance: the hardest, as its spectrum tells nothing."""
    spectrum = np.fft.rfft(white, axis=1)
    spectrum[:, np.fft.rfftfreq(white.shape[1], 1 / rate_hz) > 8.0] = 0
    low = np.fft.irfft(spectrum, white.shape[1], axis=1)
    return np.asarray(low / low.std(axis=1, keepdims=True))


def run_probes(config: Config, codec: Codec) -> list[dict[str, Any]]:
    """What ``codec`` makes of each probe, as plain values; with the first window for a picture."""
    results = []
    for probe in make_probes(config):
        flat = probe.windows.reshape(-1, probe.windows.shape[2])
        decoded = codec(flat).reshape(probe.windows.shape)
        result: dict[str, Any] = {
            "name": probe.name,
            "text": probe.text,
            "windows": len(probe.windows),
            "frames": len(flat),
            "original_peak": float(_deviation(probe.windows).max()),
            "decoded_peak": float(_deviation(decoded).max()),
            "error_peak": float(np.abs(decoded - probe.windows).max()),
        }
        result |= _noise(config, probe, decoded) if probe.noise else _quiet(result, probe.name)
        result["picture"] = {
            "original": probe.windows[0].reshape(-1).tolist(),
            "decoded": [round(float(v), 3) for v in decoded[0].reshape(-1)],
        }
        results.append(result)
    return results


def _deviation(windows: NDArray[Any]) -> NDArray[np.float64]:
    """Largest distance from the frame's own mean, of every frame."""
    values = windows.astype(np.float64)
    return np.asarray(np.abs(values - values.mean(axis=2, keepdims=True)).max(axis=2))


def _quiet(result: dict[str, Any], name: str) -> dict[str, Any]:
    """Zero and flat must come back flat and at their level; a step must not overshoot by more than itself."""
    if name == "step":
        good = result["decoded_peak"] <= 2 * result["original_peak"]
    else:
        good = result["decoded_peak"] == 0.0 and result["error_peak"] == 0.0
    return {"verdict": PASSED if good else FAILED}


def _noise(config: Config, probe: Probe, decoded: NDArray[np.float32]) -> dict[str, Any]:
    """Shares of windows with a regular pulse before and after, and the interval of their paired difference."""
    before, after = (_regular(config, windows) for windows in (probe.windows, decoded))
    difference = after.astype(np.float64) - before
    mean, spread = float(difference.mean()), float(difference.std()) / math.sqrt(len(difference))
    verdict = PASSED if mean <= 0 else FAILED if mean - Z * spread > 0 else WITHIN_CHANCE
    return {
        "regular_original": float(before.mean()),
        "regular_decoded": float(after.mean()),
        "regular_excess_interval": [mean - Z * spread, mean + Z * spread],
        "verdict": verdict,
    }


def _regular(config: Config, windows: NDArray[Any]) -> NDArray[np.bool_]:
    rate, kind = config.signal.sample_rate_hz, config.signal.kind
    joined = windows.astype(np.float64).reshape(len(windows), -1)
    return np.array([is_regular(detect_beats(window, rate, kind)) for window in joined], np.bool_)


