"""Layout ``host``: what ``kit_aot_kernels_host.c`` reads, in the order in which it reads it."""

from __future__ import annotations

import numpy as np

from kit.graph.ir import Conv, Encoder, folded_bias
from kit.render.layouts.blocks import in_blocks, with_words, words
from kit.render.layouts.packed import Packed

_ALIGN = 32
"""Alignment of the table, bytes; every vector load within it is aligned as well."""

_GROUP, _DENSE_BLOCK, _DEPTHWISE_BLOCK = 8, 4, 1
_OFFSET = 128
"""What is added to inputs to make them unsigned."""


def host(encoder: Encoder, node: Conv) -> Packed:
    """Weights, biases, multipliers and shifts in groups of channels; the C file describes the order."""
    weights = encoder.node_weights(node)
    rows = np.ascontiguousarray(weights.T) if node.depthwise else weights.reshape(len(weights), -1)
    bias = folded_bias(encoder, node)
    header = np.zeros(_ALIGN, np.int8)
    header[0] = 0 if max(node.requant.shift) < 0 else 1
    groups = with_words(
        in_blocks(rows, _GROUP, _DEPTHWISE_BLOCK if node.depthwise else _DENSE_BLOCK, short_first=False),
        words(bias, _GROUP),
        words(bias - _OFFSET * rows.astype(np.int64).sum(axis=1), _GROUP),
        words(node.requant.multiplier, _GROUP),
        words(node.requant.shift, _GROUP),
    )
    axes = f"[{len(groups)} bytes in groups of {_GROUP} channels] behind {_ALIGN} of flags"
    return Packed("host", axes, np.concatenate([header, groups]), complete=True, align=_ALIGN)
