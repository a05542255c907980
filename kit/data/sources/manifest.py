"""``manifest.csv``: which file belongs to which subject and split."""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from pathlib import Path

from kit.errors import DataError

NAME = "manifest.csv"

LEAVE_OUT = "paced"
"""Split of recordings that are never used: a pacemaker's pulses are not the heart's."""

KNOWN = ("train", "val", "test", LEAVE_OUT)


@dataclass(frozen=True, slots=True)
class Row:
    """One recording: ``subject`` and ``split`` are None where the manifest has no such column."""

    subject: str | None
    split: str | None


def find_manifest(folder: Path, root: Path) -> dict[str, Row] | None:
    """Rows for the files of ``folder`` by file name, from the nearest manifest that lists any of them.

    Looks in ``folder`` and in its parents up to ``root``; paths in column ``file`` are relative to the manifest.

    Returns:
        None when no manifest lists a file of the folder.

    Raises:
        DataError: a manifest that cannot be read, without column ``file``, or with an unknown split.
    """
    folder, root = folder.resolve(), root.resolve()
    for place in [folder, *folder.parents]:
        path = place / NAME
        if path.is_file():
            rows = _read(path, folder)
            if rows:
                return rows
        if place == root:
            break
    return None


def _read(path: Path, folder: Path) -> dict[str, Row]:
    """Rows of the manifest whose file lies in ``folder``."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or [])
            lines = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}", "repair or remove it") from None
    if "file" not in columns:
        raise DataError(f"{path} has no column 'file', it has: {', '.join(columns)}", "name the files in column 'file'")
    rows = {}
    for line, row in lines:
        file = (path.parent / (row["file"] or "")).resolve()
        if file.parent != folder:
            continue
        split = (row.get("split") or "").strip() if "split" in columns else None
        if split is not None and split not in KNOWN:
            near = difflib.get_close_matches(split, KNOWN, n=1, cutoff=0.0)[0]
            raise DataError(f"{path} line {line}: unknown split '{split}'", f"nearest known: {near}; known: {_list()}")
        if file.name in rows:
            raise DataError(f"{path} line {line}: {file.name} is listed twice", "keep one row per file")
        rows[file.name] = Row((row.get("subject") or "").strip() or None, split)
    return rows


def _list() -> str:
    return ", ".join(KNOWN)
