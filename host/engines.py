"""Engines and targets of a validation: which cells the matrix has, and which library each TensorFlow Lite Micro cell is
compiled with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import RunnerError
from kit.host.boards import BOARDS, PROCESSES

COMPILED = ("aot", "tflm")
"""Engines that are part of a firmware."""

IN_PROCESS = {"tflm-wheel": "golden", "reference": "reference"}
"""Engines that run in this process, and what they are called as a target."""

ENGINES = (*COMPILED, *IN_PROCESS)

DOUBLE = "double"
"""What a device's hello and tables call the API double of the tests, which is not TensorFlow Lite Micro."""

HOST = "host"
"""Where engines of this process run, in tables."""

ANY_BOARD = ""
"""Key of a TFLM_ROOT that is for every board without one of its own."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One engine on one target, as :func:`kit.host.targets.parse_targets` names it."""

    engine: str
    target: str

    @property
    def place(self) -> str:
        """The target as the table shows it."""
        return HOST if self.engine in IN_PROCESS else self.target


def shown_engine(engine: str, double: bool) -> str:
    """The engine as tables and reports name it: ``tflm (double)`` is the API double of the tests, and no evidence."""
    return f"{engine} ({DOUBLE})" if double else engine


def engine_of(target: str, built: str) -> str:
    """The engine behind a target when none was chosen: ``built``, or the one of this process that it names."""
    return next((engine for engine, name in IN_PROCESS.items() if name == target), built)


def parse_engines(text: str) -> tuple[str, ...]:
    """Engines of a comma-separated list, without repetitions; ``*`` is all of them.

    Raises:
        RunnerError: empty list or unknown engine.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    names = tuple(dict.fromkeys(name for part in parts for name in (ENGINES if part == "*" else (part,))))
    unknown = [name for name in names if name not in ENGINES]
    if unknown or not names:
        what = f"no engine {unknown[0]!r}" if unknown else "no engine given"
        raise RunnerError(what, f"engines: {', '.join(ENGINES)}")
    return names


def cells(engines: Sequence[str], targets: Sequence[str], built: str) -> tuple[Cell, ...]:
    """Cells of a matrix, engine after engine.

    Args:
        engines: what :func:`parse_engines` returned, or nothing: the engine of the build, on every target.
        targets: what :func:`kit.host.targets.parse_targets` returned. Engines of this process have one cell each,
            whatever the targets.
        built: engine that the firmware was rendered for.
    """
    named = [Cell(engine_of(target, built), target) for target in targets if target in IN_PROCESS.values()]
    devices = [target for target in targets if target not in IN_PROCESS.values()]
    found: list[Cell] = []
    for engine in engines or (built,):
        found += (
            [Cell(engine, IN_PROCESS[engine])]
            if engine in IN_PROCESS
            else [Cell(engine, target) for target in devices]
        )
    return tuple(dict.fromkeys([*named, *found]))


def parse_tflm_roots(texts: Iterable[str]) -> tuple[tuple[str, Path], ...]:
    """TFLM_ROOT by board, from ``DIR`` (for every board without one of its own) or ``BOARD=DIR``; the environment's
    TFLM_ROOT is for every board where none is given so.

    Raises:
        RunnerError: no such folder or board, or two folders for one board.
    """
    found: dict[str, Path] = {}
    for text in texts:
        board, equals, folder = text.partition("=")
        if not equals:
            board, folder = ANY_BOARD, text
        elif board not in BOARDS and board not in PROCESSES:
            raise RunnerError(f"--tflm-root {text}: no board {board!r}", f"boards: {', '.join([*PROCESSES, *BOARDS])}")
        if not Path(folder).is_dir():
            raise RunnerError(f"--tflm-root {text}: {folder} is no folder", "see docs/tflm.md")
        if board in found:
            raise RunnerError(f"--tflm-root names two folders for {board or 'every board'}", "give one of them")
        found[board] = Path(folder)
    if os.environ.get("TFLM_ROOT"):
        found.setdefault(ANY_BOARD, Path(os.environ["TFLM_ROOT"]))
    return tuple(sorted(found.items()))
