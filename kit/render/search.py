"""The codebook as the device searches it: entries in order along one axis, so that most of them are never read.

Everything here is exact integer arithmetic, which gives the same tables on every machine. Use and proof of the tables:
NUMERICS.md section 4.6; ``firmware/runtime/kit_rvq.c`` is the other half.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import RenderError
from kit.graph.codebook import IntegerCodebook

BLOCK = 4
"""Entries per block (``KIT_RVQ_BLOCK``)."""

ROW_VALUES = 8
"""Rows are padded with zeros to a multiple of this many values (``KIT_RVQ_ROW_VALUES``)."""

SIDES = 2
"""Axes besides the first (``KIT_RVQ_SIDES``)."""

AXES = 1 + SIDES
"""Rows before the entries of a level (``KIT_RVQ_AXES``)."""

AXIS_NORM = 64
"""An axis is at most this long (2 to the ``KIT_RVQ_AXIS_BITS``), so that its components are int8."""

KEY_MAX = (1 << 15) - 1
"""Keys are int16."""

SIDE_MAX = 127
"""Sides are 7 bits, four of them in a word."""

_PRECISION = 24
_SQUARINGS = 8
_AXIS_STEPS = 16


@dataclass(frozen=True, slots=True, eq=False)
class SearchTables:
    """Tables of a codebook of M levels with N stored entries each, N = max(K, 4), in rows of S values.

    S is the number of an entry's coordinates, D and that of prices, in whole eights.

    Attributes:
        rows: int8 or int16 [M, 3 + N, S]: per level the axes p and s_0, s_1, then the entries with rising p . e.
        order: uint8, or uint16 where K > 256, [M, N]: the index of each stored entry in the codebook. A codebook of
            two entries stores the second one three times.
        keys: int16 [M, N / 4]: floor(p . e / 2^q) of the first entry of each block.
        sides: uint32 [M, N / 4, 2]: floor(s_i . e / 2^v_i) - base_i of the block's entries, 0..127, the first of the
            four in the low byte.
        axis_base: int32 [M, 3]: 0 for the keys; base_i, the lowest floor(s_i . e / 2^v_i).
        axis_shift: uint8 [M, 3]: q + E, v_i + E; a place times 2 to it is in residual units times the axis.
    """

    rows: NDArray[Any]
    order: NDArray[Any]
    keys: NDArray[np.int16]
    sides: NDArray[np.uint32]
    axis_base: NDArray[np.int32]
    axis_shift: NDArray[np.uint8]


def search_tables(codebook: IntegerCodebook) -> SearchTables:
    """Tables of a codebook, checked against it.

    Raises:
        RenderError: a table breaks what the search relies on.
    """
    levels, entries, dims = codebook.integer.shape
    stored, stride = max(entries, BLOCK), -(-dims // ROW_VALUES) * ROW_VALUES
    tables = SearchTables(
        rows=np.zeros((levels, AXES + stored, stride), codebook.integer.dtype),
        order=np.empty((levels, stored), np.uint8 if entries <= 256 else np.uint16),
        keys=np.empty((levels, stored // BLOCK), np.int16),
        sides=np.empty((levels, stored // BLOCK, SIDES), np.uint32),
        axis_base=np.zeros((levels, AXES), np.int32),
        axis_shift=np.empty((levels, AXES), np.uint8),
    )
    for level in range(levels):
        _fill(tables, level, codebook.integer[level].astype(np.int64), int(codebook.entry_shift[level]))
    _check(tables, codebook)
    return tables


def _fill(tables: SearchTables, level: int, entries: NDArray[np.int64], entry_shift: int) -> None:
    """One level's tables of entries int64[K, D]."""
    count, dims = entries.shape
    stored = tables.order.shape[1]
    axes = principal_axes(entries)
    along = entries @ axes[0]
    ranks = np.lexsort((np.arange(count), along))
    ranks = np.concatenate([ranks, np.repeat(ranks[-1:], stored - count)])
    tables.rows[level, :AXES, :dims], tables.rows[level, AXES:, :dims] = axes, entries[ranks]
    tables.order[level] = ranks
    shift = max(0, int(np.abs(along).max()).bit_length() - KEY_MAX.bit_length())
    tables.keys[level] = along[ranks[::BLOCK]] >> shift
    tables.axis_shift[level, 0] = shift + entry_shift
    for side in range(SIDES):
        aside = entries @ axes[1 + side]
        shift = 0
        while (int(aside.max()) >> shift) - (int(aside.min()) >> shift) > SIDE_MAX:
            shift += 1
        base = int(aside.min()) >> shift
        places = ((aside[ranks] >> shift) - base).reshape(-1, BLOCK)
        tables.sides[level, :, side] = (places << (8 * np.arange(BLOCK))).sum(axis=1)
        tables.axis_base[level, 1 + side] = base
        tables.axis_shift[level, 1 + side] = shift + entry_shift


