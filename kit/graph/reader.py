"""From a full-integer .tflite to the integer graph: everything that the device relies on is checked here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.errors import GraphError, UnsupportedOpError
from kit.files import sha256_bytes
from kit.graph.check import check, check_tensor
from kit.graph.container import ModelView, OperatorView, TensorView, open_model, read_bytes
from kit.graph.ir import OPAQUE_MODEL, Conv, Encoder, EncoderGraph, TensorInfo
from kit.graph.layers import keras_layer, trace_suffix
from kit.graph.requant import ACT_LIMIT, activation_range, requant

Engine = Literal["aot", "tflm"]

OPS = ("CONV_2D", "DEPTHWISE_CONV_2D")
"""Operators that an integer graph is made of."""

_NORM_OPS = frozenset({"MEAN", "SQUARED_DIFFERENCE", "RSQRT", "SUM", "SQRT", "DIV", "NEG", "DEQUANTIZE", "QUANTIZE"})
"""What layer normalisation lowers to, and ordinary encoders do not contain."""

_EXPORT = "export the encoder again with full-integer quantization"


@dataclass(frozen=True, slots=True)
class _Site:
    """Where a problem is: operator and Keras layer."""

    op: str
    layer: str

    def unsupported(self, reason: str) -> UnsupportedOpError:
        ways = ["use firmware.engine: tflm"]
        if self.op in _NORM_OPS:
            key = "encoder_head_norm" if "head" in self.layer else "encoder_block_norm"
            ways.append(f"model.{key}: batch")
        return UnsupportedOpError(f"{self.op} (layer {self.layer}): {reason}", ", or ".join(ways))

    def invalid(self, reason: str) -> GraphError:
        return GraphError(f"{self.op} (layer {self.layer}): {reason}", _EXPORT)


def read_tflite(source: str | Path | bytes, engine: Engine = "aot") -> Encoder:
    """The integer graph of an encoder.

    Args:
        source: path or content of a full-integer .tflite: one chain of int8 convolutions of height 1.
        engine: ``aot`` refuses every other operator; ``tflm`` makes an opaque graph of a model that has some
            (:attr:`~kit.graph.ir.EncoderGraph.opaque`), since TensorFlow Lite Micro runs it.

    Raises:
        GraphError: not a .tflite, truncated or damaged, not full-integer, or numbers that may overflow.
        UnsupportedOpError: an operator, or a use of one, outside the integer graph.
    """
    data, _ = read_bytes(source)
    model = open_model(source)
    _check_ends(model)
    try:
        return _read_chain(model)
    except UnsupportedOpError:
        if engine == "aot":
            raise
        return _read_opaque(model, data)


def _read_chain(model: ModelView) -> Encoder:
    suffix = trace_suffix(tensor.name for tensor in model.tensors)
    sites = [_Site(op.op, keras_layer(_names(model, op), suffix)) for op in model.operators]
    for op, site in zip(model.operators, sites, strict=True):
        _check_operator(op, site)
    _check_chain(model, sites)
    chain = [model.inputs[0]] + [op.outputs[0] for op in model.operators]
    names = _unique([model.tensors[number].name for number in chain])
    tensors = tuple(_activation(model.tensors[n], name) for n, name in zip(chain, names, strict=True))
    weights: dict[str, NDArray[Any]] = {}
    nodes = tuple(
        _conv(model, op, site, index, tensors[index : index + 2], weights)
        for index, (op, site) in enumerate(zip(model.operators, sites, strict=True))
    )
    return check(Encoder(EncoderGraph(tensors, nodes, 0, len(nodes)), weights))


def _read_opaque(model: ModelView, data: bytes) -> Encoder:
    ends = [model.tensors[model.inputs[0]], model.tensors[model.outputs[0]]]
    tensors = tuple(_activation(tensor, name) for tensor, name in zip(ends, ("input", "output"), strict=True))
    graph = EncoderGraph(tensors, (), 0, 1, opaque=sha256_bytes(data))
    return check(Encoder(graph, {OPAQUE_MODEL: np.frombuffer(data, np.uint8)}))


def _names(model: ModelView, op: OperatorView) -> list[str]:
    """Tensor names that tell about an operator: its outputs', then its constants'."""
    constants = [model.tensors[n].name for n in op.inputs[1:] if n >= 0 and model.tensors[n].data is not None]
    return [model.tensors[n].name for n in op.outputs] + constants


def _check_ends(model: ModelView) -> None:
    if not model.operators:
        raise GraphError(f"{model.origin} has no operators", _EXPORT)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise GraphError(f"{model.origin} has {len(model.inputs)} inputs and {len(model.outputs)} outputs", _EXPORT)
    for number in (model.inputs[0], model.outputs[0]):
        tensor = model.tensors[number]
        if tensor.type_name != "INT8":
            raise GraphError(f"{model.origin}: tensor {tensor.name} is {tensor.type_name}, expected INT8", _EXPORT)


def _check_operator(op: OperatorView, site: _Site) -> None:
    if op.op not in OPS:
        raise site.unsupported(f"the integer graph has only {' and '.join(OPS)}")
    if op.dilation != (1, 1):
        raise site.unsupported(f"dilation {op.dilation[1]} is not supported")
    if op.op == "DEPTHWISE_CONV_2D" and op.depth_multiplier != 1:
        raise site.unsupported(f"depth multiplier {op.depth_multiplier} is not supported")
    if op.activation not in ACT_LIMIT:
        raise site.unsupported(f"fused activation {op.activation} is not supported")
    if op.padding not in ("SAME", "VALID") or min(op.stride) < 1:
        raise site.invalid(f"has {op.padding} and stride {list(op.stride)}")
    if not 2 <= len(op.inputs) <= 3 or len(op.outputs) != 1:
        raise site.invalid(f"has {len(op.inputs)} inputs and {len(op.outputs)} outputs")


def _check_chain(model: ModelView, sites: Sequence[_Site]) -> None:
    current = model.inputs[0]
    seen = {current}
    for op, site in zip(model.operators, sites, strict=True):
        if op.inputs[0] != current or op.outputs[0] in seen:
            raise site.unsupported("it does not read the output of the operator before it")
        current = op.outputs[0]
        seen.add(current)
    if model.outputs[0] != current:
        raise GraphError(f"{model.origin}: the output is not that of the last operator", _EXPORT)


def _unique(names: Sequence[str]) -> list[str]:
    """Names with ``#2``, ``#3`` behind repeated ones, so that each tells one tensor."""
    result: list[str] = []
    for name in names:
        candidate, count = name, 1
        while candidate in result:
            count += 1
            candidate = f"{name}#{count}"
        result.append(candidate)
    return result


