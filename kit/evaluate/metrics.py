"""Distortion of reconstructed frames, with one definition for every path and every report.

A frame is compared in units of its own standard deviation: its mean is removed and it is divided by its deviation, and
the reconstruction goes through the same two steps with the *original's* mean and deviation, so that an error of level
or gain counts. PRD is pooled: 100 * sqrt(sum of squared errors / sum of squared samples) over all samples of all
non-flat frames.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError

DEFINITION = (
    "PRD = 100 % * sqrt(sum of squared errors / sum of squared samples), pooled over every non-flat frame; each frame "
    "with its mean removed and divided by its own standard deviation, against the integer frames fed to the device"
)


@dataclass(frozen=True, slots=True, eq=False)
class FrameErrors:
    """Errors of n frames.

    Attributes:
        relative: float64[n], squared error over squared samples of the normalised frame; NaN where not ``usable``.
        mse: float64[n], mean squared error in squared ADC codes; NaN where not decoded.
        cosine: float64[n], cosine of the angle between normalised frame and reconstruction; NaN where not ``usable``.
        flat: bool[n], frames without a PRD: their standard deviation is not above the gate.
        lost: bool[n], frames without a reconstruction.
    """

    relative: NDArray[np.float64]
    mse: NDArray[np.float64]
    cosine: NDArray[np.float64]
    flat: NDArray[np.bool_]
    lost: NDArray[np.bool_]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """bool[n]: neither flat nor lost."""
        return ~(self.flat | self.lost)

    @property
    def prd(self) -> NDArray[np.float64]:
        """float64[n]: PRD of each frame in percent; NaN where not ``usable``."""
        return 100.0 * np.sqrt(self.relative)


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of a group of frames.

    Attributes:
        frames: frames that the figures are of.
        flat: frames left out because they have no deviation.
        lost: frames left out because they were not decoded.
        prd: pooled, percent.
        prd_median: over frames, percent.
        prd_p90: over frames, percent: nine frames of ten are better.
        snr_db: pooled, 10 log10(sum of squared samples / sum of squared errors).
        mse: mean over frames, squared ADC codes.
        cosine: mean over frames.
    """

    frames: int
    flat: int
    lost: int
    prd: float
    prd_median: float
    prd_p90: float
    snr_db: float
    mse: float
    cosine: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; a figure that no frame has is None."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}


def frame_errors(frames: NDArray[Any], decoded: NDArray[Any], flat_std: float) -> FrameErrors:
    """Errors of each frame.

    Args:
        frames: integers [n, T], ADC codes as fed to the device.
        decoded: float [n, T], ADC codes; a frame that holds a NaN is lost.
        flat_std: a frame whose population standard deviation is not above this (ADC codes) is flat.

    Raises:
        ShapeError: shapes or dtypes other than that.
    """
    if frames.ndim != 2 or frames.dtype.kind not in "iu" or decoded.shape != frames.shape or decoded.dtype.kind != "f":
        raise ShapeError(
            f"frames {frames.dtype}{list(frames.shape)} and decoded {decoded.dtype}{list(decoded.shape)} "
            "are not integers [n, T] and floats [n, T]"
        )
    centred = frames - frames.mean(axis=1, keepdims=True, dtype=np.float64)
    deviation = np.sqrt(np.square(centred).mean(axis=1))
    flat, lost = deviation <= flat_std, ~np.isfinite(decoded).all(axis=1)
    found = decoded.astype(np.float64) - (frames - centred)
    mse = np.square(found - centred).mean(axis=1)
    usable = ~(flat | lost)
    power = np.where(usable, np.square(deviation), np.nan)
    reach = np.sqrt(np.where(usable, np.square(found).mean(axis=1), np.nan))
    product = (found * centred).mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.where(reach > 0, product / (reach * deviation), np.where(usable, 0.0, np.nan))
    return FrameErrors(mse / power, np.where(lost, np.nan, mse), cosine, flat, lost & ~flat)


def score(errors: FrameErrors, chosen: NDArray[np.bool_] | None = None) -> Score:
    """Figures of the ``chosen`` frames (bool[n]), or of all; NaN where no frame is usable."""
    group = np.ones(len(errors.flat), np.bool_) if chosen is None else chosen
    kept = group & errors.usable
    count = int(kept.sum())
    flat, lost = int((group & errors.flat).sum()), int((group & errors.lost).sum())
    if not count:
        return Score(0, flat, lost, *[math.nan] * 6)
    relative = float(errors.relative[kept].mean())
    prd = errors.prd[kept]
    return Score(
        frames=count,
        flat=flat,
        lost=lost,
        prd=100.0 * math.sqrt(relative),
        prd_median=float(np.median(prd)),
        prd_p90=float(np.percentile(prd, 90)),
        snr_db=-10.0 * math.log10(relative) if relative > 0 else math.inf,
        mse=float(errors.mse[kept].mean()),
        cosine=float(errors.cosine[kept].mean()),
    )
