"""Files: atomic writes, deterministic containers, hashes, and where the kit's own assets are."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError

LARGE_MEMBER_BYTES = 1 << 30
"""Larger arrays get 64-bit sizes in an .npz; members of up to 2^31 - 1 bytes can do without."""

_PACKAGE = Path(__file__).resolve().parent


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block succeeds and vanishes when it does not.

    Raises:
        ArtifactError: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(f"cannot write {path}: {reason}", "choose a writable folder with free space") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` so that ``path`` holds either its old content or all of the new one."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 ``text`` atomically, with line ends as given."""
    atomic_write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes."""
    atomic_write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        ArtifactError: missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}", "rebuild with kit build-firmware") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is not valid JSON: {error}", "rebuild with kit build-firmware") from None


def write_npz(path: str | Path, **arrays: Any) -> None:
    """Write an uncompressed .npz; equal arrays give equal bytes.

    Member order is that of the arguments, member dates are constant, and 64-bit sizes, which Python writes in one way
    before 3.11.4 and in another since, are left to members that need them (np.savez has them always).
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, value in arrays.items():
            array = np.asanyarray(value)
            large = array.nbytes > LARGE_MEMBER_BYTES
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=large) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def read_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read a .npz without pickles.

    Raises:
        ArtifactError: missing, truncated or not an .npz.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        reason = error.strerror or "not an .npz archive"
        raise ArtifactError(f"cannot read {path}: {reason}", "rebuild with kit build-firmware") from None
    except Exception as error:
        raise ArtifactError(f"{path} is damaged: {error}", "rebuild with kit build-firmware") from None


def sha256_bytes(data: bytes) -> str:
    """SHA-256 as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's content as 64 hex digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def checkout() -> Path | None:
    """Root of the source checkout this package runs from, or None when it runs from an installed wheel."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "firmware_templates").is_dir() else None


def asset(*parts: str) -> Path:
    """Path of a file or folder that travels with the kit: ``firmware``, ``firmware_templates``, ``configs``, ``zoo``.

    Raises:
        ArtifactError: the installation lacks it.
    """
    path = (checkout() or _PACKAGE / "share").joinpath(*parts)
    if not path.exists():
        raise ArtifactError(f"the installation lacks {'/'.join(parts)}", "reinstall rvq-firmware-kit")
    return path
