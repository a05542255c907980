"""INT8 conversion in a fresh process, equalization, decoder export and refit, on one tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.config import Config, parse_config
from kit.errors import ArtifactError, ShapeError, ToolchainError, TrainingError, UnsupportedOpError
from kit.graph.ir import Encoder
from kit.quantize.convert import convert_encoder, spanning_frames
from kit.reference.encoder import encode
from tests.support import seed, seeded_keras

SAMPLES, BITS = 64, 5


@pytest.fixture(scope="module", autouse=True)
def keras() -> Any:
    return seeded_keras()


def tiny_config(**model: Any) -> Config:
    sizes = {"embedding_dim": 4, "latent_width": 16, "num_stages": 3, "base_filters": 6}
    return parse_config({"name": "tiny", "signal": {"frame_samples": SAMPLES}, "model": sizes | model})


def waves(count: int) -> np.ndarray:
    """float32[count, SAMPLES]: frames of mean 0 and deviation near 1."""
    random = np.random.default_rng(seed())
    time = np.arange(SAMPLES) / SAMPLES
    phase, rate = random.uniform(0, 6.3, (2, count, 1)), random.uniform(1, 4, (count, 1))
    y = np.sin(6.283 * rate * time + phase[0]) + 0.4 * np.sin(12.57 * rate * time + phase[1])
    return (1.3 * y).astype(np.float32)


def int8(y: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(y * (1 << BITS)), -128, 127).astype(np.int8)


@pytest.fixture(scope="module")
def encoder(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    from kit.model.encoder import build_encoder

    model = build_encoder(tiny_config())
    for layer in model.layers:
        # Channels of very unequal size, as training makes them.
        if type(layer).__name__ == "BatchNormalization":
            layer.gamma.assign(np.geomspace(0.4, 2.0, layer.gamma.shape[0]))
            layer.beta.assign(np.linspace(0.1, 0.3, layer.beta.shape[0]))
    path = tmp_path_factory.mktemp("encoder") / "encoder.keras"
    model.save(path)
    return path, model


@pytest.fixture(scope="module")
def converted(encoder: tuple[Path, Any]) -> tuple[Encoder, Path]:
    out = encoder[0].with_name("encoder.tflite")
    return convert_encoder(encoder[0], int8(waves(64)), BITS, out), out


def test_input_is_exactly_the_normalised_frame(converted: tuple[Encoder, Path]) -> None:
    first = converted[0].graph.input_tensor
    assert (first.scale, first.zero_point, first.length) == (2.0**-BITS, 0, SAMPLES)
    assert [node.depthwise for node in converted[0].graph.nodes] == [False, False, True, False, False]


def test_latents_are_close_to_the_float_encoder(encoder: tuple[Path, Any], converted: tuple[Encoder, Path]) -> None:
    y = int8(waves(20))
    wanted = np.asarray(encoder[1](y[:, None, :, None].astype(np.float32) / (1 << BITS)))[:, 0]
    last = converted[0].graph.output_tensor
    found = (encode(converted[0], y).astype(np.float32) - last.zero_point) * last.scale
    assert np.sqrt(np.square(found - wanted).mean() / np.square(wanted).mean()) < 0.03


def test_conversion_is_repeatable_from_process_to_process(
    encoder: tuple[Path, Any], converted: tuple[Encoder, Path], tmp_path: Path
) -> None:
    convert_encoder(encoder[0], int8(waves(64)), BITS, tmp_path / "again.tflite")
    assert (tmp_path / "again.tflite").read_bytes() == converted[1].read_bytes()


def test_layer_norm_is_refused_for_aot_with_a_way_out(keras: Any, tmp_path: Path) -> None:
    from kit.model.encoder import build_encoder

    build_encoder(tiny_config(num_stages=1, encoder_block_norm="layer")).save(tmp_path / "encoder.keras")
    with pytest.raises(UnsupportedOpError, match="tflm"):
        convert_encoder(tmp_path / "encoder.keras", int8(waves(8)), BITS, tmp_path / "encoder.tflite")
    assert not (tmp_path / "encoder.tflite").exists()


def test_converter_failures_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "encoder.keras").write_bytes(b"not a model")
    with pytest.raises(ToolchainError, match="refused") as caught:
        convert_encoder(tmp_path / "encoder.keras", int8(waves(8)), BITS, tmp_path / "encoder.tflite")
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        convert_encoder(tmp_path / "absent.keras", int8(waves(8)), BITS, tmp_path / "out")
    with pytest.raises(ShapeError):
        convert_encoder(tmp_path / "absent.keras", waves(8), BITS, tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(ShapeError):
        convert_encoder(tmp_path / "absent.keras", int8(waves(8)), 9, tmp_path / "out")


def test_spanning_frames_change_two_samples() -> None:
    frames = int8(waves(10))
    spanned = spanning_frames(frames)
    assert spanned.shape == (12, SAMPLES) and (spanned[:10] == frames).all()
    assert spanned.min() == -128 and spanned.max() == 127
    assert all((frames == row).sum(axis=1).max() == SAMPLES - 1 for row in spanned[10:])


def test_equalization_keeps_the_function_and_evens_the_channels(encoder: tuple[Path, Any], keras: Any) -> None:
    from kit.quantize.equalize import equalize

    model = keras.models.clone_model(encoder[1])
    model.set_weights(encoder[1].get_weights())
    frames = waves(32)
    before = np.asarray(encoder[1](frames[:, None, :, None]))
    assert equalize(model, frames) == 4
    np.testing.assert_allclose(np.asarray(model(frames[:, None, :, None])), before, atol=1e-5 * np.abs(before).max())
    part = keras.Model(model.input, model.get_layer("stage0_relu").output)
    peaks = np.asarray(part(frames[:, None, :, None])).max(axis=(0, 1, 2))
    assert peaks[peaks > 0].min() > 0.95 * peaks.max()


@pytest.mark.parametrize("shape", ["mirror", "wide"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_decoder_export_equals_keras(norm: str, shape: str, keras: Any) -> None:
    from kit.model.decoder import build_decoder
    from kit.quantize.export import export_decoder
    from kit.server.executor import run

    norms = {"decoder_block_norm": norm, "decoder_head_norm": norm}
    decoder = build_decoder(tiny_config(decoder=shape, decoder_width=8, **norms))
    for weight in decoder.weights:
        if "moving_variance" not in weight.path:
            weight.assign(np.random.default_rng(len(weight.path)).normal(0.2, 0.3, weight.shape))
    spec = export_decoder(decoder)
    latents = np.random.default_rng(1).normal(size=(3, 8, 4)).astype(np.float32)
    wanted = np.asarray(decoder(latents[:, None]))[:, 0, :, 0]
    np.testing.assert_allclose(run(spec, latents), wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


def test_other_layers_are_refused_by_name(keras: Any) -> None:
    from kit.quantize.export import export_decoder

    inputs = keras.Input((1, 4, 2))
    for layer, reason in (
        (keras.layers.Conv2D(1, (1, 3), padding="same", activation="tanh", name="odd"), "tanh"),
        (keras.layers.Conv2D(1, (1, 3), strides=2, padding="same", name="odd"), "stride"),
        (keras.layers.UpSampling2D((1, 2), interpolation="bilinear", name="odd"), "nearest"),
        (keras.layers.DepthwiseConv2D((1, 3), padding="same", dilation_rate=(1, 2), name="odd"), "plain"),
        (keras.layers.Reshape((1, 2, 4), name="odd"), "split"),
        (keras.layers.ReLU(6.0, name="odd"), "max"),
        (keras.layers.LayerNormalization(axis=2, name="odd"), "channels"),
        (keras.layers.GaussianNoise(0.1, name="odd"), "no NumPy"),
    ):
        with pytest.raises(UnsupportedOpError, match=rf"odd .*{reason}"):
            export_decoder(keras.Model(inputs, layer(inputs)))


def test_residual_decoders_are_exported(keras: Any) -> None:
    from kit.quantize.export import export_decoder

    inputs = keras.Input((1, 4, 2))
    side = keras.layers.DepthwiseConv2D((1, 3), padding="same", activation="relu")(inputs)
    added = keras.layers.Add()([inputs, side])
    decoder = keras.Model(inputs, keras.layers.Conv2D(1, 1)(keras.layers.UpSampling2D((1, 4))(added)))
    assert "add" in [layer.kind for layer in export_decoder(decoder).layers]


def refit_parts(count: int) -> tuple[Any, Any, Any]:
    """A decoder, a codebook, and frames that a decoder can learn."""
    from kit.model.decoder import build_decoder
    from kit.quantize.codebook import quantize_codebook
    from kit.quantize.refit import RefitFrames

    random = np.random.default_rng(seed())
    book = quantize_codebook(random.normal(size=(2, 16, 4)).astype(np.float32), 0.05, 0, 8)
    indices = random.integers(0, 16, (count, 8, 2)).astype(np.uint16)
    y = np.repeat(book.dequantize(indices)[:, :, 0], 8, axis=1)
    return build_decoder(tiny_config()), book, RefitFrames(indices, y)


def test_refit_learns_and_keeps_the_best(keras: Any) -> None:
    from kit.quantize.refit import refit_decoder, validation_prd

    decoder, book, frames = refit_parts(128)
    seen = []
    result = refit_decoder(
        decoder, book, frames, frames, steps=40, seed=1, progress=lambda done, total: seen.append((done, total))
    )
    assert result.prd_after < 0.95 * result.prd_before and result.codebook is not None
    assert validation_prd(decoder, book, frames, result.codebook) == pytest.approx(result.prd_after, rel=1e-5)
    assert seen[-1] == (40, 40) and len(seen) == 40


def test_refit_never_makes_it_worse(keras: Any) -> None:
    from kit.quantize.refit import RefitFrames, refit_decoder, validation_prd

    decoder, book, frames = refit_parts(64)
    refit_decoder(decoder, book, frames, frames, steps=40, seed=1, with_codebook=False)
    before = [weight.copy() for weight in decoder.get_weights()]
    wrong = RefitFrames(frames.indices, -8 * frames.y)
    result = refit_decoder(decoder, book, wrong, frames, steps=40, seed=1)
    assert result.prd_after <= result.prd_before
    assert validation_prd(decoder, book, frames, result.codebook) == result.prd_after
    if result.best_step == 0:
        assert all((a == b).all() for a, b in zip(before, decoder.get_weights(), strict=True))
    untouched = refit_decoder(decoder, book, frames, frames, steps=0, seed=1)
    assert untouched.best_step == 0 and untouched.steps == 0 and untouched.codebook is None


def coarse_parts(keras: Any) -> tuple[Any, Any, Any]:
    """A linear decoder that is right, a device codebook of few steps, and frames of its entries before rounding."""
    from kit.graph.codebook import IntegerCodebook
    from kit.quantize.refit import RefitFrames

    random = np.random.default_rng(seed())
    exact = random.normal(size=(2, 8, 2)).astype(np.float32)
    integer = np.rint(exact / 0.5).astype(np.int8)
    book = IntegerCodebook(integer, np.zeros(2, np.int32), 0, 0.5, 0, exact)
    inputs = keras.Input((1, 8, 2))
    decoder = keras.Model(inputs, keras.layers.Reshape((1, 32, 1))(keras.layers.Conv2D(4, 1)(inputs)))
    mixing = random.normal(size=(2, 4)).astype(np.float32)
    decoder.set_weights([mixing[None, None], np.zeros(4, np.float32)])
    # Entry 7 of level 1 is never sent.
    indices = np.stack([random.integers(0, 8, (96, 8)), random.integers(0, 7, (96, 8))], axis=-1).astype(np.uint16)
    latents = exact[0][indices[..., 0]] + exact[1][indices[..., 1]]
    return decoder, book, RefitFrames(indices, (latents @ mixing).reshape(96, 32))


def test_refit_trains_what_an_index_stands_for(keras: Any) -> None:
    from kit.quantize.export import export_decoder
    from kit.quantize.refit import refit_decoder, validation_prd
    from kit.server.executor import decode_indices

    decoder, book, frames = coarse_parts(keras)
    start, found = decoder.get_weights(), []
    for with_codebook in (False, True, True):
        decoder.set_weights(start)
        found.append(refit_decoder(decoder, book, frames, frames, steps=500, seed=1, with_codebook=with_codebook))
    fixed, free, again = found
    # A linear decoder takes back little of a rounding that differs from entry to entry.
    assert fixed.codebook is None and fixed.prd_after > 0.5 * fixed.prd_before
    assert free.prd_after < 0.3 * fixed.prd_after and free.best_step > 0
    assert free.codebook is not None and free.codebook.dtype == np.float32 and free.codebook.shape == (2, 8, 2)
    assert (free.codebook[1, 7] == book.entry_values()[1, 7]).all(), "an entry that is never sent stays"
    assert free.prd_before == fixed.prd_before and free.codebook.tobytes() == again.codebook.tobytes()
    assert validation_prd(decoder, book, frames, free.codebook) == pytest.approx(free.prd_after, rel=1e-5)
    spec = replace(export_decoder(decoder), codebook=free.codebook)
    error = decode_indices(spec, book, frames.indices) - frames.y
    assert np.square(error).mean() < 0.01 * np.square(frames.y).mean()


def test_weights_that_came_in_go_with_the_entries_of_the_device(keras: Any) -> None:
    from kit.quantize.refit import RefitFrames, refit_decoder

    decoder, book, frames = coarse_parts(keras)
    start = decoder.get_weights()
    y = np.asarray(decoder(book.dequantize(frames.indices)[:, None]))[:, 0, :, 0]
    result = refit_decoder(decoder, book, frames, RefitFrames(frames.indices, y), steps=20, seed=1)
    assert result.best_step == 0 and result.codebook is None and result.prd_after == result.prd_before
    assert all((a == b).all() for a, b in zip(start, decoder.get_weights(), strict=True))


def test_refit_needs_frames(keras: Any) -> None:
    from kit.quantize.refit import RefitFrames, refit_decoder

    decoder, book, frames = refit_parts(4)
    with pytest.raises(TrainingError, match="no frames"):
        refit_decoder(decoder, book, RefitFrames(frames.indices[:0], frames.y[:0]), frames, steps=1, seed=1)
    with pytest.raises(ShapeError, match="do not match"):
        RefitFrames(frames.indices[:3], frames.y)
