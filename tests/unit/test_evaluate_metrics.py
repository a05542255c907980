"""PRD and its relatives: definition, pooling, groups, and frames that do not count."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from kit.config import Config
from kit.data import FrameRef
from kit.errors import MismatchError, ShapeError
from kit.evaluate.floatpath import evaluate_float
from kit.evaluate.metrics import frame_errors, score
from kit.evaluate.path import Evaluation, evaluate_path, evaluation, index_entropy
from kit.graph.codebook import IntegerCodebook
from kit.reference.device_path import DeviceResult
from kit.server.bundle import Bundle
from kit.server.spec import DecoderSpec, Layer
from kit.wire.packet import PacketLayout
from tests.models import tiny_config
from tests.support import seed

LABELS = {"path": "device", "split": "test", "engine": "reference", "target": "python"}


def frames(count: int = 8, samples: int = 64) -> np.ndarray:
    random = np.random.default_rng(seed())
    gain, level = 10.0 ** random.uniform(1, 3, (count, 1)), random.uniform(-2000, 2000, (count, 1))
    return np.rint(gain * random.normal(size=(count, samples)) + level).astype(np.int16)


def test_prd_by_hand() -> None:
    x = np.array([[0, 2, 0, 2], [100, 300, 300, 100]], np.int16)
    decoded = x.astype(np.float32)
    decoded[0, 0] += 1.0
    errors = frame_errors(x, decoded, 1e-3)
    # Deviation 1, one error of 1 in 4 samples: sum e^2 / sum x^2 = 1 / 4; the other frame is exact.
    np.testing.assert_allclose(errors.prd, [50.0, 0.0])
    found = score(errors)
    assert found.prd == pytest.approx(100 * math.sqrt(1 / 8))
    assert found.snr_db == pytest.approx(10 * math.log10(8))
    assert found.mse == pytest.approx(1 / 8)
    assert (found.frames, found.flat, found.lost) == (2, 0, 0)


def test_prd_does_not_depend_on_gain_and_level_but_sees_errors_of_both() -> None:
    x = frames()
    centre, spread = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
    noise = 0.1 * np.random.default_rng(1).normal(size=x.shape)
    shifted = frame_errors(x, (x + spread * noise).astype(np.float64), 1e-3)
    np.testing.assert_allclose(shifted.relative, np.square(noise).mean(axis=1), rtol=1e-9)
    level = frame_errors(x, (x + 0.1 * spread).astype(np.float64), 1e-3)
    np.testing.assert_allclose(level.prd, 10.0)
    gain = frame_errors(x, (centre + 1.1 * (x - centre)).astype(np.float64), 1e-3)
    np.testing.assert_allclose(gain.prd, 10.0)
    np.testing.assert_allclose(gain.cosine, 1.0)


def test_flat_and_lost_frames_are_counted_not_averaged() -> None:
    x = frames(4)
    x[1] = 7
    decoded = x.astype(np.float32) + 1
    decoded[2, 5] = np.nan
    found = score(frame_errors(x, decoded, 1e-3))
    assert (found.frames, found.flat, found.lost) == (2, 1, 1)
    assert math.isfinite(found.prd) and math.isfinite(found.mse)


def test_a_frame_both_flat_and_lost_counts_once() -> None:
    found = score(frame_errors(np.full((1, 8), 3, np.int16), np.full((1, 8), np.nan, np.float32), 1e-3))
    assert (found.frames, found.flat, found.lost) == (0, 1, 0)
    assert found.as_dict()["prd"] is None


def test_a_reconstruction_without_deviation_has_prd_100_and_cosine_0() -> None:
    x = frames(3)
    decoded = np.repeat(x.mean(axis=1, keepdims=True), x.shape[1], axis=1)
    errors = frame_errors(x, decoded, 1e-3)
    np.testing.assert_allclose(errors.prd, 100.0)
    np.testing.assert_allclose(errors.cosine, 0.0, atol=1e-6)
    assert score(errors).snr_db == pytest.approx(0.0)


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ShapeError):
        frame_errors(frames().astype(np.float32), frames().astype(np.float32), 1e-3)
    with pytest.raises(ShapeError):
        frame_errors(frames(), frames()[:3].astype(np.float32), 1e-3)


def refs(count: int) -> list[FrameRef]:
    return [FrameRef("left" if i % 2 else "right", f"r{i % 4}", 64 * i, f"s{i % 4}") for i in range(count)]


def graded() -> tuple[np.ndarray, Evaluation]:
    """Eight frames; frame i has a PRD of i + 1 percent."""
    x = frames(8)
    spread = x.std(axis=1, keepdims=True)
    decoded = x + spread * np.arange(1, 9)[:, None] / 100.0 * np.where(np.arange(64) % 2, 1, -1)
    return x, evaluation(tiny_config(), x, decoded.astype(np.float32), refs(8), **LABELS)


def test_groups_pool_their_own_frames() -> None:
    _, found = graded()
    assert list(found.datasets) == ["right", "left"]
    assert found.datasets["right"].prd == pytest.approx(math.sqrt((1 + 9 + 25 + 49) / 4), rel=1e-3)
    assert [(s.dataset, s.subject, s.score.frames) for s in found.subjects] == [
        ("right", "s0", 2), ("left", "s1", 2), ("right", "s2", 2), ("left", "s3", 2),
    ]  # fmt: skip
    squares = [s.score.prd**2 * s.score.frames for s in found.subjects]
    assert found.overall.prd == pytest.approx(math.sqrt(sum(squares) / 8))


def test_examples_are_best_median_and_worst_of_each_dataset() -> None:
    x, found = graded()
    right = [example for example in found.examples if example.ref.dataset == "right"]
    assert [(e.rank, round(e.prd)) for e in right] == [("best", 1), ("median", 5), ("worst", 7)]
    assert (right[0].frame == x[0]).all()


def test_as_many_origins_as_frames() -> None:
    with pytest.raises(ShapeError, match="origins"):
        evaluation(tiny_config(), frames(3), frames(3).astype(np.float32), refs(2), **LABELS)


def test_entropy_of_indices() -> None:
    indices = np.zeros((4, 4, 2), np.uint16)
    indices[:, :, 1] = np.arange(16).reshape(4, 4)
    assert index_entropy(indices, 16) == pytest.approx((0.0, 4.0))


def device(config: Config) -> tuple[Bundle, np.ndarray, DeviceResult]:
    """A bundle whose decoder repeats the first latent channel, and a device result made by hand."""
    model, samples = config.model, config.signal.frame_samples
    random = np.random.default_rng(seed())
    integer = random.integers(-100, 100, (model.num_levels, model.latent_width, model.embedding_dim)).astype(np.int8)
    shift = np.zeros(model.num_levels, np.int32)
    book = IntegerCodebook(integer, shift, 2, 0.0625, 0, integer.astype(np.float32))
    kernel = np.zeros((1, model.embedding_dim, 1), np.float32)
    kernel[0, 0] = 1.0
    layers = (Layer("up", "upsample", (0,), model.downsampling), Layer("head", "conv", (1,)))
    weights = {"head.kernel": kernel, "head.bias": np.zeros(1, np.float32)}
    decoder = DecoderSpec(config.latent_positions, model.embedding_dim, samples, layers, weights)
    indices = random.integers(0, model.latent_width, (6, config.latent_positions, model.num_levels)).astype(np.uint16)
    mean, scale = random.integers(-900, 900, 6).astype(np.int32), random.integers(60, 90, 6).astype(np.uint8)
    packets = PacketLayout.from_config(config).pack_batch(indices, mean, scale)
    y, latents = np.zeros((6, samples), np.int8), np.zeros((6, config.latent_positions, model.embedding_dim), np.int8)
    bundle = Bundle(config, book, decoder, "0" * 16, "test")
    return bundle, bundle.decode(indices, mean, scale), DeviceResult(y, mean, scale, latents, indices, packets)


@pytest.mark.parametrize("side_information", [True, False])
def test_device_path_is_judged_from_its_packet_bytes(side_information: bool) -> None:
    config = tiny_config()
    config = config.model_copy(
        update={"packet": config.packet.model_copy(update={"side_information": side_information})}
    )
    bundle, decoded, result = device(config)
    original = np.rint(decoded).astype(np.int16)
    found = evaluate_path(config, bundle, result, original, refs(6))
    assert found.overall.frames == 6 and found.overall.prd < 1.0
    assert (found.path, found.split, found.engine) == ("device", "test", "reference")
    assert len(found.index_entropy) == config.model.num_levels
    damaged = replace(result, packets=result.packets ^ np.uint8(1))
    with pytest.raises((MismatchError, ShapeError)):
        evaluate_path(config, bundle, damaged, original, refs(6))


def test_float_path_is_restored_with_the_devices_side_information() -> None:
    config = tiny_config()
    x = frames(5, config.signal.frame_samples)
    seen = []
    found = evaluate_float(
        config, lambda y, training: np.asarray(y) * 1.02, x, refs(5), progress=lambda done, total: seen.append(done)
    )
    # Means are rounded to whole codes, which the shrunk or stretched signal shares.
    np.testing.assert_allclose(found.errors.prd, 2.0, rtol=0.05)
    assert (found.path, found.engine, seen) == ("float", "keras", [5])
