"""One continuous recording of one subject, in integer ADC codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.errors import DataError

Split = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")

LIMITS = {16: (-(1 << 15), (1 << 15) - 1), 32: (-(1 << 23), (1 << 23) - 1)}
"""Smallest and largest sample per container; an int32 container carries at most 24 bits (NUMERICS.md section 2)."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What every source yields.

    Attributes:
        name: unique within its dataset.
        dataset: short name under which results are reported.
        subject: who was recorded; all recordings of one subject share a split.
        samples: int16[n] or int32[n] ADC codes at the source's own rate; gaps are filled, see ``missing``.
        sample_rate_hz: rate of ``samples``.
        scale: ADC codes per unit.
        unit: name of the unit, free text.
        split: given by the source, or None where the kit splits by subject.
        synthetic: generated, not measured.
        source_text: where it comes from, one sentence.
        license: short name of its licence.
        missing: bool[n], True where the source had no finite value; None when there is no gap.
        saturated: number of samples that did not fit the container.
        bits: resolution of the ADC if known, which says where its rails are.
    """

    name: str
    dataset: str
    subject: str
    samples: NDArray[np.signedinteger[Any]]
    sample_rate_hz: float
    scale: float
    unit: str
    split: Split | None
    synthetic: bool
    source_text: str
    license: str
    missing: NDArray[np.bool_] | None = None
    saturated: int = 0
    bits: int | None = None

    @property
    def label(self) -> str:
        """``dataset/name``, for messages."""
        return f"{self.dataset}/{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Values as ADC codes: ``samples`` int16[n] | int32[n], ``missing`` bool[n] | None, count of ``saturated`` ones."""

    samples: NDArray[np.signedinteger[Any]]
    missing: NDArray[np.bool_] | None
    saturated: int


def saturate(values: NDArray[Any], container_bits: int) -> NDArray[np.signedinteger[Any]]:
    """Integer-valued ``values`` as int16 or int32, cut at the container's limits."""
    low, high = LIMITS[container_bits]
    dtype = np.int16 if container_bits == 16 else np.int32
    if values.dtype == dtype and container_bits == 16:
        return values
    wide = values if values.dtype.kind == "f" else values.astype(np.int64)
    return np.asarray(np.clip(wide, low, high).astype(dtype))


def to_codes(values: NDArray[Any], container_bits: int, where: str) -> Codes:
    """Round values to the nearest code, fill gaps by linear interpolation, saturate to the container.

    Args:
        values: integer or float [n], already in ADC codes.
        container_bits: 16 or 32.
        where: name of the recording in messages.

    Raises:
        DataError: no numbers, not one-dimensional, or no finite value at all.
    """
    if values.ndim != 1 or values.dtype.kind not in "iuf" or values.size == 0:
        raise DataError(
            f"{where}: samples are {values.dtype}{list(values.shape)}", "give a one-dimensional array of numbers"
        )
    missing = None
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        bad = ~np.isfinite(values)
        if bad.all():
            raise DataError(f"{where}: has no finite sample", "remove it or choose another column")
        if bad.any():
            missing = bad
            at = np.arange(values.size)
            values = np.interp(at, at[~bad], values[~bad])
        values = np.rint(values)
    low, high = LIMITS[container_bits]
    saturated = int(np.count_nonzero((values < low) | (values > high)))
    return Codes(saturate(values, container_bits), missing, saturated)


def railed_samples(samples: NDArray[np.signedinteger[Any]], bits: int | None, container_bits: int) -> NDArray[np.bool_]:
    """bool[n]: samples at a rail of the container or, where its bits are known, of the ADC.

    An ADC whose codes are never negative is taken as unsigned (0 and 2^bits - 1), else as two's complement.
    """
    low, high = LIMITS[container_bits]
    railed = (samples <= low) | (samples >= high)
    if bits is not None:
        unsigned = int(samples.min()) >= 0
        adc_low = 0 if unsigned else -(1 << (bits - 1))
        adc_high = adc_low + (1 << bits) - 1
        railed |= (samples <= adc_low) | (samples >= adc_high)
    return railed
