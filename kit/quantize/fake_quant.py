"""The quantized encoder as a Keras layer that can be trained: integers in front, gradients behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kit.quantize.chain import Grid, QuantChain, QuantConv
from kit.quantize.fold import with_arrays


def rounded(x: Any) -> Any:
    """``x`` rounded to integers; the gradient passes straight through (Bengio et al., 2013)."""
    return x + keras.ops.stop_gradient(keras.ops.round(x) - x)


class FakeQuantEncoder(keras.layers.Layer):  # type: ignore[misc]
    """A :class:`QuantChain` whose weights and biases train; scales and zero points stay.

    Input float32[B, T] or [B, T, 2], normalised frames on the INT8 grid times its scale; output float32[B, 1, P, D],
    latents on their grid. A value beyond its range gets no gradient, all others that of the float encoder.
    """

    def __init__(self, chain: QuantChain, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.chain = chain
        self.kernels: list[Any] = []
        self.biases: list[Any] = []
        for at, layer in enumerate(chain.layers):
            real = layer.real(chain.scale_before(at))
            self.kernels.append(self._variable(f"kernel{at}", _kernel(layer, real.weights)))
            self.biases.append(self._variable(f"bias{at}", real.bias))

    def _variable(self, name: str, value: NDArray[Any]) -> Any:
        variable = self.add_weight(shape=value.shape, initializer="zeros", name=name)
        variable.assign(value.astype(np.float32))
        return variable

    def call(self, inputs: Any) -> Any:
        """Latents of the fake-quantized encoder."""
        ops = keras.ops
        x = ops.reshape(inputs, (-1, 1, inputs.shape[1], self.chain.input_channels))
        for at, layer in enumerate(self.chain.layers):
            scales = _kernel(layer, np.broadcast_to(_spread(layer), layer.weights.shape))
            kernel = rounded(ops.clip(self.kernels[at] / scales, -127.0, 127.0)) * scales
            step = (self.chain.scale_before(at) * layer.scales.astype(np.float64)).astype(np.float32)
            # At height 1 a vertical stride changes nothing, and TensorFlow refuses unequal ones for depthwise layers.
            stride = layer.shape.stride
            convolution = ops.depthwise_conv if layer.shape.depthwise else ops.conv
            x = convolution(x, kernel, strides=(stride, stride), padding="same")
            x = x + rounded(self.biases[at] / step) * step
            x = _on_grid(ops.relu(x) if layer.shape.relu else x, layer.grid)
        return x

    def quantized(self) -> QuantChain:
        """The chain of the weights as they are now."""
        layers = []
        for layer, kernel, bias in zip(self.chain.layers, self.kernels, self.biases, strict=True):
            scales = _kernel(layer, np.broadcast_to(_spread(layer), layer.weights.shape))
            found = np.asarray(kernel, np.float32) / scales
            integers = np.rint(np.clip(found, -127.0, 127.0)).astype(np.int8)
            trained = np.asarray(bias, np.float64)
            shape = with_arrays(layer.shape, _from_kernel(layer, np.asarray(kernel, np.float64)), trained)
            layers.append(replace(layer, shape=shape, weights=_from_kernel(layer, integers), bias=trained))
        return QuantChain(self.chain.input_scale, tuple(layers))


def _on_grid(x: Any, grid: Grid) -> Any:
    q = keras.ops.clip(x / np.float32(grid.scale), -128.0 - grid.zero_point, 127.0 - grid.zero_point)
    return rounded(q) * np.float32(grid.scale)


def _spread(layer: QuantConv) -> NDArray[np.float32]:
    """Scales in a shape that multiplies the layer's weights."""
    return layer.scales if layer.shape.depthwise else layer.scales[:, None, None]


def _kernel(layer: QuantConv, weights: NDArray[Any]) -> NDArray[np.float32]:
    """Weights in Keras' order: [1, kernel, in, out], or [1, kernel, channels, 1] when depthwise."""
    ordered = weights[None, :, :, None] if layer.shape.depthwise else weights.transpose(1, 2, 0)[None]
    return np.ascontiguousarray(ordered, np.float32)


def _from_kernel(layer: QuantConv, kernel: NDArray[Any]) -> NDArray[Any]:
    """Inverse of :func:`_kernel`."""
    return np.ascontiguousarray(kernel[0, :, :, 0] if layer.shape.depthwise else kernel[0].transpose(2, 0, 1))
