"""Runs a decoder in float32 with NumPy alone.

A frame's result depends on that frame only, to the last bit: every matrix product has the shape of one frame, whatever
the number of frames, so that neither the batch nor the place in it can change the order of a sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.graph.codebook import IntegerCodebook
from kit.parallel import map_blocks
from kit.server.spec import DecoderSpec, Layer

Values = NDArray[np.float32]

BLOCK = 8
"""Frames computed together: enough to amortise the interpreter, few enough for the processor's cache."""


def decode_indices(spec: DecoderSpec, device: IntegerCodebook, indices: NDArray[Any]) -> Values:
    """Decode what a device sends.

    Args:
        spec: a validated decoder.
        device: the codebook that the device searches.
        indices: unsigned [n, positions, M], each below K.

    Returns:
        float32 [n, samples] in units of each frame's scale.

    Raises:
        ArtifactError: a decoder of other indices than the device's, or indices that the device cannot send.
        ShapeError: another number of positions or channels.
    """
    return run(spec, latents_of(spec, device, indices))


def latents_of(spec: DecoderSpec, device: IntegerCodebook, indices: NDArray[Any]) -> Values:
    """Latents that indices stand for, float32[n, P, D]: by the decoder's own codebook, or by the device's entries.

    Arguments and errors are those of :func:`decode_indices`.
    """
    if spec.codebook is None:
        return device.dequantize(indices)
    spec.expect_indices(num_levels=device.num_levels, num_entries=device.num_entries)
    device.check_indices(indices)
    return sum_entries(spec.codebook, indices)


def sum_entries(entries: Values, indices: NDArray[Any]) -> Values:
    """Sum of the chosen entries, level 0 first, in float32: entries [M, K, D], indices [n, P, M] -> [n, P, D]."""
    total: Values = entries[0][indices[..., 0]]
    for level in range(1, len(entries)):
        total += entries[level][indices[..., level]]
    return total


def run(spec: DecoderSpec, latents: Values) -> Values:
    """Decode frames.

    Args:
        spec: a validated decoder.
        latents: float32 [n, positions, channels].

    Returns:
        float32 [n, samples] in units of each frame's scale.

    Raises:
        ShapeError: latents of another shape or dtype.
    """
    expected = (spec.positions, spec.channels)
    if latents.ndim != 3 or latents.shape[1:] != expected or latents.dtype != np.float32:
        raise ShapeError(
            f"latents are {latents.dtype}{list(latents.shape)}, not float32[n, {expected[0]}, {expected[1]}]"
        )
    frames = np.empty((latents.shape[0], spec.samples), np.float32)
    last_use = _last_use(spec)
    starts = range(0, latents.shape[0], BLOCK)
    decoded = map_blocks(lambda start: _run_block(spec, latents[start : start + BLOCK], last_use), starts)
    for start, block in zip(starts, decoded, strict=True):
        frames[start : start + BLOCK] = block
    return frames


def _last_use(spec: DecoderSpec) -> list[int]:
    """Number of the last layer that reads each value."""
    last = [-1] * (len(spec.layers) + 1)
    for number, layer in enumerate(spec.layers):
        for value in layer.inputs:
            last[value] = number
    return last


def _run_block(spec: DecoderSpec, latents: Values, last_use: list[int]) -> Values:
    values: list[Values | None] = [latents]
    for number, layer in enumerate(spec.layers):
        inputs = [value for i in layer.inputs if (value := values[i]) is not None]
        values.append(_apply(layer, inputs, [spec.weights[key] for key in layer.weights]))
        for i in layer.inputs:
            if last_use[i] == number:
                values[i] = None
    result = values[-1]
    assert result is not None
    return result[:, :, 0]


def _apply(layer: Layer, inputs: list[Values], weights: list[Values]) -> Values:
    x = inputs[0]
    if layer.kind == "upsample":
        return np.repeat(x, layer.size, axis=1)
    if layer.kind == "depth_to_space":
        return x.reshape(len(x), x.shape[1] * layer.size, x.shape[2] // layer.size)
    if layer.kind == "conv":
        return _conv(x, weights[0], weights[1], layer.dilation)
    if layer.kind == "depthwise":
        return _depthwise(x, weights[0])
    if layer.kind == "affine":
        return x * weights[0] + weights[1]
    if layer.kind == "layer_norm":
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        normal: Values = centred / np.sqrt(variance + np.float32(layer.epsilon))
        return normal * weights[0] + weights[1]
    if layer.kind == "relu":
        return np.maximum(x, np.float32(0))
    return x + inputs[1]


def _padded(x: Values, taps: int, dilation: int = 1) -> Values:
    """``x`` with the zeros of SAME padding at stride 1: the odd one, if any, goes behind."""
    span = (taps - 1) * dilation
    return np.pad(x, ((0, 0), (span // 2, span - span // 2), (0, 0)))


def _conv(x: Values, kernel: Values, bias: Values, dilation: int) -> Values:
    taps, inputs, outputs = kernel.shape
    if taps > 1:
        span = (taps - 1) * dilation + 1
        windows = sliding_window_view(_padded(x, taps, dilation), span, axis=1)[..., ::dilation]
        x = np.ascontiguousarray(windows.transpose(0, 1, 3, 2)).reshape(*x.shape[:2], taps * inputs)
    result: Values = x @ kernel.reshape(taps * inputs, outputs)
    result += bias
    return result


def _depthwise(x: Values, kernel: Values) -> Values:
    taps, time = kernel.shape[0], x.shape[1]
    padded = _padded(x, taps)
    result: Values = padded[:, :time] * kernel[0]
    for tap in range(1, taps):
        result += padded[:, tap : tap + time] * kernel[tap]
    return result
