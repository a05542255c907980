"""Lossless coding: DPCM of order 0 to 3 and Rice codes, both chosen per frame.

A frame's stream: 2 bits order, 5 bits Rice parameter k, the first ``order`` samples as they are, then the residuals of
the fixed polynomial predictors of Shorten (Robinson, 1994), mapped to non-negative numbers: all quotients in unary,
then all remainders of k bits. Mean and scale are not needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError

ORDERS = range(4)
ORDER_BITS, PARAMETER_BITS = 2, 5
_HEADER_BITS = ORDER_BITS + PARAMETER_BITS

Bits = NDArray[np.uint8]


def encode_frame(frame: NDArray[Any], sample_bits: int) -> Bits:
    """Bits of a frame, uint8[b] of 0 and 1.

    Args:
        frame: integers [T], T > 3, each within ``sample_bits`` bits.
        sample_bits: of a raw sample.

    Raises:
        ShapeError: other shape or dtype.
    """
    if frame.ndim != 1 or frame.dtype.kind not in "iu" or len(frame) <= ORDERS[-1]:
        raise ShapeError(f"frame is {frame.dtype}{list(frame.shape)}, not integers [more than {ORDERS[-1]}]")
    values = frame.astype(np.int64)
    best: tuple[int, int, int, NDArray[np.int64]] | None = None
    for order in ORDERS:
        residual = np.diff(values, order)
        folded = np.where(residual >= 0, 2 * residual, -2 * residual - 1)
        for k in range(1 << PARAMETER_BITS):
            size = order * sample_bits + int((folded >> k).sum()) + len(folded) * (k + 1)
            if best is None or size < best[0]:
                best = (size, order, k, folded)
            if not (folded >> k).any():
                break
    assert best is not None
    _, order, k, folded = best
    stops = np.cumsum((folded >> k) + 1) - 1
    quotients = np.zeros(int(stops[-1]) + 1, np.uint8)
    quotients[stops] = 1
    head = [_binary(np.array([order]), ORDER_BITS), _binary(np.array([k]), PARAMETER_BITS)]
    first = _binary(values[:order] & ((1 << sample_bits) - 1), sample_bits)
    return np.concatenate([*head, first, quotients, _binary(folded & ((1 << k) - 1), k)])


def decode_frame(bits: Bits, samples: int, sample_bits: int) -> NDArray[np.int64]:
    """The frame, int64[samples].

    Raises:
        ShapeError: the stream is too short for ``samples``.
    """
    order, k = (int(v[0]) for v in (_number(bits[:2], 2), _number(bits[2:_HEADER_BITS], PARAMETER_BITS)))
    at = _HEADER_BITS + order * sample_bits
    first = _number(bits[_HEADER_BITS:at], sample_bits)
    first = np.where(first >> (sample_bits - 1), first - (1 << sample_bits), first)
    count = samples - order
    stops = np.flatnonzero(bits[at:])[:count]
    end = at + (int(stops[-1]) + 1 if len(stops) else 0)
    if len(stops) < count or len(bits) < end + count * k:
        raise ShapeError(f"a stream of {len(bits)} bits ends before sample {samples}")
    quotients = np.diff(stops, prepend=-1) - 1
    folded = (quotients << k) + (_number(bits[end : end + count * k], k) if k else 0)
    residual = np.where(folded & 1, -(folded + 1) // 2, folded // 2)
    return _integrate(first, residual, order)


def _integrate(first: NDArray[np.int64], residual: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Undoes ``order`` differences, given the first samples."""
    starts = [int(np.diff(first, depth)[0]) for depth in range(order)]
    values = residual
    for start in reversed(starts):
        values = np.concatenate([[start], start + np.cumsum(values)])
    return values


def _binary(values: NDArray[np.int64], width: int) -> Bits:
    """Each value in ``width`` bits, most significant first."""
    shifts = np.arange(width - 1, -1, -1)
    return ((values[:, None] >> shifts) & 1).astype(np.uint8).reshape(-1)


def _number(bits: Bits, width: int) -> NDArray[np.int64]:
    """Undoes :func:`_binary`."""
    weights = 1 << np.arange(width - 1, -1, -1, dtype=np.int64)
    return np.asarray(bits.reshape(-1, width).astype(np.int64) @ weights)


def rice_bits(frames: NDArray[Any], sample_bits: int) -> NDArray[np.float64]:
    """Bits of each frame, float64[n]; every stream is decoded and compared.

    Raises:
        ShapeError: a frame did not come back, which would be a defect of this module.
    """
    sizes = np.zeros(len(frames))
    for number, frame in enumerate(frames):
        bits = encode_frame(frame, sample_bits)
        if not np.array_equal(decode_frame(bits, len(frame), sample_bits), frame):
            raise ShapeError(f"frame {number} did not come back from lossless coding")
        sizes[number] = len(bits)
    return sizes
