"""Random encoders as integer graphs: geometries that no exporter makes, and numbers at the ends of their ranges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kit.graph.check import check
from kit.graph.ir import Conv, Encoder, EncoderGraph, Requant, TensorInfo, accumulator_bound
from kit.reference.encoder import encode, run_node

KERNELS = (1, 2, 3, 5, 7, 9)
STRIDES = (1, 2, 3)
WEIGHTS = ("normal", "extreme", "sparse", "lowest")
REQUANTS = ("spread", "saturating", "spread", "extreme", "spread", "left", "saturating")


def _weights(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> NDArray[np.int8]:
    if kind == "normal":
        values = np.clip(np.round(rng.normal(0, 45, shape)), -127, 127)
    elif kind == "sparse":
        values = np.where(rng.random(shape) < 0.9, 0, rng.integers(-127, 128, shape))
    else:
        values = rng.choice([-127, -1, 0, 1, 127] if kind == "extreme" else [-128, -1, 127], shape)
    return values.astype(np.int8)


def _requant(rng: np.random.Generator, bound: NDArray[np.int64], spread: NDArray[np.float64], kind: str) -> Requant:
    """Factors per channel for accumulators up to ``bound`` with standard deviation ``spread``."""
    channels = len(bound)
    if kind == "left":
        room = [31 - int(b).bit_length() for b in bound]
        shift = [int(rng.integers(0, max(1, r))) if r > 0 else -1 for r in room]
        return Requant(tuple(map(int, rng.integers(1 << 30, 1 << 31, channels))), tuple(shift), "double")
    if kind == "extreme":
        multiplier = rng.choice([0, 1 << 30, (1 << 30) + 1, (1 << 31) - 1], channels)
        shift = [0 if m == 0 else int(s) for m, s in zip(multiplier, rng.integers(-22, 0, channels), strict=True)]
        return Requant(tuple(map(int, multiplier)), tuple(shift), "double")
    top = 50.0 if kind == "spread" else 250.0
    factor = top / np.maximum(spread, 1) * rng.uniform(0.5, 2, channels)
    mantissa, exponent = np.frexp(factor)
    multiplier = np.minimum(np.round(mantissa * 2.0**31), 2.0**31 - 1)
    shift = np.clip(exponent, -31, -1)
    return Requant(tuple(int(m) for m in multiplier), tuple(int(s) for s in shift), "double")


def _sums(encoder: Encoder, node: Conv, x: NDArray[np.int8]) -> NDArray[np.int64]:
    """Accumulators without bias: int8[n, W, in] -> int64[n, W', out]."""
    padded = np.pad(
        x.astype(np.int64) - encoder.graph.tensors[node.input].zero_point,
        ((0, 0), (node.pad_left, node.pad_right), (0, 0)),
    )
    windows = sliding_window_view(padded, node.kernel, axis=1)[:, :: node.stride]
    weights = encoder.node_weights(node).astype(np.int64)
    return np.einsum("nwck,kc->nwc" if node.depthwise else "nwck,okc->nwo", windows, weights)


def _tensor(rng: np.random.Generator, name: str, length: int, channels: int) -> TensorInfo:
    zero_point = int(rng.choice([-128, 127, 0, int(rng.integers(-128, 128))]))
    return TensorInfo(name, length, channels, 0.05, zero_point)


def _node(rng: np.random.Generator, index: int, source: TensorInfo, widest: int) -> tuple[Conv, TensorInfo]:
    depthwise = source.channels > 1 and rng.random() < 0.3
    stride = int(rng.choice(STRIDES))
    kernel = int(rng.choice([k for k in KERNELS if k <= max(1, source.length)]))
    if rng.random() < 0.7:  # SAME
        length = -(-source.length // stride)
        pad = max(0, (length - 1) * stride + kernel - source.length)
    else:
        length, pad = (source.length - kernel) // stride + 1, 0
    channels = source.channels if depthwise else int(rng.integers(1, widest + 1))
    target = _tensor(rng, f"t{index + 1}", length, channels)
    low, high = sorted(rng.integers(-128, 128, 2).tolist()) if rng.random() < 0.3 else (-128, 127)
    name = f"layer{index}"
    node = Conv(
        name, name, index, index + 1, kernel, stride, pad // 2, pad - pad // 2, f"{name}_weights", f"{name}_bias",
        Requant((), (), "double"), low, high, depthwise,
    )  # fmt: skip
    return node, target


def random_architecture(rng: np.random.Generator, number: int, widest: int = 19) -> Encoder:
    """A checked encoder of one to five layers; ``number`` walks through the kinds of weights and factors."""
    weights_kind, requant_kind = WEIGHTS[number % len(WEIGHTS)], REQUANTS[number % len(REQUANTS)]
    tensors = [TensorInfo("t0", int(rng.integers(5, 70)), 1 + number % 3 // 2, 2.0**-5, 0)]
    nodes: list[Conv] = []
    arrays: dict[str, NDArray[Any]] = {}
    x = random_inputs(rng, Encoder(EncoderGraph(tuple(tensors), (), 0, 0), arrays), 8)
    for index in range(int(rng.integers(1, 6))):
        node, target = _node(rng, index, tensors[-1], widest)
        shape = (
            (node.kernel, target.channels) if node.depthwise else (target.channels, node.kernel, tensors[-1].channels)
        )
        arrays[node.weights] = _weights(rng, shape, weights_kind)
        arrays[node.bias] = np.zeros(target.channels, np.int32)
        partial = Encoder(EncoderGraph((*tensors, target), (*nodes, node), 0, index + 1), arrays)
        sums = _sums(partial, node, x)
        spread = sums.std(axis=(0, 1))
        centre = sums.mean(axis=(0, 1)) + rng.uniform(-0.5, 0.5, target.channels) * spread
        arrays[node.bias] = np.round(-centre).astype(np.int32)
        node = replace(node, requant=_requant(rng, accumulator_bound(partial, node), spread, requant_kind))
        x = run_node(Encoder(EncoderGraph((*tensors, target), (*nodes, node), 0, index + 1), arrays), node, x)
        tensors.append(target)
        nodes.append(node)
    return check(Encoder(EncoderGraph(tuple(tensors), tuple(nodes), 0, len(nodes)), arrays))


def random_inputs(rng: np.random.Generator, encoder: Encoder, count: int) -> NDArray[np.int8]:
    """Normalised frames int8[count, T, channels]: noise, both ends, and an impulse."""
    samples, channels = encoder.graph.input_tensor.length, encoder.graph.input_tensor.channels
    frames = rng.integers(-128, 128, (count, samples, channels)).astype(np.int8)
    frames[0], frames[1 % count], frames[2 % count] = -128, 127, 0
    frames[2 % count, samples // 2] = 127
    return frames


def latents_of(encoder: Encoder, frames: NDArray[np.int8]) -> NDArray[np.int8]:
    """The reference executor's latents int8[n, P, C * D]."""
    return encode(encoder, frames)
