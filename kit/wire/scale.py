"""The scale code of a packet: a frame's amplitude in one byte (NUMERICS.md section 2.3).

The device derives it with integers only (:mod:`kit.reference.normalise` is the readable form); the server needs
:func:`unit_codes` to restore ADC codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError

LSB_BITS = range(3, 7)
"""Valid L: the INT8 input has 2^L LSB per unit."""

RECIPROCAL = tuple(((1 << 18) + (8 + mant)) // (2 * (8 + mant)) for mant in range(8))
"""R[mant] = round(2^17 / (8 + mant)), 8738..16384: multiplying by it and shifting divides by the scale."""


def lsb_bits(input_clip: int) -> int:
    """L for a configuration's ``quantize.input_clip``: log2(128 / input_clip).

    Raises:
        ShapeError: not a power of two in 2..16.
    """
    bits = (128 // input_clip).bit_length() - 1 if input_clip > 0 else -1
    if bits not in LSB_BITS or 128 >> bits != input_clip:
        raise ShapeError(f"input_clip is {input_clip}, expected 2, 4, 8 or 16")
    return bits


def code_shift(scale_code: int, bits: int) -> int:
    """Right shift of the normalisation for a scale code 1..255: exp + 12 - L, at least 6."""
    return ((scale_code - 1) >> 3) + 12 - bits


def unit_codes(scale_code: NDArray[Any], bits: int) -> NDArray[np.float64]:
    """ADC codes per unit of the normalised signal, exactly as the device divides.

    A restored sample is ``mean + unit_codes(scale_code, L) * y``, with y the decoder's output in units.

    Args:
        scale_code: unsigned integers of any shape, 0..255.
        bits: L, 3..6.

    Returns:
        float64 of the same shape: ``2^L * 2^shift / R[mant]``; 0 for code 0 (a flat frame is its mean).

    Raises:
        ShapeError: ``bits`` or a code out of range.
    """
    if bits not in LSB_BITS:
        raise ShapeError(f"L is {bits}, expected 3..6")
    codes = np.asarray(scale_code).astype(np.int64)
    if codes.size and (codes.min() < 0 or codes.max() > 255):
        raise ShapeError("scale codes must be in 0..255")
    return _UNITS[codes]


# 2^L cancels against the L of the shift, so that one table serves every L.
_UNITS = np.array([0.0] + [2.0 ** (12 + ((c - 1) >> 3)) / RECIPROCAL[(c - 1) & 7] for c in range(1, 256)])
