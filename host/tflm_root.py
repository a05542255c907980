"""``TFLM_ROOT``: TensorFlow Lite Micro's include tree and static library, as its own build or a vendor's lays them out.

``TFLM_ROOT/tflm-kit.conf``, where it exists, names what the usual layout does not: ``KEY=VALUE`` lines, ``#`` comments.
Environment variables of the same names win over the file (docs/tflm.md). The Makefile looks in the same places
(firmware/engines/tflm/tflm.mk).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kit.errors import ToolchainError
from kit.files import asset

CONF_NAME = "tflm-kit.conf"

KEYS = ("TFLM_INCLUDES", "TFLM_LIBRARY", "TFLM_FLAGS")
"""What the file and the environment may set: include folders, static library, compiler flags."""

DEFAULT_FLAGS = ("-DTF_LITE_STATIC_MEMORY",)
"""TFLM's own Makefile sets it in every build that may run."""

_DOWNLOADS = "tensorflow/lite/micro/tools/make/downloads"
DEFAULT_INCLUDES = (
    ".",
    "include",
    "third_party/flatbuffers/include",
    "third_party/gemmlowp",
    "third_party/ruy",
    "third_party/kissfft",
    f"{_DOWNLOADS}/flatbuffers/include",
    f"{_DOWNLOADS}/gemmlowp",
    f"{_DOWNLOADS}/ruy",
    f"{_DOWNLOADS}/kissfft",
)
"""Include folders of the usual layouts; those that exist are used."""

DEFAULT_LIBRARIES = (
    "lib/libtensorflow-microlite.a",
    "libtensorflow-microlite.a",
    "gen/*/lib/libtensorflow-microlite.a",
)
"""Where the usual layouts keep the static library."""

WITNESS_HEADER = "tensorflow/lite/micro/micro_interpreter.h"
"""Header by which an include folder of TFLM is known."""


@cache
def how_to_get() -> str:
    """The one sentence for whoever has none, in the imperative; make and CMake print it too."""
    return asset("firmware", "engines", "tflm", "how_to_get.txt").read_text(encoding="utf-8").strip()


@dataclass(frozen=True, slots=True)
class TflmRoot:
    """A usable root.

    Attributes:
        root: the folder.
        include_dirs: for ``-I``, in this order.
        library: static library.
        flags: compiler flags the library was built with, as far as its headers read them.
    """

    root: Path
    include_dirs: tuple[Path, ...]
    library: Path
    flags: tuple[str, ...]

    def header(self, name: str) -> Path | None:
        """The file that ``#include "name"`` finds; None where no include folder has it."""
        return next((path for folder in self.include_dirs if (path := folder / name).is_file()), None)

    def defines(self, macro: str) -> bool:
        """Whether the flags define a macro; the last ``-D`` or ``-U`` of it counts."""
        state = False
        for flag in self.flags:
            if flag == f"-D{macro}" or flag.startswith(f"-D{macro}="):
                state = True
            elif flag == f"-U{macro}":
                state = False
        return state


def _read_conf(path: Path) -> dict[str, str]:
    """Settings of the file; empty without one.

    Raises:
        ToolchainError: not text, a line without ``=``, an unknown key or one given twice.
    """
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ToolchainError(f"{path}: cannot be read: {error}") from None
    settings: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or key not in KEYS:
            raise ToolchainError(f"{path}, line {number}: {text!r} is no setting", f"KEY=VALUE with {', '.join(KEYS)}")
        if key in settings:
            raise ToolchainError(f"{path}, line {number}: {key} is set a second time", "keep one of the lines")
        settings[key] = value.strip()
    return settings


def _words(key: str, value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ToolchainError(f"{key}={value}: {error}", "close the quotation mark") from None


def _include_dirs(root: Path, value: str | None) -> tuple[Path, ...]:
    if value is None:
        return tuple(folder for name in DEFAULT_INCLUDES if (folder := root / name).is_dir())
    folders = tuple(root / name for name in _words("TFLM_INCLUDES", value))
    for folder in folders:
        if not folder.is_dir():
            raise ToolchainError(f"TFLM_INCLUDES names {folder}, which is no folder", "paths are relative to TFLM_ROOT")
    return folders


def _library(root: Path, value: str | None) -> Path:
    if value is not None:
        library = root / value
        if not library.is_file():
            raise ToolchainError(f"TFLM_LIBRARY names {library}, which is no file", "the path is relative to TFLM_ROOT")
        return library
    found = [path for pattern in DEFAULT_LIBRARIES for path in sorted(root.glob(pattern))]
    if not found:
        raise ToolchainError(
            f"{root} holds no static library ({', '.join(DEFAULT_LIBRARIES)})",
            f"name it in TFLM_LIBRARY, or {how_to_get()}",
        )
    if len(found) > 1:
        names = ", ".join(path.relative_to(root).as_posix() for path in found)
        raise ToolchainError(f"{root} holds {len(found)} static libraries: {names}", "name one of them in TFLM_LIBRARY")
    return found[0]


def find_tflm(root: Path | None = None, environ: Mapping[str, str] | None = None) -> TflmRoot:
    """The TensorFlow Lite Micro to compile and link with.

    Args:
        root: folder; None takes ``TFLM_ROOT`` of the environment.
        environ: environment; None takes the process's own.

    Raises:
        ToolchainError: no folder given, or headers or library are not in it; one line with the way to get them.
    """
    environ = os.environ if environ is None else environ
    if root is None:
        if not environ.get("TFLM_ROOT"):
            raise ToolchainError("TFLM_ROOT is not set", how_to_get())
        root = Path(environ["TFLM_ROOT"])
    if not root.is_dir():
        raise ToolchainError(f"TFLM_ROOT: {root} is no folder", how_to_get())
    settings = _read_conf(root / CONF_NAME)
    settings.update({key: environ[key] for key in KEYS if environ.get(key)})
    flags = settings.get("TFLM_FLAGS")
    found = TflmRoot(
        root=root,
        include_dirs=_include_dirs(root, settings.get("TFLM_INCLUDES")),
        library=_library(root, settings.get("TFLM_LIBRARY")),
        flags=DEFAULT_FLAGS if flags is None else tuple(_words("TFLM_FLAGS", flags)),
    )
    if found.header(WITNESS_HEADER) is None:
        folders = ", ".join(str(folder) for folder in found.include_dirs) or "any usual folder"
        fix = f"name its folder in TFLM_INCLUDES, or {how_to_get()}"
        raise ToolchainError(f"{WITNESS_HEADER} is not in {folders}", fix)
    return found
