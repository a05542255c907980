"""Invariants of an :class:`~kit.graph.ir.Encoder`, checked alike after reading a .tflite and after loading a store."""

from __future__ import annotations

import math

import numpy as np

from kit.errors import GraphError
from kit.files import sha256_bytes
from kit.graph.ir import OPAQUE_MODEL, SCHEMA, Conv, Encoder, TensorInfo, accumulator_bound

ACCUMULATOR_MAX = (1 << 31) - 1 - 128
"""Largest accumulator after its left shift: adding any output zero point to it stays in int32."""

_FIX = "export the encoder again"


def check(encoder: Encoder) -> Encoder:
    """The encoder itself, if the device can run it bit for bit.

    Raises:
        GraphError: the first broken invariant, with the layer it belongs to.
    """
    graph = encoder.graph
    if graph.schema != SCHEMA:
        raise GraphError(
            f"graph has schema version {graph.schema}, expected {SCHEMA}", "rebuild with kit build-firmware"
        )
    if graph.opaque:
        return _check_opaque(encoder)
    if not graph.nodes or len(graph.tensors) != len(graph.nodes) + 1:
        raise GraphError(f"graph has {len(graph.nodes)} nodes and {len(graph.tensors)} tensors, expected a chain", _FIX)
    for name in ("name", "weights", "bias"):
        values = [getattr(node, name) for node in graph.nodes]
        if len(set(values)) != len(values):
            raise GraphError(f"graph uses one {name} for two nodes", _FIX)
    if len({tensor.name for tensor in graph.tensors}) != len(graph.tensors):
        raise GraphError("graph has two tensors of one name", _FIX)
    for tensor in graph.tensors:
        check_tensor(tensor)
    _check_input(graph.input_tensor)
    current = graph.input
    for node in graph.nodes:
        _check_node(encoder, node, current)
        current = node.output
    if current != graph.output:
        raise GraphError("the graph's output is not that of its last node", _FIX)
    named = {key for node in graph.nodes for key in (node.weights, node.bias)}
    if named != encoder.weights.keys():
        odd = sorted(named ^ encoder.weights.keys())
        raise GraphError(
            f"graph and weights do not belong together ({', '.join(odd)})", "rebuild with kit build-firmware"
        )
    return encoder


def check_input_quantization(scale: float, zero_point: int) -> None:
    """The normalised frame must be 2^L LSB per unit around 0 (NUMERICS.md section 2.4).

    Raises:
        GraphError: another scale or zero point.
    """
    significand, exponent = math.frexp(scale)
    if significand != 0.5 or not 3 <= 1 - exponent <= 6 or zero_point != 0:
        raise GraphError(
            f"the encoder's input has scale {scale:.9g} and zero point {zero_point}, "
            "expected 1/8, 1/16, 1/32 or 1/64 and 0",
            "export again with kit build-firmware, which pins the input to quantize.input_clip",
        )


def check_tensor(tensor: TensorInfo) -> None:
    """Shape and quantization of one activation.

    Raises:
        GraphError: empty, or a scale or zero point that int8 cannot have.
    """
    if tensor.length < 1 or tensor.channels < 1:
        raise GraphError(f"tensor {tensor.name} has shape [{tensor.length}, {tensor.channels}]", _FIX)
    if not (math.isfinite(tensor.scale) and tensor.scale > 0 and -128 <= tensor.zero_point <= 127):
        raise GraphError(f"tensor {tensor.name} has scale {tensor.scale}, zero point {tensor.zero_point}", _FIX)


def _check_opaque(encoder: Encoder) -> Encoder:
    graph, model = encoder.graph, encoder.weights.get(OPAQUE_MODEL)
    if graph.nodes or len(graph.tensors) != 2 or (graph.input, graph.output) != (0, 1):
        raise GraphError("an opaque graph has input and output only", "rebuild with kit build-firmware")
    for tensor in graph.tensors:
        check_tensor(tensor)
    _check_input(graph.input_tensor)
    if model is None or len(encoder.weights) != 1 or model.dtype != np.uint8 or model.ndim != 1:
        raise GraphError("an opaque graph holds its .tflite and nothing else", "rebuild with kit build-firmware")
    if sha256_bytes(model.tobytes()) != graph.opaque:
        raise GraphError("graph and weights do not belong together", "rebuild with kit build-firmware")
    return encoder


