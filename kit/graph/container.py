"""The .tflite container: checked access to its tables, before anything is believed about the model inside.

Offsets of a FlatBuffer are data of the file. A cut or overwritten file therefore fails anywhere inside the generated
accessors; :func:`open_model` walks every table that the kit or TensorFlow Lite Micro reads, once, and turns any such
failure into one :class:`~kit.errors.GraphError`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from kit.errors import GraphError

SCHEMA_VERSION = 3
"""The only version of the TensorFlow Lite schema in use."""

_DTYPES: dict[int, type[np.generic]] = {
    tflite.TensorType.INT8: np.int8,
    tflite.TensorType.INT16: np.int16,
    tflite.TensorType.INT32: np.int32,
    tflite.TensorType.INT64: np.int64,
    tflite.TensorType.UINT8: np.uint8,
    tflite.TensorType.BOOL: np.bool_,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.FLOAT32: np.float32,
}

_TENSOR_NAME, _METADATA_NAME, _OPERATOR_CODE_WORD = 10, 4, 10
"""Where fields stand in the vtables of Tensor, Metadata and OperatorCode."""

_TYPE_NAMES = {value: name for name, value in vars(tflite.TensorType).items() if name.isupper()}
_OPTIONS = {
    "CONV_2D": tflite.BuiltinOptions.Conv2DOptions,
    "DEPTHWISE_CONV_2D": tflite.BuiltinOptions.DepthwiseConv2DOptions,
}
_PADDINGS = {tflite.Padding.SAME: "SAME", tflite.Padding.VALID: "VALID"}
_ACTIVATIONS = {value: name for name, value in vars(tflite.ActivationFunctionType).items() if name.isupper()}


@dataclass(frozen=True, slots=True, eq=False)
class TensorView:
    """One tensor as the file describes it.

    Attributes:
        name: its name.
        shape: its dimensions, batch included.
        type_name: ``INT8``, ``FLOAT32``...
        scales: float32[n] quantization scales; empty when it is not quantized.
        zero_points: int64[n], as long as ``scales``.
        axis: dimension that several scales belong to.
        data: constant content in the tensor's shape, or None for an activation.
    """

    name: str
    shape: tuple[int, ...]
    type_name: str
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int
    data: NDArray[Any] | None


@dataclass(frozen=True, slots=True)
class OperatorView:
    """One operator as the file describes it; the convolution fields are 0 or empty for other operators.

    Attributes:
        op: builtin operator name, ``CONV_2D``.
        inputs: tensor numbers, -1 for an absent optional one.
        outputs: tensor numbers.
        padding: ``SAME`` or ``VALID``.
        activation: fused activation, ``NONE``, ``RELU``...
        stride: along height and width.
        dilation: along height and width.
        depth_multiplier: of a depthwise convolution.
    """

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    padding: str = ""
    activation: str = ""
    stride: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (0, 0)
    depth_multiplier: int = 0


@dataclass(frozen=True, slots=True)
class ModelView:
    """The only subgraph of a .tflite.

    Attributes:
        origin: file name used in messages.
        tensors: all tensors, constants included.
        operators: in execution order.
        inputs: tensor numbers of the model's inputs.
        outputs: tensor numbers of the model's outputs.
    """

    origin: str
    tensors: tuple[TensorView, ...]
    operators: tuple[OperatorView, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class _Damaged(Exception):
    """Something in the file contradicts itself."""


def read_bytes(source: str | Path | bytes) -> tuple[bytes, str]:
    """Content of a .tflite and the name to use in messages.

    Raises:
        GraphError: the file cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "encoder.tflite"
    try:
        return Path(source).read_bytes(), str(source)
    except OSError as error:
        raise GraphError(f"cannot read {source}: {error.strerror}", "give an existing .tflite file") from None


def open_model(source: str | Path | bytes) -> ModelView:
    """Read a .tflite completely and check that it hangs together.

    Args:
        source: path or content.

    Raises:
        GraphError: not a .tflite, truncated or damaged, another schema version, or more than one subgraph.
    """
    data, origin = read_bytes(source)
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise GraphError(
            f"{origin} is no .tflite model (it lacks the file identifier TFL3)", "export the encoder again"
        )
    try:
        return _walk(data, origin)
    except GraphError:
        raise
    except Exception as error:  # the generated accessors raise whatever a wild offset makes of it
        detail = f" ({error})" if isinstance(error, _Damaged) else ""
        raise GraphError(f"{origin} is truncated or damaged{detail}", "export the encoder again") from None


def _walk(data: bytes, origin: str) -> ModelView:
    if len(data) % 4:
        raise _Damaged(f"{len(data)} bytes is no whole number of words")
    model = tflite.Model.GetRootAs(data, 0)
    if model.Version() != SCHEMA_VERSION:
        raise GraphError(
            f"{origin} has TensorFlow Lite schema version {model.Version()}, expected {SCHEMA_VERSION}",
            "export the encoder with the TensorFlow release that the kit names",
        )
    buffers = [_buffer(model.Buffers(i)) for i in range(_count(model.BuffersLength(), data))]
    for i in range(_count(model.MetadataLength(), data)):
        _at(buffers, model.Metadata(i).Buffer())
        _string(model.Metadata(i), _METADATA_NAME)
    codes = [_op_name(model.OperatorCodes(i)) for i in range(_count(model.OperatorCodesLength(), data))]
    if model.SubgraphsLength() != 1:
        raise GraphError(
            f"{origin} has {model.SubgraphsLength()} subgraphs, expected 1", "export the encoder alone, as one function"
        )
    graph = model.Subgraphs(0)
    tensors = tuple(_tensor(graph.Tensors(i), buffers) for i in range(_count(graph.TensorsLength(), data)))
    operators = tuple(_operator(graph.Operators(i), codes) for i in range(_count(graph.OperatorsLength(), data)))
    inputs, outputs = _ints(graph.InputsAsNumpy()), _ints(graph.OutputsAsNumpy())
    for number in [*inputs, *outputs, *(n for op in operators for n in op.outputs)]:
        _at(tensors, number)
    for number in (n for op in operators for n in op.inputs):
        _at(tensors, 0 if number == -1 else number)
    return ModelView(origin, tensors, operators, inputs, outputs)


