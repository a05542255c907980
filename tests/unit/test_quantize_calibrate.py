"""Calibration by error: folding, error-optimal weights and ranges, and the .tflite that carries them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from kit.errors import ShapeError, UnsupportedOpError
from kit.golden import available, golden_latents
from kit.graph.container import open_model
from kit.graph.reader import read_tflite
from kit.quantize.calibrate import (
    _descended,
    _rounded,
    _start,
    best_grid,
    calibrate,
    channel_centres,
    channel_gains,
    latent_error,
    quantize_weights,
)
from kit.quantize.chain import Grid, QuantChain, input_columns
from kit.quantize.fold import (
    FloatConv,
    can_centre,
    centred,
    convolve,
    equalized,
    fold_encoder,
    rectified,
    run_float,
    with_arrays,
    with_remainder,
)
from kit.reference.encoder import encode
from tests.support import missing, seed, seeded_keras

SAMPLES, BITS = 64, 5


def waves(count: int) -> np.ndarray:
    """float32[count, SAMPLES]: frames of mean 0 and deviation near 1."""
    random = np.random.default_rng(seed())
    time = np.arange(SAMPLES) / SAMPLES
    phase, rate = random.uniform(0, 6.3, (2, count, 1)), random.uniform(1, 4, (count, 1))
    return (1.3 * np.sin(6.283 * rate * time + phase[0]) + 0.5 * np.sin(12.57 * rate * time + phase[1])).astype(
        np.float32
    )


def int8(y: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(y * (1 << BITS)), -128, 127).astype(np.int8)


def chain() -> list[FloatConv]:
    """Dense, depthwise and 1x1 layers with channels of very unequal size and a few extreme weights."""
    random = np.random.default_rng(seed())
    spread = np.geomspace(0.05, 2.0, 6)
    dense = random.normal(0, 0.4, (6, 7, 1)) * spread[:, None, None]
    second = random.standard_t(3, (8, 7, 6)) * 0.1
    return [
        FloatConv("stage0_conv", dense, random.normal(0, 0.1, 6) * spread, 2, True, False),
        FloatConv("stage1_conv", second, random.normal(0, 0.1, 8), 2, True, False),
        FloatConv("stage2_depthwise", random.normal(0, 0.4, (7, 8)), np.zeros(8), 2, False, True),
        FloatConv("stage2_pointwise", random.normal(0, 0.3, (9, 1, 8)), random.normal(0, 0.1, 9), 1, True, False),
        FloatConv("head_conv", random.standard_t(3, (4, 1, 9)) * 0.2, random.normal(0, 0.1, 4), 1, False, False),
    ]


def minmax_chain(made: QuantChain, layers: list[FloatConv], real: np.ndarray) -> QuantChain:
    """The chain with every range as wide as its values and weights rounded to the nearest."""
    x, found = real[:, :, None], made
    for at, layer in enumerate(layers):
        x = rectified(layer, convolve(layer, x))
        found = found.with_grid(at, Grid.of_range(min(0.0, float(x.min())), max(0.0, float(x.max()))))
    return found


def test_error_calibration_beats_ranges_of_the_largest_values() -> None:
    layers, real = chain(), waves(200)
    found, figures = calibrate(layers, real, int8(real), BITS)
    fresh = waves(1200)[200:]  # of 100 frames, the order of two good calibrations is chance
    wanted = run_float(layers, fresh[:, :, None])
    x = (int8(fresh) / 2.0**BITS).astype(np.float32)[:, :, None]
    even = [layer.shape for layer in found.layers]
    assert np.allclose(run_float(even, x), run_float(layers, x), atol=1e-4)
    error = latent_error(found.run(x), wanted)
    assert error < latent_error(minmax_chain(found, even, real).run(x), wanted)
    plain = equalized(layers, channel_gains(layers, real[:, :, None]))
    rounded = (int8(real) / 2.0**BITS).astype(np.float32)[:, :, None]
    rival = minmax_chain(_start(plain, real[:, :, None], rounded, 2.0**-BITS), plain, real)
    assert error < latent_error(rival.run(x), wanted)
    assert figures.final <= figures.start and figures.input_only < figures.final < 60
    assert "per mille" in figures.summary


def in_two_channels(y: np.ndarray, remainder_bits: int) -> np.ndarray:
    """Value and remainder of frames: int8[count, SAMPLES, 2]."""
    quotient = np.rint(y * (1 << (BITS + remainder_bits))).astype(np.int64)
    value = np.clip((quotient + (1 << (remainder_bits - 1))) >> remainder_bits, -128, 127)
    return np.stack([value, quotient - (value << remainder_bits)], axis=-1).astype(np.int8)


def test_remainders_take_the_noise_of_the_input_out() -> None:
    random = np.random.default_rng(seed())
    layers = [FloatConv("head_conv", random.normal(0, 0.3, (6, 31, 1)), random.normal(0, 0.1, 6), 4, False, False)]
    real, fresh = waves(200), waves(600)[200:]
    wanted = run_float(layers, fresh[:, :, None])
    plain, found = calibrate(layers, real, int8(real), BITS)
    fine, finer = calibrate(layers, real, in_two_channels(real, 3), BITS, 3)
    assert finer.input_only < 0.2 * found.input_only and finer.final < found.final
    assert (plain.input_channels, fine.input_channels) == (1, 2)
    frames = in_two_channels(fresh, 3)
    error = latent_error(fine.run(input_columns(frames, 2.0**-BITS)), wanted)
    assert error < latent_error(plain.run(input_columns(int8(fresh), 2.0**-BITS)), wanted)
    encoder = read_tflite(fine.tflite(SAMPLES))
    assert (encoder.graph.input_tensor.channels, encoder.graph.lsb_bits) == (2, BITS)
    latents = encode(encoder, frames)
    with pytest.raises(ShapeError, match=r"expected int8\[n, 64, 2\]"):
        encode(encoder, frames[:, :, 0])
    if (reason := available()) is not None:
        missing("tflite-micro", reason)
    assert np.array_equal(golden_latents(fine.tflite(SAMPLES), frames), latents)


def test_a_chain_with_remainders_reads_exact_frames_as_before() -> None:
    layers, x = chain(), waves(20)
    both = with_remainder(layers, 3)
    assert np.array_equal(both[0].weights[..., 1], layers[0].weights[..., 0] / 8)
    parted = np.stack([x - 0.5, np.full_like(x, 0.5 * 8)], axis=-1).astype(np.float32)
    assert np.allclose(run_float(both, parted), run_float(layers, x[:, :, None]), atol=1e-4)
    assert with_remainder(layers, 0) == layers


def test_channels_are_centred_where_nothing_but_a_bias_sees_it() -> None:
    layers, x = chain(), waves(200)[:, :, None]
    signs = np.where(np.arange(8) % 2, 1.0, -1.0)
    layers[2] = with_arrays(layers[2], np.abs(layers[2].weights) * signs, layers[2].bias)
    assert [can_centre(a, b) for a, b in pairwise(layers)] == [False, False, True, False]
    assert not can_centre(layers[2], layers[1]) and not can_centre(layers[2], layers[2])
    centres = channel_centres(layers, x)
    assert [bool(centre.any()) for centre in centres] == [False, False, True, False]
    even = centred(layers, centres)
    assert np.allclose(run_float(even, x), run_float(layers, x), atol=1e-4)
    # Channels of one sign each leave half of the common range unused; centred, the same eight bits are finer.
    before, after = run_float(layers[:3], x) * signs, run_float(even[:3], x) * signs
    assert before.min() >= 0 and (after.min(axis=(0, 1)) < -0.3 * after.max(axis=(0, 1))).all()
    finer = []
    for made in (layers, even):
        gains = channel_gains(made, x)[2]
        out = run_float(made[:3], x) * gains
        # What the rounding of the activation adds to each channel, in the channel's own units.
        finer.append((np.square(best_grid(out.astype(np.float32)).apply(out) - out) / gains**2).mean(axis=(0, 1)))
    assert finer[1].sum() < 0.5 * finer[0].sum()


def test_the_file_is_what_a_converter_emits_and_runs_alike_everywhere() -> None:
    real = waves(64)
    found, _ = calibrate(chain(), real, int8(real), BITS)
    model = found.tflite(SAMPLES)
    assert model == calibrate(chain(), real, int8(real), BITS)[0].tflite(SAMPLES)
    assert [op.op for op in open_model(model).operators] == [
        "CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "CONV_2D",
    ]  # fmt: skip
    assert [op.activation for op in open_model(model).operators] == ["RELU", "RELU", "NONE", "RELU", "NONE"]
    encoder = read_tflite(model)
    assert [node.keras_layer for node in encoder.graph.nodes] == [layer.name for layer in chain()]
    y = int8(waves(40))
    latents = encode(encoder, y)
    out = encoder.graph.output_tensor
    simulated = found.run((y / 2.0**BITS).astype(np.float32)[:, :, None]) / np.float32(out.scale) + out.zero_point
    difference = np.abs(latents - simulated)
    assert difference.max() < 2.01 and (difference > 0.01).mean() < 0.1
    if (reason := available()) is not None:
        missing("tflite-micro", reason)
    assert np.array_equal(golden_latents(model, y), latents)


def test_rounding_never_does_worse_than_the_nearest_integers() -> None:
    random = np.random.default_rng(seed())
    mixed = random.normal(size=(30, 12)) @ random.normal(size=(12, 12))
    moments = (mixed.T @ mixed / 30)[None]
    rows, scale = random.normal(size=(5, 12)), np.full(5, 0.3)
    nearest = np.rint(rows / 0.3) * 0.3 - rows
    integers, error = _rounded(rows, scale, moments)
    assert (error <= np.einsum("om,mn,on->o", nearest, moments[0], nearest) + 1e-12).all()
    assert error.sum() < 0.9 * np.einsum("om,mn,on->", nearest, moments[0], nearest)
    assert np.abs(integers).max() <= 127


def test_taps_of_a_slow_signal_make_good_what_rounding_their_neighbours_leaves() -> None:
    random = np.random.default_rng(seed())
    slow = np.convolve(random.normal(size=4000), np.hanning(16), "same")
    windows = np.lib.stride_tricks.sliding_window_view(slow, 31)
    moments = (windows.T @ windows / len(windows) + 1e-3 * float(slow.var()) * np.eye(31))[None]
    rows = random.normal(0, 0.3, (6, 31)) + np.hanning(31)
    scale = np.abs(rows).max(axis=1) / 127
    nearest = np.rint(rows / scale[:, None])
    alone = _descended(nearest, rows, scale, moments)[1]
    integers, error = _rounded(rows, scale, moments)
    assert (error <= alone).all() and error.sum() < 0.3 * alone.sum()
    delta = integers * scale[:, None] - rows
    assert np.allclose(error, np.einsum("om,mn,on->o", delta, moments[0], delta))


@pytest.mark.parametrize("at", [0, 2, 4])
def test_weights_of_every_kind_of_layer(at: int) -> None:
    layer = chain()[at]
    inputs = layer.weights.shape[1] if layer.depthwise else layer.weights.shape[2]
    x = np.random.default_rng(seed()).normal(size=(20, 16, inputs)).astype(np.float32)
    weights, scales = quantize_weights(layer, x, 0.03)
    assert weights.dtype == np.int8 and weights.shape == layer.weights.shape and scales.shape == layer.bias.shape
    real = weights * (scales if layer.depthwise else scales[:, None, None])
    assert np.abs(real - layer.weights).max() < 0.1 * np.abs(layer.weights).max()


def test_dead_channels_keep_usable_numbers() -> None:
    layers = chain()
    layers[0].weights[2] = 0.0
    layers[0].bias[2] = 0.7
    layers[1].weights[:] = 0.0
    real = waves(32)
    found, _ = calibrate(layers, real, int8(real), BITS)
    encoder = read_tflite(found.tflite(SAMPLES))
    assert np.isfinite(encode(encoder, int8(real))).all()


def test_grids_hold_zero_and_clip() -> None:
    y = np.concatenate([np.random.default_rng(seed()).normal(size=100_000), [7.0, -12.0]]).astype(np.float32)
    grid = best_grid(y)
    assert (-128 - grid.zero_point) * grid.scale > -12.0 and grid.apply(np.zeros(1, np.float32))[0] == 0
    assert latent_error(grid.apply(y[:-2]), y[:-2]) < latent_error(Grid.of_range(-12, 7).apply(y[:-2]), y[:-2])
    assert Grid.of_range(0.0, 0.0).scale > 0


def test_wrong_arguments_are_refused() -> None:
    real = waves(8)
    with pytest.raises(ShapeError, match="calibration"):
        calibrate(chain(), real, int8(real)[:4], BITS)
    layers = chain()
    layers[1].weights[0, 0, 0] = np.nan
    with pytest.raises(ShapeError, match="not finite"):
        calibrate(layers, real, int8(real), BITS)


@pytest.fixture(scope="module")
def keras() -> Any:
    return seeded_keras()


def test_folding_keeps_the_function(keras: Any) -> None:
    from kit.model.encoder import build_encoder
    from tests.unit.test_quantize_convert import tiny_config

    for norms in (("batch", "none"), ("none", "batch")):
        model = build_encoder(tiny_config(encoder_block_norm=norms[0], encoder_head_norm=norms[1]))
        random = np.random.default_rng(seed())
        for layer in model.layers:
            if type(layer).__name__ == "BatchNormalization":
                width = layer.gamma.shape
                layer.set_weights([random.uniform(0.5, 2, width) for _ in range(4)])
        layers = fold_encoder(model)
        x = waves(8)
        wanted = np.asarray(model(x[:, None, :, None]))[:, 0]
        np.testing.assert_allclose(run_float(layers, x[:, :, None]), wanted, atol=1e-4 * np.abs(wanted).max())
        gains = [np.linspace(0.5, 3, layer.channels) for layer in layers[:-1]]
        even = run_float(equalized(layers, gains), x[:, :, None])
        np.testing.assert_allclose(even, wanted, atol=1e-4 * np.abs(wanted).max())


def test_what_does_not_fold_is_named(keras: Any) -> None:
    from kit.model.encoder import build_encoder
    from tests.unit.test_quantize_convert import tiny_config

    with pytest.raises(UnsupportedOpError, match=r"stage0_norm: LayerNormalization.*minmax"):
        fold_encoder(build_encoder(tiny_config(encoder_block_norm="layer")))
    inputs = keras.Input((1, 8, 2))
    for layer, name in (
        (keras.layers.Conv2D(2, (1, 3), padding="valid", name="odd"), "padding valid"),
        (keras.layers.Conv2D(2, (1, 3), padding="same", activation="tanh", name="odd"), "tanh"),
        (keras.layers.ReLU(6.0, name="odd"), "ReLU"),
    ):
        with pytest.raises(UnsupportedOpError, match=rf"odd: .*{name}"):
            fold_encoder(keras.Model(inputs, layer(inputs)))
    x = keras.layers.Conv2D(2, 1, name="first")(inputs)
    forked = keras.layers.Add(name="sum")([keras.layers.Conv2D(2, 1, name="second")(x), x])
    with pytest.raises(UnsupportedOpError, match="first"):
        fold_encoder(keras.Model(inputs, forked))
