"""The reference encoder against TensorFlow Lite Micro, and its arithmetic against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import GraphError, ShapeError
from kit.golden import available, golden_latents, golden_layers
from kit.graph.ir import Requant
from kit.graph.reader import read_tflite
from kit.reference.encoder import divide_by_pot, encode, encode_layers, high_mul, requantize
from tests.models import random_encoder, random_encoder_tflite, with_operator, write_tflite
from tests.support import missing, seed

INT32 = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-(2**31), -(2**31) + 1, -1, 0, 1, 2**30, 2**31 - 1])


def need_golden() -> None:
    reason = available()
    if reason is not None:
        missing("tflite-micro", reason)


def truncate(numerator: int, denominator: int) -> int:
    """Division of C: towards zero."""
    quotient = abs(numerator) // denominator
    return quotient if numerator >= 0 else -quotient


@given(INT32, INT32)
def test_high_mul_is_the_reference_definition(a: int, b: int) -> None:
    product = a * b
    nudge = 1 << 30 if product >= 0 else 1 - (1 << 30)
    want = 2**31 - 1 if a == b == -(2**31) else truncate(product + nudge, 1 << 31)
    assert high_mul(np.array([a]), np.array([b]))[0] == want


@given(INT32, st.integers(0, 31))
def test_divide_by_pot_rounds_half_away_from_zero(x: int, exponent: int) -> None:
    want = (2 * abs(x) + (1 << exponent)) // (2 << exponent)
    assert divide_by_pot(np.array([x]), np.array([exponent]))[0] == (want if x >= 0 else -want)


def test_high_mul_ties_go_up_and_extremes_saturate() -> None:
    half = np.array([1 << 30])
    assert [int(high_mul(np.array([x]), half)[0]) for x in (-3, -1, 1, 3)] == [-1, 0, 1, 2]
    low = np.array([-(1 << 31)])
    assert high_mul(low, low)[0] == (1 << 31) - 1


@given(st.integers(-(2**31), 2**31 - 1), st.integers(2**30, 2**31 - 1), st.integers(-31, 30))
def test_single_rounding_is_one_rounded_shift(x: int, multiplier: int, shift: int) -> None:
    got = requantize(np.array([[x]]), Requant((multiplier,), (shift,), "single"))[0, 0]
    assert got == (x * multiplier * 2 + (1 << (31 - shift))) >> (32 - shift)


def test_single_and_double_rounding_differ_by_one_somewhere() -> None:
    acc = np.arange(-40000, 40000)[:, None]
    single, double = (requantize(acc, Requant((1518500250,), (-6,), kind)) for kind in ("single", "double"))
    difference = np.abs(single - double)
    assert difference.max() == 1
    assert 0 < difference.mean() < 0.1


@pytest.mark.parametrize("case", range(24))
def test_equals_golden_on_random_models(case: int) -> None:
    need_golden()
    rng = np.random.default_rng([seed(), case])
    stages, samples = 1 + case % 5, int(rng.integers(9, 200))
    model = random_encoder_tflite(
        rng,
        T=samples,
        stages=stages,
        filters=[int(width) for width in rng.integers(1, 24, stages)],
        D=int(rng.integers(1, 20)),
        kernel=int(rng.choice([1, 2, 3, 4, 5, 7, 7, 7])),
        activation=str(rng.choice(["RELU", "RELU", "RELU6", "NONE"])),
        input_clip=int(rng.choice([2, 4, 8, 16])),
        bias=bool(rng.random() < 0.8),
    )
    encoder = read_tflite(model)
    y = rng.integers(-128, 128, (8, samples)).astype(np.int8)
    y[0], y[1], y[2] = 0, 127, np.where(np.arange(samples) % 2, -128, 127)
    want, got = golden_latents(model, y), encode(encoder, y)
    assert (want.dtype, want.shape) == (got.dtype, got.shape)
    assert np.count_nonzero(want != got) == 0
    for frame in y[2:4]:
        layers, mine = golden_layers(model, frame), encode_layers(encoder, frame[None])
        assert list(layers) == list(mine)
        for name, values in layers.items():
            assert np.array_equal(values, mine[name][0]), name


def test_equals_golden_with_valid_padding_and_one_scale_per_tensor() -> None:
    need_golden()
    rng = np.random.default_rng(seed())
    source = random_encoder(rng, T=41, stages=1)
    source.layers[0].padding = "VALID"
    source.layers[0].length = source.layers[1].length = 18
    source.layers[0].weight_scales = source.layers[0].weight_scales[:1]
    model = write_tflite(source)
    y = rng.integers(-128, 128, (4, 41)).astype(np.int8)
    assert np.array_equal(golden_latents(model, y), encode(read_tflite(model), y))


def test_equals_golden_where_products_need_float64() -> None:
    """7 taps of 400 channels pass 2^24, beyond which float32 sums would be rounded."""
    need_golden()
    rng = np.random.default_rng(seed())
    source = random_encoder(rng, T=32, stages=2, filters=[400, 6])
    source.layers[1].weights[:] = np.where(rng.random(source.layers[1].weights.shape) < 0.5, -127, 127)
    model = write_tflite(source)
    y = rng.integers(-128, 128, (4, 32)).astype(np.int8)
    assert np.array_equal(golden_latents(model, y), encode(read_tflite(model), y))


def test_wrong_input_is_refused() -> None:
    encoder = read_tflite(random_encoder_tflite(np.random.default_rng(1), T=32))
    for bad in (np.zeros((2, 31), np.int8), np.zeros((2, 32), np.int16), np.zeros(32, np.int8)):
        with pytest.raises(ShapeError, match=r"expected int8\[n, 32\]"):
            encode(encoder, bad)
    assert encode(encoder, np.zeros((0, 32), np.int8)).shape == (0, 8, 4)


def test_opaque_graph_is_refused() -> None:
    model = with_operator(random_encoder_tflite(np.random.default_rng(1), T=32), 0, "ADD")
    with pytest.raises(GraphError, match=r"run it with kit\.golden"):
        encode(read_tflite(model, engine="tflm"), np.zeros((1, 32), np.int8))
