"""Latents given several times: INT8 values whose sum is finer than any of them.

The encoder's last convolution gives every value of a latent C times. The copies differ by a fixed share of a step, so
that each is rounded at another place: copy c carries (c - (C - 1) / 2) / C steps in its bias, and the sum of the copies
is the value rounded to a C-th of a step, exactly (dither in equal steps; for the random kind see Lipshitz, Wannamaker
and Vanderkooy, "Quantization and dither", 1992). The device's search works on the sum (NUMERICS.md section 4.1). It
costs C times the multiply-accumulates of that convolution and nothing behind it, where as many channels of their own
would average the error down by the root of their number only, and make search and codebook as much larger.

Rounding of the weights may be shared out in the same way: what one copy's integers miss is added to what the next one's
are made of. That takes the error of the weights away, and moves the copies off their even places by as much; which of
the two counts for more depends on the weights, so that both are tried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kit.errors import UnsupportedOpError
from kit.quantize.calibrate import latent_error, quantize_weights
from kit.quantize.chain import Grid, QuantChain, QuantConv
from kit.quantize.fold import FloatArray, FloatConv, convolve, with_arrays

RANGES = tuple(2.0 ** (step / 16) for step in range(-6, 13))
"""Candidate ranges of the copies, as factors of the range that is best for one."""


@dataclass(frozen=True, slots=True)
class CopyGain:
    """Root mean square error of the last convolution in per mille of the latents' deviation, on calibration frames.

    Attributes:
        once: with every value given once.
        repeated: of the mean of the copies.
        copies: C.
    """

    once: float
    repeated: float
    copies: int


def offsets(copies: int) -> FloatArray:
    """What the copies carry in their biases, in steps of the output: float64[C], of mean 0."""
    return (np.arange(copies) - (copies - 1) / 2.0) / copies


def mean_of_copies(latents: NDArray[np.float32], copies: int) -> NDArray[np.float32]:
    """Mean of the copies: float32[..., C * D] -> [..., D]."""
    parts = latents.reshape(*latents.shape[:-1], copies, latents.shape[-1] // copies)
    return np.asarray(parts.mean(axis=-2), np.float32)


def repeated(chain: QuantChain, x: NDArray[np.float32], copies: int) -> tuple[QuantChain, CopyGain]:
    """The chain whose last convolution gives every channel ``copies`` times, copy after copy.

    Args:
        chain: a quantized encoder; the floats behind its last convolution say what the copies are to give.
        x: float32[n, T, 1 or 2], calibration frames on the grid of the input.
        copies: C, 2 or more.

    Raises:
        UnsupportedOpError: the last layer is depthwise, or has a rectifier.
    """
    last, at = chain.layers[-1], len(chain.layers) - 1
    if last.shape.depthwise or last.shape.relu:
        raise UnsupportedOpError(
            f"{last.shape.name}: latents come from a depthwise or rectified layer, which has no copies",
            "set quantize.latent_copies: 1",
        )
    scale = chain.scale_before(at)
    x = QuantChain(chain.input_scale, chain.layers[:-1]).run(x)
    wanted = _wanted(last, x, scale)
    low, high = (-128 - last.grid.zero_point) * last.grid.scale, (127 - last.grid.zero_point) * last.grid.scale
    grids = [Grid.of_range(low * factor, high * factor) for factor in RANGES]
    made = [_copies(last, x, scale, wanted, copies, shared) for shared in (False, True)]
    candidates = [replace(layer, grid=grid) for layer in made for grid in grids]
    errors = [latent_error(mean_of_copies(trial.run(x, scale), copies), wanted) for trial in candidates]
    best = int(np.argmin(errors))
    spread = float(np.sqrt(np.square(wanted.astype(np.float64)).mean())) or 1.0
    once = latent_error(last.run(x, scale), wanted)
    gain = CopyGain(1000.0 * once**0.5 / spread, 1000.0 * errors[best] ** 0.5 / spread, copies)
    return QuantChain(chain.input_scale, (*chain.layers[:-1], candidates[best])), gain


def _wanted(last: QuantConv, x: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """What the float weights give, about the mean that the quantized layer has: float32[n, P, D]."""
    given = convolve(last.real(scale), x).mean(axis=(0, 1), dtype=np.float64)
    found = convolve(last.shape, x)
    return np.asarray(found + (given - found.mean(axis=(0, 1), dtype=np.float64)), np.float32)


def _copies(
    last: QuantConv, x: NDArray[np.float32], scale: float, wanted: NDArray[np.float32], copies: int, shared: bool
) -> QuantConv:
    """The layer with ``copies`` times its channels, on the grid that it had; errors of the weights ``shared`` out."""
    shape, missed = last.shape, np.zeros_like(last.shape.weights)
    middle = wanted.mean(axis=(0, 1), dtype=np.float64)
    weights, scales, biases = [], [], []
    for _ in range(copies):
        target = with_arrays(shape, shape.weights + missed, last.bias)
        integers, steps = quantize_weights(target, x, scale)
        real = integers * steps.astype(np.float64)[:, None, None]
        given = convolve(with_arrays(shape, real, np.zeros(shape.channels)), x)
        if shared:
            missed = missed + shape.weights - real
        weights.append(integers)
        scales.append(steps)
        biases.append(middle - given.mean(axis=(0, 1), dtype=np.float64))
    wide = FloatConv(
        shape.name, np.concatenate([shape.weights] * copies), np.tile(shape.bias, copies), shape.stride, False, False
    )
    return QuantConv(
        wide, np.concatenate(weights), np.concatenate(scales), np.concatenate(biases), last.grid,
        np.repeat(offsets(copies), shape.channels),
    )  # fmt: skip
