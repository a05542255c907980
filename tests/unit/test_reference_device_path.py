"""The whole device path, and its refusal of parts that do not fit."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from kit.config import Config
from kit.errors import ArtifactError, ShapeError
from kit.golden import golden_latents
from kit.graph.codebook import IntegerCodebook
from kit.graph.ir import Encoder
from kit.graph.reader import read_tflite
from kit.reference import device_path
from kit.reference.device_path import DevicePath
from kit.reference.encoder import encode
from kit.reference.normalise import normalise
from kit.reference.rvq import search
from kit.wire.packet import PacketLayout
from tests.models import encoder_for, random_codebook, random_frames, tiny_config
from tests.support import need_golden, seed


def parts(config: Config) -> tuple[Encoder, IntegerCodebook, bytes]:
    rng = np.random.default_rng(seed())
    model = encoder_for(config, rng)
    encoder = read_tflite(model)
    book = random_codebook(rng, encoder, config.model.num_levels, config.model.latent_width)
    return encoder, book, model


@pytest.mark.parametrize("sample_bits", [16, 24])
@pytest.mark.parametrize("side", [True, False])
def test_steps_fit_together(sample_bits: int, side: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_path, "BATCH_FRAMES", 10)
    config = tiny_config(signal={"sample_bits": sample_bits}, packet={"side_information": side})
    encoder, codebook, _ = parts(config)
    frames = random_frames(np.random.default_rng(seed()), 25, 64, sample_bits=sample_bits)
    seen: list[tuple[int, int]] = []
    result = DevicePath(encoder, codebook, config).run(frames, lambda done, total: seen.append((done, total)))
    assert seen == [(10, 25), (20, 25), (25, 25)]
    normalised = normalise(frames, 5)
    assert np.array_equal(result.y, normalised.y)
    assert np.array_equal(result.latents, encode(encoder, normalised.y))
    assert np.array_equal(result.indices, search(result.latents, codebook))
    back = PacketLayout.from_config(config).unpack_batch(result.packets)
    assert np.array_equal(back.indices, result.indices)
    if side:
        assert back.mean is not None
        assert back.scale_code is not None
        assert np.array_equal(back.mean, normalised.mean)
        assert np.array_equal(back.scale_code, normalised.scale_code)


def test_no_frames_and_wrong_frames() -> None:
    config = tiny_config()
    encoder, codebook, _ = parts(config)
    path = DevicePath(encoder, codebook, config)
    assert path.run(np.zeros((0, 64), np.int16)).packets.shape == (0, path.layout.body_bytes)
    for bad in (np.zeros((1, 63), np.int16), np.zeros((1, 64), np.int32), np.zeros(64, np.int16)):
        with pytest.raises(ShapeError, match=r"expected int16\[n, 64\]"):
            path.run(bad)


def test_parts_that_do_not_fit_are_named() -> None:
    config = tiny_config()
    encoder, codebook, _ = parts(config)
    for overrides, text in (
        ({"signal": {"frame_samples": 32}}, "frame_samples 64, the configuration 32"),
        ({"model": {"num_stages": 1}}, "latent positions 16, the configuration 32"),
        ({"model": {"embedding_dim": 5}}, "latent channels 4, the configuration 5"),
        ({"quantize": {"latent_copies": 2}}, "latent channels 4, the configuration 8"),
        (
            {"model": {"embedding_dim": 2}, "quantize": {"latent_copies": 2}},
            r"shape \[2, 16, 4\], expected \[2, 16, 2\]",
        ),
        ({"quantize": {"input_clip": 8}}, "LSB per unit 32, the configuration 16"),
        ({"model": {"latent_width": 32}}, r"shape \[2, 16, 4\], expected \[2, 32, 4\]"),
    ):
        with pytest.raises(ArtifactError, match=text):
            DevicePath(encoder, codebook, tiny_config(**overrides))
    other = dataclasses.replace(codebook, latent_scale=codebook.latent_scale * 2)
    with pytest.raises(ArtifactError, match="codebook is for latents of scale"):
        DevicePath(encoder, other, config)


def test_another_encoder_can_be_put_in() -> None:
    need_golden()
    config = tiny_config()
    encoder, codebook, model = parts(config)
    frames = random_frames(np.random.default_rng(seed()), 12, 64)
    golden = DevicePath(encoder, codebook, config, encode=functools.partial(golden_latents, model)).run(frames)
    assert np.array_equal(golden.packets, DevicePath(encoder, codebook, config).run(frames).packets)