def _check_input(tensor: TensorInfo) -> None:
    if tensor.channels not in (1, 2):
        raise GraphError(f"the encoder reads {tensor.channels} channels, expected the sample and its remainder", _FIX)
    check_input_quantization(tensor.scale, tensor.zero_point)


def _check_node(encoder: Encoder, node: Conv, current: int) -> None:
    graph = encoder.graph
    where = f"{node.name} ({node.keras_layer})"
    if node.input != current or not 0 <= node.output < len(graph.tensors) or node.output == graph.input:
        raise GraphError(f"{where} does not read the output of the node before it", _FIX)
    if node.kernel < 1 or node.stride < 1 or min(node.pad_left, node.pad_right) < 0:
        raise GraphError(f"{where} has kernel {node.kernel}, stride {node.stride}", _FIX)
    if max(node.pad_left, node.pad_right) >= node.kernel:
        raise GraphError(f"{where} pads {node.pad_left} and {node.pad_right} columns of kernel {node.kernel}", _FIX)
    source, target = graph.tensors[node.input], graph.tensors[node.output]
    length = (source.length + node.pad_left + node.pad_right - node.kernel) // node.stride + 1
    if length != target.length:
        raise GraphError(f"{where} gives {length} columns, its output has {target.length}", _FIX)
    if not -128 <= node.act_min <= node.act_max <= 127:
        raise GraphError(f"{where} clamps to {node.act_min}..{node.act_max}", _FIX)
    _check_arrays(encoder, node, where)
    _check_requant(encoder, node, where)


def _check_arrays(encoder: Encoder, node: Conv, where: str) -> None:
    source, target = encoder.graph.tensors[node.input], encoder.graph.tensors[node.output]
    if node.depthwise and source.channels != target.channels:
        raise GraphError(f"{where} is depthwise from {source.channels} to {target.channels} channels", _FIX)
    shape = (node.kernel, target.channels) if node.depthwise else (target.channels, node.kernel, source.channels)
    for key, want, dtype in ((node.weights, shape, np.int8), (node.bias, (target.channels,), np.int32)):
        array = encoder.weights.get(key)
        if array is None:
            raise GraphError(f"{where} lacks its array {key}", "rebuild with kit build-firmware")
        if array.shape != want or array.dtype != dtype:
            raise GraphError(
                f"{where}: {key} is {array.dtype}{list(array.shape)}, expected {np.dtype(dtype)}{list(want)}",
                "rebuild with kit build-firmware",
            )


def _check_requant(encoder: Encoder, node: Conv, where: str) -> None:
    factors, channels = node.requant, encoder.graph.tensors[node.output].channels
    if len(factors.multiplier) != channels or len(factors.shift) != channels:
        raise GraphError(f"{where} has {len(factors.multiplier)} multipliers for {channels} channels", _FIX)
    if factors.rounding not in ("single", "double"):
        raise GraphError(f"{where} has rounding {factors.rounding!r}, expected 'single' or 'double'", _FIX)
    for multiplier, shift in zip(factors.multiplier, factors.shift, strict=True):
        if not (multiplier == 0 or 1 << 30 <= multiplier < 1 << 31) or not -31 <= shift <= 30:
            raise GraphError(f"{where} has multiplier {multiplier}, shift {shift}", _FIX)
    bounds = [int(b) << max(s, 0) for b, s in zip(accumulator_bound(encoder, node), factors.shift, strict=True)]
    worst = int(np.argmax(bounds))
    if bounds[worst] > ACCUMULATOR_MAX:
        raise GraphError(
            f"{where}: accumulator of channel {worst} may reach {bounds[worst]}, at most {ACCUMULATOR_MAX}",
            "calibrate with more frames and export again",
        )
