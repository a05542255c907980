"""Orders of weights in flash: each one holds exactly the layer's weights, biases and factors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kit.graph.ir import Conv, Encoder, folded_bias
from kit.render.layouts import Packed
from kit.render.layouts.lanes import lanes
from kit.render.layouts.pairs import column_values, fits, pairs
from kit.render.layouts.quads import quads
from kit.render.layouts.rows import rows
from kit.render.proof import device_shift, is_small
from tests.architectures import random_architecture

LAYERS = [
    (encoder, node)
    for encoder in (random_architecture(np.random.default_rng(n), n) for n in range(20))
    for node in encoder.graph.nodes
]


def packed_layers(layout: object) -> list[tuple[Encoder, Conv, Packed]]:
    found = [(e, n, p) for e, n in LAYERS if (p := layout(e, n)) is not None]  # type: ignore[operator]
    assert len(found) > 5
    return found


def test_rows() -> None:
    for encoder, node, packed in packed_layers(rows):
        assert np.array_equal(packed.values, encoder.node_weights(node))


def test_pairs_hold_two_channels_in_every_lane() -> None:
    for encoder, node, packed in packed_layers(pairs):
        weights = encoder.node_weights(node).astype(np.int64)
        channels, kernel, inputs = weights.shape
        words, width = packed.values, column_values(encoder, node)
        assert packed.complete and words.dtype == np.int32
        lane = np.ascontiguousarray(words[:, 2:-3]).view(np.int16).astype(np.int64)
        second = ((lane + 128) & 255) - 128
        for low, high in ((second, (lane - second) // 256),):
            found = np.stack([high, low], axis=1).reshape(-1, lane.shape[1])[:channels, : kernel * width]
            assert np.array_equal(found.reshape(channels, kernel, width)[:, :, :inputs], weights)
        assert lane.shape[1] % 4 == 0
        second_bias = words[:, 1].astype(np.int64)
        first_bias = (words[:, 0].astype(np.int64) - second_bias + (1 << 31)) % (1 << 32) - (1 << 31)
        bias = np.stack([first_bias // 256, second_bias], axis=1).reshape(-1)[:channels]
        assert np.array_equal(bias, folded_bias(encoder, node))
        assert tuple(words[:, -3:-1].reshape(-1)[:channels]) == node.requant.multiplier
        bits = np.stack([words[:, -1] >> 8, words[:, -1] & 255], axis=1).reshape(-1)[:channels]
        assert tuple(-bits - 1) == device_shift(node)


def test_quads() -> None:
    for encoder, node, packed in packed_layers(quads):
        weights = encoder.node_weights(node)
        found = packed.values.transpose(0, 3, 1, 2).reshape(-1, *weights.shape[1:])
        assert np.array_equal(found[: len(weights)], weights)
        assert not found[len(weights) :].any()


def test_lanes() -> None:
    for encoder, node, packed in packed_layers(lanes):
        weights = encoder.node_weights(node)
        kernel, channels = weights.shape
        words = packed.values
        found = np.ascontiguousarray(words[:, 4 : 4 + kernel]).view(np.int8).reshape(len(words), kernel, 4)
        assert np.array_equal(found.transpose(1, 0, 2).reshape(kernel, -1)[:, :channels], weights)
        assert np.array_equal(words[:, :4].reshape(-1)[:channels], folded_bias(encoder, node))
        assert tuple(words[:, -4:].reshape(-1)[:channels]) == node.requant.multiplier
        bits = np.ascontiguousarray(words[:, 4 + kernel]).view(np.int8)[:channels]
        assert tuple(-bits.astype(int) - 1) == device_shift(node)


def test_what_the_fast_kernels_cannot_compute_goes_another_way() -> None:
    encoder, node = next((e, n) for e, n in LAYERS if fits(e, n))
    left = replace(node, requant=replace(node.requant, shift=(1, *node.requant.shift[1:])))
    assert is_small(encoder, node) and pairs(encoder, node) is not None
    if node.requant.multiplier[0]:
        assert not is_small(encoder, left) and pairs(encoder, left) is None and quads(encoder, left) is None
    lowest = dict(encoder.weights)
    lowest[node.weights] = np.where(lowest[node.weights] == lowest[node.weights].min(), -128, lowest[node.weights])
    assert pairs(Encoder(encoder.graph, lowest), node) is None
    heavy = dict(encoder.weights)
    heavy[node.bias] = np.full_like(heavy[node.bias], 1 << 23)
    assert not is_small(Encoder(encoder.graph, heavy), node)


@pytest.mark.parametrize("multiplier", [0, 1 << 30])
def test_a_multiplier_of_zero_takes_any_shift(multiplier: int) -> None:
    _, node = LAYERS[0]
    requant = replace(
        node.requant, multiplier=(multiplier,) * len(node.requant.shift), shift=(0,) * len(node.requant.shift)
    )
    assert set(device_shift(replace(node, requant=requant))) == ({0} if multiplier else {-1})
