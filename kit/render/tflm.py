"""What the templates of the TensorFlow Lite Micro harness see: operators, tensors and arena of a .tflite."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from kit.errors import RenderError, UnsupportedOpError
from kit.graph.container import SCHEMA_VERSION, ModelView, OperatorView, TensorView, open_model
from kit.graph.layers import keras_layer

ARENA_ALIGN = 16
"""TensorFlow Lite Micro lays out its arena in units of this many bytes."""

ARENA_BYTES_MAX = 1 << 24

OPERATORS_MAX = 255
"""Operators of a model are numbered in a byte where their outputs are tapped."""

_TFLITE_INT8 = 9
"""Number of the type in TfLiteType; the firmware asserts it."""

METHODS = {
    "ABS": "AddAbs", "ADD": "AddAdd", "AVERAGE_POOL_2D": "AddAveragePool2D", "CAST": "AddCast",
    "CONCATENATION": "AddConcatenation", "CONV_2D": "AddConv2D", "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "DEQUANTIZE": "AddDequantize", "DIV": "AddDiv", "EXP": "AddExp", "EXPAND_DIMS": "AddExpandDims",
    "FULLY_CONNECTED": "AddFullyConnected", "HARD_SWISH": "AddHardSwish", "LEAKY_RELU": "AddLeakyRelu",
    "LOGISTIC": "AddLogistic", "MAXIMUM": "AddMaximum", "MAX_POOL_2D": "AddMaxPool2D", "MEAN": "AddMean",
    "MINIMUM": "AddMinimum", "MUL": "AddMul", "NEG": "AddNeg", "PAD": "AddPad", "PADV2": "AddPadV2",
    "PRELU": "AddPrelu", "QUANTIZE": "AddQuantize", "RELU": "AddRelu", "RELU6": "AddRelu6", "RESHAPE": "AddReshape",
    "RSQRT": "AddRsqrt", "SOFTMAX": "AddSoftmax", "SPLIT": "AddSplit", "SQRT": "AddSqrt", "SQUARE": "AddSquare",
    "SQUARED_DIFFERENCE": "AddSquaredDifference", "SQUEEZE": "AddSqueeze", "STRIDED_SLICE": "AddStridedSlice",
    "SUB": "AddSub", "SUM": "AddSum", "TANH": "AddTanh", "TRANSPOSE": "AddTranspose",
}  # fmt: skip
"""Builtin operators and the methods of MicroMutableOpResolver that register them."""

INT8_KERNELS = frozenset({"ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "MUL"})
"""Operators that optimised kernels register for int8 alone (firmware/engines/tflm/kit_tflm_operators.h)."""


@dataclass(frozen=True, slots=True)
class Arena:
    """Size of the tensor arena, and how it is known.

    Attributes:
        bytes: size in the firmware, a multiple of :data:`ARENA_ALIGN`.
        needed: a smaller arena is refused at start-up without trying.
        provenance: one sentence for people; printed in the firmware and in the report.
    """

    bytes: int
    needed: int
    provenance: str

    def __post_init__(self) -> None:
        if self.bytes % ARENA_ALIGN or not 0 < self.bytes <= ARENA_BYTES_MAX or self.needed < 0:
            raise RenderError(
                f"an arena of {self.bytes} bytes, needing {self.needed}",
                f"firmware.arena_bytes is a multiple of {ARENA_ALIGN} up to {ARENA_BYTES_MAX}",
            )
        if not self.provenance.isprintable() or "*/" in self.provenance or "/*" in self.provenance:
            raise RenderError(f"arena provenance {self.provenance!r} cannot stand in a comment", "use plain words")


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator to register: ``int8`` where every use of it in the model is of that type alone."""

    name: str
    method: str
    int8: bool


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor as kit_tflm_tensor_t has it; ``scale_bits`` is printed as hexadecimal, ``scale`` for people."""

    dims: tuple[int, ...]
    scale_bits: str
    scale: str
    zero_point: int
    type: int


@dataclass(frozen=True, slots=True)
class Tap:
    """An int8 output of an operator, as kit_tflm_tap_t has it."""

    tensor: int
    columns: int
    channels: int
    layer: int


@dataclass(frozen=True, slots=True)
class TflmView:
    """The harness of one model; see kit_tflm_model_t for units.

    Attributes:
        bytes: length of the .tflite.
        crc32: of its bytes, as printed.
        schema_version: of the file format.
        operators: distinct, in the order of first use.
        uses: operators in the model, repetitions counted.
        input: the frame.
        output: the latents.
        taps: outputs that validation builds hand out.
        arena: as measured.
        tap_arena_bytes: arena that also keeps every intermediate tensor, for validation builds.
    """

    bytes: int
    crc32: str
    schema_version: int
    operators: tuple[Operator, ...]
    uses: int
    input: TensorRecord
    output: TensorRecord
    taps: tuple[Tap, ...]
    arena: Arena
    tap_arena_bytes: int


def tflm_view(model_bytes: bytes, arena: Arena) -> TflmView:
    """The harness of a .tflite that :func:`kit.graph.reader.read_tflite` accepts for the engine ``tflm``.

    Raises:
        GraphError: not a .tflite, truncated, or of another schema version.
        UnsupportedOpError: an operator that the harness cannot register.
        RenderError: more operators than taps can number.
    """
    model = open_model(model_bytes)
    if len(model.operators) > OPERATORS_MAX:
        raise RenderError(
            f"the encoder has {len(model.operators)} operators, the tflm engine numbers up to {OPERATORS_MAX}",
            "simplify the encoder",
        )
    return TflmView(
        bytes=len(model_bytes),
        crc32=f"0x{zlib.crc32(model_bytes):08x}",
        schema_version=SCHEMA_VERSION,
        operators=_operators(model),
        uses=len(model.operators),
        input=_record(model.tensors[model.inputs[0]]),
        output=_record(model.tensors[model.outputs[0]]),
        taps=_taps(model),
        arena=arena,
        tap_arena_bytes=arena.bytes + _intermediate_bytes(model),
    )


def operator_names(model_bytes: bytes) -> tuple[str, ...]:
    """Distinct operators of a .tflite in the order of first use.

    Raises:
        GraphError: not a .tflite, or damaged.
    """
    return tuple(dict.fromkeys(op.op for op in open_model(model_bytes).operators))


def registered_operators(model_bytes: bytes) -> tuple[Operator, ...]:
    """Operators that the harness of a .tflite registers.

    Raises:
        GraphError: not a .tflite, truncated, or of another schema version.
        UnsupportedOpError: one that the harness cannot register.
    """
    return _operators(open_model(model_bytes))


def _operators(model: ModelView) -> tuple[Operator, ...]:
    found: dict[str, bool] = {}
    for op in model.operators:
        if op.op not in METHODS:
            layer = keras_layer([model.tensors[n].name for n in op.outputs])
            raise UnsupportedOpError(
                f"{op.op} (layer {layer}): the tflm engine cannot register it",
                f"use operators of: {', '.join(METHODS)}",
            )
        found[op.op] = found.get(op.op, op.op in INT8_KERNELS) and _is_int8(model, op)
    return tuple(Operator(name, METHODS[name], int8) for name, int8 in found.items())


def _is_int8(model: ModelView, op: OperatorView) -> bool:
    """Data in and out are int8; weights and bias may be anything."""
    weighted = op.op in ("CONV_2D", "DEPTHWISE_CONV_2D")
    inputs = op.inputs[:1] if weighted else op.inputs
    return all(model.tensors[n].type_name == "INT8" for n in (*inputs, *op.outputs) if n >= 0)


def _record(tensor: TensorView) -> TensorRecord:
    scale = np.float32(tensor.scales[0])
    bits = int(np.array(scale, "<f4").view("<u4"))
    return TensorRecord(tensor.shape, f"0x{bits:08x}", f"{scale:.9g}", int(tensor.zero_points[0]), _TFLITE_INT8)


def _taps(model: ModelView) -> tuple[Tap, ...]:
    taps = []
    for layer, op in enumerate(model.operators):
        tensor = model.tensors[op.outputs[0]]
        if tensor.type_name == "INT8" and len(tensor.shape) == 4 and tensor.shape[:2] == (1, 1):
            taps.append(Tap(op.outputs[0], tensor.shape[2], tensor.shape[3], layer))
    return tuple(taps)


_ELEMENT_BYTES = {"INT8": 1, "UINT8": 1, "BOOL": 1, "INT16": 2, "FLOAT16": 2, "INT32": 4, "FLOAT32": 4}
_WIDEST_BYTES = 8


def _intermediate_bytes(model: ModelView) -> int:
    """All activations side by side, each in whole units of the arena."""
    sizes = [
        int(np.prod(tensor.shape, dtype=np.int64)) * _ELEMENT_BYTES.get(tensor.type_name, _WIDEST_BYTES)
        for tensor in model.tensors
        if tensor.data is None
    ]
    return sum(-(-size // ARENA_ALIGN) * ARENA_ALIGN for size in sizes)
