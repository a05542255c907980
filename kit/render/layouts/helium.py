"""Layout ``helium``: what ``kit_aot_kernels_helium.c`` reads, in the order in which it reads it."""

from __future__ import annotations

import numpy as np

from kit.graph.ir import Conv, Encoder, folded_bias
from kit.render.layouts.blocks import in_blocks, with_words, words
from kit.render.layouts.packed import Packed

_ALIGN = 16
"""Alignment of the table, bytes; every vector load within it is aligned as well."""

_GROUP, _DENSE_BLOCK, _DEPTHWISE_BLOCK = 4, 16, 8
_PLAIN, _RIGHT, _ANY = 0, 1, 2
"""How sums are finished: as ``finish_t`` of the kernels."""


def _finish(encoder: Encoder, node: Conv) -> int:
    if max(node.requant.shift) >= 0:
        return _ANY
    return _PLAIN if node.act_min == encoder.graph.tensors[node.output].zero_point else _RIGHT


def helium(encoder: Encoder, node: Conv) -> Packed:
    """Weights, biases, multipliers and shifts in groups of channels; the C file describes the order."""
    weights = encoder.node_weights(node)
    rows = weights.T if node.depthwise else weights.reshape(len(weights), -1)
    block = _DEPTHWISE_BLOCK if node.depthwise else _DENSE_BLOCK
    header = np.zeros(_ALIGN, np.int8)
    header[0] = _finish(encoder, node)
    groups = with_words(
        in_blocks(np.ascontiguousarray(rows), _GROUP, block, short_first=True),
        words(folded_bias(encoder, node), _GROUP),
        words(node.requant.multiplier, _GROUP),
        words(node.requant.shift, _GROUP),
    )
    axes = f"[{len(groups)} bytes in groups of {_GROUP} channels] behind {_ALIGN} of flags"
    return Packed("helium", axes, np.concatenate([header, groups]), complete=True, align=_ALIGN)
