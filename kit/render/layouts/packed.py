"""What a layout makes of a layer's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Packed:
    """Weights of one layer in the order that a kernel reads.

    Attributes:
        layout: name of the layout; ``KIT_AOT_LAYOUT_<NAME>`` tells the kernel.
        axes: what the values are, for the comment of the table.
        values: int8 or wider.
    """

    layout: str
    axes: str
    values: NDArray[Any]
