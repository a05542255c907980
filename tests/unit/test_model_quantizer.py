"""The quantizer's options: moving-average codebooks, level dropout and rate-aware choices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support import need_package

tf = need_package("tensorflow")

from kit.config import parse_config
from kit.errors import ShapeError
from kit.model.autoencoder import (
    build_autoencoder,
    codebooks,
    load_autoencoder,
    save_model,
)
from kit.model.basis import spread_latents
from kit.model.rvq import ResidualVectorQuantizer, entropy_bits, nearest_indices, unused
from tests.support import seed


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(seed()).normal(size=shape).astype(np.float32)


def started(book: np.ndarray, **options: Any) -> ResidualVectorQuantizer:
    rvq = ResidualVectorQuantizer(*book.shape, beta=0.25, **options)
    rvq.start(book)
    return rvq


def small(**train: object) -> Any:
    model = {"embedding_dim": 4, "latent_width": 8, "num_stages": 3, "base_filters": 4}
    return parse_config({"name": "t", "signal": {"frame_samples": 64}, "model": model, "train": train})


def test_ema_entries_are_smoothed_means_of_their_latents() -> None:
    book, z = random(2, 8, 3), random(4, 1, 5, 3)[..., ::-1].copy()
    rvq = started(book, update="ema", decay=0.9)
    out = np.asarray(rvq(z, training=True))
    index = nearest_indices(z, book)
    residual = z.reshape(-1, 3)
    expected = book[0][index[..., 0]] + book[1][index[..., 1]]
    np.testing.assert_allclose(out[:, 0], expected, atol=1e-5)
    for level in range(2):
        chosen = np.eye(8, dtype=np.float32)[index[..., level].ravel()]
        count = 0.9 + 0.1 * chosen.sum(0)
        total = 0.9 * book[level] + 0.1 * chosen.T @ residual
        smooth = (count + 1e-5) / (count.sum() + 8e-5) * count.sum()
        np.testing.assert_allclose(np.asarray(rvq.ema_count)[level], count, rtol=1e-5)
        np.testing.assert_allclose(np.asarray(rvq.ema_sum)[level], total, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.asarray(rvq.codebook)[level], total / smooth[:, None], rtol=1e-4, atol=1e-5)
        residual = residual - book[level][index[..., level].ravel()]


def test_ema_has_the_commitment_loss_alone_and_no_gradient() -> None:
    book, z = random(1, 8, 3), tf.Variable(random(2, 1, 5, 3))
    rvq = started(book, update="ema")
    with tf.GradientTape() as tape:
        rvq(z, training=True)
        loss = rvq.losses[0]
    left = np.asarray(z)[:, 0] - book[0][nearest_indices(np.asarray(z), book)[..., 0]]
    assert float(loss) == pytest.approx(0.25 * np.mean(left**2), rel=1e-4)
    assert tape.gradient(loss, z) is not None and not rvq.trainable_variables


def test_ema_rests_while_inactive_and_outside_of_training() -> None:
    rvq = ResidualVectorQuantizer(1, 8, 3, beta=0.25, update="ema")
    rvq.active.assign(0.0)
    before = [np.asarray(w) for w in (rvq.codebook, rvq.ema_count, rvq.ema_sum)]
    rvq(random(2, 1, 5, 3), training=True)
    rvq.active.assign(1.0)
    rvq(random(2, 1, 5, 3), training=False)
    for old, weight in zip(before, (rvq.codebook, rvq.ema_count, rvq.ema_sum), strict=True):
        np.testing.assert_array_equal(old, np.asarray(weight))


def test_revival_replaces_the_accumulators_too() -> None:
    rvq = started(random(2, 8, 3), update="ema", rate_weight=0.1)
    usage = np.full((2, 8), 10.0, np.float32)
    usage[0, 3] = usage[1, 5] = 0.0
    rvq.usage.assign(usage)
    rvq.ema_count.assign(usage)
    rvq.share.assign(usage / 70.0)
    old = np.asarray(rvq.codebook)
    rvq.revive(random(50, 3), np.random.default_rng(1))
    book, count, total = (np.asarray(w) for w in (rvq.codebook, rvq.ema_count, rvq.ema_sum))
    assert np.argwhere((book != old).any(axis=2)).tolist() == [[0, 3], [1, 5]]
    assert count[0, 3] == count[1, 5] == pytest.approx(70 / 8)
    np.testing.assert_allclose(total[0, 3] / count[0, 3], book[0, 3], rtol=1e-6)
    assert np.asarray(rvq.share)[0, 3] == pytest.approx(1 / 8)
    assert unused(usage).sum() == 2


def test_accumulators_are_never_exported(tmp_path: Any) -> None:
    autoencoder = build_autoencoder(small(codebook="ema", rate_weight=0.1, level_dropout=0.5))
    rvq = autoencoder.rvq
    rvq.start(random(2, 8, 4))
    rvq.ema_sum.assign(np.full((2, 8, 4), 7.0, np.float32))
    save_model(autoencoder, tmp_path / "a.keras")
    loaded = load_autoencoder(tmp_path / "a.keras")
    assert loaded.rvq.get_config() == rvq.get_config()
    assert codebooks(loaded).shape == (2, 8, 4)
    np.testing.assert_array_equal(codebooks(loaded), random(2, 8, 4))
    loaded.rvq.codebook = loaded.rvq.ema_count
    with pytest.raises(ShapeError, match="shape"):
        codebooks(loaded)


def test_latents_turn_with_the_accumulators() -> None:
    autoencoder = build_autoencoder(small(codebook="ema"))
    autoencoder.rvq.start(random(2, 8, 4))
    spread_latents(autoencoder, random(32, 64))
    np.testing.assert_allclose(
        np.asarray(autoencoder.rvq.ema_sum), np.asarray(autoencoder.rvq.codebook), rtol=1e-5, atol=1e-6
    )


def test_level_dropout_is_per_frame_repeatable_and_only_in_training() -> None:
    book, z = random(3, 8, 4), random(400, 1, 5, 4)
    rvq, twin = (started(book, level_dropout=0.5, seed=7) for _ in range(2))
    index = nearest_indices(z, book)
    partial = np.cumsum([book[level][index[..., level]] for level in range(3)], axis=0)
    first, second = (np.asarray(rvq(z, training=True))[:, 0] for _ in range(2))
    np.testing.assert_array_equal(first, np.asarray(twin(z, training=True))[:, 0])
    assert not np.array_equal(first, second)
    # Every frame is quantized by 1, 2 or all 3 levels, whole.
    fits = np.stack([np.abs(first - part).max(axis=(1, 2)) < 1e-4 for part in partial])
    assert (fits.sum(axis=0) == 1).all()
    np.testing.assert_allclose(fits.mean(axis=1), [0.25, 0.25, 0.5], atol=0.08)
    used = np.asarray(twin.usage).sum(axis=1)
    np.testing.assert_array_equal(used, [2000, 2000 - 5 * fits[0].sum(), 5 * fits[2].sum()])
    np.testing.assert_allclose(np.asarray(rvq(z, training=False))[:, 0], partial[2], atol=1e-4)


def test_prices_steer_the_choice_and_codebooks_carry_them() -> None:
    book, z = random(2, 8, 3), random(40, 1, 5, 3)
    rvq = started(book, rate_weight=0.5, decay=0.5)
    np.testing.assert_array_equal(rvq.indices(z), nearest_indices(z, book))
    plain = entropy_bits(np.stack([np.bincount(rvq.indices(z)[..., m].ravel(), minlength=8) for m in (0, 1)]))
    for _ in range(6):
        rvq(z, training=True)
    bias = rvq.bias()
    assert bias.shape == (2, 8) and (bias.min(axis=1) == 0).all() and bias.max() > 0
    np.testing.assert_array_equal(np.argmin(bias, axis=1), np.argmax(np.asarray(rvq.share), axis=1))
    rvq.reset_choices()
    out = np.asarray(rvq(z, training=False))[:, 0]
    index = rvq.indices(z)
    np.testing.assert_allclose(out, book[0][index[..., 0]] + book[1][index[..., 1]], atol=1e-5)
    assert (entropy_bits(np.asarray(rvq.choices)) < plain).all()


def test_a_steered_price_follows_the_bits() -> None:
    book, z = random(2, 8, 3), random(400, 1, 5, 3)
    rvq = started(book, rate_bits=4.0, decay=0.5)
    assert rvq.priced and rvq.get_config()["rate_bits"] == 4.0
    prices = []
    for _ in range(400):
        rvq(z, training=True)
        prices.append(float(rvq.bit_price))
    assert (np.diff(prices[5:]) > 0).all(), "indices take more than 4 of 6 bits: the price rises"
    rvq.settle(z.reshape(-1, 3))
    index = rvq.indices(z)
    bits = sum(entropy_bits(np.stack([np.bincount(index[..., m].ravel(), minlength=8) for m in (0, 1)])))
    assert abs(bits - 4.0) < 0.15
    rvq.rate_bits = 6.0
    before = float(rvq.bit_price)
    rvq(z, training=True)
    assert float(rvq.bit_price) < before, "fewer bits than wanted: the price falls"
    rvq.active.assign(0.0)
    rvq(z, training=True)
    assert float(rvq.bit_price) == 0.0, "a start of training without quantization has no price yet"



@pytest.mark.parametrize("priced", [False, True])
def test_a_beam_chooses_in_training_as_afterwards(priced: bool) -> None:
    book, z = random(3, 8, 4), random(60, 1, 5, 4)
    options = {"rate_weight": 0.4, "decay": 0.5} if priced else {}
    rvq, greedy = started(book, beam=4, **options), started(book, **options)
    for _ in range(4 * int(priced)):
        rvq(z, training=True)
        greedy(z, training=True)
    index = rvq.indices(z)
    assert np.array_equal(index, nearest_indices(z, np.asarray(rvq.codebook), rvq.bias(), 4))
    sent = sum(np.asarray(rvq.codebook)[level][index[..., level]] for level in range(3))
    np.testing.assert_allclose(np.asarray(rvq(z, training=True))[:, 0], sent, atol=1e-5)
    if not priced:
        errors = [np.square(np.asarray(part(z)) - z).sum() for part in (rvq, greedy)]
        assert errors[0] < 0.95 * errors[1]
        assert rvq.get_config()["beam"] == 4


def test_default_quantizer_has_the_weights_it_always_had() -> None:
    rvq = build_autoencoder(small()).rvq
    assert [w.name for w in rvq.weights] == ["codebook", "usage", "active"]
