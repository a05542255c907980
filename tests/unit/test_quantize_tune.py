"""Fine-tuning through the quantized encoder, the latents' measure, and the codebooks' refit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.config import QuantizeConfig
from kit.errors import ArtifactError, ShapeError, TrainingError
from kit.graph.reader import read_tflite
from kit.model.rvq import RARE_SHARE, nearest_indices
from kit.quantize.calibrate import calibrate
from kit.quantize.codebook_refit import quantization_error, refit_codebook
from kit.quantize.prices import Rate, level_search, mean_bits, settled_prices, steered_prices
from tests.support import seed, seeded_keras
from tests.unit.test_quantize_calibrate import BITS, int8, waves
from tests.unit.test_quantize_convert import tiny_config


@pytest.fixture(scope="module", autouse=True)
def keras() -> Any:
    return seeded_keras()


def autoencoder() -> Any:
    """A tiny autoencoder whose codebooks lie among its latents."""
    import keras

    from kit.model.autoencoder import build_autoencoder
    from kit.model.rvq import initial_codebook

    keras.utils.set_random_seed(seed())
    made = build_autoencoder(tiny_config())
    latents = np.asarray(made.encoder(waves(64)[:, None, :, None])).reshape(-1, 4)
    made.rvq.start(initial_codebook(latents, 2, 16, 1))
    return made


def frames(count: int) -> Any:
    from kit.quantize.finetune import TuneFrames

    return TuneFrames(waves(count), int8(waves(count)))


def quantized(model: Any, **settings: Any) -> Any:
    from kit.quantize.int8 import foldable, quantize_autoencoder

    config = QuantizeConfig(**{"finetune_steps": 0, "codebook_rounds": 0, "latent_metric": 0.0, **settings})
    layers = foldable(model.encoder)
    assert layers is not None
    return quantize_autoencoder(layers, model, config, BITS, frames(32), frames(128), frames(48), seed=1)


def test_the_fake_quantized_layer_computes_what_the_device_computes() -> None:
    from kit.quantize.fake_quant import FakeQuantEncoder
    from kit.quantize.fold import fold_encoder
    from kit.quantize.int8 import real_latents, simulated_latents

    chain, _ = calibrate(fold_encoder(autoencoder().encoder), waves(32), int8(waves(32)), BITS)
    layer, y = FakeQuantEncoder(chain), int8(waves(64))
    keras_latents = np.asarray(layer((y / 2.0**BITS).astype(np.float32)))[:, 0]
    again = layer.quantized()
    assert again.tflite(64) == chain.tflite(64)
    encoder = read_tflite(chain.tflite(64))
    steps = np.abs(keras_latents - real_latents(encoder, y)) / encoder.graph.output_tensor.scale
    assert steps.max() < 2.01 and (steps > 1.01).mean() < 1e-3 and (steps > 0.01).mean() < 0.1
    assert np.allclose(keras_latents, simulated_latents(chain, y), atol=1.01 * encoder.graph.output_tensor.scale)


def test_finetuning_lowers_the_error_and_its_integers_are_those_of_the_layer() -> None:
    from kit.quantize.finetune import finetune
    from kit.quantize.fold import fold_encoder
    from kit.quantize.int8 import real_latents, simulated_latents

    results = []
    for _ in range(2):
        model = autoencoder()
        chain, _ = calibrate(fold_encoder(model.encoder), waves(32), int8(waves(32)), BITS)
        seen: list[tuple[int, int]] = []
        tuned, figures = finetune(
            chain, model.rvq, model.decoder, frames(128), frames(48), steps=60, seed=1,
            progress=lambda done, total, seen=seen: seen.append((done, total)),
        )  # fmt: skip
        results.append((tuned.tflite(64), np.asarray(model.rvq.codebook)))
        assert figures.prd_after < figures.prd_before and seen[-1] == (60, 60)
        encoder = read_tflite(tuned.tflite(64))
        off = np.abs(real_latents(encoder, int8(waves(48))) - simulated_latents(tuned, int8(waves(48))))
        assert (off > 1.01 * encoder.graph.output_tensor.scale).mean() < 1e-3
    assert results[0][0] == results[1][0] and np.array_equal(results[0][1], results[1][1])
    with pytest.raises(TrainingError, match="no frames"):
        finetune(chain, model.rvq, model.decoder, frames(0), frames(4), steps=1, seed=1)
    with pytest.raises(ShapeError, match="does not match"):
        from kit.quantize.finetune import TuneFrames

        TuneFrames(waves(4), int8(waves(3)))


def test_codebooks_that_are_moving_averages_go_on_moving_and_gradients_leave_them_alone() -> None:
    from kit.model.rvq import ResidualVectorQuantizer, initial_codebook
    from kit.quantize.finetune import finetune
    from kit.quantize.fold import fold_encoder

    model = autoencoder()
    rvq = ResidualVectorQuantizer(2, 16, 4, 0.25, update="ema", decay=0.9, seed=1)
    latents = np.asarray(model.encoder(waves(64)[:, None, :, None]))
    rvq(latents)
    rvq.start(initial_codebook(latents.reshape(-1, 4), 2, 16, 1))
    chain, _ = calibrate(fold_encoder(model.encoder), waves(32), int8(waves(32)), BITS)
    before, sums = np.asarray(rvq.codebook).copy(), np.asarray(rvq.ema_sum).copy()
    _, figures = finetune(
        chain, rvq, model.decoder, frames(128), frames(48), steps=60, seed=1, peak_rate=2e-3, batch=16
    )  # fmt: skip
    assert figures.best_step > 0
    moved = np.abs(np.asarray(rvq.codebook) - before).max(axis=2)
    assert (moved > 1e-4).mean() > 0.5 and not np.array_equal(np.asarray(rvq.ema_sum), sums)
    shares = np.asarray(rvq.ema_count)[..., None]
    assert np.allclose(np.asarray(rvq.codebook), np.asarray(rvq.ema_sum) / shares, rtol=1e-2, atol=1e-3)


def test_a_change_of_basis_takes_the_moving_averages_along() -> None:
    from kit.model.rvq import ResidualVectorQuantizer

    random = np.random.default_rng(seed())
    rvq = ResidualVectorQuantizer(2, 8, 4, 0.25, update="ema", decay=0.5, seed=1)
    latents = random.standard_normal((4, 1, 16, 4)).astype(np.float32)
    rvq(latents)
    rvq.start(random.standard_normal((2, 8, 4)).astype(np.float32))
    books, basis = np.asarray(rvq.codebook), random.standard_normal((4, 4))
    rvq.change_basis(basis)
    assert np.allclose(np.asarray(rvq.codebook), books @ basis, atol=1e-5)
    rvq(np.zeros_like(latents), training=True)
    # One step of moving averages: unchosen entries are halves of sums and of counts, and so stay where they were.
    idle = np.asarray(rvq.usage) == 0
    assert idle.any() and np.allclose(np.asarray(rvq.codebook)[idle], (books @ basis)[idle], rtol=1e-3, atol=1e-3)


def test_a_measured_basis_changes_nothing_but_distances() -> None:
    from kit.quantize.fold import fold_encoder, run_float
    from kit.quantize.metric import can_change, change_decoder, change_encoder, decoder_sensitivity, measure_basis

    model, x = autoencoder(), waves(24)
    layers = fold_encoder(model.encoder)
    assert can_change(layers, model.decoder)
    latents = run_float(layers, x[:, :, None])
    wanted = np.asarray(model.decoder(latents[:, None]))
    sensitivity = decoder_sensitivity(model.decoder, latents, x)
    assert np.allclose(sensitivity, sensitivity.T) and np.linalg.eigvalsh(sensitivity).min() > -1e-9
    basis = measure_basis(sensitivity, latents.reshape(-1, 4), 1.0)
    measured = basis @ basis.T
    ratio = measured / measured[0, 0] - sensitivity / sensitivity[0, 0]
    assert np.abs(ratio).max() < 1e-3 * np.abs(sensitivity / sensitivity[0, 0]).max()
    change_decoder(model.decoder, basis)
    changed = run_float(change_encoder(layers, basis), x[:, :, None])
    found = np.asarray(model.decoder(changed[:, None]))
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())
    assert np.array_equal(measure_basis(sensitivity, latents.reshape(-1, 4), 0.0), np.eye(4))


def test_decoders_with_a_side_path_keep_their_basis(keras: Any) -> None:
    from kit.quantize.fold import fold_encoder
    from kit.quantize.metric import can_change

    inputs = keras.Input((1, 8, 4))
    side = keras.layers.Conv2D(4, 1)(inputs)
    assert not can_change(fold_encoder(autoencoder().encoder), keras.Model(inputs, keras.layers.Add()([inputs, side])))


def test_codebooks_move_to_their_latents_and_never_do_worse() -> None:
    random = np.random.default_rng(seed())
    centres = random.normal(size=(8, 4))
    latents = (centres[random.integers(0, 8, 4000)] + 0.2 * random.normal(size=(4000, 4))).astype(np.float32)
    books = random.normal(0, 0.3, (2, 16, 4)).astype(np.float32)
    found, figures = refit_codebook(books, latents[:3000], latents[3000:], 10)
    assert figures.after < 0.8 * figures.before and figures.after == quantization_error(found, latents[3000:])
    assert np.array_equal(found, refit_codebook(books, latents[:3000], latents[3000:], 10)[0])
    far, figures = refit_codebook(found, (latents[:500] * -5), latents[3000:], 3)
    assert figures.best_round == 0 and np.array_equal(far, found)
    with pytest.raises(ShapeError, match="codebook"):
        refit_codebook(books, latents[:, :3], latents, 1)


def test_priced_codebooks_take_fewer_bits_and_their_prices_settle() -> None:
    random = np.random.default_rng(seed())
    scale = np.where(random.random((6000, 1)) < 0.7, 0.1, 1.5)  # most vectors lie close together, a few far apart
    latents = (scale * random.normal(size=(6000, 3))).astype(np.float32)
    books = np.stack([latents[:32], 0.3 * latents[100:132]])
    train, validation = latents[:5000], latents[5000:]
    plain, free = refit_codebook(books, train, validation, 6)
    priced, figures = refit_codebook(books, train, validation, 6, Rate(0.1))
    assert free.bits_before == 0.0 and figures.bits_after > 0.0
    floats = [found.astype(np.float64) for found in (plain, priced)]
    prices = settled_prices(floats[1], train, 0.1)
    assert prices is not None and prices.shape == (2, 32) and (prices.min(axis=1) == 0.0).all()
    found = (level_search(floats[0], validation), level_search(floats[1], validation, prices))
    bits = [mean_bits(chosen, 32) for chosen in found]
    assert bits[1] < bits[0] - 0.3
    assert np.allclose(prices, settled_prices(floats[1], train, 0.1, prices), rtol=0.3, atol=0.02 * prices.max())
    assert settled_prices(floats[0], train, 0.0) is None


def test_a_beam_refits_codebooks_and_prices_bits_by_what_all_levels_leave() -> None:
    random = np.random.default_rng(seed())
    latents = random.normal(size=(6000, 3)).astype(np.float32)
    books = np.stack([latents[:32], 0.3 * latents[100:132]])
    train, validation = latents[:5000], latents[5000:]
    plain = quantization_error(refit_codebook(books, train, validation, 6)[0], validation)
    kept, figures = refit_codebook(books, train, validation, 6, beam=4)
    assert figures.after < 0.97 * plain
    found = kept.astype(np.float64)
    beam = settled_prices(found, train, 0.05, rounds=1, beam=4)
    assert beam is not None
    chosen = level_search(found, train, None, 4)
    left = np.square(train - sum(found[level][chosen[:, level]] for level in (0, 1))).sum(axis=1).mean()
    for level in (0, 1):
        share = np.bincount(chosen[:, level], minlength=32) / len(train) + RARE_SHARE / 32
        np.testing.assert_allclose(beam[level], 0.05 * left * np.log2(share.max() / share), rtol=1e-9)
    priced = level_search(found, validation, beam, 4)
    assert mean_bits(priced, 32) < mean_bits(level_search(found, validation, None, 4), 32)


@pytest.mark.parametrize("beam", [1, 3])
def test_a_price_is_steered_to_the_bits_that_are_asked_for(beam: int) -> None:
    random = np.random.default_rng(seed())
    latents = (random.exponential(size=(6000, 1)) * random.normal(size=(6000, 3))).astype(np.float32)
    books = np.stack([latents[:32], 0.3 * latents[100:132]]).astype(np.float64)
    free = mean_bits(level_search(books, latents, None, beam), 32)
    for bits in (free - 0.5, free - 1.5):
        price = steered_prices(books, latents, bits, beam)
        assert price.shape == (2, 32) and (price.min(axis=1) == 0.0).all()
        assert abs(mean_bits(level_search(books, latents, price, beam), 32) - bits) < 0.1
    assert steered_prices(books, latents, 10.0, beam).max() < 0.1 * price.max(), "no need for a price"
    kept, figures = refit_codebook(
        books.astype(np.float32), latents[:5000], latents[5000:], 4, Rate(bits=free - 1.0), beam
    )
    assert abs(figures.bits_after - (free - 1.0)) < 0.3
    assert figures.best_round == 0 or figures.after < 1.1 * figures.before
    assert kept.shape == books.shape


def test_all_steps_together_and_each_alone(tmp_path: Path) -> None:
    from kit.quantize.int8 import load_tuned

    made = quantized(autoencoder(), finetune_steps=40, codebook_rounds=3, latent_metric=0.5)
    assert made.tuned is not None and made.tuned.steps == 40 and made.refit is not None
    assert made.encoder == read_tflite(made.tflite) and made.books.shape == (2, 16, 4)
    assert [line.split()[0] for line in made.lines] == ["calibrated", "fine-tuned:", "codebooks"]
    plain = quantized(autoencoder())
    assert plain.tuned is None and plain.refit is None and len(plain.lines) == 1
    model = autoencoder()
    model.decoder.save(tmp_path / "decoder.keras")
    assert load_tuned(tmp_path / "decoder.keras").output_shape == model.decoder.output_shape
    with pytest.raises(ArtifactError, match="cannot load"):
        load_tuned(tmp_path / "absent.keras")


def test_the_ladder_ends_at_what_the_device_sends() -> None:
    from kit.graph.codebook import IntegerCodebook
    from kit.quantize.codebook import quantize_codebook
    from kit.quantize.export import export_decoder
    from kit.quantize.ladder import int8_latents, ladder
    from kit.reference.device_path import DevicePath
    from kit.server.executor import decode_indices, run, sum_entries

    model, trained = autoencoder(), autoencoder()
    made = quantized(model, latent_metric=0.5)
    out = made.encoder.graph.output_tensor
    book: IntegerCodebook = quantize_codebook(made.books, out.scale, out.zero_point)
    path, decoder = DevicePath(made.encoder, book, tiny_config()), export_decoder(model.decoder)
    raw = np.rint(1000 * waves(24)).astype(np.int16)
    rungs = ladder(trained, path, decoder, raw)
    assert [rung.name for rung in rungs] == ["float", "INT8 input", "INT8 latents", "integer search"]
    assert all(rung.y.shape == (24, 64) for rung in rungs)
    assert np.array_equal(rungs[3].y, run(decoder, book.dequantize(path.run(raw).indices)))
    # One signal at every rung: what differs is small beside the signal that an untrained decoder gives.
    spread = rungs[0].y.std()
    assert all(np.square(rung.y - rungs[0].y).mean() < 0.5 * spread**2 for rung in rungs[1:])
    with pytest.raises(ShapeError, match="at least one"):
        ladder(trained, path, decoder, raw[:0])
    # Indices of either search stand for the entries of the decoder, where it has some; the float rungs know none of it.
    own = replace(decoder, codebook=book.float + np.float32(0.5))
    shifted = ladder(trained, path, own, raw)
    assert all(np.array_equal(a.y, b.y) for a, b in zip(shifted[:2], rungs[:2], strict=True))
    chosen = nearest_indices(book.real(int8_latents(path, raw)), book.float, book.price(), book.beam)
    assert np.array_equal(rungs[2].y, run(decoder, sum_entries(book.float, chosen)))
    assert np.array_equal(shifted[2].y, decode_indices(own, book, chosen))
    assert np.array_equal(shifted[3].y, decode_indices(own, book, path.run(raw).indices))
    assert not np.array_equal(shifted[2].y, rungs[2].y) and not np.array_equal(shifted[3].y, rungs[3].y)
