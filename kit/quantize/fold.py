"""The float encoder as a plain chain of convolutions, batch normalisation folded in: what gets quantized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kit.errors import UnsupportedOpError

_WAY_OUT = "quantize.calibration: minmax"

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FloatConv:
    """One convolution along time with its bias and rectifier, SAME padding.

    Attributes:
        name: of the Keras layer.
        weights: float64[out, kernel, in], or [kernel, channels] when ``depthwise``.
        bias: float64[out].
        stride: input columns per output column.
        relu: negative outputs become 0.
        depthwise: each output channel reads the input channel of its own number only.
    """

    name: str
    weights: FloatArray
    bias: FloatArray
    stride: int
    relu: bool
    depthwise: bool

    @property
    def kernel(self) -> int:
        """Taps."""
        return int(self.weights.shape[0 if self.depthwise else 1])

    @property
    def channels(self) -> int:
        """Output channels."""
        return len(self.bias)

    def padding(self, length: int) -> tuple[int, int]:
        """Columns of zeros left and right of an input of ``length`` columns (NUMERICS.md section 3.1)."""
        total = max(0, (-(-length // self.stride) - 1) * self.stride + self.kernel - length)
        return total // 2, total - total // 2


def windows(layer: FloatConv, x: NDArray[Any]) -> NDArray[Any]:
    """What each output column reads: [n, W, in] -> view [n, W', in, kernel]."""
    padded = np.pad(x, ((0, 0), layer.padding(x.shape[1]), (0, 0)))
    return sliding_window_view(padded, layer.kernel, axis=1)[:, :: layer.stride]


def convolve(layer: FloatConv, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Output of a layer before its rectifier: float32[n, W, in] -> [n, W', out]."""
    view = windows(layer, x)
    weights, bias = layer.weights.astype(np.float32), layer.bias.astype(np.float32)
    if layer.depthwise:
        return np.asarray(np.einsum("nwck,kc->nwc", view, weights) + bias, np.float32)
    n, columns, channels, kernel = view.shape
    matrix = weights.transpose(2, 1, 0).reshape(channels * kernel, -1)
    flat = view.reshape(n * columns, channels * kernel) @ matrix
    return np.asarray(flat.reshape(n, columns, -1) + bias, np.float32)


def rectified(layer: FloatConv, y: NDArray[np.float32]) -> NDArray[np.float32]:
    """``y`` behind the layer's rectifier, if it has one."""
    return np.maximum(y, np.float32(0)) if layer.relu else y


def run_float(layers: Sequence[FloatConv], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Latents of the float chain: float32[n, W, in] -> [n, P, D]."""
    for layer in layers:
        x = rectified(layer, convolve(layer, x))
    return x


def with_remainder(layers: Sequence[FloatConv], remainder_bits: int) -> list[FloatConv]:
    """The chain that reads a second channel too: what rounding the first leaves, in steps of 2^-Q (NUMERICS.md 2.4).

    One input tensor has one scale, so that the weights of the second channel are 2^-Q times those of the first.

    Args:
        layers: a chain that reads one channel, its first layer dense.
        remainder_bits: Q; 0 gives the chain as it is.
    """
    if not remainder_bits:
        return list(layers)
    first = layers[0]
    both = np.concatenate([first.weights, first.weights * 2.0**-remainder_bits], axis=2)
    return [with_arrays(first, both, first.bias), *layers[1:]]


def fold_encoder(encoder: Any) -> list[FloatConv]:
    """The chain that a Keras encoder computes at inference.

    Args:
        encoder: Keras model: Conv2D, DepthwiseConv2D, BatchNormalization and ReLU one behind the other, height 1.

    Raises:
        UnsupportedOpError: another layer, or a use of one, that does not fold into a chain; names it.
    """
    layers = [layer for layer in encoder.layers if type(layer).__name__ != "InputLayer"]
    for first, second in pairwise(layers):
        nodes = first._outbound_nodes
        if len(nodes) != 1 or nodes[0].operation is not second:
            raise UnsupportedOpError(f"{first.name}: its output is not read by {second.name} alone", _WAY_OUT)
    chain: list[FloatConv] = []
    for layer in layers:
        kind = type(layer).__name__
        if kind in ("Conv2D", "DepthwiseConv2D"):
            chain.append(_convolution(layer, kind == "DepthwiseConv2D"))
        elif kind == "BatchNormalization" and chain and not chain[-1].relu:
            chain[-1] = _with_norm(chain[-1], layer)
        elif kind == "ReLU" and chain and layer.max_value is None and not layer.negative_slope:
            chain[-1] = _replaced(chain[-1], relu=True)
        else:
            raise UnsupportedOpError(f"{layer.name}: {kind} does not fold into a convolution", _WAY_OUT)
    if not chain:
        raise UnsupportedOpError("the encoder has no convolution", "train it with kit build-firmware --train")
    return chain


def _replaced(layer: FloatConv, **changes: Any) -> FloatConv:
    names = ("name", "weights", "bias", "stride", "relu", "depthwise")
    return FloatConv(**{name: changes.get(name, getattr(layer, name)) for name in names})


def _convolution(layer: Any, depthwise: bool) -> FloatConv:
    kernel = np.asarray(layer.kernel, np.float64)
    activation = layer.activation.__name__
    usable = (
        kernel.shape[0] == 1
        and (layer.padding == "same" or kernel.shape[1] == 1)
        and tuple(layer.dilation_rate) == (1, 1)
        and activation in ("linear", "relu")
        and (not depthwise or kernel.shape[3] == 1)
        and getattr(layer, "groups", 1) == 1
    )
    if not usable:
        raise UnsupportedOpError(
            f"{layer.name}: kernel {list(kernel.shape)}, padding {layer.padding}, activation {activation} is no plain "
            "convolution along time",
            _WAY_OUT,
        )
    weights = kernel[0, :, :, 0] if depthwise else kernel[0].transpose(2, 0, 1)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(weights.shape[1 if depthwise else 0])
    return FloatConv(layer.name, weights, bias, int(layer.strides[1]), activation == "relu", depthwise)


def _with_norm(layer: FloatConv, norm: Any) -> FloatConv:
    """The convolution that does what ``layer`` and the batch normalisation behind it do at inference."""
    mean, variance = np.asarray(norm.moving_mean, np.float64), np.asarray(norm.moving_variance, np.float64)
    gain = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        gain = gain * np.asarray(norm.gamma, np.float64)
    shift = np.asarray(norm.beta, np.float64) if norm.center else 0.0
    weights = scaled_outputs(layer, gain)
    return _replaced(layer, weights=weights, bias=(layer.bias - mean) * gain + shift)


def scaled_outputs(layer: FloatConv, gain: FloatArray) -> FloatArray:
    """Weights of a layer with every output channel multiplied: gain float64[out]."""
    return layer.weights * (gain if layer.depthwise else gain[:, None, None])


def can_centre(first: FloatConv, second: FloatConv) -> bool:
    """A constant passes from ``first`` through ``second`` into its bias: no rectifier between, and no padding."""
    return not first.relu and second.kernel == 1 and second.stride == 1 and not second.depthwise


def centred(layers: Sequence[FloatConv], centres: Sequence[FloatArray]) -> list[FloatConv]:
    """The same function with the channels between the layers shifted.

    Args:
        layers: the chain.
        centres: float64[channels] for every layer but the last: taken off its output, and put back by the next layer's
            bias. 0 where :func:`can_centre` says no.
    """
    result = list(layers)
    for at, centre in enumerate(centres):
        if not centre.any():
            continue
        first, second = result[at], result[at + 1]
        result[at] = _replaced(first, bias=first.bias - centre)
        result[at + 1] = _replaced(second, bias=second.bias + second.weights[:, 0] @ centre)
    return result


def equalized(layers: Sequence[FloatConv], gains: Sequence[FloatArray]) -> list[FloatConv]:
    """The same function with the channels between the layers rescaled.

    Args:
        layers: the chain.
        gains: positive float64[channels] for every layer but the last: its output is multiplied, the next layer's
            weights are divided.
    """
    result = list(layers)
    for at, gain in enumerate(gains):
        first, second = result[at], result[at + 1]
        result[at] = _replaced(first, weights=scaled_outputs(first, gain), bias=first.bias * gain)
        divided = second.weights / (gain[None, :] if second.depthwise else gain[None, None, :])
        result[at + 1] = _replaced(second, weights=divided)
    return result


def with_arrays(layer: FloatConv, weights: FloatArray, bias: FloatArray) -> FloatConv:
    """The layer with other weights and bias of the same shapes."""
    return _replaced(layer, weights=weights, bias=bias)
