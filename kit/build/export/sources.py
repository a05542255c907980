"""Which sources an exported library is made of: runtime, one engine, rendered model, and the headers they need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.errors import ArtifactError
from kit.files import asset

PROBE_ONLY = ("kit_probe.c", "kit_profile.c")
"""Sources for images with counters (firmware/Makefile, PROBE_ONLY); no library needs them."""

CXX_SUFFIX = ".cpp"
"""The one suffix that every build system takes for C++."""

_QUOTED_HEADER = re.compile(r'"([A-Za-z0-9_]+\.h)"')
_SEPARATE = {"aot": ("_tflm.cc", "_tflm.h"), "tflm": ("_model.c", "_model.h")}
"""Rendered files of the other engine."""


@dataclass(frozen=True)
class Sources:
    """Texts by file name, all for one folder.

    Attributes:
        library: sources and headers of the library.
        replay: sources of the embedded recording as a sensor; part of the example.
    """

    library: Mapping[str, str]
    replay: Mapping[str, str]

    def units(self, *suffixes: str) -> tuple[str, ...]:
        """Names of the library's files with one of the suffixes, sorted."""
        return tuple(name for name in self.library if name.endswith(suffixes))


def collect_sources(rendered: Mapping[str, str], engine: str) -> Sources:
    """The sources of a library.

    Args:
        rendered: what :func:`kit.render.render_firmware` returned.
        engine: ``aot`` or ``tflm``.

    Raises:
        ArtifactError: not rendered for the engine, or two files of one name.
    """
    own = {name: text for name, text in rendered.items() if not name.endswith(_SEPARATE[engine])}
    if not any(name.endswith(_SEPARATE["tflm" if engine == "aot" else "aot"]) for name in own):
        raise ArtifactError(f"the build is not rendered for engine {engine}", "rerun kit build-firmware")
    runtime = _texts(asset("firmware", "runtime"), PROBE_ONLY)
    harness = _texts(asset("firmware", "engines", engine))
    replay = _texts(asset("firmware", "sources", "replay"))
    defaults = asset("firmware", "ports", "common", "port_defaults.c")
    pool = _union(runtime, harness, own, {defaults.name: defaults.read_text(encoding="utf-8")})
    library = _needed(pool, extra=replay.values())
    renamed = {_exported(name): text for name, text in library.items()}
    return Sources(dict(sorted(renamed.items())), replay)


def _texts(folder: Path, without: Iterable[str] = ()) -> dict[str, str]:
    """C and C++ files of a folder."""
    found = [path for path in sorted(folder.iterdir()) if path.suffix in (".c", ".cc", ".h")]
    return {path.name: path.read_text(encoding="utf-8") for path in found if path.name not in without}


def _union(*groups: Mapping[str, str]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for group in groups:
        for name, text in group.items():
            if name in merged:
                raise ArtifactError(f"two sources are called {name}", "choose another firmware.symbol_prefix")
            merged[name] = text
    return merged


def _needed(pool: Mapping[str, str], extra: Iterable[str]) -> dict[str, str]:
    """All sources of the pool, and the headers that they, or ``extra`` texts, reach."""
    kept = {name: text for name, text in pool.items() if not name.endswith(".h")}
    waiting = [*kept.values(), *extra]
    while waiting:
        for name in _QUOTED_HEADER.findall(waiting.pop()):
            if name in pool and name not in kept:
                kept[name] = pool[name]
                waiting.append(pool[name])
    return kept


def _exported(name: str) -> str:
    return name.removesuffix(".cc") + CXX_SUFFIX if name.endswith(".cc") else name
