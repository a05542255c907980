"""Random encoders, codebooks, frames and configurations, made without TensorFlow.

:func:`random_encoder_tflite` writes a full-integer .tflite shaped like a real export, with scales that come from the
ranges its own activations take, so that outputs are spread over int8 instead of sitting on the rails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kit.config import Config, parse_config
from kit.graph.codebook import IntegerCodebook, search_bounds
from kit.graph.ir import Encoder
from kit.reference.encoder import encode
from kit.reference.normalise import normalise
from tests.tflite_writer import Layer, Model, with_operator, with_schema_version, with_tensor_type, write_tflite

__all__ = [
    "FRAME_KINDS", "Layer", "Model", "calibrate", "encoder_for", "random_codebook", "random_encoder",
    "random_encoder_tflite", "random_frames", "tiny_config", "with_operator", "with_schema_version",
    "with_tensor_type", "write_tflite",
]  # fmt: skip

FRAME_KINDS = (
    "ppg", "noise", "flat", "zero", "railed", "high_rail", "low_rail", "step", "alternating", "impulse", "lsb", "ramp",
)  # fmt: skip
"""What :func:`random_frames` can make; all but ``ppg`` and ``noise`` are extremes."""


def _real_output(x: NDArray[Any], layer: Layer) -> NDArray[Any]:
    """Layer output in real numbers before its activation: x [n, W, in] -> [n, W', out]."""
    kernel = layer.weights.shape[2]
    columns = -(-x.shape[1] // layer.stride)
    total = max(0, (columns - 1) * layer.stride + kernel - x.shape[1]) if layer.padding == "SAME" else 0
    padded = np.pad(x, ((0, 0), (total // 2, total - total // 2), (0, 0)))
    windows = sliding_window_view(padded, kernel, axis=1)[:, :: layer.stride]
    if layer.depthwise:
        return np.einsum("nwck,kc->nwc", windows, layer.weights[0, 0] * layer.weight_scales)
    weights = layer.weights[:, 0] * layer.weight_scales[:, None, None]
    return np.einsum("nwck,okc->nwo", windows, weights)


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
    kernel: int = 7, input_clip: int = 4, activation: str = "RELU", bias: bool = True,
) -> Model:  # fmt: skip
    """The chain that :func:`random_encoder_tflite` writes, for tests that change something first."""
    widths = [filters] * stages if isinstance(filters, int) else list(filters)
    model = Model(T, input_clip / 128)
    channels = 1
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
        options: T, stages, filters (one number or one per stage), D, kernel, input_clip, activation, bias; see
            :func:`random_encoder`.
    """
    return write_tflite(random_encoder(rng, **options))


def encoder_for(config: Config, rng: np.random.Generator) -> bytes:
    """A random .tflite of a configuration's sizes."""
    return random_encoder_tflite(
        rng,
        T=config.signal.frame_samples,
        stages=config.model.num_stages,
        filters=config.model.stage_filters,
        D=config.model.embedding_dim,
        input_clip=config.quantize.input_clip,
    )


def random_codebook(
    rng: np.random.Generator, encoder: Encoder, M: int = 2, K: int = 16, bits: int = 8,  # noqa: N803
) -> IntegerCodebook:  # fmt: skip
    """A codebook of 8- or 16-bit entries with the largest F; its levels are latents of frames, then residuals."""
    latent = encoder.graph.output_tensor
    frames = random_frames(rng, 64, encoder.graph.input_tensor.length, ("ppg", "ppg", "noise"))
    latents = encode(encoder, normalise(frames, encoder.graph.lsb_bits).y).reshape(-1, latent.channels)
    residual = latents.astype(np.float64) - latent.zero_point
    levels = []
    for _ in range(M):
        entries = residual[rng.integers(0, len(residual), K)] + rng.normal(0, 0.5, (K, latent.channels))
        nearest = ((residual[:, None] - entries[None, :]) ** 2).sum(axis=2).argmin(axis=1)
        residual = residual - entries[nearest]
        levels.append(entries)
    real = np.clip(np.stack(levels), -255, 255)
    for frac_bits in range(8, -1, -1):
        entries = np.round(real * 2.0**frac_bits).astype(np.int64)
        shift = np.zeros(M, np.int32)
        if bits == 8:
            peaks = np.abs(entries).max(axis=(1, 2))
            shift = np.array([max(0, int(peak).bit_length() - 7) for peak in peaks], np.int32)
            entries = np.clip(np.round(entries / 2.0 ** shift[:, None, None]), -127, 127).astype(np.int64)
        if np.abs(entries).max() < 1 << (bits - 1) and search_bounds(entries, shift, frac_bits, latent.zero_point).fits:
            break
    return IntegerCodebook(
        integer=entries.astype(np.int8 if bits == 8 else np.int16),
        entry_shift=shift,
        residual_frac_bits=frac_bits,
        latent_scale=latent.scale,
        latent_zero_point=latent.zero_point,
        float=(real * latent.scale).astype(np.float32),
    )


def _frame(rng: np.random.Generator, kind: str, samples: int, low: int, high: int) -> NDArray[Any]:
    t, middle = np.arange(samples), (low + high) / 2
    at = int(rng.integers(0, samples))
    if kind == "ppg":
        phase = 2 * np.pi * (t / 64 * rng.uniform(0.8, 2.5) + rng.uniform())
        beat = np.sin(phase) + 0.4 * np.sin(2 * phase + 1) + 0.1 * np.sin(3 * phase)
        amplitude = 10 ** rng.uniform(1, 3.5) * (high - low) / 65535
        return middle + rng.uniform(-0.3, 0.3) * (high - low) + amplitude * (beat + rng.normal(0, 0.02, samples))
    if kind == "noise":
        return rng.uniform(low, high + 1, samples) // 1
    if kind == "flat":
        return np.full(samples, rng.integers(low, high + 1))
    if kind == "railed":
        return np.clip(middle + rng.uniform(0.6, 3) * (high - low) * np.sin(t / 5), low, high)
    if kind == "step":
        return np.where(t < at, low, high) if rng.random() < 0.5 else np.where(t < at, high, low)
    if kind == "impulse":
        return np.where(t == at, high, low) if rng.random() < 0.5 else np.where(t == at, low, high)
    if kind == "lsb":
        return rng.integers(low + 1, high) + np.where(t == at, rng.choice([-1, 1]), 0)
    fixed = {
        "zero": np.zeros(samples),
        "high_rail": np.full(samples, high),
        "low_rail": np.full(samples, low),
        "alternating": np.where(t % 2 == 0, low, high),
        "ramp": low + (high - low) * (t / max(1, samples - 1)),
    }
    return fixed[kind]


def random_frames(
    rng: np.random.Generator, n: int, T: int, kinds: Sequence[str] = FRAME_KINDS, sample_bits: int = 16,  # noqa: N803
) -> NDArray[Any]:  # fmt: skip
    """Raw frames: int16[n, T], or int32[n, T] for more than 16 bits, of the given kinds in turn."""
    low, high = -(1 << (sample_bits - 1)), (1 << (sample_bits - 1)) - 1
    dtype = np.int16 if sample_bits <= 16 else np.int32
    rows = [np.clip(np.round(_frame(rng, kinds[i % len(kinds)], T, low, high)), low, high) for i in range(n)]
    return np.array(rows, np.float64).reshape(n, T).astype(dtype)


def tiny_config(**overrides: Any) -> Config:
    """A small valid configuration; keyword = section or ``name``, dictionaries are merged over the small defaults."""
    raw: dict[str, Any] = {
        "name": "tiny",
        "signal": {"frame_samples": 64},
        "model": {
            "embedding_dim": 4, "latent_width": 16, "num_levels": 2, "num_stages": 2, "base_filters": 4,
        },
        "firmware": {"embedded_frames": 2, "symbol_prefix": "tiny", "ring_margin_samples": 8},
    }  # fmt: skip
    for key, value in overrides.items():
        raw[key] = {**raw.get(key, {}), **value} if isinstance(value, dict) else value
    return parse_config(raw)
