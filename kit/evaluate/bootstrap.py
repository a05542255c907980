"""Confidence intervals over people: subjects are drawn with replacement, all frames of a subject together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 20261123
LEVEL = 95.0
"""Percent."""

Interval = tuple[float, float]


def ratio_interval(
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
) -> Interval | None:
    """Percentile interval of ``figure(sum of sums / sum of counts)``; the same for the same arguments.

    Args:
        sums: float64[s], one subject's sum each.
        counts: float64[s], number of items behind each sum; subjects without any are left out.
        figure: of the ratio, elementwise; the ratio itself by default.

    Returns:
        low and high end, or None with fewer than two subjects: nothing is known about others then.
    """
    kept = counts > 0
    sums, counts = np.asarray(sums, np.float64)[kept], np.asarray(counts, np.float64)[kept]
    if len(sums) < 2:
        return None
    drawn = np.random.Generator(np.random.PCG64(SEED)).integers(0, len(sums), (RESAMPLES, len(sums)))
    ratios = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(ratios if figure is None else figure(ratios), [50 - LEVEL / 2, 50 + LEVEL / 2])
    return float(low), float(high)
