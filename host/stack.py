"""Worst-case stack of linked Thumb code: frames from the compiler, calls from the disassembly.

GCC's ``-fcallgraph-info=su`` says how much stack each compiled function takes, whether that is fixed, and whether it
calls through a pointer. Which functions call which is read from the disassembly of the linked image, because there
every name is one address and library code is included; of library functions the frame is read there as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import ToolchainError

_NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \(([a-z,]+)\)')
_INDIRECT = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "__indirect_call"')
_HEADING = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+(\S+)\s*(.*?)\s*(?:@.*)?$")
_TARGET = re.compile(r"<([^>+]+)(\+0x[0-9a-f]+)?>")
_BRANCH = re.compile(r"^(?:bl|b|cbz|cbnz)(?:eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?(?:\.n|\.w)?$")
_STORE_BELOW = re.compile(r"\[sp, #-(\d+)\]!")
_SUBTRACT = re.compile(r"^sp, (?:sp, )?#(\d+)")

_FIX = "write it without recursion, function pointers and arrays of variable length"


@dataclass(frozen=True, slots=True)
class Frame:
    """Stack of one compiled function, as its ``.ci`` file says."""

    bytes: int
    fixed: bool
    indirect: bool


@dataclass(slots=True)
class Routine:
    """One function of the image: what the disassembly shows.

    Attributes:
        frame: bytes that its instructions push or subtract, all of them added up.
        calls: functions it calls or jumps to.
        odd: instruction whose effect on the stack, or whose target, cannot be told; empty when there is none.
    """

    frame: int = 0
    calls: set[str] = field(default_factory=set)
    odd: str = ""


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


def _register_count(text: str) -> int:
    """Bytes of a register list such as ``{r4, r5, lr}`` or ``{d8-d10}``."""
    count = 0
    for part in text.strip("{} ").split(","):
        first, dash, last = part.strip().partition("-")
        many = int(last[1:]) - int(first[1:]) + 1 if dash else 1
        count += many * (8 if first.startswith("d") else 4)
    return count


def _note(routine: Routine, name: str, mnemonic: str, operands: str) -> None:
    """Add what one instruction does to the stack or the flow of control."""
    if _BRANCH.match(mnemonic):
        target = _TARGET.search(operands)
        # A branch into the middle of another function only happens between routines of one library file.
        if target and target.group(1) != name:
            routine.calls.add(target.group(1))
    elif mnemonic in ("push", "vpush") or (mnemonic.startswith("stmdb") and operands.startswith("sp!")):
        routine.frame += _register_count(operands[operands.index("{") :])
    elif mnemonic.startswith("sub") and operands.startswith("sp,"):
        amount = _SUBTRACT.match(operands)
        routine.frame += int(amount.group(1)) if amount else 0
        routine.odd = routine.odd or ("" if amount else f"{mnemonic} {operands}")
    elif stored := _STORE_BELOW.search(operands):
        routine.frame += int(stored.group(1))
    elif (
        mnemonic == "blx"
        or (mnemonic == "bx" and operands != "lr")
        or (mnemonic.startswith("mov") and operands.startswith("sp,"))
    ):
        routine.odd = routine.odd or f"{mnemonic} {operands}"


def read_routines(disassembly: Iterable[str]) -> dict[str, Routine]:
    """Functions from the lines of ``objdump -d --no-show-raw-insn``."""
    routines: dict[str, Routine] = {}
    name = ""
    for line in disassembly:
        if heading := _HEADING.match(line):
            name = heading.group(1)
            routines[name] = Routine()
        elif name and (found := _INSTRUCTION.match(line)):
            _note(routines[name], name, found.group(1), found.group(2))
    return routines


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
    return frame.bytes


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
