"""Keras decoder to the layer list that :mod:`kit.server` executes with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError, UnsupportedOpError
from kit.server.executor import run
from kit.server.spec import DecoderSpec, Kind, Layer

TOLERANCE = 1e-4
"""Largest difference between NumPy and Keras, relative to the largest output (units of a frame's scale)."""

CHECK_FRAMES = 16

_WAY_OUT = "build the decoder from the layers of kit.model.decoder"


def export_decoder(decoder: Any) -> DecoderSpec:
    """Layer list of a trained decoder, checked against Keras on random latents.

    Args:
        decoder: Keras functional model, [B, 1, P, D] -> [B, 1, T, 1].

    Raises:
        UnsupportedOpError: a layer, or a use of one, that the NumPy executor does not have.
        ArtifactError: the two executions differ by more than ``TOLERANCE``.
    """
    _, height, positions, channels = decoder.input_shape
    if height != 1 or decoder.output_shape[1] != 1:
        raise UnsupportedOpError(f"decoder {decoder.name}: its height is not 1", _WAY_OUT)
    listing = _Listing()
    for layer in decoder.layers:
        listing.add(layer)
    spec = DecoderSpec(positions, channels, decoder.output_shape[2], tuple(listing.layers), listing.weights)
    spec.validate()
    if listing.value_of(decoder.outputs[0]) != len(spec.layers):
        raise UnsupportedOpError(f"decoder {decoder.name}: its output is not that of its last layer", _WAY_OUT)
    _compare(decoder, spec)
    return spec


def _compare(decoder: Any, spec: DecoderSpec) -> None:
    shape = (CHECK_FRAMES, spec.positions, spec.channels)
    latents = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    wanted = np.asarray(decoder(latents[:, None]))[:, 0, :, 0]
    error = float(np.abs(run(spec, latents) - wanted).max()) / max(1.0, float(np.abs(wanted).max()))
    if not error <= TOLERANCE:
        raise ArtifactError(f"NumPy and Keras decoders differ by {error:.2g}, at most {TOLERANCE:g} is right", _WAY_OUT)


class _Listing:
    """Layers and weights so far, and which value each Keras tensor became."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.weights: dict[str, NDArray[np.float32]] = {}
        self._values: dict[int, int] = {}

    def value_of(self, tensor: Any) -> int:
        """Number of the value that a Keras tensor became."""
        return self._values[id(tensor)]

    def add(self, layer: Any) -> None:
        """Append one Keras layer, as one or more layers of the list."""
        kind = type(layer).__name__
        if kind == "InputLayer":
            self._values[id(layer.output)] = 0
            return
        if len(layer._inbound_nodes) != 1:
            raise _unsupported(layer, "is used more than once")
        values = [self.value_of(tensor) for tensor in layer._inbound_nodes[0].input_tensors]
        lower = _LOWERINGS.get(kind)
        if lower is None:
            raise _unsupported(layer, f"has no NumPy execution; known: {', '.join(_LOWERINGS)}")
        self._values[id(layer.output)] = lower(self, layer, values)

    def put(
        self,
        name: str,
        kind: Kind,
        inputs: list[int],
        *,
        size: int = 0,
        epsilon: float = 0.0,
        dilation: int = 1,
        **weights: Any,
    ) -> int:
        """Append one layer of the list; number of its value."""
        self.layers.append(Layer(name, kind, tuple(inputs), size, epsilon, dilation))
        for part, array in weights.items():
            self.weights[f"{name}.{part}"] = np.ascontiguousarray(np.asarray(array), np.float32)
        return len(self.layers)

    def finish(self, layer: Any, value: int) -> int:
        """Append a layer's own activation, if it has one."""
        function = layer.activation.__name__
        if function == "linear":
            return value
        if function != "relu":
            raise _unsupported(layer, f"has the activation {function}; known: linear, relu")
        return self.put(f"{layer.name}.relu", "relu", [value])


def _unsupported(layer: Any, reason: str) -> UnsupportedOpError:
    return UnsupportedOpError(f"decoder layer {layer.name} ({type(layer).__name__}) {reason}", _WAY_OUT)


def _check_conv(layer: Any, *, dilated: bool = False) -> None:
    dilation = tuple(layer.dilation_rate)
    plain = tuple(layer.strides) == (1, 1) and layer.kernel_size[0] == 1 and (dilated or dilation == (1, 1))
    same = layer.padding == "same" or tuple(layer.kernel_size) == (1, 1)
    if not (plain and same and getattr(layer, "groups", 1) == 1 and getattr(layer, "depth_multiplier", 1) in (1, None)):
        raise _unsupported(layer, "is not a plain (1, k) convolution of stride 1 and SAME padding")


def _bias(layer: Any, channels: int) -> Any:
    return layer.bias if layer.use_bias else np.zeros(channels, np.float32)


def _conv(listing: _Listing, layer: Any, values: list[int]) -> int:
    _check_conv(layer, dilated=True)
    kernel, dilation = np.asarray(layer.kernel)[0], int(layer.dilation_rate[1])
    bias = _bias(layer, kernel.shape[2])
    value = listing.put(layer.name, "conv", values, dilation=dilation, kernel=kernel, bias=bias)
    return listing.finish(layer, value)


def _depthwise(listing: _Listing, layer: Any, values: list[int]) -> int:
    _check_conv(layer)
    kernel = np.asarray(layer.kernel)[0, :, :, 0]
    value = listing.put(layer.name, "depthwise", values, kernel=kernel)
    if layer.use_bias:
        gain = np.ones(kernel.shape[1], np.float32)
        value = listing.put(f"{layer.name}.bias", "affine", [value], gain=gain, offset=layer.bias)
    return listing.finish(layer, value)


def _separable(listing: _Listing, layer: Any, values: list[int]) -> int:
    _check_conv(layer)
    depthwise, pointwise = np.asarray(layer.depthwise_kernel)[0, :, :, 0], np.asarray(layer.pointwise_kernel)[0]
    value = listing.put(f"{layer.name}.depthwise", "depthwise", values, kernel=depthwise)
    bias = _bias(layer, pointwise.shape[2])
    value = listing.put(f"{layer.name}.pointwise", "conv", [value], kernel=pointwise, bias=bias)
    return listing.finish(layer, value)


def _upsample(listing: _Listing, layer: Any, values: list[int]) -> int:
    if layer.size[0] != 1 or layer.interpolation != "nearest":
        raise _unsupported(layer, "is not nearest upsampling along time")
    return listing.put(layer.name, "upsample", values, size=int(layer.size[1]))


def _reshape(listing: _Listing, layer: Any, values: list[int]) -> int:
    _, height, time, channels = layer.input.shape
    size = layer.target_shape[1] // time if len(layer.target_shape) == 3 else 0
    if height != 1 or size < 1 or tuple(layer.target_shape) != (1, time * size, channels // size):
        raise _unsupported(layer, "does not split channels into time steps")
    return listing.put(layer.name, "depth_to_space", values, size=size)


def _batch_norm(listing: _Listing, layer: Any, values: list[int]) -> int:
    mean, variance = np.asarray(layer.moving_mean, np.float64), np.asarray(layer.moving_variance, np.float64)
    gain = 1.0 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        gain = gain * np.asarray(layer.gamma, np.float64)
    offset = -mean * gain
    if layer.center:
        offset = offset + np.asarray(layer.beta, np.float64)
    return listing.put(layer.name, "affine", values, gain=gain, offset=offset)


def _layer_norm(listing: _Listing, layer: Any, values: list[int]) -> int:
    axis = layer.axis if isinstance(layer.axis, int) else (*layer.axis, None)[0]
    if axis not in (-1, 3) or (not isinstance(layer.axis, int) and len(layer.axis) != 1):
        raise _unsupported(layer, "does not normalise over the channels alone")
    channels = layer.output.shape[-1]
    gain = layer.gamma if layer.scale else np.ones(channels, np.float32)
    offset = layer.beta if layer.center else np.zeros(channels, np.float32)
    return listing.put(layer.name, "layer_norm", values, epsilon=float(layer.epsilon), gain=gain, offset=offset)


def _relu(listing: _Listing, layer: Any, values: list[int]) -> int:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise _unsupported(layer, "is not max(x, 0)")
    return listing.put(layer.name, "relu", values)


def _add(listing: _Listing, layer: Any, values: list[int]) -> int:
    if len(values) != 2:
        raise _unsupported(layer, f"adds {len(values)} values, not 2")
    return listing.put(layer.name, "add", values)


_LOWERINGS = {
    "UpSampling2D": _upsample,
    "Reshape": _reshape,
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "ReLU": _relu,
    "Add": _add,
}
