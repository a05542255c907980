"""What an ELF object says of itself: processor, float ABI, symbols."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import ToolchainError

_ATTRIBUTES_SECTION = ".ARM.attributes"
_LTO_PREFIX = ".gnu.lto_"
_LTO_SYMBOLS = {"__gnu_lto_slim"}
_NUMBERS = ("TAG_CPU_ARCH", "TAG_CPU_ARCH_PROFILE", "TAG_FP_ARCH", "TAG_MVE_ARCH", "TAG_ABI_VFP_ARGS")


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """One object.

    Attributes:
        name: in its archive.
        machine: ``EM_ARM``, ``EM_X86_64``...
        bits: 32 or 64.
        flags: of the ELF header; a RISC-V object has its float ABI there.
        attributes: numbers of the Arm build attributes by name (Arm IHI 0045), absent ones left out.
        defined: global and weak symbols that it defines.
        strong: the global ones of these.
        undefined: symbols that it takes from elsewhere.
        is_lto: code only as the compiler's intermediate form, which has no symbols of its own.
    """

    name: str
    machine: str
    bits: int
    flags: int
    attributes: Mapping[str, int]
    defined: frozenset[str]
    strong: frozenset[str]
    undefined: frozenset[str]
    is_lto: bool


def parse_object(name: str, data: bytes, origin: str = "") -> ObjectFile:
    """Facts of one object.

    Args:
        name: of the file or member.
        data: its content.
        origin: for messages, the archive that holds it.

    Raises:
        ToolchainError: not an ELF object, or a damaged one.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(data))
        return _facts(name, elf)
    except (ELFError, ValueError, KeyError, IndexError, AssertionError, UnicodeDecodeError):
        what = f"{name} in {origin}" if origin else name
        raise ToolchainError(f"{what} is no ELF object", "give a library of a bare-metal or Linux compiler") from None


def read_object(path: Path) -> ObjectFile:
    """Facts of an object file.

    Raises:
        ToolchainError: unreadable, or not an ELF object.
    """
    try:
        return parse_object(path.name, path.read_bytes())
    except OSError as error:
        raise ToolchainError(f"{path}: cannot be read: {error.strerror}") from None


def _facts(name: str, elf: Any) -> ObjectFile:
    defined: set[str] = set()
    strong: set[str] = set()
    undefined: set[str] = set()
    table = elf.get_section_by_name(".symtab")
    for symbol in table.iter_symbols() if table else ():
        bind = symbol["st_info"]["bind"]
        if not symbol.name or bind not in ("STB_GLOBAL", "STB_WEAK"):
            continue
        if symbol["st_shndx"] == "SHN_UNDEF":
            undefined.add(symbol.name)
            continue
        defined.add(symbol.name)
        if bind == "STB_GLOBAL":
            strong.add(symbol.name)
    return ObjectFile(
        name=name,
        machine=str(elf["e_machine"]),
        bits=int(elf.elfclass),
        flags=int(elf["e_flags"]),
        attributes=_arm_attributes(elf),
        defined=frozenset(defined),
        strong=frozenset(strong),
        undefined=frozenset(undefined),
        is_lto=any(section.name.startswith(_LTO_PREFIX) for section in elf.iter_sections()) and defined <= _LTO_SYMBOLS,
    )


def _arm_attributes(elf: Any) -> dict[str, int]:
    section = elf.get_section_by_name(_ATTRIBUTES_SECTION)
    if section is None:
        return {}
    found = {}
    for subsection in section.iter_subsections():
        for scope in subsection.iter_subsubsections():
            for attribute in scope.iter_attributes():
                if attribute.tag in _NUMBERS:
                    found[attribute.tag] = int(attribute.value)
    return found
