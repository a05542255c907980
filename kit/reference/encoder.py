"""The integer encoder, layer by layer (NUMERICS.md section 3): equal to TensorFlow Lite Micro's reference kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kit.errors import GraphError
from kit.graph.ir import Conv, Encoder, Requant, input_array, weight_sums

INT32_MAX = (1 << 31) - 1


def high_mul(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """SaturatingRoundingDoublingHighMul: ``a * b / 2^31``, ties towards plus infinity (NUMERICS.md section 3.3).

    Args:
        a: int64 holding int32 values.
        b: int64 holding int32 values.

    Returns:
        int64 holding int32 values; 2^31 - 1 where both are -2^31.
    """
    product: NDArray[np.int64] = (a * b + (1 << 30)) >> 31
    return np.minimum(product, INT32_MAX)


def divide_by_pot(x: NDArray[np.int64], exponent: NDArray[np.int64]) -> NDArray[np.int64]:
    """RoundingDivideByPOT: ``x / 2^exponent``, ties away from zero (NUMERICS.md section 3.3).

    Args:
        x: int64 holding int32 values.
        exponent: int64, 0..31.
    """
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def requantize(acc: NDArray[np.int64], factors: Requant) -> NDArray[np.int64]:
    """Accumulators to output LSB, zero point not yet added.

    Args:
        acc: int64[..., out] holding int32 values that survive their left shift (kit.graph.check proves it).
        factors: multiplier and shift per channel, and the kind of rounding.

    Returns:
        int64[..., out].
    """
    multiplier = np.array(factors.multiplier, np.int64)
    shift = np.array(factors.shift, np.int64)
    if factors.rounding == "single":
        total = 31 - shift
        return (acc * multiplier + (np.int64(1) << (total - 1))) >> total
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    return divide_by_pot(high_mul(acc << left, multiplier), right)


def _float_type(encoder: Encoder, node: Conv) -> type[np.floating[Any]]:
    """Float type in which the node's dot products are exact.

    Products and partial sums, in whatever order a matrix library adds them, are integers of at most
    ``sum|w| * 255``; float32 holds all integers up to 2^24 and float64 all up to 2^53.
    """
    _, magnitude = weight_sums(encoder, node)
    worst = 255 * int(magnitude.max())
    assert worst < 1 << 53
    return np.float32 if worst <= 1 << 24 else np.float64


def _windows(encoder: Encoder, node: Conv, x: NDArray[np.int8]) -> NDArray[Any]:
    """Input minus zero point under each output column: float[n, out columns, in channels, kernel]."""
    zero_point = encoder.graph.tensors[node.input].zero_point
    centred = x.astype(_float_type(encoder, node)) - zero_point
    # The zero point means 0: padding columns are 0 once it is subtracted.
    padded = np.pad(centred, ((0, 0), (node.pad_left, node.pad_right), (0, 0)))
    return sliding_window_view(padded, node.kernel, axis=1)[:, :: node.stride]


def accumulate(encoder: Encoder, node: Conv, x: NDArray[np.int8]) -> NDArray[np.int64]:
    """Accumulators of a node, bias included: int8[n, W, in] -> int64[n, W', out]."""
    windows = _windows(encoder, node, x)
    weights = encoder.node_weights(node).astype(windows.dtype)
    if node.depthwise:
        acc = np.einsum("nwck,kc->nwc", windows, weights)
    else:
        n, columns, channels, kernel = windows.shape
        matrix = weights.transpose(2, 1, 0).reshape(channels * kernel, -1)
        flat = windows.reshape(n * columns, channels * kernel) @ matrix
        acc = flat.reshape(n, columns, matrix.shape[1])
    total: NDArray[np.int64] = acc.astype(np.int64) + encoder.node_bias(node)
    return total


def run_node(encoder: Encoder, node: Conv, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """Output of one node: int8[n, W, in] -> int8[n, W', out]."""
    zero_point = encoder.graph.tensors[node.output].zero_point
    y = requantize(accumulate(encoder, node, x), node.requant) + zero_point
    return np.clip(y, node.act_min, node.act_max).astype(np.int8)


def encode_layers(encoder: Encoder, y: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
    """Outputs of every node.

    Args:
        encoder: a graph that is not opaque.
        y: int8[n, T], normalised frames; int8[n, T, 2] where the encoder reads remainders too.

    Returns:
        by output tensor name, in execution order: int8[n, W, C].

    Raises:
        ShapeError: ``y`` has another shape or dtype.
        GraphError: an opaque graph.
    """
    graph = encoder.graph
    if graph.opaque:
        raise GraphError(
            "the reference cannot run this encoder", "run it with kit.golden, as firmware.engine: tflm does"
        )
    x = input_array(encoder, y)
    outputs: dict[str, NDArray[np.int8]] = {}
    for node in graph.nodes:
        x = run_node(encoder, node, x)
        outputs[graph.tensors[node.output].name] = x
    return outputs


def encode(encoder: Encoder, y: NDArray[np.int8]) -> NDArray[np.int8]:
    """Latents of normalised frames: int8[n, T] or [n, T, 2] -> int8[n, P, C * D]; raises as :func:`encode_layers`."""
    return encode_layers(encoder, y)[encoder.graph.output_tensor.name]
