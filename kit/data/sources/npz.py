"""Folders of ``.npz`` recordings: ``ppg`` or ``ecg`` samples with ``fs`` and what is known about them."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from kit.config import NpzSource, SignalConfig
from kit.data.recording import Recording, Split, to_codes
from kit.data.sources.manifest import LEAVE_OUT, NAME, Row, find_manifest
from kit.errors import DataError


def _folder(root: Path, name: str, dataset: str) -> Path:
    folder = root / name
    if not folder.is_dir():
        beside = sorted(p.name for p in folder.parent.iterdir() if p.is_dir()) if folder.parent.is_dir() else []
        near = difflib.get_close_matches(folder.name, beside, n=1, cutoff=0.0)
        hint = f"; nearest folder there: {near[0]}" if near else ""
        raise DataError(f"dataset {dataset}: no folder {folder}{hint}", "correct data.sources folder or --data DIR")
    return folder


class NpzFolder:
    """Recordings of one folder, ordered by file name."""

    def __init__(self, source: NpzSource, signal: SignalConfig, root: Path) -> None:
        """List the folder and read its manifest.

        Raises:
            DataError: no such folder, no .npz in it, or a manifest that does not match the files.
        """
        self.dataset = source.dataset
        self.left_out: dict[str, int] = {}
        self._signal = signal
        folder = _folder(root, source.folder, source.dataset)
        files = sorted(p for p in folder.glob("*.npz") if p.is_file())
        if not files:
            raise DataError(f"dataset {source.dataset}: no .npz file in {folder}", "put recordings there")
        rows = find_manifest(folder, root)
        if rows is None:
            self._files: list[tuple[Path, Row]] = [(path, Row(None, None)) for path in files]
            return
        self._match(files, rows, folder)

    def _match(self, files: list[Path], rows: dict[str, Row], folder: Path) -> None:
        names = {path.name for path in files}
        if absent := sorted(rows.keys() - names):
            raise DataError(f"{NAME} lists {absent[0]}, which is not in {folder}", "complete the folder")
        if extra := sorted(names - rows.keys()):
            raise DataError(f"{folder / extra[0]} is not listed in {NAME}", "add a row for it or remove it")
        used = [(path, rows[path.name]) for path in files if rows[path.name].split != LEAVE_OUT]
        if len(used) < len(files):
            self.left_out[LEAVE_OUT] = len(files) - len(used)
        if not used:
            raise DataError(f"dataset {self.dataset}: every recording is marked {LEAVE_OUT}", "use another folder")
        self._files = used

    def __iter__(self) -> Iterator[Recording]:
        """Read the recordings one by one.

        Raises:
            DataError: unreadable file, missing array, impossible rate, or no finite sample.
        """
        for path, row in self._files:
            yield self._read(path, row)

    def _read(self, path: Path, row: Row) -> Recording:
        kind = self._signal.kind
        try:
            with np.load(path, allow_pickle=False) as archive:
                names = list(archive.files)
                keep = (kind, "fs", "subject", "source", "scale", "unit", "bits", "license")
                arrays = {name: archive[name] for name in keep if name in names}
        except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"cannot read {path}: {error}", "restore the file or remove it") from None
        if kind not in arrays:
            raise DataError(
                f"{path} has no array '{kind}', it has: {', '.join(names)}",
                f"set signal.kind to what the folder holds, or store the samples as '{kind}'",
            )
        rate = _number(arrays, "fs", path, None)
        if not 0.0 < rate < float("inf"):
            raise DataError(f"{path}: fs is {rate:g}", "store the sample rate in Hz as 'fs'")
        codes = to_codes(arrays[kind], self._signal.container_bits, str(path))
        bits = int(_number(arrays, "bits", path, 0.0))
        return Recording(
            name=path.stem,
            dataset=self.dataset,
            subject=row.subject or _text(arrays, "subject", path.stem),
            samples=codes.samples,
            sample_rate_hz=rate,
            scale=_number(arrays, "scale", path, 1.0),
            unit=_text(arrays, "unit", "ADC codes"),
            split=cast("Split | None", row.split),
            synthetic=False,
            source_text=_text(arrays, "source", f"{self.dataset}, recording {path.stem}"),
            license=_text(arrays, "license", "not stated"),
            missing=codes.missing,
            saturated=codes.saturated,
            bits=bits if 1 <= bits <= 24 else None,
        )


def _number(arrays: dict[str, Any], key: str, path: Path, default: float | None) -> float:
    """Scalar ``key`` of the archive.

    Raises:
        DataError: absent without a default, or not one number.
    """
    value = arrays.get(key)
    if value is None and default is not None:
        return default
    if value is None or value.size != 1 or value.dtype.kind not in "iuf":
        raise DataError(f"{path}: '{key}' is {'missing' if value is None else 'not one number'}", f"store '{key}'")
    return float(value.reshape(()))


def _text(arrays: dict[str, Any], key: str, default: str) -> str:
    value = arrays.get(key)
    return default if value is None or value.size != 1 else str(value.reshape(())).strip() or default
