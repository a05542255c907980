"""Const tables as the templates print them: names, C types, values in rows and the size to assert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = tuple[int, ...]

_C_TYPES = {
    "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t",
    "uint32": "uint32_t",
}  # fmt: skip
_PER_ROW = {1: 24, 2: 16, 4: 8}

TABLE_ALIGN = 4
"""Alignment of every table, bytes: lets kernels load words."""


@dataclass(frozen=True, slots=True)
class Table:
    """One const array.

    Attributes:
        name: C identifier.
        about: what the values are, and their axes.
        c_type: element type.
        rows: the values, a printed line each.
        count: number of values.
        bytes: size the compiler must find.
        align: alignment, bytes.
    """

    name: str
    about: str
    c_type: str
    rows: tuple[Row, ...]
    count: int
    bytes: int
    align: int = TABLE_ALIGN


def rows_of(values: NDArray[Any]) -> tuple[Row, ...]:
    """Integers of any shape, flattened, in lines of about a hundred characters."""
    flat = values.reshape(-1)
    step = _PER_ROW[flat.dtype.itemsize]
    return tuple(tuple(int(v) for v in flat[at : at + step]) for at in range(0, flat.size, step))


def table(name: str, about: str, values: NDArray[Any], align: int = TABLE_ALIGN) -> Table:
    """A table of integers of 8, 16 or 32 bits."""
    dtype = np.dtype(values.dtype)
    return Table(name, about, _C_TYPES[dtype.name], rows_of(values), int(values.size), int(values.nbytes), align)
