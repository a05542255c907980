"""Orders of a layer's weights in flash: one file per layout, chosen per instruction set.

The rendered model carries every layout that some kernel reads, each behind the macro of its instruction set
(firmware/runtime/kit_isa.h), so that one rendered model serves every board. Whatever has no layout of its own reads
``rows``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kit.graph.ir import Conv, Encoder
from kit.render.layouts.helium import helium
from kit.render.layouts.host import host
from kit.render.layouts.lanes import lanes
from kit.render.layouts.packed import Packed
from kit.render.layouts.pairs import column_values, fits, pairs
from kit.render.layouts.quads import quads
from kit.render.layouts.rows import rows

Layout = Callable[[Encoder, Conv], Packed | None]
"""Weights of a layer in a layout, or None where the layout does not fit the layer."""

ISA_LAYOUTS: Mapping[str, tuple[Layout, ...]] = {
    "KIT_ISA_HELIUM": (helium,),
    "KIT_ISA_DSP": (pairs, lanes),
    "KIT_ISA_HOST": (host,),
    "KIT_ISA_PORTABLE": (quads,),
}
"""Layouts that the kernels of an instruction set read, best first; none of them fits: ``rows``."""

__all__ = ["ISA_LAYOUTS", "Layout", "Packed", "isa_layouts", "rows", "wide_windows"]


def isa_layouts(encoder: Encoder, node: Conv) -> dict[str, Packed]:
    """Instruction set to weights, for those that do not read ``rows``."""
    found = {}
    for isa, layouts in ISA_LAYOUTS.items():
        packed = next((packed for layout in layouts if (packed := layout(encoder, node)) is not None), None)
        if packed is not None:
            found[isa] = packed
    return found


def wide_windows(encoder: Encoder) -> dict[str, dict[str, int]]:
    """Instruction set to layers whose window holds int16 instead of int8, with the values of a column.

    The DSP kernel reads int16 in the layout ``pairs``: what that saves of unpacking is worth the memory.
    """
    nodes = [node for node in encoder.graph.nodes if fits(encoder, node)]
    return {"KIT_ISA_DSP": {node.name: column_values(encoder, node) for node in nodes}}
