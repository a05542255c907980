"""Rotated latents: the same autoencoder with a smaller range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.models import tiny_config
from tests.support import seed, seeded_keras


@pytest.fixture(scope="module", autouse=True)
def keras() -> Any:
    return seeded_keras()


def uneven_latents() -> np.ndarray:
    random = np.random.default_rng(seed())
    return (random.normal(size=(500, 6)) * [8, 1, 1, 0.5, 0.2, 0.1]).astype(np.float32)


def test_rotation_is_orthogonal_and_spreads() -> None:
    from kit.model.basis import spreading_rotation

    latents = uneven_latents()
    matrix = spreading_rotation(latents)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(6), atol=1e-12)
    assert np.abs(latents @ matrix).max() < 0.6 * np.abs(latents).max()
    assert matrix.tobytes() == spreading_rotation(latents).tobytes()


def test_one_channel_cannot_be_spread() -> None:
    from kit.model.basis import spreading_rotation

    assert spreading_rotation(uneven_latents()[:, :1]).tolist() == [[1.0]]


@pytest.mark.parametrize("head_norm", ["none", "batch"])
def test_autoencoder_stays_the_same(head_norm: str) -> None:
    from kit.model.autoencoder import build_autoencoder, codebooks
    from kit.model.basis import spread_latents

    autoencoder = build_autoencoder(tiny_config(model={"encoder_head_norm": head_norm, "num_stages": 3}))
    random = np.random.default_rng(seed())
    for weight in autoencoder.encoder.weights:
        if "moving_variance" in weight.path:
            weight.assign(random.uniform(0.5, 2.0, weight.shape))
        elif "norm" in weight.path or "bias" in weight.path:
            weight.assign(random.normal(0.3, 1.0, weight.shape))
    autoencoder.rvq.codebook.assign(random.normal(size=autoencoder.rvq.codebook.shape))
    if hasattr(autoencoder.rvq, "active"):
        autoencoder.rvq.active.assign(1.0)
    frames = random.normal(size=(16, 64)).astype(np.float32)
    latents = np.asarray(autoencoder.encoder(frames[:, None, :, None]))
    indices, output = autoencoder.rvq.indices(latents), np.asarray(autoencoder(frames, training=False))
    ratio = spread_latents(autoencoder, frames)
    turned = np.asarray(autoencoder.encoder(frames[:, None, :, None]))
    assert ratio < 0.95
    assert np.abs(turned).max() == pytest.approx(ratio * np.abs(latents).max(), rel=1e-4)
    np.testing.assert_allclose(np.square(turned).sum(-1), np.square(latents).sum(-1), rtol=1e-3)
    assert (autoencoder.rvq.indices(turned) == indices).mean() > 0.99
    np.testing.assert_allclose(np.asarray(autoencoder(frames, training=False)), output, atol=1e-4)
    assert np.isfinite(codebooks(autoencoder)).all()


def test_a_layer_norm_head_is_left_alone() -> None:
    from kit.model.autoencoder import build_autoencoder
    from kit.model.basis import spread_latents

    autoencoder = build_autoencoder(tiny_config(model={"encoder_head_norm": "layer"}))
    before = autoencoder.get_weights()
    assert spread_latents(autoencoder, np.ones((2, 64), np.float32)) == 1.0
    assert all((a == b).all() for a, b in zip(before, autoencoder.get_weights(), strict=True))
