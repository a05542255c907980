"""Normalisation of raw frames to the INT8 input of the encoder, in exact integers (NUMERICS.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.wire.scale import LSB_BITS, RECIPROCAL, lsb_bits, unit_codes

if TYPE_CHECKING:
    from kit.config import QuantizeConfig

__all__ = [
    "FRAME_SAMPLES_MAX",
    "REMAINDER_BITS_MAX",
    "SAMPLE_MAX",
    "SAMPLE_MIN",
    "Normalised",
    "encoder_input",
    "input_values",
    "lsb_bits",
    "normalise",
    "unit_codes",
]

Shaping = Literal["none", "first"]
"""What becomes of the rounding error of a sample: lost, or added to the sample that follows."""

FRAME_SAMPLES_MAX = 4096
"""Longest frame for which the overflow bounds of NUMERICS.md section 2.5 hold."""

REMAINDER_BITS_MAX = 4
"""Largest Q for which the bounds of NUMERICS.md section 2.5 hold."""

SAMPLE_MIN, SAMPLE_MAX = -(1 << 23), (1 << 23) - 1
"""int32 samples are clamped to 24 bits when they are pushed."""


@dataclass(frozen=True, slots=True, eq=False)
class Normalised:
    """Frames as the encoder reads them, with what restores their units.

    Attributes:
        y: int8[n, T], 2^L LSB per unit; with remainders int8[n, T, 2], of which the second has 2^(L + Q) per unit.
        mean: int32[n], rounded mean in ADC codes.
        scale_code: uint8[n], 0 for a flat frame, else 1..255.
    """

    y: NDArray[np.int8]
    mean: NDArray[np.int32]
    scale_code: NDArray[np.uint8]


def _thresholds(samples: int, bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Largest energy and largest peak that scale codes 1..255 accept: int64[255] each, both ascending.

    Both conditions of section 2.3 compare an integer with a fraction, so flooring the fraction keeps them exact;
    values beyond int64 are cut there, which no energy reaches.
    """
    ceiling = (1 << 63) - 1
    energy, peak = [], []
    for code in range(1, 256):
        exp, significand = (code - 1) >> 3, 8 + ((code - 1) & 7)
        energy.append(min(ceiling, (samples * significand**2 << 2 * exp) >> 10))
        peak.append(min(ceiling, (127 * significand << exp) >> (5 + bits)))
    return np.array(energy, np.int64), np.array(peak, np.int64)


def encoder_input(frames: NDArray[Any], settings: QuantizeConfig) -> Normalised:
    """:func:`normalise` as a configuration's ``quantize`` section asks."""
    bits = lsb_bits(settings.input_clip)
    return normalise(frames, bits, settings.input_shaping, settings.input_remainder_bits)


def input_values(y: NDArray[np.int8], bits: int, remainder_bits: int) -> NDArray[np.float32]:
    """What an encoder's input stands for in units of the frame's scale: int8[n, T] or [n, T, 2] -> float32[n, T]."""
    if not remainder_bits:
        return y.astype(np.float32) * np.float32(2.0**-bits)
    fine = y[..., 0].astype(np.int32) * (1 << remainder_bits) + y[..., 1]
    return fine.astype(np.float32) * np.float32(2.0 ** -(bits + remainder_bits))


def normalise(frames: NDArray[Any], bits: int, shaping: Shaping = "none", remainder_bits: int = 0) -> Normalised:
    """Remove each frame's mean and divide by its quantized scale.

    Args:
        frames: int16[n, T], or int32[n, T] of which samples are clamped to 24 bits; T in 1..4096.
        bits: L, 3..6: LSB per unit is 2^L.
        shaping: of the rounding error, section 2.4.
        remainder_bits: Q, 0..4: fractional bits of a second channel; 0: there is none.

    Raises:
        ShapeError: other shape, dtype, L or Q.
    """
    if frames.ndim != 2 or not 1 <= frames.shape[1] <= FRAME_SAMPLES_MAX or frames.dtype not in (np.int16, np.int32):
        raise ShapeError(
            f"frames are {frames.dtype}{list(frames.shape)}, expected int16 or int32 [n, T] with T up to "
            f"{FRAME_SAMPLES_MAX}"
        )
    if bits not in LSB_BITS:
        raise ShapeError(f"L is {bits}, expected 3..6")
    if not 0 <= remainder_bits <= REMAINDER_BITS_MAX:
        raise ShapeError(f"Q is {remainder_bits}, expected 0..{REMAINDER_BITS_MAX}")
    samples = frames.shape[1]
    x = frames.astype(np.int64)
    if frames.dtype == np.int32:
        x = np.clip(x, SAMPLE_MIN, SAMPLE_MAX)
    mean = (2 * x.sum(axis=1) + samples) // (2 * samples)
    x -= mean[:, None]
    peak = np.abs(x).max(axis=1)
    energy_limit, peak_limit = _thresholds(samples, bits)
    # Both limits ascend with the code, so the smallest code that meets both is the larger of the two smallest.
    by_energy = np.searchsorted(energy_limit, (x * x).sum(axis=1), side="left")
    by_peak = np.searchsorted(peak_limit, peak, side="left")
    code = np.where(peak == 0, 0, 1 + np.maximum(by_energy, by_peak))
    slot = np.maximum(code, 1) - 1
    shift = ((slot >> 3) + 12 - bits - remainder_bits)[:, None]
    reciprocal = np.array(RECIPROCAL, np.int64)[slot & 7][:, None]
    product = x * reciprocal + (np.int64(1) << (shift - 1))
    quotient = _shaped(product, shift[:, 0]) if shaping == "first" else product >> shift
    y = _channels(quotient, remainder_bits) if remainder_bits else np.clip(quotient, -128, 127)
    return Normalised(y.astype(np.int8), mean.astype(np.int32), code.astype(np.uint8))


def _channels(quotient: NDArray[np.int64], remainder_bits: int) -> NDArray[np.int64]:
    """Value and remainder of quotients in steps of 2^-Q: [n, T] -> [n, T, 2]."""
    value = np.clip((quotient + (1 << (remainder_bits - 1))) >> remainder_bits, -128, 127)
    return np.stack([value, quotient - (value << remainder_bits)], axis=-1)


def _shaped(product: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rounding shift of int64[n, T] by int64[n], each sample's error carried into the next one; not yet clamped.

    Args:
        product: deviations times reciprocals, with the rounding term 2^(shift - 1).
        shift: of each frame.
    """
    y = np.empty_like(product)
    half = np.int64(1) << (shift - 1)
    carry = np.zeros_like(half)
    for i in range(product.shape[1]):
        value = product[:, i] + carry
        y[:, i] = value >> shift
        carry = (value & (2 * half - 1)) - half
    return y