def _activation(tensor: TensorView, name: str) -> TensorInfo:
    if tensor.type_name != "INT8" or tensor.data is not None:
        kind = "a constant" if tensor.data is not None else tensor.type_name
        raise GraphError(f"tensor {tensor.name} is {kind}, expected an INT8 activation", _EXPORT)
    if len(tensor.shape) != 4 or tensor.shape[:2] != (1, 1):
        raise GraphError(
            f"tensor {tensor.name} has shape {list(tensor.shape)}, expected [1, 1, length, channels]", _EXPORT
        )
    if tensor.scales.size != 1:
        raise GraphError(f"tensor {tensor.name} has {tensor.scales.size} scales, expected 1", _EXPORT)
    info = TensorInfo(name, tensor.shape[2], tensor.shape[3], float(tensor.scales[0]), int(tensor.zero_points[0]))
    check_tensor(info)
    return info


def _conv(
    model: ModelView,
    op: OperatorView,
    site: _Site,
    index: int,
    ends: Sequence[TensorInfo],
    weights: dict[str, NDArray[Any]],
) -> Conv:
    """One node; its arrays go into ``weights``."""
    depthwise = op.op == "DEPTHWISE_CONV_2D"
    name = f"{'depthwise' if depthwise else 'conv'}{index}"
    source, target = ends
    filters = _filter_tensor(model, op, site, target.channels)
    taps = _taps(filters, site, depthwise, source.channels, target.channels)
    kernel = taps.shape[0 if depthwise else 1]
    pad_left, pad_right = _padding(op, kernel, source.length)
    factors = requant(
        np.float32(source.scale),
        filters.scales,
        np.float32(target.scale),
        target.channels,
        f"{site.op} (layer {site.layer})",
    )
    act_min, act_max = activation_range(op.activation, np.float32(target.scale), target.zero_point)
    weights[f"{name}_weights"], weights[f"{name}_bias"] = taps, _bias(model, op, site, target.channels)
    return Conv(
        name=name,
        keras_layer=site.layer,
        input=index,
        output=index + 1,
        kernel=kernel,
        stride=op.stride[1],
        pad_left=pad_left,
        pad_right=pad_right,
        weights=f"{name}_weights",
        bias=f"{name}_bias",
        requant=factors,
        act_min=act_min,
        act_max=act_max,
        depthwise=depthwise,
    )


