"""What the disassembly of an image says about each function: its calls, and the stack its own instructions take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_HEADING = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+(\S+)\s*(.*?)\s*(?:[@;].*)?$")
_TARGET = re.compile(r"<([^>+]+)(\+0x[0-9a-f]+)?>")

_THUMB_BRANCH = re.compile(r"^(?:bl|b|cbz|cbnz)(?:eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?(?:\.n|\.w)?$")
_THUMB_CALL = re.compile(r"^bl(?:eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?(?:\.w)?$")
_THUMB_STORE_BELOW = re.compile(r"\[sp, #-(\d+)\]!")
_THUMB_SUBTRACT = re.compile(r"^sp, (?:sp, )?#(\d+)")

_RISCV_BRANCH = re.compile(r"^(?:j|jal|tail|call|b(?:eq|ne|lt|ge|gt|le)(?:u|z)?)$")
_RISCV_ADJUST = re.compile(r"^sp,sp,(-?\d+)$")
_RISCV_STORES = frozenset({"sw", "sh", "sb", "fsw", "fsd"})


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


def _note_target(routine: Routine, name: str, operands: str, call: bool) -> bool:
    """Add the function that a branch (or call: it comes back) names; False when it names none."""
    target = _TARGET.search(operands)
    # A branch into the middle of another function only happens between routines of one library file. To the own
    # function, a branch is a loop and a call is recursion, unless it goes into the middle: a Cortex-M0 has no other
    # far branch than `bl`.
    if target and (target.group(1) != name or (call and target.group(2) is None)):
        routine.calls.add(target.group(1))
    return target is not None


def _register_count(text: str) -> int:
    """Bytes of a register list such as ``{r4, r5, lr}`` or ``{d8-d10}``."""
    count = 0
    for part in text.strip("{} ").split(","):
        first, dash, last = part.strip().partition("-")
        many = int(last[1:]) - int(first[1:]) + 1 if dash else 1
        count += many * (8 if first.startswith("d") else 4)
    return count


def _note_thumb(routine: Routine, name: str, mnemonic: str, operands: str) -> None:
    """Add what one Thumb instruction does to the stack or the flow of control."""
    if _THUMB_BRANCH.match(mnemonic):
        _note_target(routine, name, operands, _THUMB_CALL.match(mnemonic) is not None)
    elif mnemonic in ("push", "vpush") or (mnemonic.startswith("stmdb") and operands.startswith("sp!")):
        routine.frame += _register_count(operands[operands.index("{") :])
    elif mnemonic.startswith("sub") and operands.startswith("sp,"):
        amount = _THUMB_SUBTRACT.match(operands)
        routine.frame += int(amount.group(1)) if amount else 0
        routine.odd = routine.odd or ("" if amount else f"{mnemonic} {operands}")
    elif stored := _THUMB_STORE_BELOW.search(operands):
        routine.frame += int(stored.group(1))
    elif (
        mnemonic == "blx"
        or (mnemonic == "bx" and operands != "lr")
        or (mnemonic.startswith("mov") and operands.startswith("sp,"))
    ):
        routine.odd = routine.odd or f"{mnemonic} {operands}"


def _note_riscv(routine: Routine, name: str, mnemonic: str, operands: str) -> None:
    """The same for one RISC-V instruction; objdump drops the immediate from its names (``add`` is ``addi``)."""
    if mnemonic in ("jr", "jalr"):
        # Far calls go through a register, and then objdump names the target behind the instruction.
        if not _note_target(routine, name, operands, mnemonic == "jalr"):
            routine.odd = routine.odd or f"{mnemonic} {operands}"
    elif _RISCV_BRANCH.match(mnemonic):
        _note_target(routine, name, operands, mnemonic in ("jal", "call"))
    elif operands.startswith("sp,") and mnemonic not in _RISCV_STORES:
        amount = _RISCV_ADJUST.match(operands) if mnemonic in ("add", "addi") else None
        routine.frame += max(0, -int(amount.group(1))) if amount else 0
        routine.odd = routine.odd or ("" if amount else f"{mnemonic} {operands}")


_NOTES: dict[str, Callable[[Routine, str, str, str], None]] = {"cortexm": _note_thumb, "riscv": _note_riscv}


def read_routines(disassembly: Iterable[str], family: str = "cortexm") -> dict[str, Routine]:
    """Functions from the lines of ``objdump -d --no-show-raw-insn``.

    Args:
        disassembly: the lines.
        family: of the core, ``cortexm`` (Thumb) or ``riscv``.
    """
    note = _NOTES[family]
    routines: dict[str, Routine] = {}
    name = ""
    for line in disassembly:
        if heading := _HEADING.match(line):
            name = heading.group(1)
            routines.setdefault(name, Routine())  # static functions of one name count as one that does what all do
        elif name and (found := _INSTRUCTION.match(line)):
            note(routines[name], name, found.group(1), found.group(2))
    return routines
