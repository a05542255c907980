"""Finds a configuration by path, or by the name of one that travels with the kit."""

from __future__ import annotations

from pathlib import Path

from kit.files import asset


def find_config(given: Path) -> Path:
    """``given`` where such a file exists, else the kit's own configuration of that name.

    ``configs/08x_ds8_l2.yaml`` and ``08x_ds8_l2`` therefore work in any folder; the user's own files come first.
    A name that fits neither is returned as it is, for the reader to complain about.
    """
    if given.exists():
        return given
    named = given.name if given.suffix in {".yaml", ".yml"} else f"{given.name}.yaml"
    own = asset("configs") / named
    if given.parent in {Path(), Path("configs")} and own.is_file():
        return own
    return given
