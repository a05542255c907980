"""Layout ``pairs`` of the DSP kernels: two output channels after the other, their weights sharing 16-bit lanes.

A lane holds ``256 * a + b`` exactly: its low byte is b, its high byte a, less one where b is negative. Products with
the word accumulate ``R = 256 * A + B`` modulo 2^32, products with its sign-extended low bytes accumulate B, and
``A = (R - B) / 256`` whenever |A| < 2^23. Before the weights of a pair stand the two biases in that form, behind them
what requantization needs, so that a kernel reads one run of words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.graph.ir import Conv, Encoder, folded_bias
from kit.render.layouts.packed import Packed, by_group
from kit.render.proof import device_shift, is_small

QUAD = 4
"""Taps that the kernel takes at a time; rows of weights are filled up with zeros."""


def fits(encoder: Encoder, node: Conv) -> bool:
    """Whether the kernel computes the layer exactly. Its window then holds int16."""
    # -128 beside a negative partner has no high byte. TensorFlow Lite's converter keeps to -127..127.
    return not node.depthwise and is_small(encoder, node) and int(encoder.node_weights(node).min()) > -128


def column_values(encoder: Encoder, node: Conv) -> int:
    """Values from an input column to the next: the channels, made even where there are several, as layers write them in
    twos, and where the second output column of a batch would not begin at a whole word otherwise."""
    channels = encoder.graph.tensors[node.input].channels
    return channels if channels == 1 and node.stride % 2 == 0 else channels + channels % 2


def pairs(encoder: Encoder, node: Conv) -> Packed | None:
    """int32[pair][2 biases, weights, 2 multipliers, shifts]; weights are [quad][2 words][2 lanes]."""
    if not fits(encoder, node):
        return None
    weights = encoder.node_weights(node).astype(np.int64)
    channels, kernel, inputs = weights.shape
    width, count = column_values(encoder, node), (channels + 1) // 2
    quads = -(-kernel * width // QUAD)
    columns = np.zeros((2 * count, kernel, width), np.int64)
    columns[:channels, :, :inputs] = weights
    flat = np.zeros((2 * count, quads * QUAD), np.int64)
    flat[:, : kernel * width] = columns.reshape(2 * count, -1)
    lanes: NDArray[np.int16] = np.ascontiguousarray((256 * flat[0::2] + flat[1::2]).astype("<i2"))
    bias = by_group(folded_bias(encoder, node), 2)
    multiplier = by_group(np.array(node.requant.multiplier), 2)
    bits = by_group(-np.array(device_shift(node)) - 1, 2)
    both = (256 * bias[:, 0] + bias[:, 1]).astype(np.uint64).astype(np.uint32).astype(np.int32)
    end = np.stack([multiplier[:, 0], multiplier[:, 1], 256 * bits[:, 0] + bits[:, 1]], axis=1)
    parts: list[NDArray[np.integer]] = [both[:, None], bias[:, 1:], lanes.view("<i4"), end]
    axes = f"[pair={count}] of 2 biases, weights [quad={quads}][2 words], 2 multipliers and shifts"
    return Packed("pairs", axes, np.concatenate(parts, axis=1).astype(np.int32), complete=True)
