"""The integer encoder: what the device computes between normalisation and search, as frozen plain data.

Numbers only: no C text, no framework objects. :mod:`kit.graph.reader` makes an :class:`Encoder` from a .tflite,
:mod:`kit.graph.store` keeps it, :mod:`kit.reference.encoder` executes it and the renderer prints it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError

SCHEMA = 1
"""Version of the stored form (graph.json); a change of any field below raises it."""

OPAQUE_MODEL = "model"
"""Key of :attr:`Encoder.weights` that holds the .tflite (uint8) of an opaque encoder."""

Rounding = Literal["single", "double"]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One int8 activation tensor, NHWC with N = H = 1.

    Attributes:
        name: tensor name of the .tflite (its layers may be joined by ``;``).
        length: columns W, at least 1.
        channels: channels C, at least 1.
        scale: real value of one LSB, a float32 value, positive.
        zero_point: integer that stands for real 0, in -128..127.
    """

    name: str
    length: int
    channels: int
    scale: float
    zero_point: int

    @property
    def bytes(self) -> int:
        """Size of the whole tensor in bytes."""
        return self.length * self.channels


@dataclass(frozen=True, slots=True)
class Requant:
    """Per output channel, the factor that takes an int32 accumulator to the output scale (NUMERICS.md section 3.3).

    Attributes:
        multiplier: Q31 significands, each 0 or in 2^30 .. 2^31 - 1.
        shift: exponents in -31..30; positive is a left shift before the multiplication.
        rounding: ``double`` rounds after the high multiplication and again after the right shift (TensorFlow Lite
            Micro's reference kernels); ``single`` rounds once. An attribute of every operator, never global.
    """

    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    rounding: Rounding


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution along the time axis with fused requantization and clamp.

    Attributes:
        name: unique lower-case name, ``conv0``, ``depthwise2``... by position in the chain.
        keras_layer: layer of the Keras model that it came from, for messages and reports.
        input: index into :attr:`EncoderGraph.tensors`.
        output: index into :attr:`EncoderGraph.tensors`.
        kernel: taps along time, at least 1.
        stride: input columns per output column, at least 1.
        pad_left: columns of the input zero point in front of the first one.
        pad_right: columns of the input zero point behind the last one.
        weights: key of the int8 weights: ``[out, kernel, in]``, or ``[kernel, channels]`` when ``depthwise``.
        bias: key of the int32 bias ``[out]`` as the .tflite has it, input zero point not folded in.
        requant: accumulator to output LSB.
        act_min: lower clamp in output LSB, at least -128.
        act_max: upper clamp in output LSB, at most 127.
        depthwise: each output channel reads the input channel of its own number only.
    """

    name: str
    keras_layer: str
    input: int
    output: int
    kernel: int
    stride: int
    pad_left: int
    pad_right: int
    weights: str
    bias: str
    requant: Requant
    act_min: int
    act_max: int
    depthwise: bool


@dataclass(frozen=True, slots=True)
class EncoderGraph:
    """A chain of convolutions: each node reads the tensor that the node before it wrote.

    Attributes:
        tensors: activations, ``tensors[input]`` first.
        nodes: convolutions in execution order, at least one.
        input: index of the frame tensor, ``[T, 1]`` or ``[T, 2]``, scale 2^-L, zero point 0.
        output: index of the latent tensor, ``[P, D]``.
        opaque: empty; or the SHA-256 of a .tflite with other operators, which only the TFLM engine runs. Then there
            are no nodes, the tensors are input and output, and :attr:`Encoder.weights` holds the file itself.
        schema: version of this form.
    """

    tensors: tuple[TensorInfo, ...]
    nodes: tuple[Conv, ...]
    input: int
    output: int
    opaque: str = ""
    schema: int = SCHEMA

    @property
    def input_tensor(self) -> TensorInfo:
        """The normalised frame."""
        return self.tensors[self.input]

    @property
    def output_tensor(self) -> TensorInfo:
        """The latents."""
        return self.tensors[self.output]

    @property
    def lsb_bits(self) -> int:
        """L of NUMERICS.md section 2.4: the input has 2^L LSB per unit."""
        return round(-math.log2(self.input_tensor.scale))

    @property
    def downsampling(self) -> int:
        """Input samples per latent position."""
        return self.input_tensor.length // self.output_tensor.length

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations per frame, padding columns included; 0 when unknown (``opaque``)."""
        return sum(self.node_macs(node) for node in self.nodes)

    def node_macs(self, node: Conv) -> int:
        """Multiply-accumulate operations of one node per frame, padding columns included."""
        out = self.tensors[node.output]
        inputs = 1 if node.depthwise else self.tensors[node.input].channels
        return out.length * out.channels * node.kernel * inputs


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """A graph with its arrays.

    Attributes:
        graph: structure and quantization.
        weights: int8 and int32 arrays by the keys that the nodes name, see :class:`Conv` for shapes; for an opaque
            graph only :data:`OPAQUE_MODEL`, the .tflite as uint8.
    """

    graph: EncoderGraph
    weights: dict[str, NDArray[Any]]

    def __eq__(self, other: object) -> bool:
        """Same graph and, key by key, arrays of same dtype, shape and values."""
        if not isinstance(other, Encoder):
            return NotImplemented
        mine, theirs = self.weights, other.weights
        return (
            self.graph == other.graph
            and mine.keys() == theirs.keys()
            and all(mine[k].dtype == theirs[k].dtype and np.array_equal(mine[k], theirs[k]) for k in mine)
        )

    __hash__ = None  # type: ignore[assignment]

    def node_weights(self, node: Conv) -> NDArray[np.int8]:
        """Weights of a node: int8[out, kernel, in] or, depthwise, int8[kernel, channels]."""
        return self.weights[node.weights]

    def node_bias(self, node: Conv) -> NDArray[np.int32]:
        """Bias of a node: int32[out], input zero point not folded in."""
        return self.weights[node.bias]


