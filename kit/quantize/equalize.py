"""Cross-layer equalization: the same float function, with every channel of an activation using the whole INT8 range.

An INT8 activation has one scale for all its channels, so that a channel that stays small wastes bits. ReLU commutes
with a positive factor, so a channel may be scaled up where it is produced and down where it is consumed; weights have
a scale per output channel and lose little. After Nagel et al., "Data-free quantization through weight equalization and
bias correction" (2019), with ranges measured on calibration frames.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

GAIN_MAX = 16.0
"""Largest factor of a channel: one that hardly moves on calibration frames may move more on others, and saturate."""

GAIN_STEPS = 16
"""Factors per octave."""

BATCH = 256


def equalize(encoder: Any, frames: NDArray[np.float32]) -> int:
    """Rescale the channels between the convolutions of a chain, in place.

    Args:
        encoder: Keras model, a chain of Conv2D, DepthwiseConv2D, BatchNormalization or LayerNormalization, and ReLU.
            A link through anything else stays as it is, and so does a model that is no chain.
        frames: float32[n, T] in units of the frame's scale.

    Returns:
        number of links equalized. The model computes the same function up to float rounding.
    """
    links = _links(encoder.layers)
    x = frames[:, None, :, None]
    for producer, norm, activation, consumer in links:
        peaks = _peaks(encoder, activation, x)
        # A channel that never moved has no known range: it stays as it is.
        gain = np.where(peaks > 0, np.minimum(peaks.max() / np.where(peaks > 0, peaks, 1.0), GAIN_MAX), 1.0)
        # In coarse steps, so that the last bits of a processor's sums do not change the weights.
        gain = 2.0 ** (np.floor(np.log2(gain) * GAIN_STEPS) / GAIN_STEPS)
        _scale_output(norm if norm is not None else producer, gain)
        _scale_input(consumer, 1.0 / gain)
    return len(links)


def _links(layers: list[Any]) -> list[tuple[Any, Any, Any, Any]]:
    """(producer, its norm or None, layer whose output is the activation, consumer) of every plain link."""
    if not all(_feeds_only(first, second) for first, second in pairwise(layers)):
        return []
    found = []
    for at, producer in enumerate(layers):
        if not _is_conv(producer) or producer.activation.__name__ != "linear":
            continue
        rest = layers[at + 1 :]
        norm = rest.pop(0) if rest and _is_norm(rest[0]) else None
        activation = norm or producer
        if rest and _is_plain_relu(rest[0]):
            activation = rest.pop(0)
        if rest and _is_conv(rest[0]):
            found.append((producer, norm, activation, rest[0]))
    return found


def _feeds_only(layer: Any, reader: Any) -> bool:
    nodes = layer._outbound_nodes
    return len(nodes) == 1 and nodes[0].operation is reader


def _is_conv(layer: Any) -> bool:
    return type(layer).__name__ in ("Conv2D", "DepthwiseConv2D")


def _is_norm(layer: Any) -> bool:
    return type(layer).__name__ in ("BatchNormalization", "LayerNormalization")


def _is_plain_relu(layer: Any) -> bool:
    return type(layer).__name__ == "ReLU" and layer.max_value is None and not layer.negative_slope


def _peaks(encoder: Any, layer: Any, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Largest magnitude of every channel of a layer's output: float64[C]."""
    import keras

    part = keras.Model(encoder.input, layer.output)
    peaks = [np.abs(np.asarray(part(x[i : i + BATCH]))).max(axis=(0, 1, 2)) for i in range(0, len(x), BATCH)]
    return np.asarray(np.max(peaks, axis=0), np.float64)


def _scale_output(layer: Any, gain: NDArray[np.float64]) -> None:
    """Multiply the output channels of a convolution or normalisation."""
    if _is_norm(layer):
        for weight in (layer.gamma, layer.beta):
            weight.assign(np.asarray(weight) * gain)
        return
    _scale_kernel(layer, gain[:, None] if type(layer).__name__ == "DepthwiseConv2D" else gain)
    if layer.use_bias:
        layer.bias.assign(np.asarray(layer.bias) * gain)


def _scale_input(layer: Any, gain: NDArray[np.float64]) -> None:
    """Multiply the input channels of a convolution."""
    _scale_kernel(layer, gain[:, None])


def _scale_kernel(layer: Any, factor: NDArray[np.float64]) -> None:
    layer.kernel.assign(np.asarray(layer.kernel) * factor)
