"""Transform coding: DCT of the frame, one uniform quantizer, ideal static arithmetic coding per coefficient.

The quantizer's step is the same for every coefficient. Each coefficient has its own table of how often each quantized
value occurs on training subjects; a value costs minus the base-2 logarithm of its share, which an arithmetic coder
reaches to within two bits a frame. The rate therefore varies from frame to frame: a payload is the mean over frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.optimize import brentq

from kit.evaluate.baselines.coded import Coded, Frames, Progress

PRIOR_FRAMES = 300.0
"""Weight, in training frames, of the smooth table that stands in for values which training never or hardly saw;
the best of 30, 300 and 1,500 on validation subjects, by little."""
CLASSES = 24
"""The smooth table knows the number of binary digits of a value, up to this many, and nothing finer."""
STEP_MIN, STEP_START, STEP_MAX = 1e-5, 0.1, 64.0
SEARCH_STRIDE = 1.0
"""Natural logarithm of the factor by which the search widens."""
RATE_TOLERANCE_BITS = 0.01
TRAIN_FRAMES = 16384
"""Most training frames, evenly spaced, that the tables are counted on."""


class DctCoder:
    """See the module."""

    name: ClassVar[str] = "dct"
    title: ClassVar[str] = "DCT + arithmetic coding"
    short: ClassVar[str] = "DCT + arithmetic"

    def __init__(self) -> None:
        self._train: NDArray[np.float64] | None = None

    def fit(self, train: Frames) -> None:
        """Keep the training frames' coefficients: the tables depend on the step."""
        at = np.linspace(0, len(train) - 1, min(len(train), TRAIN_FRAMES)).round().astype(np.int64)
        self._train = _transform(train[at])

    def code(self, y: Frames, payload_bytes: Sequence[float], progress: Progress | None = None) -> list[Coded]:
        """The step is searched so that the mean payload of ``y`` is the wanted one."""
        coefficients = _transform(y)
        coded, step = [], STEP_START
        for done, wanted in enumerate(payload_bytes, start=1):
            step = self._step(coefficients, 8.0 * wanted, step)
            values = np.rint(coefficients / step)
            decoded = np.asarray(idct(values * step, axis=1, norm="ortho"), np.float32)
            coded.append(Coded(self.bits(coefficients, step), decoded, f"step {step:.4g}"))
            if progress is not None:
                progress(done * len(y) // len(payload_bytes), len(y))
        return coded

    def _step(self, coefficients: NDArray[np.float64], bits: float, start: float) -> float:
        """The step whose mean code length is ``bits``, searched from ``start``."""

        def surplus(log_step: float) -> float:
            found = float(self.bits(coefficients, math.exp(log_step)).mean()) - bits
            return 0.0 if abs(found) < RATE_TOLERANCE_BITS else found

        low = high = math.log(start)
        while surplus(low) < 0 and low > math.log(STEP_MIN):
            low -= SEARCH_STRIDE
        while surplus(high) > 0 and high < math.log(STEP_MAX):
            high += SEARCH_STRIDE
        if surplus(low) <= 0 or surplus(high) >= 0:
            return math.exp(low if surplus(low) <= 0 else high)
        return math.exp(float(brentq(surplus, low, high, xtol=1e-6)))

    def bits(self, coefficients: NDArray[np.float64], step: float) -> NDArray[np.float64]:
        """Ideal code length of each frame, float64[n], with the tables that training gives for this step."""
        assert self._train is not None, "fit comes first"
        values = np.rint(coefficients / step).astype(np.int64)
        training = np.rint(self._train / step).astype(np.int64)
        total = np.zeros(len(values))
        for column in range(values.shape[1]):
            total += value_bits(values[:, column], training[:, column])
        return total


def value_bits(values: NDArray[np.int64], training: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bits of each value by the counts of ``training``, smoothed towards a table of magnitude classes."""
    low, high = int(training.min()), int(training.max())
    counts = np.bincount(training - low, minlength=high - low + 1)
    known = (values >= low) & (values <= high)
    seen = np.where(known, counts[np.clip(values - low, 0, high - low)], 0)
    classes = np.bincount(_magnitude_class(training), minlength=CLASSES) + 0.5
    chosen = _magnitude_class(values)
    # A class of b binary digits holds 2^(b - 1) magnitudes of either sign; class 0 is the value 0.
    members = np.where(chosen > 0, 2.0**chosen, 1.0)
    smooth = classes[chosen] / classes.sum() / members
    return np.asarray(-np.log2((seen + PRIOR_FRAMES * smooth) / (len(training) + PRIOR_FRAMES)))


def _magnitude_class(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Binary digits of the magnitude, at most ``CLASSES - 1``."""
    return np.minimum(np.frexp(np.abs(values).astype(np.float64))[1].astype(np.int64), CLASSES - 1)


def _transform(y: Frames) -> NDArray[np.float64]:
    return np.asarray(dct(y.astype(np.float64), axis=1, norm="ortho"))
