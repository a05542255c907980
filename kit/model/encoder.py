"""The encoder: height-1 2-D convolutions that halve the time axis once per stage.

Source: the autoencoder's description (first two stages dense, later stages depthwise separable, 1x1 head). Every layer
is a ``Conv2D`` or ``DepthwiseConv2D`` on ``[batch, 1, time, channels]``: a ``Conv1D`` would cost an EXPAND_DIMS and a
RESHAPE per layer in TFLite.
"""

from __future__ import annotations

from typing import Any

import keras

from kit.config import DENSE_STAGES, KERNEL, Config, Norm


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
    bias = model.encoder_block_norm != "batch"
    inputs = x = keras.Input((1, config.signal.frame_samples, 1), name="frame")
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
    x = keras.layers.Conv2D(model.embedding_dim, 1, use_bias=model.encoder_head_norm != "batch", name="head_conv")(x)
    x = normalised(x, model.encoder_head_norm, "head_norm")
    return keras.Model(inputs, x, name="encoder")
