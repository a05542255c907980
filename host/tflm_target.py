"""Whether objects of one build run on a target and link with what its compiler makes: processor, float ABI, word size.

The target's facts come from its compiler: an empty source, compiled with the flags of the board, says in its ELF header
and Arm build attributes (Arm IHI 0045) what that compiler makes.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import ToolchainError
from kit.host.boards import BOARDS, NATIVE, find_board
from kit.host.object_file import ObjectFile, read_object
from kit.host.toolchain import require_tool

_ARM_CORES = {
    0: "pre-v4", 1: "v4", 2: "v4T", 3: "v5T", 4: "v5TE", 5: "v5TEJ", 6: "v6", 7: "v6KZ", 8: "v6T2", 9: "v6K", 10: "v7",
    11: "v6-M", 12: "v6S-M", 13: "v7E-M", 14: "v8-A", 15: "v8-R", 16: "v8-M.baseline", 17: "v8-M.mainline",
    21: "v8.1-M.mainline", 22: "v9-A",
}  # fmt: skip
"""Tag_CPU_arch."""

_V6M = (11, 12)
_RUNS = {
    11: _V6M,
    12: _V6M,
    10: (*_V6M, 10),
    13: (*_V6M, 10, 13),
    16: (*_V6M, 16),
    17: (*_V6M, 10, 13, 16, 17),
    21: (*_V6M, 10, 13, 16, 17, 21),
}
"""Microcontroller architectures, and those whose code they run."""

_RISCV_FLOAT_ABI = 0x6
_RISCV_FLOAT_NAMES = {0: "soft", 2: "single", 4: "double", 6: "quad"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a target's compiler makes.

    Attributes:
        name: of the board, or ``native``.
        sample: an object of that compiler.
        cxx: command of its C++ compiler with the flags of the processor.
    """

    name: str
    sample: ObjectFile
    cxx: tuple[str, ...]


def examine_target(name: str) -> Target:
    """Facts of a board, or of this machine (``native``).

    Raises:
        RunnerError: no such board.
        ToolchainError: its compiler is missing or fails.
    """
    flags: tuple[str, ...] = ()
    if name == NATIVE:
        compiler, cxx = os.environ.get("CC", "gcc").split(), os.environ.get("CXX", "g++").split()
    else:
        board = find_board(name)
        flags = board.cpu_flags
        compiler, cxx = [board.compiler], [board.compiler.removesuffix("gcc") + "g++"]
    require_tool(compiler[0])
    with tempfile.TemporaryDirectory(prefix="kit-") as folder:
        source, made = Path(folder, "sample.c"), Path(folder, "sample.o")
        source.write_text("int kit_sample(void) { return 0; }\n", encoding="utf-8")
        command = [*compiler, *flags, "-c", str(source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ToolchainError(f"{compiler[0]} cannot compile for {name}: {done.stderr.strip().splitlines()[-1]}")
        return Target(name, read_object(made), (*cxx, *flags))


def describe(sample: ObjectFile) -> str:
    """Processor and float ABI of an object, for people: ``Arm v7E-M, hard-float``."""
    if sample.machine == "EM_ARM":
        core = _ARM_CORES.get(sample.attributes.get("TAG_CPU_ARCH", 0), "of an unknown architecture")
        vectors = ", Helium" if sample.attributes.get("TAG_MVE_ARCH") else ""
        return f"Arm {core}, {_arm_float(sample)}{vectors}"
    if sample.machine == "EM_RISCV":
        return f"RISC-V {sample.bits} bit, {_RISCV_FLOAT_NAMES[sample.flags & _RISCV_FLOAT_ABI]}-float"
    return f"{sample.machine.removeprefix('EM_')} {sample.bits} bit"


def difference(objects: Sequence[ObjectFile], target: Target) -> str:
    """Why the objects cannot serve the target, as one sentence without a final stop; empty when they can."""
    for member in objects:
        found = _difference(member, target.sample)
        if found:
            return f"{member.name} is for {describe(member)}: {found}"
    return ""


def _arm_float(sample: ObjectFile) -> str:
    return "hard-float" if sample.attributes.get("TAG_ABI_VFP_ARGS") == 1 else "soft-float"


def _difference(member: ObjectFile, sample: ObjectFile) -> str:
    if (member.machine, member.bits) != (sample.machine, sample.bits):
        return f"the target is {describe(sample)}"
    if member.machine == "EM_RISCV" and (member.flags ^ sample.flags) & _RISCV_FLOAT_ABI:
        return f"the target passes floats as {describe(sample)}"
    if member.machine != "EM_ARM":
        return ""
    have, need = sample.attributes, member.attributes
    core, required = have.get("TAG_CPU_ARCH", 0), need.get("TAG_CPU_ARCH", 0)
    if required not in _RUNS.get(core, (core,)):
        return f"a core of {_ARM_CORES.get(core, str(core))} does not run its instructions"
    if _arm_float(member) != _arm_float(sample):
        return f"the target passes floats {'in' if _arm_float(sample) == 'hard-float' else 'without'} FPU registers"
    if need.get("TAG_FP_ARCH", 0) and not have.get("TAG_FP_ARCH", 0):
        return "the target has no FPU"
    if need.get("TAG_MVE_ARCH", 0) > have.get("TAG_MVE_ARCH", 0):
        return "the target has no Helium"
    return ""


def serving_boards(objects: Sequence[ObjectFile]) -> tuple[str, ...]:
    """Boards, and ``native``, that a library fits; those whose compiler is not installed are left out."""
    found = []
    for name in (NATIVE, *BOARDS):
        try:
            target = examine_target(name)
        except ToolchainError:
            continue
        if not difference(objects, target):
            found.append(name)
    return tuple(found)
