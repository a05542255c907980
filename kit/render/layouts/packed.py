"""What a layout makes of a layer's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.render.tables import TABLE_ALIGN


@dataclass(frozen=True, slots=True)
class Packed:
    """Weights of one layer in the order that a kernel reads.

    Attributes:
        layout: name of the layout; ``KIT_AOT_LAYOUT_<NAME>`` tells the kernel.
        axes: what the values are, for the comment of the table.
        values: int8 or wider.
        complete: biases and requantization are among the values, so that there are no tables of their own.
        align: what the kernel's loads ask of the table's alignment, bytes.
    """

    layout: str
    axes: str
    values: NDArray[Any]
    complete: bool = False
    align: int = TABLE_ALIGN


def by_group(values: NDArray[np.integer], size: int) -> NDArray[np.int64]:
    """int64[group, size] of per-channel values; missing last ones are 0."""
    padded = np.zeros(-(-len(values) // size) * size, np.int64)
    padded[: len(values)] = values
    return padded.reshape(-1, size)
