"""Programs the kit can use: where they are, which version, what for, and how to get the missing ones."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from kit.errors import ToolchainError


@dataclass(frozen=True, slots=True)
class Tool:
    """One program. ``needed``: the main job (render, compile natively, validate) fails without it."""

    name: str
    purpose: str
    how: str
    needed: bool = False


@dataclass(frozen=True, slots=True)
class FoundTool:
    """A program on this machine; ``version`` is empty when it does not tell."""

    name: str
    path: str
    version: str


TOOLS: tuple[Tool, ...] = (
    Tool("make", "builds the firmware", "apt install make", needed=True),
    Tool("gcc", "compiles the firmware for this machine", "apt install gcc libc6-dev", needed=True),
    Tool("g++", "compiles the tflm engine for this machine", "apt install g++"),
    Tool("clang", "second native compiler, sanitizers, fuzzing", "apt install clang"),
    Tool("cmake", "builds the firmware in CMake projects", "apt install cmake"),
    Tool(
        "arm-none-eabi-gcc",
        "compiles the firmware for Cortex-M boards",
        "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi",
    ),
    Tool(
        "arm-none-eabi-g++",
        "compiles the tflm engine for Cortex-M boards",
        "apt install gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib",
    ),
    Tool("qemu-system-arm", "emulates Cortex-M boards", "apt install qemu-system-arm"),
    Tool(
        "riscv64-unknown-elf-gcc",
        "compiles the firmware for RISC-V boards",
        "apt install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    ),
    Tool("qemu-system-riscv32", "emulates RISC-V boards", "apt install qemu-system-misc"),
)

_BY_NAME = {tool.name: tool for tool in TOOLS}
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")


def find_tool(name: str) -> FoundTool | None:
    """The program on PATH, with its version; None when it is absent."""
    path = shutil.which(name)
    if path is None:
        return None
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return FoundTool(name, path, "")
    # Distribution tags stand in parentheses before the version, and may hold digits themselves.
    first = re.sub(r"\([^)]*\)", "", (done.stdout or done.stderr).partition("\n")[0])
    match = _VERSION.search(first)
    return FoundTool(name, path, match.group() if match else "")


def require_tool(name: str) -> str:
    """Path of a program.

    Raises:
        ToolchainError: not on PATH; says what it is for and how to get it.
    """
    path = shutil.which(name)
    if path is None:
        tool = _BY_NAME.get(name)
        purpose = f", which {tool.purpose}," if tool else ""
        raise ToolchainError(f"{name}{purpose} is not installed", tool.how if tool else f"install {name}")
    return path
