"""Calibration by error: scales and integers that keep the latents, not the outliers.

Ranges taken from the largest values that occur give every ordinary value coarser steps for the sake of a few. Here
every range is a choice among candidates, and the judge is the mean squared error that reaches the latents:

1. channels are centred where no rectifier follows (:func:`kit.quantize.fold.centred`) and evened out between layers
   (:func:`kit.quantize.fold.equalized`; after Nagel et al., 2019);
2. layer by layer, weights get the scale per channel, then the integers, with the smallest squared error of the layer's
   output on what the quantized layers before it really deliver (the quadratic form of its inputs' second moments; after
   Nagel et al., "Up or down? Adaptive rounding", 2020, by coordinate descent), and the bias takes up the mean error;
3. the ranges of all activations are then searched in turn, each judged by the latents of the whole quantized chain.

Everything is a choice from a fixed list, so that the last bits of a processor's sums do not change the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.quantize.chain import BIAS_MAX, Grid, QuantChain, QuantConv, input_columns
from kit.quantize.fold import (
    FloatArray,
    FloatConv,
    can_centre,
    centred,
    convolve,
    equalized,
    rectified,
    run_float,
    windows,
    with_remainder,
)

CLIPS = tuple(2.0 ** (-step / 8) for step in range(17))
"""Candidate ranges of an activation, as shares of the largest value that occurs."""

WEIGHT_CLIPS = tuple(2.0 ** (-step / 16) for step in range(13))
"""Candidate weight ranges of a channel, as shares of its largest weight."""

STEPS = tuple(2.0 ** (step / 16) for step in (-3, -1, 1, 3))
"""Factors by which the search moves one end of a range."""

SWEEPS = 1
ROUNDING_PASSES = 4
GAIN_MAX = 16.0
GAIN_STEPS = 16
"""Factors of a channel: the largest, and how many there are to an octave."""

CENTRE_QUANTILES = (0.0005, 0.9995)
"""Ends of a channel's range when its middle is sought: what lies beyond them is left to the clipping."""

CENTRE_BITS = 5
"""A channel's middle is a multiple of its range, rounded down to a power of two, over 2^CENTRE_BITS."""

RIDGE = 1e-3
"""Share of the mean variance of a layer's inputs that is added to each of them."""

SEARCH_FRAMES = 512
"""Frames that judge the ranges, evenly spaced among those given. With 96 instead, ranges are too narrow for others."""

SCALE_SHARE_MIN = 2.0**-12
"""Smallest weight scale of a channel relative to the layer's largest: a dead channel keeps a usable multiplier."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a calibration went: root mean square error of the latents in units of their own deviation, per mille.

    Attributes:
        input_only: float encoder on INT8 input.
        start: with every range chosen by its own tensor's error.
        final: after the search.
        frames: that the ranges were searched on.
    """

    input_only: float
    start: float
    final: float
    frames: int

    @property
    def summary(self) -> str:
        """The figures in a few words."""
        return (
            f"error (latents off by {self.final:.1f} per mille, by {self.input_only:.1f} through the INT8 input alone)"
        )


