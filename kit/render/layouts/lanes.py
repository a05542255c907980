"""Layout ``lanes`` of the DSP kernels: four channels of a depthwise layer after the other, with all that they need."""

from __future__ import annotations

import numpy as np

from kit.graph.ir import Conv, Encoder, folded_bias
from kit.render.layouts.packed import Packed, by_group
from kit.render.proof import device_shift, is_small

CHANNELS = 4
"""Channels that share a word of inputs; missing ones have weights 0."""


def lanes(encoder: Encoder, node: Conv) -> Packed | None:
    """int32[group][4 biases, weights, shifts, 4 multipliers]; weights are [tap][4 bytes], shifts 4 bytes of n - 1."""
    if not node.depthwise or not is_small(encoder, node):
        return None
    weights = encoder.node_weights(node)
    kernel, channels = weights.shape
    groups = -(-channels // CHANNELS)
    padded = np.zeros((kernel, groups * CHANNELS), np.int8)
    padded[:, :channels] = weights
    words = np.ascontiguousarray(padded.reshape(kernel, groups, CHANNELS).transpose(1, 0, 2)).view("<i4")
    bits = by_group(-np.array(device_shift(node)) - 1, CHANNELS).astype(np.int8).view("<i4")
    parts = [
        by_group(folded_bias(encoder, node), CHANNELS),
        words.reshape(groups, kernel),
        bits,
        by_group(np.array(node.requant.multiplier), CHANNELS),
    ]
    axes = f"[group={groups}] of 4 biases, weights [tap={kernel}][4 bytes], 4 shifts and multipliers"
    return Packed("lanes", axes, np.concatenate(parts, axis=1).astype(np.int32), complete=True)
