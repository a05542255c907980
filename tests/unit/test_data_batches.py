"""Batches: the device's normalisation, mixing by weight, one random stream whatever the mode or starting step."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.config import Config, parse_config
from kit.data import Dataset, build_dataset
from kit.data.batches import (
    batch_maker,
    crop_table,
    normalised,
    rounded,
    training_batches,
    training_frames,
    validation_batches,
)
from kit.errors import DataError
from kit.reference.normalise import lsb_bits, normalise
from tests.support import need_package

SYNTHETIC = {"type": "synthetic", "subjects": 4, "seconds_per_subject": 20}


def make_config(noise: float = 0.0, random_crop: bool = True, augment: Any = None, **data: Any) -> Config:
    raw = {
        "name": "t",
        "signal": {"frame_samples": 64, "sample_rate_hz": 64},
        "data": {"sources": [SYNTHETIC]} | data,
        "preprocess": {"noise_std": noise, "random_crop": random_crop, "augment": augment or {}},
        "train": {"batch_size": 16, "seed": 7},
    }
    return parse_config(raw)


def take(config: Config, count: int, start: int = 0, **where: Any) -> list[Any]:
    need_package("tensorflow")
    batches = training_batches(build_dataset(config, **where), config, start)
    return [(a.numpy(), b.numpy()) for a, b in islice(batches, count)]


def windows(dataset: Dataset, split: str) -> set[bytes]:
    found = set()
    for entry in dataset.select(split):
        samples = dataset.samples(entry)
        for first, last in entry.crops.tolist():
            for start in range(first, last + 1):
                found.add(normalised(samples[None, start : start + 64], 4).tobytes())
    return found


@pytest.mark.parametrize("clip", [2, 4, 16])
def test_normalised_rounds_to_the_device_input(clip: int) -> None:
    frames = np.random.default_rng(1).integers(-3000, 3000, (50, 64)).astype(np.int16)
    frames[7] = 12
    got = normalised(frames, clip)
    lsb = 128 // clip
    device = normalise(frames, lsb.bit_length() - 1).y
    assert got.dtype == np.float32 and np.abs(got * lsb - device).max() <= 0.5 + 1e-3
    assert np.all(got[7] == 0) and np.isfinite(got).all()


def test_every_clean_row_is_a_permitted_training_window() -> None:
    config = make_config()
    dataset = build_dataset(config)
    permitted = windows(dataset, "train")
    make = batch_maker(dataset, config)
    rows = [row.tobytes() for step in range(10) for row in make(step)[1]]
    assert set(rows) <= permitted and len(set(rows)) > 140


def test_without_random_crops_rows_are_the_training_frames() -> None:
    config = make_config(random_crop=False)
    dataset = build_dataset(config)
    frames = {row.tobytes() for row in normalised(dataset.frames("train"), 4)}
    make = batch_maker(dataset, config)
    drawn = {row.tobytes() for step in range(40) for row in make(step)[1]}
    assert drawn == frames


def test_noise_is_added_to_the_first_element_only() -> None:
    clean_only, noisy = make_config(), make_config(noise=0.1)
    dataset = build_dataset(noisy)
    a, b = batch_maker(dataset, noisy)(3)
    assert np.array_equal(b, batch_maker(dataset, clean_only)(3)[1])
    assert a.dtype == np.float32 and abs(float((a - b).std()) - 0.1) < 0.01


@pytest.mark.parametrize("remainder_bits", [0, 2])
@pytest.mark.parametrize("shaping", ["none", "first"])
def test_rounded_input_is_what_the_device_sees_and_the_target_is_not(shaping: str, remainder_bits: int) -> None:
    plain = make_config()
    settings = plain.quantize.model_copy(update={"input_shaping": shaping, "input_remainder_bits": remainder_bits})
    preprocess = plain.preprocess.model_copy(update={"rounded_input": True})
    config = plain.model_copy(update={"quantize": settings, "preprocess": preprocess})
    dataset = build_dataset(config)
    seen, clean = batch_maker(dataset, config)(3)
    assert np.array_equal(clean, batch_maker(dataset, plain)(3)[1])
    frames = dataset.frames("train")
    step = (128 // settings.input_clip) << remainder_bits
    device = normalise(frames, lsb_bits(settings.input_clip), settings.input_shaping, remainder_bits).y.astype(int)
    wanted = device[..., 0] * (1 << remainder_bits) + device[..., 1] if remainder_bits else device
    assert np.array_equal(rounded(frames, settings) * step, wanted)
    whole = seen * step
    assert seen.dtype == np.float32 and np.array_equal(whole, np.rint(whole))
    assert 0.2 < np.abs(whole - clean * step).max() < (0.51 if shaping == "none" else 1.01)


def test_steps_differ_and_resume_anywhere() -> None:
    config = make_config(noise=0.05)
    first = take(config, 6)
    later = take(config, 3, start=3)
    assert all(np.array_equal(x, y) for p, q in zip(first[3:], later, strict=True) for x, y in zip(p, q, strict=True))
    assert not np.array_equal(first[0][1], first[1][1])
    assert first[0][0].shape == (16, 64) and first[0][0].dtype == np.float32


@pytest.mark.parametrize("mode", ["streaming", "tfrecord"])
def test_modes_give_the_same_bytes(tmp_path: Path, mode: str) -> None:
    plain = take(make_config(noise=0.05), 5)
    other = take(make_config(noise=0.05, mode=mode), 5, cache=tmp_path)
    for p, q in zip(plain, other, strict=True):
        assert [x.tobytes() for x in p] == [x.tobytes() for x in q]


def test_datasets_mix_by_weight_and_uniformly_within(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for folder, seconds in (("one", 30), ("two", 300)):
        (tmp_path / folder).mkdir()
        for subject in range(4):
            samples = rng.integers(-900, 900, seconds * 64).astype(np.int16)
            np.savez(tmp_path / folder / f"p{subject}.npz", ppg=samples, fs=64.0)
    sources = [
        {"type": "npz", "folder": "one", "dataset": "one", "weight": 3.0},
        {"type": "npz", "folder": "two", "dataset": "two"},
    ]
    dataset = build_dataset(make_config(sources=sources), tmp_path)
    table = crop_table(dataset, True)
    starts = table.locate(*rng.random((2, 40000)))
    edge = next(e.offset for e in dataset.entries if e.recording.dataset == "two")
    assert abs(float(np.mean(starts < edge)) - 0.75) < 0.01
    entries = list(dataset.select("train", "one"))
    shares = [np.mean((starts >= e.offset) & (starts < e.offset + e.length)) for e in entries]
    assert np.allclose(shares, 0.75 / len(entries), atol=0.015) and len(entries) == 2
    assert table.locate(np.array([0.0, 1 - 2**-53]), np.array([0.0, 1 - 2**-53])).size == 2
    even = crop_table(dataset, True, weighted=False).locate(*rng.random((2, 40000)))
    assert abs(float(np.mean(even < edge)) - 0.5) < 0.01
    ones = np.concatenate([dataset.samples(entry) for entry in entries])
    counts = []
    for weighted in (True, False):
        frames = training_frames(dataset, make_config(sources=sources), 2000, weighted=weighted)
        known = {w.tobytes() for w in np.lib.stride_tricks.sliding_window_view(ones, frames.shape[1])}
        counts.append(sum(frame.tobytes() in known for frame in frames))
    assert abs(counts[0] - 1500) < 80 and abs(counts[1] - 1000) < 80


def test_validation_is_every_frame_once_in_order() -> None:
    need_package("tensorflow")
    config = make_config()
    dataset = build_dataset(config)
    batches = list(validation_batches(dataset, config))
    joined = np.concatenate([x.numpy() for x, _ in batches])
    assert np.array_equal(joined, normalised(dataset.frames("val"), 4)) and len(batches) == 2
    assert all(np.array_equal(x, y) for x, y in batches)


def test_no_thread_of_the_pipeline_outlives_a_step() -> None:
    need_package("tensorflow")
    config = make_config()
    options = training_batches(build_dataset(config), config).options()
    assert options.experimental_optimization.inject_prefetch is False and options.autotune.enabled is False


AUGMENT = {"time_warp": 0.2, "beat_scale": 0.5, "baseline_wander": 1.0, "motion": 0.5}


def test_augmented_steps_resume_anywhere_in_every_mode(tmp_path: Path) -> None:
    config = make_config(noise=0.05, augment=AUGMENT)
    first = take(config, 5)
    later = take(config, 2, start=3)
    mapped = take(make_config(noise=0.05, augment=AUGMENT, mode="streaming"), 5, cache=tmp_path)
    for p, q in [*zip(first[3:], later, strict=True), *zip(first, mapped, strict=True)]:
        assert [x.tobytes() for x in p] == [x.tobytes() for x in q]


def test_augmentation_changes_input_and_target_alike_and_no_other_draw() -> None:
    plain, other = make_config(noise=0.05), make_config(noise=0.05, augment=AUGMENT)
    dataset = build_dataset(plain)
    (noisy, clean), (a, b) = batch_maker(dataset, plain)(3), batch_maker(dataset, other)(3)
    assert not np.array_equal(b, clean)
    np.testing.assert_allclose(a - b, noisy - clean, atol=1e-5)
    off = make_config(noise=0.05, augment={"motion_height": 2.0})
    assert batch_maker(dataset, off)(3)[0].tobytes() == noisy.tobytes()


def test_windows_know_the_permitted_samples_around_them() -> None:
    config = make_config()
    dataset = build_dataset(config)
    table = crop_table(dataset, True)
    draws = np.random.default_rng(2).random((2, 500))
    windows = table.windows(*draws, 64)
    np.testing.assert_array_equal(windows.start, table.locate(*draws))
    runs = [
        (entry.offset + first, entry.offset + last + 63)
        for entry in dataset.select("train")
        for first, last in entry.crops.tolist()
    ]
    assert set(zip(windows.first.tolist(), windows.last.tolist(), strict=True)) <= set(runs)
    assert ((windows.first <= windows.start) & (windows.start + 63 <= windows.last)).all()


def test_no_frames_to_train_or_validate_on(tmp_path: Path) -> None:
    need_package("tensorflow")
    (tmp_path / "one").mkdir()
    np.savez(tmp_path / "one" / "a.npz", ppg=np.arange(640, dtype=np.int16), fs=64.0)
    config = make_config(sources=[{"type": "npz", "folder": "one", "dataset": "lone"}])
    dataset = build_dataset(config, tmp_path)
    for ask in (training_batches, validation_batches):
        with pytest.raises(DataError, match=r"no (training|validation) frame in lone.*three subjects"):
            ask(dataset, config)


def test_training_frames_are_repeatable_windows_of_the_training_split() -> None:
    config = parse_config({"name": "x", "signal": {"sample_rate_hz": 32, "frame_samples": 64, "sample_bits": 12}})
    dataset = build_dataset(config)
    frames = training_frames(dataset, config, 50)
    assert frames.shape == (50, 64) and frames.dtype == np.int16
    assert np.array_equal(frames, training_frames(dataset, config, 50))
    train = [dataset.samples(entry) for entry in dataset.select("train")]
    windows = {w.tobytes() for s in train for w in np.lib.stride_tricks.sliding_window_view(s.astype(np.int16), 64)}
    assert all(frame.tobytes() in windows for frame in frames)