def calibrate(
    layers: Sequence[FloatConv],
    real: NDArray[np.float32],
    frames: NDArray[np.int8],
    bits: int,
    remainder_bits: int = 0,
) -> tuple[QuantChain, Calibration]:
    """Quantize a chain.

    Args:
        layers: the float encoder, normalisation folded in.
        real: float32[n, T], calibration frames in units of their scale, not rounded.
        frames: int8[n, T], or [n, T, 2] with remainders, the same frames as the device sees them.
        bits: L, the input has 2^L LSB per unit.
        remainder_bits: Q, fractional bits of the remainders; 0: there are none.

    Raises:
        ShapeError: arrays that do not belong together, or values that are not finite.
    """
    shape = (*real.shape, 2) if remainder_bits else real.shape
    if frames.shape != shape or real.ndim != 2 or frames.dtype != np.int8 or not real.size:
        raise ShapeError(f"calibration: real {list(real.shape)} and frames {frames.dtype}{list(frames.shape)}")
    if not all(np.isfinite(layer.weights).all() and np.isfinite(layer.bias).all() for layer in layers):
        raise ShapeError("the encoder holds values that are not finite", "train again")
    scale = 2.0**-bits
    chosen = search_frames(len(real))
    x = input_columns(frames[chosen], scale)
    y = np.zeros_like(x)
    y[:, :, 0] = real[chosen]  # exact as it is: it leaves no remainder
    layers = with_remainder(layers, remainder_bits)
    even = centred(layers, channel_centres(layers, y))
    even = equalized(even, channel_gains(even, y))
    wanted = run_float(even, y)
    chain = _start(even, y, x, scale)
    before = latent_error(chain.run(x), wanted)
    chain = _search(chain, x, wanted)
    spread = float(np.sqrt(np.square(wanted.astype(np.float64)).mean())) or 1.0
    per_mille = [
        1000.0 * float(np.sqrt(error)) / spread
        for error in (latent_error(run_float(even, x), wanted), before, latent_error(chain.run(x), wanted))
    ]
    return chain, Calibration(per_mille[0], per_mille[1], per_mille[2], len(chosen))


def search_frames(count: int) -> NDArray[np.int64]:
    """Numbers of the frames that judge ranges, of so many."""
    return np.unique(np.linspace(0, count - 1, min(count, SEARCH_FRAMES)).round().astype(np.int64))


