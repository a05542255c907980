"""Worst-case stack of linked code: frames from the compiler, calls from the disassembly.

GCC's ``-fcallgraph-info=su`` says how much stack each compiled function takes, whether that is fixed, and whether it
calls through a pointer. Which functions call which is read from the disassembly of the linked image
(:mod:`kit.host.disassembly`), because there every name is one address and library code is included; of library
functions the frame is read there as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.errors import ToolchainError
from kit.host.disassembly import Routine

_NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \(([a-z,]+)\)')
_INDIRECT = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "__indirect_call"')

_FIX = "write it without recursion, function pointers and arrays of variable length"


@dataclass(frozen=True, slots=True)
class Frame:
    """Stack of one compiled function, as its ``.ci`` file says."""

    bytes: int
    fixed: bool
    indirect: bool


@dataclass(frozen=True, slots=True)
class StackUse:
    """Worst-case stack from a set of entry points: bytes, and the chain of calls that needs them."""

    bytes: int
    path: tuple[str, ...]


def read_frames(folder: Path) -> dict[str, Frame]:
    """Frames by function name from every ``.ci`` file of a folder; of equal names (static functions) the largest.

    Raises:
        ToolchainError: the folder holds none.
    """
    frames: dict[str, Frame] = {}
    for path in sorted(folder.glob("*.ci")):
        text = path.read_text(encoding="utf-8")
        indirect = {found.group(1) for line in text.splitlines() if (found := _INDIRECT.match(line))}
        for line in text.splitlines():
            if found := _NODE.match(line):
                title, size, kind = found.groups()
                name = title.rpartition(":")[2]
                old = frames.get(name, Frame(0, True, False))
                fixed = kind != "dynamic" and old.fixed
                frames[name] = Frame(max(old.bytes, int(size)), fixed, title in indirect or old.indirect)
    if not frames:
        raise ToolchainError(f"{folder} holds no call graph (.ci files)", "compile with gcc 10 or newer")
    return frames


def _own_bytes(name: str, routines: Mapping[str, Routine], frames: Mapping[str, Frame]) -> int:
    if name not in routines:
        raise ToolchainError(f"{name}: is called, but not in the image", "rebuild the firmware from clean")
    frame = frames.get(name)
    if frame is None:
        if routines[name].odd:
            raise ToolchainError(f"{name}: the stack of this library function has no bound ({routines[name].odd})")
        return routines[name].frame
    if frame.indirect:
        raise ToolchainError(f"{name} calls through a pointer: its stack has no bound", _FIX)
    if not frame.fixed:
        raise ToolchainError(f"{name} takes a variable amount of stack", _FIX)
    # Assembly within a function may push what the compiler does not count.
    return max(frame.bytes, routines[name].frame)


def worst_case(roots: Iterable[str], routines: Mapping[str, Routine], frames: Mapping[str, Frame]) -> StackUse:
    """Deepest chain of calls from any of ``roots``; functions that are not in the image are passed over.

    Raises:
        ToolchainError: recursion, a call through a pointer, a frame of variable size, or a name without code.
    """
    done: dict[str, StackUse] = {}

    def visit(name: str, above: tuple[str, ...]) -> StackUse:
        if name in above:
            chain = " -> ".join((*above[above.index(name) :], name))
            raise ToolchainError(f"recursion: {chain}", _FIX)
        if name not in done:
            own = _own_bytes(name, routines, frames)
            deepest = StackUse(0, ())
            for callee in sorted(routines[name].calls):
                below = visit(callee, (*above, name))
                deepest = max(deepest, below, key=lambda use: use.bytes)
            done[name] = StackUse(own + deepest.bytes, (name, *deepest.path))
        return done[name]

    uses = [visit(root, ()) for root in sorted(roots) if root in routines]
    return max(uses, key=lambda use: use.bytes, default=StackUse(0, ()))