def _count(length: int, data: bytes) -> int:
    # Every element takes at least four bytes: a larger count is a wild offset, and looping over it would hang.
    if length * 4 > len(data):
        raise _Damaged("a list is longer than the file")
    return length


def _at(items: Any, number: int) -> Any:
    if not 0 <= number < len(items):
        raise _Damaged(f"number {number} is outside a list of {len(items)}")
    return items[number]


def _ints(array: Any) -> tuple[int, ...]:
    # The accessors return the number 0 for an absent vector.
    return tuple(int(v) for v in array) if isinstance(array, np.ndarray) else ()


def _string(owner: Any, slot: int) -> str:
    """A string field; the generated accessor would hand out what is left of a cut one."""
    table = owner._tab
    field = table.Offset(slot)
    if not field:
        return ""
    start, length = table.Vector(field), table.VectorLen(field)
    if not 0 <= start + length < len(table.Bytes) or table.Bytes[start + length] != 0:
        raise _Damaged("a name does not end")
    return bytes(table.Bytes[start : start + length]).decode("utf-8")


def _buffer(buffer: Any) -> bytes:
    if buffer.Offset() > 1 or buffer.Size() > 1:
        raise _Damaged("its buffers lie outside the model")
    content = buffer.DataAsNumpy()
    if not isinstance(content, np.ndarray):
        return b""
    if content.size != buffer.DataLength():
        raise _Damaged("a buffer is shorter than its length")
    return content.tobytes()


def _op_name(code: Any) -> str:
    # The code stands twice: in a byte, and in a word where files are recent. The accessor of the word returns the byte
    # for codes below 127, so that the word itself is read here.
    table, old = code._tab, code.DeprecatedBuiltinCode()
    field = table.Offset(_OPERATOR_CODE_WORD)
    new = struct.unpack_from("<i", table.Bytes, table.Pos + field)[0] if field else 0
    if new not in (0, old) and new < tflite.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES:
        raise _Damaged(f"an operator is both {old} and {new}")
    number = max(new, old)
    return str(tflite.BUILTIN_OPCODE2NAME.get(number, f"operator {number}"))


def _tensor(tensor: Any, buffers: list[bytes]) -> TensorView:
    shape = _ints(tensor.ShapeAsNumpy())
    name = _string(tensor, _TENSOR_NAME)
    if any(size < 0 for size in shape):
        raise _Damaged(f"tensor {name} has a negative size")
    content = _at(buffers, tensor.Buffer())
    data = None
    if content:
        dtype = _DTYPES.get(tensor.Type())
        if dtype is None:
            raise _Damaged(f"constant {name} has an unknown type")
        values = np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).astype(dtype)
        if values.size != int(np.prod(shape, dtype=object)):
            raise _Damaged(f"constant {name} has {values.size} values for shape {list(shape)}")
        data = values.reshape(shape)
    scales, zero_points, axis = _quantization(tensor.Quantization(), name)
    return TensorView(name, shape, _TYPE_NAMES.get(tensor.Type(), "unknown"), scales, zero_points, axis, data)


def _quantization(params: Any, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    if params is None:
        return np.empty(0, np.float32), np.empty(0, np.int64), 0
    scale, zero = params.ScaleAsNumpy(), params.ZeroPointAsNumpy()
    scales = scale.astype(np.float32) if isinstance(scale, np.ndarray) else np.empty(0, np.float32)
    zeros = zero.astype(np.int64) if isinstance(zero, np.ndarray) else np.zeros(scales.size, np.int64)
    if scales.size != zeros.size:
        raise _Damaged(f"tensor {name} has {scales.size} scales and {zeros.size} zero points")
    return scales, zeros, int(params.QuantizedDimension())


def _operator(operator: Any, codes: list[str]) -> OperatorView:
    op = str(_at(codes, operator.OpcodeIndex()))
    inputs, outputs = _ints(operator.InputsAsNumpy()), _ints(operator.OutputsAsNumpy())
    table = operator.BuiltinOptions()
    if op not in _OPTIONS:
        return OperatorView(op, inputs, outputs)
    if table is None or operator.BuiltinOptionsType() != _OPTIONS[op]:
        raise _Damaged(f"{op} has no options, or those of another operator")
    options = tflite.Conv2DOptions() if op == "CONV_2D" else tflite.DepthwiseConv2DOptions()
    options.Init(table.Bytes, table.Pos)
    return OperatorView(
        op,
        inputs,
        outputs,
        padding=_PADDINGS.get(options.Padding(), f"padding {options.Padding()}"),
        activation=_ACTIVATIONS.get(
            options.FusedActivationFunction(), f"activation {options.FusedActivationFunction()}"
        ),
        stride=(int(options.StrideH()), int(options.StrideW())),
        dilation=(int(options.DilationHFactor()), int(options.DilationWFactor())),
        depth_multiplier=int(options.DepthMultiplier()) if op == "DEPTHWISE_CONV_2D" else 0,
    )
