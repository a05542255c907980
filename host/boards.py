"""Boards: one folder of ``firmware/ports`` each, which is the one place of their facts.

``board.mk`` names compiler, flags and emulated machine, ``memory.ld`` the memories, the first comment of ``board.h`` is
the title. The host process (``native``) is a target, but no board.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kit.errors import RunnerError
from kit.files import asset

NATIVE = "native"
"""Port of the host process."""

_VARIABLE = re.compile(r"^([A-Z_]+)\s*[:?]?=[ \t]*(.*?)\s*$", re.MULTILINE)
_MEMORY = re.compile(r"^\s*(\w+)\s*\([rwx!]+\)\s*:.*LENGTH\s*=\s*(\d+)\s*([KM]?)\s*$", re.MULTILINE)
_TITLE = re.compile(r"\A/\*\s*(.*?)\s*\*/", re.DOTALL)
_UNIT = {"": 1, "K": 1024, "M": 1024 * 1024}


@dataclass(frozen=True, slots=True)
class Board:
    """One board. ``qemu_machine`` is None for boards that QEMU does not emulate."""

    name: str
    title: str
    compiler: str
    cpu_flags: tuple[str, ...]
    flash_bytes: int
    ram_bytes: int
    qemu_machine: str | None


def parse_board(folder: Path) -> Board:
    """The board that a port folder describes.

    Raises:
        RunnerError: a file or a fact is missing.
    """
    try:
        variables = dict(_VARIABLE.findall((folder / "board.mk").read_text(encoding="utf-8")))
        memories = {
            name: int(size) * _UNIT[unit]
            for name, size, unit in _MEMORY.findall((folder / "memory.ld").read_text(encoding="utf-8"))
        }
        title = _TITLE.search((folder / "board.h").read_text(encoding="utf-8"))
        return Board(
            name=folder.name,
            title=title.group(1) if title else "",
            compiler=f"{variables['CROSS']}gcc",
            cpu_flags=tuple(variables["CPU_FLAGS"].split()),
            flash_bytes=memories["FLASH"],
            ram_bytes=memories["RAM"],
            qemu_machine=variables.get("QEMU_MACHINE"),
        )
    except OSError as error:
        raise RunnerError(f"board {folder.name}: cannot read {error.filename}: {error.strerror}") from None
    except KeyError as error:
        raise RunnerError(f"board {folder.name}: its port folder does not say {error.args[0]}") from None


class BoardTable(Mapping[str, Board]):
    """All boards by name, read on first use."""

    @cached_property
    def _boards(self) -> dict[str, Board]:
        folders = sorted(path.parent for path in asset("firmware", "ports").glob("*/board.mk"))
        return {folder.name: parse_board(folder) for folder in folders if folder.name != NATIVE}

    def __getitem__(self, name: str) -> Board:
        return self._boards[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._boards)

    def __len__(self) -> int:
        return len(self._boards)


BOARDS: Mapping[str, Board] = BoardTable()


def find_board(name: str) -> Board:
    """A board by name.

    Raises:
        RunnerError: unknown; lists the known ones.
    """
    if name not in BOARDS:
        raise RunnerError(f"no board {name!r}", f"boards: {', '.join(BOARDS)}")
    return BOARDS[name]
