"""The decoder: latents to frames.

It runs on the server only, so that its size costs no device anything. Only built-in Keras layers are used: the NumPy
executor of ``kit.server`` reads the layer list.

``mirror`` is that of the description: it mirrors the encoder with one upsampling stage per encoder stage. ``wide``
does almost all of its work at the latents' rate, where a channel costs 2^N times less than at the samples': residual
blocks of dilated convolutions (as in WaveNet, van den Oord et al., 2016) see the whole frame, and a sub-pixel
convolution (Shi et al., 2016) turns each latent position into its samples. Beside them runs a linear path, a learned
lapped transform's synthesis: it carries the signal from the first steps of a training on, and the blocks learn what is
left (docs/fidelity.md has the comparison).
"""

from __future__ import annotations

import math
from typing import Any

import keras

from kit.config import KERNEL, Config, ModelConfig
from kit.model.encoder import normalised

WIDTH_FACTOR = 1.25
"""Mirror: decoder channels per encoder channel of the mirrored stage."""

BLOCK_TAPS = 5
"""Wide: taps of a block's dilated convolution."""

DILATIONS = (1, 2, 4, 8)
"""Wide: dilations of the blocks in turn, in latent positions."""

SUBPIXELS = 8
"""Wide: channels at the samples' rate."""

LINEAR_TAPS = 5
"""Wide: latent positions that the linear path to a sample sees, behind the stem's ``KERNEL``."""


def decoder_filters(config: Config) -> tuple[int, ...]:
    """Channels of the mirror's stages in the order in which they run (deepest first)."""
    return tuple(math.floor(WIDTH_FACTOR * filters) for filters in reversed(config.model.stage_filters))


def build_decoder(config: Config) -> Any:
    """Keras model ``decoder``: latents to normalised frames.

    Input ``latent`` float32 [B, 1, T / 2^N, D], output float32 [B, 1, T, 1] in units of the frame's scale.
    """
    model = config.model
    inputs = keras.Input((1, config.latent_positions, model.embedding_dim), name="latent")
    outputs = _wide(inputs, config) if model.decoder == "wide" else _mirror(inputs, config)
    return keras.Model(inputs, outputs, name="decoder")


def _mirror(x: Any, config: Config) -> Any:
    """Per stage UpSampling2D (nearest) -> Conv2D -> [decoder_block_norm] -> ReLU -> SeparableConv2D (anti-aliasing) ->
    ReLU; the head is [decoder_head_norm] -> Conv2D 1x1."""
    model = config.model
    for stage, filters in zip(reversed(range(model.num_stages)), decoder_filters(config), strict=True):
        x = keras.layers.UpSampling2D((1, 2), name=f"stage{stage}_upsample")(x)
        bias = model.decoder_block_norm != "batch"
        x = keras.layers.Conv2D(filters, (1, KERNEL), padding="same", use_bias=bias, name=f"stage{stage}_conv")(x)
        x = normalised(x, model.decoder_block_norm, f"stage{stage}_norm")
        x = keras.layers.ReLU(name=f"stage{stage}_relu")(x)
        x = keras.layers.SeparableConv2D(filters, (1, KERNEL), padding="same", name=f"stage{stage}_smooth")(x)
        x = keras.layers.ReLU(name=f"stage{stage}_smooth_relu")(x)
    x = normalised(x, model.decoder_head_norm, "head_norm")
    return keras.layers.Conv2D(1, 1, name="head_conv")(x)


def _wide(x: Any, config: Config) -> Any:
    """Linear synthesis plus what the residual blocks add.

    Both start from a Conv2D to ``decoder_width`` channels. Linear: Conv2D to the samples of a position -> sub-pixels.
    Blocks: ``decoder_blocks`` residual blocks -> [decoder_head_norm] -> sub-pixel convolution to ``SUBPIXELS`` channels
    per sample -> ReLU -> smoothing Conv2D -> ReLU -> Conv2D to the sample.
    """
    model = config.model
    stem = x = keras.layers.Conv2D(model.decoder_width, (1, KERNEL), padding="same", name="stem_conv")(x)
    for number in range(model.decoder_blocks):
        x = _block(x, model, number)
    x = normalised(x, model.decoder_head_norm, "head_norm")
    x = keras.layers.Conv2D(SUBPIXELS * model.downsampling, 1, name="subpixel_conv")(x)
    x = keras.layers.Reshape((1, config.signal.frame_samples, SUBPIXELS), name="subpixel")(x)
    x = keras.layers.ReLU(name="subpixel_relu")(x)
    x = keras.layers.Conv2D(SUBPIXELS, (1, KERNEL), padding="same", activation="relu", name="smooth_conv")(x)
    x = keras.layers.Conv2D(1, (1, KERNEL), padding="same", name="head_conv")(x)
    y = keras.layers.Conv2D(model.downsampling, (1, LINEAR_TAPS), padding="same", name="linear_conv")(stem)
    y = keras.layers.Reshape((1, config.signal.frame_samples, 1), name="linear")(y)
    return keras.layers.Add(name="sum")([x, y])


def _block(x: Any, model: ModelConfig, number: int) -> Any:
    """x + Conv2D 1x1 (ReLU (dilated Conv2D (ReLU ([decoder_block_norm] (x)))))."""
    name = f"block{number}"
    y = normalised(x, model.decoder_block_norm, f"{name}_norm")
    y = keras.layers.ReLU(name=f"{name}_relu")(y)
    y = keras.layers.Conv2D(
        model.decoder_width,
        (1, BLOCK_TAPS),
        padding="same",
        dilation_rate=(1, DILATIONS[number % len(DILATIONS)]),
        activation="relu",
        name=f"{name}_dilated",
    )(y)
    y = keras.layers.Conv2D(model.decoder_width, 1, name=f"{name}_mix")(y)
    return keras.layers.Add(name=f"{name}_add")([x, y])