def _filter_tensor(model: ModelView, op: OperatorView, site: _Site, outputs: int) -> TensorView:
    """The weights of an operator, symmetric int8 with a scale per output channel (or one for all)."""
    if op.inputs[1] < 0:
        raise site.invalid("it has no weights")
    tensor = model.tensors[op.inputs[1]]
    if tensor.data is None or tensor.data.dtype != np.int8:
        raise site.invalid(f"its weights are {tensor.type_name}, expected an INT8 constant")
    if tensor.scales.size not in (1, outputs):
        raise site.invalid(f"its weights have {tensor.scales.size} scales, expected one per channel ({outputs})")
    if tensor.zero_points.any():
        raise site.invalid("its weights have zero points other than 0")
    if tensor.scales.size > 1 and tensor.axis != (3 if site.op == "DEPTHWISE_CONV_2D" else 0):
        raise site.invalid(f"its weight scales belong to axis {tensor.axis}")
    if not (np.isfinite(tensor.scales).all() and (tensor.scales >= 0).all()):
        raise site.invalid("its weight scales are not all finite and positive")
    return tensor


def _taps(filters: TensorView, site: _Site, depthwise: bool, inputs: int, outputs: int) -> NDArray[np.int8]:
    """Weights int8[out, kernel, in], or int8[kernel, channels] of a depthwise convolution."""
    array, shape = filters.data, filters.shape
    assert array is not None
    if len(shape) != 4 or shape[0 if depthwise else 1] != 1 or (depthwise and shape[1] != 1):
        raise site.unsupported(f"filter shape {list(shape)} is not of height 1")
    want = (1, 1, shape[2], outputs) if depthwise else (outputs, 1, shape[2], inputs)
    if shape != want or (depthwise and inputs != outputs):
        raise site.unsupported(f"filter shape {list(shape)} does not take {inputs} to {outputs} channels in one group")
    return np.ascontiguousarray(array[0, 0] if depthwise else array[:, 0])


def _bias(model: ModelView, op: OperatorView, site: _Site, outputs: int) -> NDArray[np.int32]:
    """Bias int32[out]; zeros when the operator has none."""
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return np.zeros(outputs, np.int32)
    tensor = model.tensors[op.inputs[2]]
    if tensor.data is None or tensor.data.dtype != np.int32 or tensor.data.shape != (outputs,):
        raise site.invalid(f"its bias is {tensor.type_name}{list(tensor.shape)}, expected INT32[{outputs}]")
    return np.ascontiguousarray(tensor.data)


def _padding(op: OperatorView, kernel: int, length: int) -> tuple[int, int]:
    """Columns added left and right; of an odd number the right side gets one more (NUMERICS.md section 3.1)."""
    if op.padding == "VALID":
        return 0, 0
    columns = -(-length // op.stride[1])
    total = max(0, (columns - 1) * op.stride[1] + kernel - length)
    return total // 2, total - total // 2
