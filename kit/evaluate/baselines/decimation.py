"""Decimation: fewer samples, PCM, band-limited interpolation.

Low-pass, resampling and interpolation are done in the DCT domain, which mirrors the frame at its ends: the n lowest
coefficients are the band-limited signal at n samples. Each sample is rounded to b bits within a fixed range; number of
samples and range are those that do best on training subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct

from kit.evaluate.baselines.coded import Coded, Frames, Progress

BITS = tuple(range(2, 15))
RANGES = (2.0, 2.5, 3.0, 4.0, 6.0)
"""Half of the quantizer's range in units of the frame's scale."""
TRAIN_FRAMES = 2000
"""Training frames, evenly spaced, that the choice is made on."""


class DecimationCoder:
    """See the module."""

    name: ClassVar[str] = "decimation"
    title: ClassVar[str] = "Decimation + PCM"
    short: ClassVar[str] = "decimation + PCM"

    def __init__(self) -> None:
        self._train: Frames | None = None

    def fit(self, train: Frames) -> None:
        """Keep frames to choose the settings on."""
        at = np.linspace(0, len(train) - 1, min(len(train), TRAIN_FRAMES)).round().astype(np.int64)
        self._train = train[at]

    def code(self, y: Frames, payload_bytes: Sequence[float], progress: Progress | None = None) -> list[Coded]:
        """Every frame takes ``samples x bits``, the most that fits the wanted payload."""
        coded = []
        for done, wanted in enumerate(payload_bytes, start=1):
            samples, bits, reach = self._choose(int(8 * wanted))
            decoded = decimate(y, samples, bits, reach)
            spent = np.full(len(y), float(samples * bits))
            coded.append(Coded(spent, decoded, f"{samples} samples of {bits} bits, range {reach:g}"))
            if progress is not None:
                progress(done * len(y) // len(payload_bytes), len(y))
        return coded

    def _choose(self, budget: int) -> tuple[int, int, float]:
        assert self._train is not None, "fit comes first"
        length = self._train.shape[1]
        choices = [
            (min(length, budget // bits), bits, reach) for bits in BITS if budget // bits >= 1 for reach in RANGES
        ]
        if not choices:
            return 1, max(1, budget), RANGES[0]
        errors = [float(np.square(decimate(self._train, *choice) - self._train).mean()) for choice in choices]
        return choices[int(np.argmin(errors))]


def decimate(y: Frames, samples: int, bits: int, reach: float) -> Frames:
    """Frames [n, T] after resampling to ``samples``, rounding to ``bits`` bits in +-``reach``, and back."""
    length = y.shape[1]
    kept = dct(y.astype(np.float64), axis=1, norm="ortho")[:, :samples] * np.sqrt(samples / length)
    low: NDArray[np.float64] = idct(kept, axis=1, norm="ortho")
    top = (1 << bits) - 1
    codes = np.clip(np.rint((low + reach) * top / (2 * reach)), 0, top)
    back = dct(codes * (2 * reach) / top - reach, axis=1, norm="ortho") * np.sqrt(length / samples)
    wide = np.zeros((len(y), length))
    wide[:, :samples] = back
    return np.asarray(idct(wide, axis=1, norm="ortho"), np.float32)
