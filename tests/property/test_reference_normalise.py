"""Normalisation against its definition in exact fractions, on ordinary and extreme frames."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import floor
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.errors import ShapeError
from kit.reference.normalise import SAMPLE_MAX, SAMPLE_MIN, Shaping, input_values, normalise, unit_codes
from kit.wire.scale import RECIPROCAL, code_shift, lsb_bits
from tests.models import FRAME_KINDS, random_frames
from tests.support import seed


def scale_of(code: int) -> Fraction:
    """s(c) in ADC codes."""
    return Fraction((8 + (code - 1) % 8) * 2 ** ((code - 1) // 8), 32)


def slow_normalise(
    x: list[int], bits: int, shaping: str = "none", remainder_bits: int = 0
) -> tuple[list[list[int]], int, int]:
    """NUMERICS.md section 2, word for word: (columns of y and, if there is one, r; mean; scale code)."""
    x = [max(SAMPLE_MIN, min(SAMPLE_MAX, sample)) for sample in x]
    mean = floor(Fraction(sum(x), len(x)) + Fraction(1, 2))
    d = [sample - mean for sample in x]
    peak, variance = max(map(abs, d)), Fraction(sum(v * v for v in d), len(d))
    if peak == 0:
        return [[0, 0] if remainder_bits else [0]] * len(x), mean, 0
    code = next(
        c for c in range(1, 256) if scale_of(c) ** 2 >= variance and 127 * scale_of(c) >= Fraction(peak * 2**bits)
    )
    reciprocal = floor(Fraction(2**17, 8 + (code - 1) % 8) + Fraction(1, 2))
    shift = (code - 1) // 8 + 12 - bits - remainder_bits
    columns: list[list[int]] = []
    error, limit = Fraction(0), 2 ** (31 if peak <= 65535 else 63)
    for v in d:
        wanted = Fraction(v * reciprocal, 2**shift) + error
        assert abs(wanted) * 2**shift + 2 ** (shift - 1) < limit
        quotient = floor(wanted + Fraction(1, 2))
        error = wanted - quotient if shaping == "first" else error
        value = floor(Fraction(quotient, 2**remainder_bits) + Fraction(1, 2)) if remainder_bits else quotient
        clamps = shaping == "first" or remainder_bits > 0
        assert -128 <= value <= (128 if clamps else 127)
        assert abs(value) <= 127 or clamps, "without either the clamp of the contract never acts"
        value = min(value, 127)
        remainder = quotient - value * 2**remainder_bits
        assert abs(2 * remainder) <= 2**remainder_bits or not remainder_bits
        columns.append([value, remainder] if remainder_bits else [value])
    return columns, mean, code


def check(frame: np.ndarray[tuple[int], np.dtype[np.int16 | np.int32]], bits: int) -> None:
    for shaping, remainder_bits in product(get_args(Shaping), (0, 1, 4)):
        got = normalise(frame[None], bits, shaping, remainder_bits)
        columns, mean, code = slow_normalise(frame.tolist(), bits, shaping, remainder_bits)
        y = got.y[0] if remainder_bits else got.y[0, :, None]
        assert (y.tolist(), int(got.mean[0]), int(got.scale_code[0])) == (columns, mean, code)


@pytest.mark.parametrize("bits", [3, 4, 5, 6])
@pytest.mark.parametrize("sample_bits", [8, 16, 24])
def test_every_kind_of_frame(bits: int, sample_bits: int) -> None:
    rng = np.random.default_rng(seed())
    for samples in (1, 2, 33, 320):
        for frame in random_frames(rng, 2 * len(FRAME_KINDS), samples, sample_bits=sample_bits):
            check(frame, bits)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=40), st.integers(3, 6))
@example([-32768, 32767], 6)
@example([32767] * 39 + [-32768], 3)
@example([-32768] * 39 + [32767], 6)
@example([0, 1], 5)
@example([-1, 0], 5)
def test_int16(frame: list[int], bits: int) -> None:
    check(np.array(frame, np.int16), bits)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40), st.integers(3, 6))
def test_int32_is_clamped_to_24_bits(frame: list[int], bits: int) -> None:
    check(np.array(frame, np.int32), bits)


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_longest_frames_of_largest_energy(dtype: type[np.integer]) -> None:
    info = np.iinfo(dtype)
    frame = np.where(np.arange(4096) % 2, info.min, info.max).astype(dtype)
    for bits in (3, 6):
        check(frame, bits)
        frame[1:] = info.min
        check(frame, bits)


def test_restores_within_half_a_step() -> None:
    frames = random_frames(np.random.default_rng(seed()), 200, 64)
    for bits in (3, 4, 5, 6):
        got = normalise(frames, bits)
        unit = unit_codes(got.scale_code, bits)
        restored = got.mean[:, None] + unit[:, None] * got.y / 2**bits
        assert (np.abs(restored - frames) <= 0.5 * unit[:, None] / 2**bits + 1e-9).all()


def test_remainders_restore_more_finely() -> None:
    frames = random_frames(np.random.default_rng(seed()), 200, 64)
    for bits, remainder_bits in product((3, 6), (1, 2, 3, 4)):
        got = normalise(frames, bits, remainder_bits=remainder_bits)
        unit = unit_codes(got.scale_code, bits)
        restored = got.mean[:, None] + unit[:, None] * input_values(got.y, bits, remainder_bits)
        step = unit[:, None] / 2 ** (bits + remainder_bits)
        assert (np.abs(restored - frames) <= 0.5 * step * (1 + 1e-6) + 1e-9).all()


def test_shaping_moves_the_rounding_error_above_the_signal() -> None:
    frames = random_frames(np.random.default_rng(seed()), 200, 320, ("ppg",))
    exact = frames - normalise(frames, 5).mean[:, None]
    power = []
    for shaping in get_args(Shaping):
        got = normalise(frames, 5, shaping)
        error = got.y - exact / unit_codes(got.scale_code, 5)[:, None] * 32
        power.append(np.square(np.abs(np.fft.rfft(error, axis=1))).mean(axis=0))
    band = slice(1, 320 // 8)  # an eighth of the sample rate: below 8 Hz of 64
    assert power[1][band].sum() < 0.25 * power[0][band].sum()


def test_units_are_the_inverse_of_the_device_division() -> None:
    codes = np.arange(256)
    for bits in (3, 4, 5, 6):
        unit = unit_codes(codes, bits)
        assert unit[0] == 0
        for code in range(1, 256):
            exact = Fraction(2 ** (bits + code_shift(code, bits)), RECIPROCAL[(code - 1) % 8])
            assert unit[code] == float(exact)
            assert abs(exact / scale_of(code) - 1) < Fraction(1, 2**14)
        assert (np.diff(unit) > 0).all()


def test_refusals() -> None:
    for bad in (np.zeros(4, np.int16), np.zeros((1, 0), np.int16), np.zeros((1, 4097), np.int16), np.zeros((1, 4))):
        with pytest.raises(ShapeError, match="expected int16 or int32"):
            normalise(bad, 5)
    with pytest.raises(ShapeError, match="L is 7"):
        normalise(np.zeros((1, 4), np.int16), 7)
    with pytest.raises(ShapeError, match="Q is 5"):
        normalise(np.zeros((1, 4), np.int16), 5, remainder_bits=5)
    with pytest.raises(ShapeError):
        unit_codes(np.array([256]), 5)
    with pytest.raises(ShapeError):
        unit_codes(np.array([1]), 2)
    assert [lsb_bits(clip) for clip in (2, 4, 8, 16)] == [6, 5, 4, 3]
    for clip in (0, 1, 3, 5, 32):
        with pytest.raises(ShapeError):
            lsb_bits(clip)
    assert normalise(np.zeros((0, 4), np.int16), 5).y.shape == (0, 4)
