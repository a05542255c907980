"""The dataset: exact frames, gates, disjoint subjects, and a dataset.json that reproduces them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.config import Config, load_config, parse_config
from kit.data import Dataset, build_dataset
from kit.errors import ShapeError
from tests.support import ROOT, data_root, need_package

FRAME = 64


def small_config(**data: Any) -> Config:
    sources = [{"type": "npz", "folder": "set", "dataset": "mine"}]
    signal = {"frame_samples": FRAME, "sample_rate_hz": 64}
    return parse_config({"name": "t", "signal": signal, "data": {"sources": sources} | data})


def write_set(root: Path, **recordings: np.ndarray[Any, Any]) -> None:
    (root / "set").mkdir()
    for name, samples in recordings.items():
        np.savez(root / "set" / f"{name}.npz", ppg=samples, fs=64.0, subject=name[:2], bits=np.int16(10))


def write_manifest(root: Path, **splits: str) -> None:
    rows = [f"set/{name}.npz,{name[:2]},{split}" for name, split in splits.items()]
    (root / "manifest.csv").write_text("\n".join(["file,subject,split", *rows]))


def codes(frames: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(300, 700, frames * FRAME + 10).astype(np.int16)


def gated_set(root: Path) -> Dataset:
    """Frame 1 flat, frame 2 mostly at the upper rail, in a training and in a test recording."""
    samples = codes(5, 1)
    samples[FRAME : 2 * FRAME] = 512
    samples[2 * FRAME : 2 * FRAME + 20] = 1023
    write_set(root, p1=samples, p2=codes(3, 2), p3=samples)
    write_manifest(root, p1="train", p2="val", p3="test")
    return build_dataset(small_config(), root)


def test_gates_apply_rails_to_training_only(tmp_path: Path) -> None:
    dataset = gated_set(tmp_path)
    train, test = dataset.counts["mine"]["train"], dataset.counts["mine"]["test"]
    assert (train.considered, train.flat, train.railed, train.frames) == (5, 1, 1, 3)
    assert (test.considered, test.flat, test.railed, test.frames) == (5, 1, 0, 4)
    assert [r.start for r in dataset.frame_refs("test")] == [0, 128, 192, 256]
    assert [r.start for r in dataset.frame_refs("train")] == [0, 192, 256]
    assert "mine train: 1 subjects, 1 recordings, 3 frames (left out: 1 flat, 1 railed)" in dataset.summary()


def test_frames_are_the_samples_at_their_references(tmp_path: Path) -> None:
    dataset = gated_set(tmp_path)
    samples = {e.recording.name: dataset.samples(e) for e in dataset.entries}
    for split in ("train", "val", "test"):
        frames = dataset.frames(split)
        assert frames.dtype == np.int16 and frames.shape[1] == FRAME
        for frame, ref in zip(frames, dataset.frame_refs(split), strict=True):
            assert np.array_equal(frame, samples[ref.recording][ref.start : ref.start + FRAME])
    assert np.array_equal(samples["p2"], codes(3, 2))


def test_crops_are_exactly_the_windows_that_pass(tmp_path: Path) -> None:
    dataset = gated_set(tmp_path)
    (entry,) = dataset.select("train")
    samples = dataset.samples(entry)
    allowed = {s for first, last in entry.crops.tolist() for s in range(first, last + 1)}
    for start in range(samples.size - FRAME + 1):
        window = samples[start : start + FRAME]
        assert (start in allowed) == (window.std() > 1e-3 and np.mean(window == 1023) <= 0.2)
    assert entry.counts.crops == len(allowed)


def test_unknown_split_or_dataset_is_refused(tmp_path: Path) -> None:
    dataset = gated_set(tmp_path)
    with pytest.raises(ShapeError, match="splits: train, val, test"):
        dataset.frames("tset")
    with pytest.raises(ShapeError, match="other"):
        dataset.frames("test", "other")
    assert dataset.frames("test", "mine").shape == (4, FRAME)


def test_json_is_deterministic_and_reproduces_the_frames(tmp_path: Path) -> None:
    dataset = gated_set(tmp_path)
    dataset.write(tmp_path / "a.json")
    build_dataset(small_config(), tmp_path).write(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    text = (tmp_path / "a.json").read_text()
    assert str(tmp_path) not in text
    stored = json.loads(text)
    by_name = {r["name"]: r for r in stored["recordings"]}
    assert by_name["p3"]["starts"] == [0, 128, 192, 256] and by_name["p2"]["resample"] == [1, 1]
    aligned = [s for s in range(0, 5 * FRAME, FRAME) if any(a <= s <= b for a, b in by_name["p1"]["crops"])]
    assert aligned == [0, 192, 256]
    assert stored["datasets"]["mine"]["counts"]["test"]["flat"] == 1
    assert stored["datasets"]["mine"]["subjects"] == {"train": ["p1"], "val": ["p2"], "test": ["p3"]}
    assert len(by_name["p1"]["source_sha256"]) == 64


def test_a_changed_sample_changes_the_hash(tmp_path: Path) -> None:
    first = gated_set(tmp_path).to_json()["recordings"][1]["source_sha256"]
    changed = codes(3, 2)
    changed[0] += 1
    np.savez(tmp_path / "set" / "p2.npz", ppg=changed, fs=64.0, subject="p2", bits=np.int16(10))
    assert build_dataset(small_config(), tmp_path).to_json()["recordings"][1]["source_sha256"] != first


def test_recordings_of_a_subject_stay_together(tmp_path: Path) -> None:
    write_set(tmp_path, **{f"p{s}_{r}": codes(3, s * 4 + r) for s in range(6) for r in range(4)})
    dataset = build_dataset(small_config(), tmp_path)
    groups = [dataset.subjects(split) for split in ("train", "val", "test")]
    assert [len(g) for g in groups] == [4, 1, 1] and len(set.union(*groups)) == 6


def test_nan_gap_rejects_every_window_it_touches_after_resampling(tmp_path: Path) -> None:
    samples = codes(40, 3).astype(float)
    samples[1000:1003] = np.nan
    (tmp_path / "set").mkdir()
    np.savez(tmp_path / "set" / "p1.npz", ppg=samples, fs=125.0)
    dataset = build_dataset(small_config(), tmp_path)
    starts = [r.start for r in dataset.frame_refs("test")]
    gone = set(range(0, dataset.entries[0].length - FRAME + 1, FRAME)) - set(starts)
    assert gone == {448, 512}  # 1000 * 64 / 125 is output 512, which a sample before it touches too
    assert dataset.counts["mine"]["test"].non_finite == 2 and dataset.entries[0].missing == 3


@pytest.mark.parametrize("mode", ["streaming", "tfrecord"])
def test_other_modes_hold_the_same_frames(tmp_path: Path, mode: str) -> None:
    if mode == "tfrecord":
        need_package("tensorflow")
    plain = gated_set(tmp_path)
    for _ in range(2):
        other = build_dataset(small_config(mode=mode), tmp_path, cache=tmp_path / "cache")
        assert np.array_equal(plain.store.flat, other.store.flat) and plain.to_json() == other.to_json()
        del other
    kept = list((tmp_path / "cache").iterdir())
    # p1 and p3 hold the same samples, so the record cache keeps two files; the mapped one removes its own.
    assert len(kept) == (2 if mode == "tfrecord" else 0)


def test_damaged_record_cache_is_rewritten(tmp_path: Path) -> None:
    need_package("tensorflow")
    plain = gated_set(tmp_path)
    build_dataset(small_config(mode="tfrecord"), tmp_path, cache=tmp_path / "cache")
    first, second = sorted((tmp_path / "cache").iterdir())
    whole = first.read_bytes(), second.read_bytes()
    first.write_bytes(whole[0][:-20])
    second.write_bytes(whole[1][:50] + bytes([whole[1][50] ^ 1]) + whole[1][51:])
    again = build_dataset(small_config(mode="tfrecord"), tmp_path, cache=tmp_path / "cache")
    assert np.array_equal(again.store.flat, plain.store.flat)
    assert (first.read_bytes(), second.read_bytes()) == whole


def test_wide_samples(tmp_path: Path) -> None:
    config = parse_config({"name": "t", "signal": {"sample_bits": 22}})
    dataset = build_dataset(config)
    assert dataset.frames("test").dtype == np.int32 and np.abs(dataset.frames("test")).max() > 1 << 17


def test_real_recordings_give_the_known_frame_counts() -> None:
    root = data_root()
    started = time.perf_counter()
    dataset = build_dataset(load_config(ROOT / "configs" / "08x_ds8_l2.yaml"), root)
    assert time.perf_counter() - started < 30, "loading takes about a second; ten times that is a defect"
    assert dataset.label == "bidmc + stress_predict" and not dataset.synthetic
    for name, frames in (("bidmc", 576), ("stress_predict", 3952)):
        counts = dataset.counts[name]["test"]
        assert (counts.frames, counts.subjects) == (frames, 6) and dataset.frames("test", name).shape == (frames, 320)
    groups = [dataset.subjects(split) for split in ("train", "val", "test")]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])


def test_ecg_takes_validation_from_training_and_leaves_paced_out() -> None:
    source = {"type": "npz", "folder": "ecg/mitdb", "dataset": "mitdb"}
    signal = {"kind": "ecg", "sample_rate_hz": 256, "frame_samples": 512}
    dataset = build_dataset(parse_config({"name": "t", "signal": signal, "data": {"sources": [source]}}), data_root())
    assert {s: c.subjects for s, c in dataset.counts["mitdb"].items()} == {"train": 18, "val": 4, "test": 12}
    assert "4 recordings left out (paced)" in dataset.summary()
    assert dataset.entries[0].ratio.up == 32 and dataset.entries[0].ratio.down == 45
