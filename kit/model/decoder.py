"""The decoder: mirrors the encoder with one upsampling stage per encoder stage.

It runs on the server only, so that its size costs no device anything. Only built-in Keras layers are used: the NumPy
executor of ``kit.server`` reads the layer list.
"""

from __future__ import annotations

import math
from typing import Any

import keras

from kit.config import KERNEL, Config
from kit.model.encoder import normalised

WIDTH_FACTOR = 1.25
"""Decoder channels per encoder channel of the mirrored stage."""


def decoder_filters(config: Config) -> tuple[int, ...]:
    """Channels of the decoder's stages in the order in which they run (deepest first)."""
    return tuple(math.floor(WIDTH_FACTOR * filters) for filters in reversed(config.model.stage_filters))


def build_decoder(config: Config) -> Any:
    """Keras model ``decoder``: latents to normalised frames.

    Input ``latent`` float32 [B, 1, T / 2^N, D], output float32 [B, 1, T, 1] in units of the frame's scale. Each stage
    is UpSampling2D (nearest) -> Conv2D -> [decoder_block_norm] -> ReLU -> SeparableConv2D (anti-aliasing) -> ReLU; the
    head is [decoder_head_norm] -> Conv2D 1x1.
    """
    model = config.model
    inputs = x = keras.Input((1, config.latent_positions, model.embedding_dim), name="latent")
    for stage, filters in zip(reversed(range(model.num_stages)), decoder_filters(config), strict=True):
        x = keras.layers.UpSampling2D((1, 2), name=f"stage{stage}_upsample")(x)
        bias = model.decoder_block_norm != "batch"
        x = keras.layers.Conv2D(filters, (1, KERNEL), padding="same", use_bias=bias, name=f"stage{stage}_conv")(x)
        x = normalised(x, model.decoder_block_norm, f"stage{stage}_norm")
        x = keras.layers.ReLU(name=f"stage{stage}_relu")(x)
        x = keras.layers.SeparableConv2D(filters, (1, KERNEL), padding="same", name=f"stage{stage}_smooth")(x)
        x = keras.layers.ReLU(name=f"stage{stage}_smooth_relu")(x)
    x = normalised(x, model.decoder_head_norm, "head_norm")
    x = keras.layers.Conv2D(1, 1, name="head_conv")(x)
    return keras.Model(inputs, x, name="decoder")
