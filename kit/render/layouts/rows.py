"""Layout ``rows``: the order of the integer graph, which every kernel can read."""

from __future__ import annotations

import numpy as np

from kit.graph.ir import Conv, Encoder
from kit.render.layouts.packed import Packed


def rows(encoder: Encoder, node: Conv) -> Packed:
    """int8[out, tap, in] or, depthwise, int8[tap, channel]."""
    weights = np.ascontiguousarray(encoder.node_weights(node))
    names = ("tap", "channel") if node.depthwise else ("out", "tap", "in")
    axes = "".join(f"[{name}={size}]" for name, size in zip(names, weights.shape, strict=True))
    return Packed("rows", axes, weights)
