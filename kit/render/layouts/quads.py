"""Layout ``quads`` of the portable kernels: the weights of four output channels for one tap lie together."""

from __future__ import annotations

import numpy as np

from kit.graph.ir import Conv, Encoder
from kit.render.layouts.packed import Packed
from kit.render.proof import is_small

CHANNELS = 4
"""Output channels that the kernel takes at a time; missing ones have weights 0."""


def quads(encoder: Encoder, node: Conv) -> Packed | None:
    """int8[out / 4, tap, in, 4]; None for depthwise layers and what the fast requantization does not take."""
    if node.depthwise or not is_small(encoder, node):
        return None
    weights = encoder.node_weights(node)
    channels, kernel, inputs = weights.shape
    blocks = -(-channels // CHANNELS)
    padded = np.zeros((blocks * CHANNELS, kernel, inputs), np.int8)
    padded[:channels] = weights
    values = np.ascontiguousarray(padded.reshape(blocks, CHANNELS, kernel, inputs).transpose(0, 2, 3, 1))
    return Packed("quads", f"[quad={blocks}][tap={kernel}][in={inputs}][out={CHANNELS}]", values)
