"""Atomic writes leave the old content or the new one, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kit.errors import ArtifactError
from kit.files import asset, atomic_path, atomic_write_text, read_json, read_npz, sha256_file, write_json, write_npz


def test_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    atomic_write_text(target, "old")

    def interrupted() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def full() -> None:
        with atomic_path(tmp_path / "a.bin"):
            raise OSError(28, "No space left on device")

    with pytest.raises(ArtifactError, match=r"cannot write .*a\.bin: No space left on device; choose"):
        full()
    assert os.listdir(tmp_path) == []


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        atomic_write_text(tmp_path / "file" / "below.txt", "x")


def test_npz_bytes_do_not_depend_on_when_they_are_written(tmp_path: Path) -> None:
    arrays = {"b": np.arange(5, dtype=np.int16), "a": np.ones((2, 3), np.float32)}
    write_npz(tmp_path / "1.npz", **arrays)
    os.utime(tmp_path / "1.npz", (0, 0))
    write_npz(tmp_path / "2.npz", **arrays)
    assert sha256_file(tmp_path / "1.npz") == sha256_file(tmp_path / "2.npz")
    assert read_npz(tmp_path / "1.npz")["b"].tolist() == [0, 1, 2, 3, 4]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", a=np.arange(100))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:60])
    with pytest.raises(ArtifactError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(ArtifactError, match="cannot read"):
        read_json(tmp_path / "none.json")


def test_json_keys_are_sorted(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": {"d": 1, "c": 2}})
    text = (tmp_path / "a.json").read_text()
    assert text.index('"a"') < text.index('"b"')
    assert text.index('"c"') < text.index('"d"')


def test_assets_travel_with_the_kit() -> None:
    assert asset("configs", "08x_ds8_l2.yaml").is_file()
    with pytest.raises(ArtifactError, match="lacks nothing"):
        asset("nothing")
