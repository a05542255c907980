"""Writing .tflite files of convolution chains, without TensorFlow: encoders that no training has made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

_OPS = {"CONV_2D": tflite.BuiltinOperator.CONV_2D, "DEPTHWISE_CONV_2D": tflite.BuiltinOperator.DEPTHWISE_CONV_2D}
_ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}


@dataclass
class Layer:
    """One convolution of a model to write: weights int8 [out, 1, kernel, in] or, depthwise, [1, 1, kernel, out]."""

    name: str
    weights: NDArray[np.int8]
    weight_scales: NDArray[np.float32]
    bias: NDArray[np.int32] | None
    stride: int
    activation: str
    depthwise: bool
    length: int
    scale: float
    zero_point: int
    padding: str = "SAME"
    dilation: int = 1

    @property
    def channels(self) -> int:
        """Output channels."""
        return int(self.weights.shape[3 if self.depthwise else 0])


@dataclass
class Model:
    """A chain of layers to write."""

    length: int
    input_scale: float
    input_zero_point: int = 0
    input_channels: int = 1
    layers: list[Layer] = field(default_factory=list)


def _vector(builder: Any, start: Any, items: Sequence[int]) -> Any:
    start(builder, len(items))
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


def _quantization(builder: Any, scales: Sequence[float], zero_points: Sequence[int], axis: int) -> Any:
    scale = builder.CreateNumpyVector(np.asarray(scales, np.float32))
    zero = builder.CreateNumpyVector(np.asarray(zero_points, np.int64))
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scale)
    tflite.QuantizationParametersAddZeroPoint(builder, zero)
    tflite.QuantizationParametersAddQuantizedDimension(builder, axis)
    return tflite.QuantizationParametersEnd(builder)


class _Writer:
    """Collects tensors, buffers and operators of one model."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(4096)
        self.tensors: list[int] = []
        self.buffers: list[bytes] = [b""]
        self.operators: list[int] = []
        self.codes: list[int] = []

    def tensor(
        self, name: str, shape: Sequence[int], kind: int, quantization: tuple[Any, Any, int], data: bytes = b""
    ) -> int:
        builder = self.builder
        name_at, shape_at = builder.CreateString(name), builder.CreateNumpyVector(np.asarray(shape, np.int32))
        quantization_at = _quantization(builder, *quantization)
        self.buffers.append(data)
        tflite.TensorStart(builder)
        tflite.TensorAddShape(builder, shape_at)
        tflite.TensorAddType(builder, kind)
        tflite.TensorAddBuffer(builder, len(self.buffers) - 1)
        tflite.TensorAddName(builder, name_at)
        tflite.TensorAddQuantization(builder, quantization_at)
        self.tensors.append(tflite.TensorEnd(builder))
        return len(self.tensors) - 1

    def activation(self, name: str, length: int, channels: int, scale: float, zero_point: int) -> int:
        return self.tensor(name, (1, 1, length, channels), tflite.TensorType.INT8, ([scale], [zero_point], 0))

    def convolution(self, layer: Layer, source: int, source_scale: float) -> int:
        """Append one operator; returns its output tensor's number."""
        scales, axis = layer.weight_scales, 3 if layer.depthwise else 0
        zeros = [0] * len(scales)
        kernel = self.tensor(
            f"encoder/{layer.name}/convolution", layer.weights.shape, tflite.TensorType.INT8, (scales, zeros, axis),
            layer.weights.tobytes(),
        )  # fmt: skip
        inputs = [source, kernel]
        if layer.bias is not None:
            bias_scales = np.float32(source_scale) * scales
            inputs.append(
                self.tensor(f"encoder/{layer.name}/bias", layer.bias.shape, tflite.TensorType.INT32,
                            (bias_scales, zeros, 0), layer.bias.astype("<i4").tobytes())
            )  # fmt: skip
        output = self.activation(
            f"encoder/{layer.name}_relu/Relu;encoder/{layer.name}/BiasAdd", layer.length, layer.channels, layer.scale,
            layer.zero_point,
        )  # fmt: skip
        options = self._options(layer)
        builder = self.builder
        inputs_at = builder.CreateNumpyVector(np.asarray(inputs, np.int32))
        outputs_at = builder.CreateNumpyVector(np.asarray([output], np.int32))
        kind = tflite.BuiltinOptions.DepthwiseConv2DOptions if layer.depthwise else tflite.BuiltinOptions.Conv2DOptions
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, len(self.codes))
        tflite.OperatorAddInputs(builder, inputs_at)
        tflite.OperatorAddOutputs(builder, outputs_at)
        tflite.OperatorAddBuiltinOptionsType(builder, kind)
        tflite.OperatorAddBuiltinOptions(builder, options)
        self.operators.append(tflite.OperatorEnd(builder))
        code = _OPS["DEPTHWISE_CONV_2D" if layer.depthwise else "CONV_2D"]
        tflite.OperatorCodeStart(builder)
        # Forced, so that damage helpers find the fields even where they hold their default.
        builder.ForceDefaults(True)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, code)
        tflite.OperatorCodeAddVersion(builder, 3)
        tflite.OperatorCodeAddBuiltinCode(builder, code)
        builder.ForceDefaults(False)
        self.codes.append(tflite.OperatorCodeEnd(builder))
        return output

    def _options(self, layer: Layer) -> Any:
        kind = "DepthwiseConv2DOptions" if layer.depthwise else "Conv2DOptions"
        builder = self.builder

        def add(name: str, value: int) -> None:
            getattr(tflite, f"{kind}Add{name}")(builder, value)

        getattr(tflite, f"{kind}Start")(builder)
        add("Padding", getattr(tflite.Padding, layer.padding))
        add("StrideW", layer.stride)
        add("StrideH", layer.stride)
        add("DilationWFactor", layer.dilation)
        add("DilationHFactor", 1)
        add("FusedActivationFunction", _ACTIVATIONS[layer.activation])
        if layer.depthwise:
            add("DepthMultiplier", 1)
        return getattr(tflite, f"{kind}End")(builder)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        builder = self.builder
        tensors = _vector(builder, tflite.SubGraphStartTensorsVector, self.tensors)
        operators = _vector(builder, tflite.SubGraphStartOperatorsVector, self.operators)
        inputs_at = builder.CreateNumpyVector(np.asarray(inputs, np.int32))
        outputs_at = builder.CreateNumpyVector(np.asarray(outputs, np.int32))
        tflite.SubGraphStart(builder)
        tflite.SubGraphAddTensors(builder, tensors)
        tflite.SubGraphAddInputs(builder, inputs_at)
        tflite.SubGraphAddOutputs(builder, outputs_at)
        tflite.SubGraphAddOperators(builder, operators)
        graph = _vector(builder, tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(builder)])
        codes = _vector(builder, tflite.ModelStartOperatorCodesVector, self.codes)
        buffers = _vector(builder, tflite.ModelStartBuffersVector, [self._buffer(data) for data in self.buffers])
        tflite.ModelStart(builder)
        tflite.ModelAddVersion(builder, 3)
        tflite.ModelAddOperatorCodes(builder, codes)
        tflite.ModelAddSubgraphs(builder, graph)
        tflite.ModelAddBuffers(builder, buffers)
        builder.Finish(tflite.ModelEnd(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _buffer(self, data: bytes) -> int:
        builder, at = self.builder, None
        if data:
            builder.StartVector(1, len(data), 16)  # TensorFlow Lite wants constants aligned to 16 bytes
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            at = builder.EndVector()
        tflite.BufferStart(builder)
        if at is not None:
            tflite.BufferAddData(builder, at)
        return int(tflite.BufferEnd(builder))


def write_tflite(model: Model) -> bytes:
    """The .tflite of a chain of layers; layers of inconsistent shapes are written as they are."""
    writer = _Writer()
    scale, channels = model.input_scale, model.input_channels
    first = writer.activation("serving_default_frame:0", model.length, channels, scale, model.input_zero_point)
    current = first
    for layer in model.layers:
        current = writer.convolution(layer, current, scale)
        scale = layer.scale
    return writer.finish([first], [current])