def input_array(encoder: Encoder, y: NDArray[np.int8]) -> NDArray[np.int8]:
    """Normalised frames in the shape of the encoder's input: int8[n, T] or [n, T, C] -> [n, T, C].

    Raises:
        ShapeError: another shape or dtype.
    """
    wanted = encoder.graph.input_tensor
    x = y[:, :, None] if y.ndim == 2 and wanted.channels == 1 else y
    if x.ndim != 3 or x.shape[1:] != (wanted.length, wanted.channels) or x.dtype != np.int8:
        shape = f"{wanted.length}" if wanted.channels == 1 else f"{wanted.length}, {wanted.channels}"
        raise ShapeError(f"encoder input is {y.dtype}{list(y.shape)}, expected int8[n, {shape}]")
    return x


def weight_sums(encoder: Encoder, node: Conv) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum of the weights and sum of their magnitudes per output channel: int64[out] each."""
    weights = encoder.node_weights(node).astype(np.int64)
    axes = 0 if node.depthwise else (1, 2)
    return weights.sum(axis=axes), np.abs(weights).sum(axis=axes)


def folded_bias(encoder: Encoder, node: Conv) -> NDArray[np.int64]:
    """``bias - zero_point * sum(w)``, the bias for raw inputs: int64[out] (NUMERICS.md section 3.2)."""
    total, _ = weight_sums(encoder, node)
    zero_point = encoder.graph.tensors[node.input].zero_point
    return encoder.node_bias(node).astype(np.int64) - zero_point * total


def accumulator_bound(encoder: Encoder, node: Conv) -> NDArray[np.int64]:
    """Largest magnitude that any partial sum of a node's accumulator can take, per output channel: int64[out].

    Holds for both ways of computing it, in any order of the terms (NUMERICS.md section 3.2): products of weight and
    raw input on top of the folded bias, and products of weight and input minus zero point on top of the bias.
    """
    _, magnitude = weight_sums(encoder, node)
    zero_point = encoder.graph.tensors[node.input].zero_point
    folded = np.abs(folded_bias(encoder, node)) + 128 * magnitude
    centred = np.abs(encoder.node_bias(node).astype(np.int64)) + max(127 - zero_point, 128 + zero_point) * magnitude
    return np.maximum(folded, centred)
