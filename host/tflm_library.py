"""What a TensorFlow Lite Micro library says of how it was built: flags and kernels, read from its symbols.

No file records the flags, but each one that matters adds or removes functions, which stand in the symbol table:

=============================  ==================================================================================
flag                           witness
=============================  ==================================================================================
``TF_LITE_STATIC_MEMORY``      common.cc defines ``TfLiteIntArrayCreate`` and kernel_util.cc ``GetTemporary`` only
                               without it
``TF_LITE_STRIP_ERROR_STRINGS``  the library calls ``MicroPrintf`` only without it
``CMSIS_NN``                   the kernel of CONV_2D calls CMSIS-NN, and is registered for int8 by itself
=============================  ==================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kit.errors import ToolchainError
from kit.host.archive import read_members
from kit.host.object_file import ObjectFile, parse_object

_COMMON = "TfLiteTypeGetName"
_COMMON_DYNAMIC = "TfLiteIntArrayCreate"
_KERNEL_UTIL = re.compile(r"_ZN6tflite\d+CalculateActivationRangeQuantizedE\w+")
_KERNEL_UTIL_DYNAMIC = re.compile(r"_ZN6tflite12GetTemporaryE\w+")
_PRINTF = "_Z11MicroPrintfPKcz"
_INTERPRETER = re.compile(r"_ZN6tflite16MicroInterpreter\w+")
_REGISTRATION = re.compile(r"_ZN\w*?\d+Register_([A-Z][A-Z0-9_]*)Ev")
_CMSIS_FUNCTION = re.compile(r"arm_[a-z]\w+")


@dataclass(frozen=True, slots=True)
class Witness:
    """What the symbols tell about one flag.

    Attributes:
        state: whether the library was built with it; None: they do not tell.
        why: the sentence behind it, without a final stop.
        mixed: parts of the library were built with it and parts without.
    """

    state: bool | None
    why: str
    mixed: bool = False


@dataclass(frozen=True)
class TflmLibrary:
    """A library's objects, in the order of the archive."""

    path: Path
    objects: tuple[ObjectFile, ...]

    @cached_property
    def defined(self) -> frozenset[str]:
        """Every global symbol that some member defines."""
        return frozenset().union(*(member.defined for member in self.objects))

    @cached_property
    def undefined(self) -> frozenset[str]:
        """Every symbol that some member needs and none defines."""
        return frozenset().union(*(member.undefined for member in self.objects)) - self.defined

    @property
    def is_tflm(self) -> bool:
        """Whether the interpreter is in it."""
        return any(_INTERPRETER.fullmatch(symbol) for symbol in self.defined)

    @cached_property
    def registrations(self) -> frozenset[str]:
        """Operators that it registers: ``CONV_2D``, and ``CONV_2D_INT8`` where it has one for int8 alone."""
        found = (_REGISTRATION.fullmatch(symbol) for member in self.objects for symbol in member.strong)
        return frozenset(match.group(1) for match in found if match)

    @property
    def static_memory(self) -> Witness:
        """``TF_LITE_STATIC_MEMORY``: without it, TfLiteTensor and TfLiteNode have more fields."""
        told: dict[str, bool] = {}
        for member in self.objects:
            if _COMMON in member.defined:
                told[member.name] = _COMMON_DYNAMIC not in member.defined
            elif _any(_KERNEL_UTIL, member.defined):
                told[member.name] = not _any(_KERNEL_UTIL_DYNAMIC, member.defined)
        if not told:
            return Witness(None, f"no member defines {_COMMON}")
        if len(set(told.values())) > 1:
            parts = ", ".join(f"{name} {'with' if state else 'without'}" for name, state in told.items())
            return Witness(None, f"members were built differently: {parts}", mixed=True)
        name = next(iter(told))
        if told[name]:
            return Witness(True, f"{name} has no function that allocates")
        return Witness(False, f"{name} has functions that allocate, such as {_COMMON_DYNAMIC}")

    @property
    def strip_error_strings(self) -> Witness:
        """``TF_LITE_STRIP_ERROR_STRINGS``: without it, the library prints what goes wrong."""
        callers = [member.name for member in self.objects if _PRINTF in member.undefined]
        if callers:
            if _PRINTF in self.undefined:
                return Witness(None, f"{callers[0]} calls MicroPrintf, which no member defines", mixed=True)
            return Witness(False, f"{len(callers)} of {len(self.objects)} members print messages (MicroPrintf)")
        if _PRINTF in self.defined:
            return Witness(None, "MicroPrintf is there, but nothing calls it")
        if not self.is_tflm:
            return Witness(None, "the interpreter is not in it")
        return Witness(True, "nothing in it prints (MicroPrintf)")

    @property
    def cmsis_nn(self) -> Witness:
        """``CMSIS_NN``: with it, kernels call CMSIS-NN, and are registered for single data types too."""
        kernels = [member for member in self.objects if _registers(member, "CONV_2D")]
        if not kernels:
            return Witness(None, "no member registers CONV_2D")
        needed = (symbol for member in kernels for symbol in member.undefined)
        called = sorted(symbol for symbol in needed if _CMSIS_FUNCTION.fullmatch(symbol))
        if called:
            return Witness(True, f"{kernels[0].name} calls {called[0]}")
        if _registers(kernels[0], "CONV_2D_INT8"):
            return Witness(None, f"{kernels[0].name} registers int8 alone, but calls nothing of CMSIS-NN")
        return Witness(False, f"{kernels[0].name} calls nothing of CMSIS-NN")

    @property
    def missing_cmsis_nn(self) -> tuple[str, ...]:
        """Functions of CMSIS-NN that its kernels call and no member defines."""
        return tuple(sorted(symbol for symbol in self.undefined if _CMSIS_FUNCTION.fullmatch(symbol)))


def _any(pattern: re.Pattern[str], symbols: Iterable[str]) -> bool:
    return any(pattern.fullmatch(symbol) for symbol in symbols)


def _registers(member: ObjectFile, operator: str) -> bool:
    return any((m := _REGISTRATION.fullmatch(symbol)) and m.group(1) == operator for symbol in member.strong)


def read_library(path: Path) -> TflmLibrary:
    """Objects of a static library.

    Raises:
        ToolchainError: no archive, thin, damaged, empty, or with members that are no ELF objects or hold no code.
    """
    objects = tuple(parse_object(name, data, str(path)) for name, data in read_members(path))
    if not objects:
        raise ToolchainError(f"{path} is an empty library", "build it again")
    lto = [member.name for member in objects if member.is_lto]
    if lto:
        raise ToolchainError(
            f"{path} was built for link-time optimisation: {lto[0]} holds no code of a processor",
            "build it without -flto, or with -ffat-lto-objects",
        )
    return TflmLibrary(path, objects)
