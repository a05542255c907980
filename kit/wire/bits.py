"""Index packing (firmware/NUMERICS.md section 5): fixed-width numbers, least significant bit first, zero-padded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError

BITS_MAX = 16


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that ``count`` numbers of ``bits`` bits fill: ceil(count * bits / 8)."""
    return (count * bits + 7) // 8


def pack_indices(indices: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """Pack numbers into bytes.

    Args:
        indices: uint16[..., count], each below 2**bits.
        bits: width of a number, 1..16.

    Returns:
        uint8[..., packed_bytes(count, bits)]; unused bits of the last byte are 0.

    Raises:
        ShapeError: no axis, width out of range or a number that does not fit.
    """
    values = np.asarray(indices)
    _check_bits(bits)
    if values.ndim < 1 or values.dtype.kind not in "ui":
        raise ShapeError(f"indices are {values.dtype}{list(values.shape)}, want uint16[..., count]")
    if values.size and (int(values.min()) < 0 or int(values.max()) >> bits):
        raise ShapeError(f"an index is outside 0..{(1 << bits) - 1}")
    columns = (values.astype(np.uint16)[..., None] >> np.arange(bits, dtype=np.uint16)) & 1
    flat = columns.reshape(*values.shape[:-1], values.shape[-1] * bits).astype(np.uint8)
    return np.packbits(flat, axis=-1, bitorder="little")


def unpack_indices(packed: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.uint16]:
    """Inverse of :func:`pack_indices`.

    Args:
        packed: uint8[..., packed_bytes(count, bits)].
        count: numbers per row.
        bits: width of a number, 1..16.

    Returns:
        uint16[..., count].

    Raises:
        ShapeError: wrong length, or padding bits that are not 0.
    """
    data = np.asarray(packed)
    _check_bits(bits)
    if data.ndim < 1 or data.dtype != np.uint8 or data.shape[-1] != packed_bytes(count, bits):
        raise ShapeError(f"packed indices are {data.dtype}{list(data.shape)}, want {packed_bytes(count, bits)} bytes")
    flat = np.unpackbits(data, axis=-1, bitorder="little")
    if flat[..., count * bits :].any():
        raise ShapeError("padding bits behind the last index are not 0")
    columns = flat[..., : count * bits].reshape(*data.shape[:-1], count, bits).astype(np.uint16)
    values: NDArray[np.uint16] = (columns << np.arange(bits, dtype=np.uint16)).sum(axis=-1, dtype=np.uint16)
    return values


def _check_bits(bits: int) -> None:
    if not 1 <= bits <= BITS_MAX:
        raise ShapeError(f"index width is {bits} bits, want 1..{BITS_MAX}")
