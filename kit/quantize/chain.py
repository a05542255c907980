"""A quantized chain of convolutions: its integers, what they stand for, and the .tflite that carries them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.graph.tflite_writer import Layer, Model, write_tflite
from kit.quantize.fold import FloatArray, FloatConv, convolve, rectified, with_arrays

BIAS_MAX = 1 << 21
"""Largest bias in accumulator units, so that the accumulator stays below the 2^23 of the fast kernels."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Quantization of one activation tensor: real = scale * (q - zero_point), q in -128..127.

    Attributes:
        scale: a float32 value, positive.
        zero_point: -128..127.
    """

    scale: float
    zero_point: int

    @classmethod
    def of_range(cls, low: float, high: float) -> Grid:
        """The grid whose ends are nearest to ``low`` <= 0 <= ``high`` and that holds 0 exactly."""
        scale = float(np.float32(max(high - low, 1e-6) / 255.0))
        return cls(scale, int(np.clip(np.rint(-128.0 - low / scale), -128, 127)))

    def apply(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        """Nearest values of the grid; what lies outside goes to its ends."""
        step = np.float32(self.scale)
        q = np.rint(y / step)
        np.clip(q, -128 - self.zero_point, 127 - self.zero_point, out=q)
        return np.asarray(q * step, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class QuantConv:
    """One quantized layer.

    Attributes:
        shape: the float layer that it stands for, its weights and bias those behind the integers.
        weights: int8 of the same shape as the float weights.
        scales: float32[out], real value of one LSB of a channel's weights.
        bias: float64[out], real; stored as int32 in units of input scale times weight scale.
        grid: of the output.
        offsets: float64[out], steps of the output that the bias carries besides (:mod:`kit.quantize.copies`); or None.
    """

    shape: FloatConv
    weights: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: FloatArray
    grid: Grid
    offsets: FloatArray | None = None

    def bias_steps(self, input_scale: float) -> NDArray[np.int32]:
        """Bias in accumulator units, int32[out]."""
        bias = self.bias if self.offsets is None else self.bias + self.offsets * self.grid.scale
        return np.rint(bias / (input_scale * self.scales.astype(np.float64))).astype(np.int32)

    def real(self, input_scale: float) -> FloatConv:
        """The layer as the integers have it, in real numbers."""
        scales = self.scales.astype(np.float64)
        weights = self.weights * (scales if self.shape.depthwise else scales[:, None, None])
        return with_arrays(self.shape, weights, self.bias_steps(input_scale) * (input_scale * scales))

    def run(self, x: NDArray[np.float32], input_scale: float) -> NDArray[np.float32]:
        """Output on the grid for inputs on theirs: what the device computes, but for ties of the rounding."""
        real = self.real(input_scale)
        return self.grid.apply(rectified(real, convolve(real, x)))


@dataclass(frozen=True, slots=True, eq=False)
class QuantChain:
    """A quantized encoder.

    Attributes:
        input_scale: of the normalised frame, 2^-L; its zero point is 0.
        layers: in execution order; the first reads one channel, or two where the input has remainders.
    """

    input_scale: float
    layers: tuple[QuantConv, ...]

    @property
    def input_channels(self) -> int:
        """Channels of the normalised frame."""
        first = self.layers[0].shape
        return first.channels if first.depthwise else int(first.weights.shape[2])

    def scale_before(self, at: int) -> float:
        """Scale of what layer ``at`` reads."""
        return self.layers[at - 1].grid.scale if at else self.input_scale

    def run(self, x: NDArray[np.float32], first: int = 0) -> NDArray[np.float32]:
        """Latents in real units, from the input of layer ``first`` on: float32[n, W, in] -> [n, P, D]."""
        for at in range(first, len(self.layers)):
            x = self.layers[at].run(x, self.scale_before(at))
        return x

    def with_grid(self, at: int, grid: Grid) -> QuantChain:
        """The chain with another output grid of layer ``at``."""
        layers = list(self.layers)
        layers[at] = replace(layers[at], grid=grid)
        return QuantChain(self.input_scale, tuple(layers))

    def tflite(self, samples: int) -> bytes:
        """The chain as a full-integer .tflite for frames of ``samples``."""
        model = Model(samples, self.input_scale, input_channels=self.input_channels)
        length = samples
        for at, layer in enumerate(self.layers):
            length = -(-length // layer.shape.stride)
            model.layers.append(_written(layer, length, self.scale_before(at)))
        return write_tflite(model)


def _written(layer: QuantConv, length: int, input_scale: float) -> Layer:
    shape = layer.shape
    weights = layer.weights[None, None] if shape.depthwise else layer.weights[:, None]
    return Layer(
        name=shape.name,
        weights=np.ascontiguousarray(weights),
        weight_scales=layer.scales,
        bias=layer.bias_steps(input_scale),
        stride=shape.stride,
        activation="RELU" if shape.relu else "NONE",
        depthwise=shape.depthwise,
        length=length,
        scale=layer.grid.scale,
        zero_point=layer.grid.zero_point,
    )


def input_columns(frames: NDArray[np.int8], input_scale: float) -> NDArray[np.float32]:
    """Normalised frames int8[n, T] or [n, T, 2] as the chain's input at its scale: float32[n, T, 1 or 2]."""
    columns = frames[:, :, None] if frames.ndim == 2 else frames
    return columns.astype(np.float32) * np.float32(input_scale)


def chain_of(input_scale: float, layers: Sequence[Any]) -> QuantChain:
    """A chain from its layers."""
    return QuantChain(input_scale, tuple(layers))