def latent_error(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """Mean squared error, summed in double."""
    return float(np.square(found.astype(np.float64) - wanted).mean())


def channel_centres(layers: Sequence[FloatConv], x: NDArray[np.float32]) -> list[FloatArray]:
    """Middle of every channel's range behind each layer but the last; 0 where :func:`centred` cannot move it.

    All channels of an activation share one zero point: a channel of one sign would leave half of the range unused.

    Returns:
        float64[channels] for every layer but the last, in coarse steps, so that the last bits of a processor's sums do
        not change the integers.
    """
    centres = []
    for first, second in pairwise(layers):
        x = rectified(first, convolve(first, x))
        if not can_centre(first, second):
            centres.append(np.zeros(first.channels))
            continue
        low, high = np.quantile(x.reshape(-1, x.shape[2]).astype(np.float64), CENTRE_QUANTILES, axis=0)
        step = 2.0 ** np.floor(np.log2(np.maximum(high - low, 1e-9)) - CENTRE_BITS)
        centres.append(np.rint((low + high) / 2.0 / step) * step)
    return centres


def channel_gains(layers: Sequence[FloatConv], x: NDArray[np.float32]) -> list[FloatArray]:
    """Gains that make every channel between two layers ask for the same range.

    A channel's range is the one of smallest error with 8 bits of its own, not its peak.

    Returns:
        positive float64[channels] for every layer but the last.
    """
    gains = []
    for layer in layers[:-1]:
        x = rectified(layer, convolve(layer, x))
        reach = channel_ranges(x)
        # A channel that never moved has no known range: it stays as it is.
        gain = np.where(reach > 0, np.minimum(reach.max() / np.where(reach > 0, reach, 1.0), GAIN_MAX), 1.0)
        gains.append(2.0 ** (np.floor(np.log2(gain) * GAIN_STEPS) / GAIN_STEPS))
    return gains


def channel_ranges(x: NDArray[np.float32]) -> FloatArray:
    """Magnitude up to which each channel is best represented in 8 bits: float32[n, W, C] -> float64[C], 0 if dead."""
    flat = np.abs(x.reshape(-1, x.shape[2]))
    peaks = flat.max(axis=0)
    steps = 255.0 if float(x.min()) >= 0 else 127.5
    best, least = peaks.astype(np.float64), np.full(len(peaks), np.inf)
    for clip in CLIPS:
        reach = np.maximum(peaks * np.float32(clip), np.float32(1e-12))
        step = reach / np.float32(steps)
        error = np.square(np.minimum(np.rint(flat / step) * step, reach) - flat, dtype=np.float64).mean(axis=0)
        best = np.where((error < least) & (peaks > 0), reach, best)
        least = np.minimum(error, least)
    return np.asarray(best, np.float64)


def _start(
    layers: Sequence[FloatConv], y: NDArray[np.float32], x: NDArray[np.float32], input_scale: float
) -> QuantChain:
    """Weights, biases and first ranges, layer by layer. y, x: float32[n, W, in], exact and rounded input."""
    found: list[QuantConv] = []
    scale = input_scale
    for layer in layers:
        wanted = convolve(layer, y)
        weights, scales = quantize_weights(layer, x, scale)
        made = QuantConv(layer, weights, scales, layer.bias, Grid(1.0, 0))
        given = convolve(made.real(scale), x)
        offset = (wanted.astype(np.float64) - given).mean(axis=(0, 1))
        grid = best_grid(rectified(layer, (given + offset).astype(np.float32)))
        found.append(replace(made, bias=layer.bias + offset, grid=grid))
        x, y = found[-1].run(x, scale), rectified(layer, wanted)
        scale = grid.scale
    return QuantChain(input_scale, tuple(found))


def best_grid(y: NDArray[np.float32]) -> Grid:
    """The range of smallest squared error for values of any shape."""
    low, high = min(float(y.min()), 0.0), max(float(y.max()), 0.0)
    grids = [Grid.of_range(low * clip, high * clip) for clip in CLIPS]
    return grids[int(np.argmin([latent_error(grid.apply(y), y) for grid in grids]))]


def quantize_weights(
    layer: FloatConv, x: NDArray[np.float32], input_scale: float
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers and a scale per output channel, for the inputs that the layer really gets.

    Args:
        layer: float weights and bias.
        x: float32[n, W, in].
        input_scale: scale of ``x``, which with the bias bounds the scales from below.

    Returns:
        int8 of the shape of the weights, float32[out].
    """
    rows = _rows(layer, layer.weights)
    moments = _moments(layer, x)
    peaks = np.abs(rows).max(axis=1)
    floor = np.maximum(peaks.max(initial=0.0) / 127 * SCALE_SHARE_MIN, np.abs(layer.bias) / (input_scale * BIAS_MAX))
    best_error = np.full(len(rows), np.inf)
    best, best_scale = np.zeros_like(rows), np.ones(len(rows), np.float32)
    for clip in WEIGHT_CLIPS:
        scale = np.maximum(np.maximum(peaks * clip / 127, floor), 1e-12).astype(np.float32)
        integers, error = _rounded(rows, scale.astype(np.float64), moments)
        better = error < best_error
        best_error = np.where(better, error, best_error)
        best_scale = np.where(better, scale, best_scale)
        best = np.where(better[:, None], integers, best)
    return _from_rows(layer, best).astype(np.int8), best_scale.astype(np.float32)


def _rounded(rows: FloatArray, scale: FloatArray, moments: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Integers float64[out, m] of small squared output error, and that error float64[out].

    Starts from the nearest integers, and from those of :func:`_compensated`; either way single ones are moved by one
    step while the error falls, and each row keeps the better end.
    """
    nearest = np.clip(np.rint(rows / scale[:, None]), -127, 127)
    found = [_descended(start, rows, scale, moments) for start in (nearest, _compensated(rows, scale, moments))]
    better = found[1][1] < found[0][1]
    return np.where(better[:, None], found[1][0], found[0][0]), np.where(better, found[1][1], found[0][1])


def _compensated(rows: FloatArray, scale: FloatArray, moments: FloatArray) -> FloatArray:
    """Integers float64[out, m], one weight after the other; what rounding one leaves is made good by those to come.

    Neighbouring taps of a slow signal read nearly the same, so that most of it can be (Frantar et al., "GPTQ", 2023).
    """
    factor = np.linalg.cholesky(np.linalg.inv(moments)).transpose(0, 2, 1)  # upper: its rows hold the next ones' shares
    work, integers = rows.copy(), np.zeros_like(rows)
    for at in range(rows.shape[1]):
        integers[:, at] = np.clip(np.rint(work[:, at] / scale), -127, 127)
        missed = (work[:, at] - integers[:, at] * scale) / factor[:, at, at]
        work[:, at + 1 :] -= missed[:, None] * factor[:, at, at + 1 :]
    return integers


def _descended(
    start: FloatArray, rows: FloatArray, scale: FloatArray, moments: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """``start`` with single integers moved by one step while the error falls; and the error, float64[out]."""
    integers = start.copy()
    slope = _times(integers * scale[:, None] - rows, moments)
    curve = np.diagonal(moments, axis1=1, axis2=2)
    for _ in range(ROUNDING_PASSES):
        moved = False
        for at in range(rows.shape[1]):
            step = -np.sign(slope[:, at])
            gain = 2.0 * np.abs(slope[:, at]) - scale * curve[:, at]
            step = np.where((gain > 0) & (np.abs(integers[:, at] + step) <= 127), step, 0.0)
            if step.any():
                moved = True
                integers[:, at] += step
                slope += (step * scale)[:, None] * moments[:, at]
        if not moved:
            break
    delta = integers * scale[:, None] - rows
    return integers, np.asarray((_times(delta, moments) * delta).sum(axis=1))


def _times(delta: FloatArray, moments: FloatArray) -> FloatArray:
    """Row o of ``delta`` times the matrix of its channel: [out, m], [1 or out, m, m] -> [out, m]."""
    if len(moments) == 1:
        return np.asarray(delta @ moments[0])
    return np.asarray(np.einsum("om,omn->on", delta, moments))


def _rows(layer: FloatConv, weights: FloatArray) -> FloatArray:
    """Weights per output channel in the order of the layer's windows: float64[out, m]."""
    if layer.depthwise:
        return np.ascontiguousarray(weights.T)
    return np.ascontiguousarray(weights.transpose(0, 2, 1).reshape(len(weights), -1))


def _from_rows(layer: FloatConv, rows: FloatArray) -> FloatArray:
    """Inverse of :func:`_rows`."""
    if layer.depthwise:
        return np.ascontiguousarray(rows.T)
    out, kernel, channels = layer.weights.shape
    return np.ascontiguousarray(rows.reshape(out, channels, kernel).transpose(0, 2, 1))


def _moments(layer: FloatConv, x: NDArray[np.float32]) -> FloatArray:
    """Covariance of what an output channel reads, float64[1, m, m], or [channels, kernel, kernel] when depthwise.

    A little of the mean variance is added to the diagonal, so that directions which calibration frames hardly take
    keep their weights.
    """
    view = windows(layer, x).astype(np.float64)
    if layer.depthwise:
        view = view - view.mean(axis=(0, 1))
        found = np.einsum("nwcj,nwck->cjk", view, view) / (view.shape[0] * view.shape[1])
    else:
        flat = view.reshape(-1, view.shape[2] * view.shape[3])
        flat = flat - flat.mean(axis=0)
        found = (flat.T @ flat / len(flat))[None]
    size = found.shape[1]
    ridge = RIDGE * np.trace(found, axis1=1, axis2=2) / size + 1e-12
    return np.asarray(found + ridge[:, None, None] * np.eye(size))


def _search(chain: QuantChain, x: NDArray[np.float32], wanted: NDArray[np.float32]) -> QuantChain:
    """Ranges of all activations, each end in turn, by the error of the latents."""
    best = latent_error(chain.run(x), wanted)
    for _ in range(SWEEPS):
        current = x
        for at in range(len(chain.layers)):
            for grid in _neighbours(chain.layers[at].grid, chain.layers[at].shape.relu):
                trial = chain.with_grid(at, grid)
                error = latent_error(trial.run(current, at), wanted)
                if error < best:
                    best, chain = error, trial
            current = chain.layers[at].run(current, chain.scale_before(at))
    return chain


def _neighbours(grid: Grid, relu: bool) -> Iterator[Grid]:
    """Ranges near that of ``grid``: both ends moved together, then one alone."""
    low, high = (-128 - grid.zero_point) * grid.scale, (127 - grid.zero_point) * grid.scale
    for step in STEPS:
        yield Grid.of_range(low * step, high * step)
        if not relu:
            yield Grid.of_range(low * step, high)
            yield Grid.of_range(low, high * step)
