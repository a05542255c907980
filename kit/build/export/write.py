"""Writing an export: whole or not at all, and never over anything that is not an earlier export."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import ArtifactError
from kit.files import read_json, sha256_bytes, sha256_file, write_json

MARKER = "kit-export.json"
"""What an export is of, and the SHA-256 of each of its files; by it the next export knows what it may replace."""

_FORMAT = 1


def check_folder(folder: Path) -> None:
    """An export may go there: the folder is absent, empty, or an earlier export as it was written.

    Raises:
        ArtifactError: it holds anything else.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise ArtifactError(f"--export {folder} is no folder", "name a new folder, or an earlier export")
    present = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if not path.is_dir()}
    if not present:
        return
    if MARKER not in present:
        raise ArtifactError(
            f"--export {folder} holds files and is no earlier export ({next(iter(present))})",
            "name a new folder, or an earlier export",
        )
    recorded = _recorded(folder)
    for name, path in present.items():
        if name != MARKER and (path.is_symlink() or recorded.get(name) != sha256_file(path)):
            was = "was changed after" if name in recorded else "is not from"
            raise ArtifactError(
                f"--export {folder} would overwrite {name}, which {was} the export",
                "move it elsewhere, or export into another folder",
            )


def _recorded(folder: Path) -> dict[str, str]:
    """File to SHA-256 of an earlier export."""
    facts: Any = read_json(folder / MARKER)
    files = facts.get("files") if isinstance(facts, dict) and facts.get("format") == _FORMAT else None
    if not isinstance(files, dict):
        raise ArtifactError(f"{folder / MARKER} is not of an export", "export into another folder")
    return files


def write_export(files: Mapping[str, str], folder: Path, facts: Mapping[str, str]) -> None:
    """Make ``folder`` hold exactly ``files`` and their marker; an earlier export is replaced as a whole.

    Args:
        files: path within the folder to text.
        folder: see :func:`check_folder`.
        facts: what the export is of, for the marker.

    Raises:
        ArtifactError: the folder must not or cannot be written.
    """
    check_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            fresh = Path(scratch) / "new"
            _fill(fresh, files, facts)
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            shutil.move(fresh, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(f"cannot write {folder}: {reason}", "choose a writable folder with free space") from None


def _fill(fresh: Path, files: Mapping[str, str], facts: Mapping[str, str]) -> None:
    hashes = {}
    for name, text in sorted(files.items()):
        data = text.encode("utf-8")
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        hashes[name] = sha256_bytes(data)
    write_json(fresh / MARKER, {"format": _FORMAT, **facts, "files": hashes})