def principal_axes(entries: NDArray[np.int64]) -> NDArray[np.int64]:
    """The three directions in which entries [K, D] spread most, int64[3, D], each within a length of 64.

    Any axes keep the search exact; good ones let it pass over more entries.
    """
    total, identity = entries.sum(axis=0), np.eye(entries.shape[1], dtype=np.int64)
    moments = _scaled(len(entries) * (entries.T @ entries) - np.outer(total, total))
    axes = []
    for _ in range(AXES):
        axis = _strongest(moments)
        others = int(axis @ axis) * identity - np.outer(axis, axis)
        moments = _scaled(others @ moments @ others)
        axes.append(axis)
    return np.stack(axes)


def _scaled(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """The matrix divided by a power of two, so that products of two such matrices fit 64 bits with room to spare."""
    return matrix >> max(0, int(np.abs(matrix).max()).bit_length() - _PRECISION)


def _strongest(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Eigenvector of the largest eigenvalue, its largest component positive; squaring leaves that one alone."""
    power = matrix
    for _ in range(_SQUARINGS):
        power = _scaled(power @ power)
    column = power[:, int(power.diagonal().argmax())]
    direction = [int(value) << _PRECISION for value in column]  # makes the rounding of the root negligible
    if not any(direction):
        return np.zeros(len(column), np.int64)
    if max(direction, key=abs) < 0:
        direction = [-value for value in direction]
    divisor = 2 * _AXIS_STEPS * isqrt(sum(value * value for value in direction))
    scale = AXIS_NORM * _AXIS_STEPS
    while True:
        axis = [(2 * value * scale + divisor // 2) // divisor for value in direction]
        if sum(value * value for value in axis) <= AXIS_NORM**2:
            return np.array(axis, np.int64)
        scale -= 1


def _check(tables: SearchTables, codebook: IntegerCodebook) -> None:
    """What the proof of NUMERICS.md section 4.6 needs of the tables.

    Raises:
        RenderError: it does not hold.
    """
    _, entries, dims = codebook.integer.shape
    for level, order in enumerate(tables.order.astype(np.int64)):
        axes, rows = tables.rows[level, :AXES].astype(np.int64), tables.rows[level, AXES:].astype(np.int64)
        products = rows @ axes.T
        shift = tables.axis_shift[level].astype(np.int64) - int(codebook.entry_shift[level])
        places = (products >> shift) - tables.axis_base[level]
        sides = (tables.sides[level].astype(np.int64)[:, None, :] >> (8 * np.arange(BLOCK))[:, None]) & 0xFF
        holds = (
            np.array_equal(np.unique(order), np.arange(entries))
            and np.array_equal(rows[:, :dims], codebook.integer[level][order])
            and not tables.rows[level, :, dims:].any()
            and int((axes * axes).sum(axis=1).max()) <= AXIS_NORM**2
            and bool((np.diff(products[:, 0]) >= 0).all())
            and int(tables.axis_base[level, 0]) == 0
            and np.array_equal(places[::BLOCK, 0], tables.keys[level])
            and np.array_equal(places[:, 1:], sides.reshape(-1, SIDES))
            and int(sides.max()) <= SIDE_MAX
        )
        if not holds:
            raise RenderError(
                f"the search tables of codebook level {level} do not describe it", "report this; it is a defect of kit"
            )
