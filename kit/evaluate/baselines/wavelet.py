"""The CDF 9/7 wavelet by lifting, with whole-sample symmetric extension: as many coefficients as samples.

The transform of JPEG 2000's lossy path (ISO/IEC 15444-1, annex F), which embedded coders of signals use as well; scaled
so that both bands have nearly the norm of the signal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LIFT = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
GAIN = 1.149604398860241
LEVELS_MAX = 6


def levels_of(samples: int) -> int:
    """Dyadic levels that a frame of ``samples`` allows: as often as it halves evenly, six at most, two samples left."""
    levels = 0
    while levels < LEVELS_MAX and samples % 2 == 0 and samples >= 4:
        samples //= 2
        levels += 1
    return levels


def forward(y: NDArray[np.floating], levels: int) -> Values:
    """[n, T] to coefficients float64[n, T]: approximation first, then details from coarse to fine."""
    out = np.array(y, np.float64)
    length = out.shape[1]
    for _ in range(levels):
        out[:, :length] = _analyse(out[:, :length])
        length //= 2
    return out


def inverse(coefficients: NDArray[np.floating], levels: int) -> Values:
    """Undoes :func:`forward`."""
    out = np.array(coefficients, np.float64)
    length = out.shape[1] >> levels
    for _ in range(levels):
        length *= 2
        out[:, :length] = _synthesise(out[:, :length])
    return out


def _analyse(x: Values) -> Values:
    even, odd = x[:, 0::2].copy(), x[:, 1::2].copy()
    for number, weight in enumerate(LIFT):
        _lift(even, odd, weight, number % 2 == 0)
    return np.concatenate([even * GAIN, odd / GAIN], axis=1)


def _synthesise(bands: Values) -> Values:
    half = bands.shape[1] // 2
    even, odd = bands[:, :half] / GAIN, bands[:, half:] * GAIN
    for number, weight in reversed(list(enumerate(LIFT))):
        _lift(even, odd, -weight, number % 2 == 0)
    x = np.empty_like(bands)
    x[:, 0::2], x[:, 1::2] = even, odd
    return x


def _lift(even: Values, odd: Values, weight: float, onto_odd: bool) -> None:
    """One lifting step in place; beyond the ends the signal is mirrored at its outermost samples."""
    if onto_odd:
        odd += weight * (even + np.concatenate([even[:, 1:], even[:, -1:]], axis=1))
    else:
        even += weight * (odd + np.concatenate([odd[:, :1], odd[:, :-1]], axis=1))
