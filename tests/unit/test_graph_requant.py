"""Requantization factors against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import GraphError
from kit.graph.requant import activation_range, quantize_multiplier, requant

FACTORS = st.floats(min_value=2.0**-40, max_value=2.0**29, allow_nan=False)


@given(FACTORS)
def test_multiplier_is_the_nearest_q31(factor: float) -> None:
    multiplier, shift = quantize_multiplier(factor)
    if factor < 2.0**-32 * (1 - 2.0**-33):
        assert (multiplier, shift) == (0, 0)
        return
    if multiplier == 0:
        return
    assert 1 << 30 <= multiplier < 1 << 31
    assert -31 <= shift <= 30
    step = Fraction(2) ** (shift - 31)
    assert abs(Fraction(factor) - multiplier * step) <= step / 2


def test_edges() -> None:
    assert quantize_multiplier(0.0) == (0, 0)
    assert quantize_multiplier(0.5) == (1 << 30, 0)
    assert quantize_multiplier(1.0) == (1 << 30, 1)
    # The significand rounds up to 2^31: it is halved and the exponent grows.
    assert quantize_multiplier(1.0 - 2.0**-40) == (1 << 30, 1)
    # A tie of the 32nd bit goes away from zero.
    assert quantize_multiplier(0.5 + 2.0**-32) == ((1 << 30) + 1, 0)
    assert quantize_multiplier(2.0**-32) == (1 << 30, -31)
    assert quantize_multiplier(2.0**-32.5) == (0, 0)


def test_factor_is_computed_in_double_from_float32_scales() -> None:
    source, weight, target = np.float32(0.1), np.float32(0.003), np.float32(0.07)
    factors = requant(source, np.array([weight]), target, 3, "conv")
    want = quantize_multiplier(float(source) * float(weight) / float(target))
    assert list(zip(factors.multiplier, factors.shift, strict=True)) == [want] * 3
    assert factors.rounding == "double"


def test_absurd_factor_is_refused() -> None:
    with pytest.raises(GraphError, match=r"conv: requantization factor .* is too large"):
        requant(np.float32(1), np.array([1e10], np.float32), np.float32(1e-3), 1, "conv")


@pytest.mark.parametrize("zero_point", [-128, -100, 0, 127])
@pytest.mark.parametrize("scale", [0.003, 0.0235294, 0.1])
def test_activation_ranges(zero_point: int, scale: float) -> None:
    at = np.float32(scale)
    assert activation_range("NONE", at, zero_point) == (-128, 127)
    assert activation_range("RELU", at, zero_point) == (max(-128, zero_point), 127)
    six = zero_point + math.floor(float(np.float32(6) / at) + 0.5)
    assert activation_range("RELU6", at, zero_point) == (max(-128, zero_point), min(127, six))
