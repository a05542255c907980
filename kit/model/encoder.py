"""The encoder: height-1 2-D convolutions from samples to latents.

``staged`` is that of the autoencoder's description: the time axis is halved once per stage, the first two stages are
dense, later ones depthwise separable, and a 1x1 head ends it. ``lapped`` is one convolution over many samples with the
whole stride, a lapped transform's analysis (Malvar, 1992), straight to the latents or with rectified channels before
the head: few INT8 roundings on the way, and taps enough to filter the shaped rounding of the input (docs/fidelity.md
has the comparison).

Every layer is a ``Conv2D`` or ``DepthwiseConv2D`` on ``[batch, 1, time, channels]``: a ``Conv1D`` would cost an
EXPAND_DIMS and a RESHAPE per layer in TFLite.
"""

from __future__ import annotations

from typing import Any

import keras

from kit.config import DENSE_STAGES, KERNEL, Config, ModelConfig, Norm


def normalised(x: Any, norm: Norm, name: str) -> Any:
    """``x`` through the batch or layer normalisation ``name``, or unchanged for ``none``."""
    if norm == "batch":
        return keras.layers.BatchNormalization(name=name)(x)
    if norm == "layer":
        return keras.layers.LayerNormalization(axis=-1, name=name)(x)
    return x


def build_encoder(config: Config) -> Any:
    """Keras model ``encoder``: normalised frames to latents.

    Input ``frame`` float32 [B, 1, T, 1] in units of the frame's scale (firmware/NUMERICS.md section 2), output float32
    [B, 1, T / 2^N, D]. With the default model section it has 12,768 parameters.
    """
    model = config.model
    inputs = keras.Input((1, config.signal.frame_samples, 1), name="frame")
    x = _lapped(inputs, model) if model.encoder == "lapped" else _head(_staged(inputs, model), model, 1, 1)
    x = normalised(x, model.encoder_head_norm, "head_norm")
    return keras.Model(inputs, x, name="encoder")


def _staged(x: Any, model: ModelConfig) -> Any:
    """Per stage a convolution of stride 2 -> [encoder_block_norm] -> ReLU."""
    bias = model.encoder_block_norm != "batch"
    for stage, filters in enumerate(model.stage_filters):
        if stage < DENSE_STAGES:
            x = keras.layers.Conv2D(
                filters, (1, KERNEL), strides=(1, 2), padding="same", use_bias=bias, name=f"stage{stage}_conv"
            )(x)
        else:
            # TensorFlow refuses unequal depthwise strides; at height 1 a vertical stride of 2 changes nothing.
            x = keras.layers.DepthwiseConv2D(
                (1, KERNEL), strides=(2, 2), padding="same", use_bias=False, name=f"stage{stage}_depthwise"
            )(x)
            x = keras.layers.Conv2D(filters, 1, use_bias=bias, name=f"stage{stage}_pointwise")(x)
        x = normalised(x, model.encoder_block_norm, f"stage{stage}_norm")
        x = keras.layers.ReLU(name=f"stage{stage}_relu")(x)
    return x


def _lapped(x: Any, model: ModelConfig) -> Any:
    """A convolution of stride 2^N over ``encoder_taps`` samples: the head, or [encoder_block_norm] -> ReLU -> head."""
    taps, stride = model.encoder_taps, model.downsampling
    if not model.encoder_filters:
        return _head(x, model, taps, stride)
    bias = model.encoder_block_norm != "batch"
    x = keras.layers.Conv2D(
        model.encoder_filters, (1, taps), strides=(1, stride), padding="same", use_bias=bias, name="analysis_conv"
    )(x)
    x = normalised(x, model.encoder_block_norm, "analysis_norm")
    return _head(keras.layers.ReLU(name="analysis_relu")(x), model, 1, 1)


def _head(x: Any, model: ModelConfig, taps: int, stride: int) -> Any:
    bias = model.encoder_head_norm != "batch"
    return keras.layers.Conv2D(
        model.embedding_dim, (1, taps), strides=(1, stride), padding="same", use_bias=bias, name="head_conv"
    )(x)
