"""Random encoders, made without TensorFlow: what exactness is shown with beyond the encoders that training makes.

Scales come from the ranges that a model's own activations take, so that outputs are spread over int8 instead of sitting
on the rails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kit.config import Config, parse_config
from kit.errors import GraphError
from kit.graph.ir import EncoderGraph
from kit.graph.reader import read_tflite
from kit.graph.tflite_writer import Layer, Model, write_tflite

REMAINDER_MAX = 8
"""Largest remainder of a random frame's second channel, in LSB."""

MACS_MAX = 400_000
STATE_BYTES_MAX = 9_000
WEIGHT_BYTES_MAX = 40_000
"""Bounds of a random architecture: it must fit the smallest board, and take it milliseconds."""


def _real_output(x: NDArray[Any], layer: Layer) -> NDArray[Any]:
    """Layer output in real numbers before its activation: x [n, W, in] -> [n, W', out]."""
    kernel = layer.weights.shape[2]
    columns = -(-x.shape[1] // layer.stride)
    total = max(0, (columns - 1) * layer.stride + kernel - x.shape[1]) if layer.padding == "SAME" else 0
    padded = np.pad(x, ((0, 0), (total // 2, total - total // 2), (0, 0)))
    windows = sliding_window_view(padded, kernel, axis=1)[:, :: layer.stride]
    if layer.depthwise:
        return np.asarray(np.einsum("nwck,kc->nwc", windows, layer.weights[0, 0] * layer.weight_scales))
    weights = layer.weights[:, 0] * layer.weight_scales[:, None, None]
    return np.asarray(np.einsum("nwck,okc->nwo", windows, weights))


def _calibrate(rng: np.random.Generator, layer: Layer, x: NDArray[Any], input_scale: float) -> NDArray[Any]:
    """Give a layer bias, output scale and zero point that suit the inputs ``x``; returns its real output."""
    y = _real_output(x, layer)
    spread = float(y.std()) or 1.0
    if layer.bias is not None:
        bias = rng.normal(0, 0.5 * spread, layer.channels)
        # A layer that sees only zeros has no spread of its own: keep its bias to what exports have.
        steps = np.clip(bias / (np.float32(input_scale) * layer.weight_scales), -200_000, 200_000)
        layer.bias = np.round(steps).astype(np.int32)
        y = y + layer.bias * (np.float64(input_scale) * layer.weight_scales)
    low, high = float(y.min()), float(y.max())
    if layer.activation != "NONE":
        y = np.maximum(y, 0)
        low, high = 0.0, max(high, 1e-3 * spread)
    else:
        low, high = min(low, 0.0) * rng.uniform(0.8, 1.2), max(high, 0.0) * rng.uniform(0.8, 1.2)
    layer.length = y.shape[1]
    layer.scale = float(np.float32((high - low) / 255.0)) or 1.0
    layer.zero_point = int(np.clip(np.round(-128 - low / layer.scale), -128, 127))
    return y


def _layer(
    rng: np.random.Generator, name: str, kernel: int, inputs: int, outputs: int, *, stride: int = 1,
    depthwise: bool = False, activation: str = "RELU", bias: bool = True,
) -> Layer:  # fmt: skip
    shape = (1, 1, kernel, outputs) if depthwise else (outputs, 1, kernel, inputs)
    weights = np.clip(np.round(rng.normal(0, 50, shape)), -127, 127).astype(np.int8)
    scales = np.exp(rng.uniform(np.log(1e-3), np.log(5e-3), outputs)).astype(np.float32)
    empty = np.zeros(outputs, np.int32) if bias else None
    return Layer(name, weights, scales, empty, stride, activation, depthwise, 0, 1.0, 0)


def random_encoder(
    rng: np.random.Generator, *, T: int = 64, stages: int = 2, filters: Sequence[int] | int = 4, D: int = 4,  # noqa: N803
    kernel: int = 7, input_clip: int = 4, activation: str = "RELU", bias: bool = True, input_channels: int = 1,
) -> Model:  # fmt: skip
    """The chain that :func:`random_encoder_tflite` writes, for tests that change something first."""
    widths = [filters] * stages if isinstance(filters, int) else list(filters)
    model = Model(T, input_clip / 128, input_channels=input_channels)
    channels = input_channels
    for stage, width in enumerate(widths):
        options: dict[str, Any] = {"activation": activation, "bias": bias}
        if stage < 2:
            model.layers.append(_layer(rng, f"stage{stage}_conv", kernel, channels, width, stride=2, **options))
        else:
            model.layers.append(
                _layer(rng, f"stage{stage}_depthwise", kernel, channels, channels, stride=2, depthwise=True,
                       activation="NONE", bias=bias)
            )  # fmt: skip
            model.layers.append(_layer(rng, f"stage{stage}_pointwise", 1, channels, width, **options))
        channels = width
    model.layers.append(_layer(rng, "head", 1, channels, D, activation="NONE", bias=bias))
    calibrate(rng, model)
    return model


def calibrate(rng: np.random.Generator, model: Model) -> None:
    """Set lengths, biases and output quantization of every layer from random frames."""
    x: NDArray[Any] = np.cumsum(rng.normal(0, 0.4, (4, model.length)), axis=1)[:, :, None]
    x = np.clip(x - x.mean(axis=1, keepdims=True), -128 * model.input_scale, 127 * model.input_scale)
    if model.input_channels == 2:
        remainder = rng.integers(-REMAINDER_MAX, REMAINDER_MAX + 1, x.shape) * model.input_scale
        x = np.concatenate([x, remainder], axis=2)
    scale = model.input_scale
    for layer in model.layers:
        x = _calibrate(rng, layer, x, scale)
        scale = layer.scale


def random_encoder_tflite(rng: np.random.Generator, **options: Any) -> bytes:
    """A full-integer .tflite shaped like the described encoder.

    Two dense stages (kernel 7, stride 2), then depthwise + pointwise ones, then a 1x1 head; per-channel weight scales
    a factor of five apart, zero points as the activations ask for.

    Args:
        rng: source of everything random.
        options: T, stages, filters (one number or one per stage), D, kernel, input_clip, activation, bias,
            input_channels; see :func:`random_encoder`.
    """
    return write_tflite(random_encoder(rng, **options))


def _lapped_encoder(config: Config, rng: np.random.Generator) -> Model:
    """A chain of the lapped encoder's sizes."""
    sizes = config.model
    taps, stride, filters = sizes.encoder_taps, sizes.downsampling, sizes.encoder_filters
    inputs, channels = config.quantize.input_channels, config.latent_channels
    model = Model(config.signal.frame_samples, config.quantize.input_clip / 128, input_channels=inputs)
    if filters:
        model.layers.append(_layer(rng, "analysis_conv", taps, inputs, filters, stride=stride))
        model.layers.append(_layer(rng, "head", 1, filters, channels, activation="NONE"))
    else:
        model.layers.append(_layer(rng, "head", taps, inputs, channels, stride=stride, activation="NONE"))
    calibrate(rng, model)
    return model


def encoder_for(config: Config, rng: np.random.Generator) -> bytes:
    """A random .tflite of a configuration's sizes."""
    if config.model.encoder == "lapped":
        return write_tflite(_lapped_encoder(config, rng))
    return random_encoder_tflite(
        rng,
        T=config.signal.frame_samples,
        stages=config.model.num_stages,
        filters=config.model.stage_filters,
        D=config.latent_channels,
        input_clip=config.quantize.input_clip,
        input_channels=config.quantize.input_channels,
    )


def random_chain(
    rng: np.random.Generator, *, T: int, downsampling: int, D: int, input_clip: int = 4, width: int = 24,  # noqa: N803
    input_channels: int = 1,
) -> Model:  # fmt: skip
    """A chain that no configuration describes: strides of 1 to 8, kernels of 1 to 15, dense, depthwise and 1x1 layers
    in any order, both paddings, several activations, with and without bias.

    Args:
        rng: source of everything random.
        T: input columns, a multiple of ``downsampling``.
        downsampling: product of all strides, a power of two.
        D: channels of the output.
        input_clip: a power of two, as in the configuration.
        width: most channels of a layer.
        input_channels: 1, or 2 for an input with remainders.
    """
    strides: list[int] = []
    while (left := downsampling // int(np.prod(strides, initial=1))) > 1:
        strides.append(int(rng.choice([stride for stride in (2, 2, 4, 8) if stride <= left])))
    for _ in range(int(rng.integers(0, 4))):
        strides.insert(int(rng.integers(0, len(strides) + 1)), 1)
    model = Model(T, input_clip / 128, input_channels=input_channels)
    channels = input_channels
    for number, stride in enumerate(strides):
        depthwise = bool(rng.random() < 0.35)
        outputs = channels if depthwise else int(rng.integers(1, width + 1))
        patches = stride > 1 and rng.random() < 0.2
        kernel = stride if patches else int(rng.choice([1, 3, 5, 7, int(rng.integers(1, 16))]))
        layer = _layer(
            rng, f"layer{number}", kernel, channels, outputs, stride=stride, depthwise=depthwise,
            activation=str(rng.choice(["RELU", "RELU", "RELU", "RELU6", "NONE"])), bias=bool(rng.random() < 0.85),
        )  # fmt: skip
        layer.padding = "VALID" if patches else "SAME"
        model.layers.append(layer)
        channels = outputs
    kernel = int(rng.choice([1, 1, 3]))
    model.layers.append(_layer(rng, "head", kernel, channels, D, activation="NONE", bias=bool(rng.random() < 0.85)))
    calibrate(rng, model)
    return model


def _random_config(rng: np.random.Generator, name: str) -> Config:
    stages = int(rng.integers(1, 6))
    raw = {
        "name": name,
        "signal": {
            "frame_samples": (1 << stages) * int(rng.integers(max(2, 16 >> stages), (640 >> stages) + 1)),
            "sample_bits": int(rng.choice([16, 16, 16, 12, 18, 24])),
        },
        "model": {
            "num_stages": stages,
            "embedding_dim": int(rng.integers(1, 25)),
            "latent_width": 1 << int(rng.integers(1, 9)),
            "num_levels": int(rng.integers(1, 5)),
        },
        "quantize": {
            "input_clip": int(rng.choice([2, 4, 4, 8, 16])),
            "codebook_bits": int(rng.choice([8, 8, 16])),
            "input_remainder_bits": int(rng.choice([0, 0, 1, 3, 4])),
            "latent_copies": int(rng.choice([1, 1, 2, 5, 8])),
        },
        "packet": {"side_information": bool(rng.random() < 0.85)},
        "firmware": {
            "embedded_frames": 2,
            "symbol_prefix": str(rng.choice(["ppg", "ecg", "net"])),
            "ring_margin_samples": int(rng.integers(1, 65)),
        },
        "train": {"rate_weight": float(rng.choice([0.0, 0.0, 0.1]))},
    }
    return parse_config(raw)


def _is_small(config: Config, graph: EncoderGraph) -> bool:
    samples = 2 * (config.signal.frame_samples + 64) * config.signal.container_bits // 8
    windows = sum(graph.tensors[node.input].channels * (node.kernel + 2 * node.stride) for node in graph.nodes)
    latents = graph.output_tensor.bytes
    weights = sum(
        node.kernel
        * graph.tensors[node.output].channels
        * (1 if node.depthwise else graph.tensors[node.input].channels)
        for node in graph.nodes
    )
    state = samples + windows + 2 * latents
    return graph.macs <= MACS_MAX and state <= STATE_BYTES_MAX and weights <= WEIGHT_BYTES_MAX


def random_architecture(rng: np.random.Generator, name: str) -> tuple[Config, bytes]:
    """A random configuration within :data:`MACS_MAX`, :data:`STATE_BYTES_MAX` and :data:`WEIGHT_BYTES_MAX`, and a
    :func:`random_chain` of its sizes as .tflite, which the graph reader accepts."""
    while True:
        config = _random_config(rng, name)
        model = write_tflite(
            random_chain(
                rng,
                T=config.signal.frame_samples,
                downsampling=config.model.downsampling,
                D=config.latent_channels,
                input_clip=config.quantize.input_clip,
                input_channels=config.quantize.input_channels,
            )
        )
        try:
            graph = read_tflite(model).graph
        except GraphError:
            continue  # an accumulator that might leave int32: no export has one
        if _is_small(config, graph):
            return config, model
