"""Latents given several times: finer than once, on fresh frames and to the bit in every executor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kit.build.train_stages import _refuse_unfolded
from kit.config import QuantizeConfig
from kit.errors import ConfigError, UnsupportedOpError
from kit.golden import available, golden_latents
from kit.graph.reader import read_tflite
from kit.quantize.calibrate import calibrate, latent_error
from kit.quantize.chain import QuantChain, input_columns
from kit.quantize.copies import _copies, _wanted, mean_of_copies, offsets, repeated
from kit.quantize.fold import FloatConv, run_float
from kit.quantize.int8 import real_latents
from kit.reference.encoder import encode
from tests.support import missing, seed

SAMPLES, BITS, CHANNELS = 64, 6, 3


def waves(count: int, rng: np.random.Generator) -> np.ndarray:
    """Exact INT8 frames, int8[count, SAMPLES]: nothing is lost before the latents are rounded."""
    time = np.arange(SAMPLES) / SAMPLES
    phase, rate = rng.uniform(0, 6.3, (count, 1)), rng.uniform(1, 4, (count, 1))
    return np.rint(60 * np.sin(6.283 * rate * time + phase)).astype(np.int8)


def quantized() -> tuple[list[FloatConv], QuantChain, np.ndarray, np.ndarray]:
    """Float layers, their chain, the frames it was calibrated on, and others."""
    rng = np.random.default_rng(seed())
    weights = rng.normal(0, 0.2, (CHANNELS, 31, 1))
    layers = [FloatConv("head_conv", weights, rng.normal(0, 0.1, CHANNELS), 4, False, False)]
    frames, fresh = waves(150, rng), waves(300, rng)
    chain, _ = calibrate(layers, (frames / 2.0**BITS).astype(np.float32), frames, BITS)
    return layers, chain, frames, fresh


def test_offsets_part_a_step_evenly() -> None:
    assert offsets(1).tolist() == [0.0]
    assert offsets(4).tolist() == [-0.375, -0.125, 0.125, 0.375]
    # Rounded so, the mean of the copies is the value rounded to a quarter of a step.
    value = np.linspace(-3, 3, 1001)[:, None]
    error = np.rint(value + offsets(4)).mean(axis=1) - value[:, 0]
    assert np.abs(error).max() <= 0.125 + 1e-9


@pytest.mark.parametrize("copies", [2, 5, 8])
def test_copies_round_latents_more_finely(copies: int) -> None:
    layers, chain, frames, fresh = quantized()
    made, gain = repeated(chain, input_columns(frames, 2.0**-BITS), copies)
    assert gain.copies == copies and gain.repeated < (0.7 if copies == 2 else 0.5) * gain.once
    x = input_columns(fresh, 2.0**-BITS)
    wanted = run_float(layers, x)
    most = (0.5 if copies == 2 else 0.3) * latent_error(chain.run(x), wanted)
    assert latent_error(mean_of_copies(made.run(x), copies), wanted) < most
    encoder = read_tflite(made.tflite(SAMPLES))
    assert encoder.graph.output_tensor.channels == copies * CHANNELS
    assert latent_error(real_latents(encoder, fresh, copies), wanted) < most
    if (reason := available()) is not None:
        missing("tflite-micro", reason)
    assert np.array_equal(golden_latents(made.tflite(SAMPLES), fresh), encode(encoder, fresh))


def test_weights_share_out_what_rounding_them_leaves() -> None:
    layers, chain, frames, _ = quantized()
    x = input_columns(frames, 2.0**-BITS)
    last = _copies(chain.layers[-1], x, chain.input_scale, _wanted(chain.layers[-1], x, chain.input_scale), 6, True)
    real = (last.weights * last.scales.astype(np.float64)[:, None, None]).reshape(6, *layers[0].weights.shape)
    error = np.abs(real.mean(axis=0) - layers[0].weights).max()
    assert error < 0.5 * np.abs(real[0] - layers[0].weights).max()


@pytest.mark.parametrize("change", [{"relu": True}, {"depthwise": True}], ids=str)
def test_layers_without_copies_are_named(change: dict[str, bool]) -> None:
    _, chain, frames, _ = quantized()
    last = chain.layers[-1]
    wrong = QuantChain(chain.input_scale, (replace(last, shape=replace(last.shape, **change)),))
    with pytest.raises(UnsupportedOpError, match="head_conv: latents come from a depthwise or rectified layer"):
        repeated(wrong, input_columns(frames, 2.0**-BITS), 2)


@pytest.mark.parametrize("settings", [{"latent_copies": 2}, {"input_remainder_bits": 3}], ids=str)
def test_encoders_that_only_the_converter_takes_have_none(settings: dict[str, int]) -> None:
    _refuse_unfolded(QuantizeConfig())
    key = next(iter(settings))
    with pytest.raises(ConfigError, match=f"quantize.{key} needs an encoder of convolutions"):
        _refuse_unfolded(QuantizeConfig(**settings))
