"""Boards: one folder of ``firmware/ports`` each, which is the one place of their facts.

``board.mk``, with the file of its core family that it includes, names compiler, flags and emulator, ``memory.ld`` the
memories, the first comment of ``board.h`` is the title. The host process (``native``) is a target, but no board.
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

NATIVE_UART = "native-uart"
"""Port of the host process that plays a microcontroller with a real UART in simulated time."""

PROCESSES = (NATIVE, NATIVE_UART)
"""Targets that are processes of this machine."""

_VARIABLE = re.compile(r"^([A-Z_]+)\s*[:?]?=[ \t]*(.*?)\s*$", re.MULTILINE)
_FAMILY = re.compile(r"^include ports/common/(\w+)\.mk$", re.MULTILINE)
_MEMORY = re.compile(
    r"^\s*(\w+)\s*\([rwx!]+\)\s*:\s*ORIGIN\s*=\s*(\w+)\s*,\s*LENGTH\s*=\s*(\d+)\s*([KM]?)\s*$", re.MULTILINE
)
_TITLE = re.compile(r"\A/\*\s*(.*?)\s*\*/", re.DOTALL)
_UNIT = {"": 1, "K": 1024, "M": 1024 * 1024}


@dataclass(frozen=True, slots=True)
class Board:
    """One board.

    Attributes:
        name: of its folder.
        title: one line for people.
        family: of its core: ``cortexm`` or ``riscv``.
        compiler: command.
        cpu_flags: what tells the compiler the core.
        specs: what tells it the C library.
        flash_start: address of the flash.
        flash_bytes: its size.
        ram_bytes: size of the RAM.
        emulator: QEMU's command for its processor.
        qemu_machine: QEMU's name of the board; None where QEMU does not emulate it.
        qemu_flags: further options of QEMU.
    """

    name: str
    title: str
    family: str
    compiler: str
    cpu_flags: tuple[str, ...]
    specs: tuple[str, ...]
    flash_start: int
    flash_bytes: int
    ram_bytes: int
    emulator: str
    qemu_machine: str | None
    qemu_flags: tuple[str, ...]

    @property
    def tools(self) -> tuple[str, ...]:
        """Commands that building and running its firmware takes, compiler first."""
        return (self.compiler,) if self.qemu_machine is None else (self.compiler, self.emulator)

    def emulate(self, image: Path) -> list[str]:
        """Command line that boots an image without a display; serial line and semihosting are for the caller to add.

        Raises:
            RunnerError: QEMU does not emulate the board.
        """
        if self.qemu_machine is None:
            raise RunnerError(f"QEMU does not emulate {self.name}", "use a real board and its serial port")
        return [
            *(self.emulator, "-M", self.qemu_machine, *self.qemu_flags, "-kernel", str(image)),
            *("-display", "none", "-monitor", "none"),
        ]


def _variables(folder: Path) -> tuple[dict[str, str], str]:
    """What board.mk and the file of its core family set, and the name of that family."""
    text = (folder / "board.mk").read_text(encoding="utf-8")
    family = _FAMILY.search(text)
    shared = (folder.parent / "common" / f"{family.group(1)}.mk").read_text(encoding="utf-8") if family else ""
    return dict(_VARIABLE.findall(shared + text)), family.group(1) if family else ""


def parse_board(folder: Path) -> Board:
    """The board that a port folder describes.

    Raises:
        RunnerError: a file or a fact is missing.
    """
    try:
        variables, family = _variables(folder)
        memories = {
            name: (int(origin, 0), int(size) * _UNIT[unit])
            for name, origin, size, unit in _MEMORY.findall((folder / "memory.ld").read_text(encoding="utf-8"))
        }
        title = _TITLE.search((folder / "board.h").read_text(encoding="utf-8"))
        return Board(
            name=folder.name,
            title=title.group(1) if title else "",
            family=family,
            compiler=f"{variables['CROSS']}gcc",
            cpu_flags=tuple(variables["CPU_FLAGS"].split()),
            specs=tuple(variables.get("SPECS", "").split()),
            flash_start=memories["FLASH"][0],
            flash_bytes=memories["FLASH"][1],
            ram_bytes=memories["RAM"][1],
            emulator=variables.get("QEMU", ""),
            qemu_machine=variables.get("QEMU_MACHINE"),
            qemu_flags=tuple(variables.get("QEMU_FLAGS", "").split()),
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
        return {folder.name: parse_board(folder) for folder in folders if folder.name not in PROCESSES}

    def __getitem__(self, name: str) -> Board:
        return self._boards[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._boards)

    def __len__(self) -> int:
        return len(self._boards)


BOARDS: Mapping[str, Board] = BoardTable()


def emulated_boards() -> tuple[str, ...]:
    """Names of the boards that QEMU emulates."""
    return tuple(name for name, board in BOARDS.items() if board.qemu_machine)


def find_board(name: str) -> Board:
    """A board by name.

    Raises:
        RunnerError: unknown; lists the known ones.
    """
    if name not in BOARDS:
        raise RunnerError(f"no board {name!r}", f"boards: {', '.join(BOARDS)}")
    return BOARDS[name]
