"""Real scales to integer requantization, exactly as TensorFlow Lite Micro prepares it (NUMERICS.md section 3.3)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kit.errors import GraphError
from kit.graph.ir import Requant

SHIFT_MAX = 30
"""Largest left shift; beyond it any accumulator other than 0 overflows."""

ACT_LIMIT = {"NONE": None, "RELU": None, "RELU6": 6.0}
"""Fused activations and their upper limit in real units."""


def quantize_multiplier(factor: float) -> tuple[int, int]:
    """Q31 significand and exponent of a factor: ``factor ~ multiplier * 2^(shift - 31)``.

    Args:
        factor: finite, at least 0.

    Returns:
        (multiplier, shift): multiplier 0 or in 2^30 .. 2^31 - 1; a factor below 2^-32 gives (0, 0).
    """
    if factor == 0.0:
        return 0, 0
    significand, shift = math.frexp(factor)
    # Both the product and the sum below are exact in a double, so floor(x + 1/2) is round-half-away for x > 0.
    multiplier = math.floor(significand * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, shift = 1 << 30, shift + 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def requant(
    input_scale: np.float32, weight_scales: NDArray[np.float32], output_scale: np.float32, channels: int, where: str
) -> Requant:
    """Requantization of one convolution from the float32 scales of its tensors.

    Args:
        input_scale: scale of the input tensor.
        weight_scales: float32[channels], or [1] for all channels.
        output_scale: scale of the output tensor.
        channels: output channels.
        where: layer name for messages.

    Raises:
        GraphError: a factor so large that nothing but overflow can follow.
    """
    # Order of operations as in the reference: ((input * weight) / output), in double.
    factors = [float(input_scale) * float(w) / float(output_scale) for w in np.broadcast_to(weight_scales, channels)]
    pairs = [quantize_multiplier(factor) for factor in factors]
    if max(shift for _, shift in pairs) > SHIFT_MAX:
        raise GraphError(f"{where}: requantization factor {max(factors):g} is too large", "calibrate and export again")
    return Requant(tuple(m for m, _ in pairs), tuple(s for _, s in pairs), "double")


def activation_range(activation: str, scale: np.float32, zero_point: int) -> tuple[int, int]:
    """Clamp of a fused activation in output LSB, computed in float32 as the reference does.

    Args:
        activation: a key of :data:`ACT_LIMIT`.
        scale: output scale.
        zero_point: output zero point.

    Raises:
        GraphError: a scale so small that the limit does not fit int32.
    """
    if activation == "NONE":
        return -128, 127
    low, high = max(-128, zero_point), 127
    limit = ACT_LIMIT[activation]
    if limit is not None:
        quotient = float(np.float32(limit) / scale)
        if quotient >= 1 << 31:
            raise GraphError(f"output scale {scale:g} is too small for {activation}", "calibrate and export again")
        high = min(high, zero_point + math.floor(quotient + 0.5))
    return low, high
