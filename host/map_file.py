"""What a GNU ld map file says about an image: flash by purpose, and RAM of libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TFLM_LIBRARY = "TensorFlow Lite Micro, library"
TFLM_HARNESS = "TensorFlow Lite Micro, harness"
TFLM_MODEL = "TensorFlow Lite Micro, model"
"""Groups of flash that only images of engine tflm have, in place of ``engine`` and ``encoder weights``."""

_SECTION = re.compile(r"^ (\.\S+|\*fill\*)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)(?: (.*))?$")
_LONG_NAME = re.compile(r"^ (\.\S+)\n", re.MULTILINE)
_FLASH_KINDS = (".text", ".rodata", ".srodata", ".vectors")
_UNWIND_KINDS = (".ARM.ex", ".eh_frame", ".gcc_except_table", ".init_array", ".fini_array")
"""What C++ libraries put into flash besides code and constants, whether anything unwinds or not."""
_RAM_KINDS = (".bss", ".data", ".sbss", ".sdata")

_OBJECT_GROUPS: tuple[tuple[str, str], ...] = (
    (r"\.a\(", "compiler and C library"),
    (r"/(kit_codec|kit_normalise|kit_rvq|kit_pack)\.o$", "codec"),
    (r"/kit_aot\w*\.o$", "engine"),
    (r"_tflm(_checks)?\.o$", TFLM_HARNESS),
    (
        r"/(kit_app|kit_reply|kit_packet|kit_source|kit_stream|replay|kit_link|kit_cobs|kit_crc|app_main)\.o$",
        "application and link",
    ),
    (r"_model\.o$", "encoder weights"),
    (r"_codec\.o$", "codec"),
)
_TABLE_GROUPS: tuple[tuple[str, str], ...] = (
    (r"^\.s?rodata\.\w+_encoder_tflite", TFLM_MODEL),
    (r"^\.s?rodata\.\w+_codebook", "codebook"),
    (r"^\.s?rodata\.\w+_vector_(frames|packets)$", "embedded recording"),
)


class InputSection(NamedTuple):
    """A section of an object file or archive member, where the linker put it."""

    name: str
    address: int
    size: int
    origin: str


def input_sections(map_text: str) -> Iterator[InputSection]:
    """Every input section of a map file that became part of the image, and its ``*fill*``."""
    body = map_text.partition("Linker script and memory map")[2]
    for line in _LONG_NAME.sub(r" \1 ", body).splitlines():
        if found := _SECTION.match(line):
            name, address, size, origin = found.groups()
            yield InputSection(name, int(address, 16), int(size, 16), origin or "")


def _group(section: InputSection, library: str) -> str:
    """Purpose of an input section; ``library`` is the file name of TensorFlow Lite Micro's archive, or empty."""
    if library and _is_of(section, library):
        return TFLM_LIBRARY
    for pattern, group in _TABLE_GROUPS:
        if re.search(pattern, section.name):
            return group
    for pattern, group in _OBJECT_GROUPS:
        if re.search(pattern, section.origin):
            return group if group != "compiler and C library" or not library else "compiler, C and C++ library"
    return "padding" if section.name == "*fill*" else "port and start-up"


def _is_of(section: InputSection, library: str) -> bool:
    return f"/{section.origin}".partition("(")[0].endswith(f"/{library}")


def flash_groups(
    map_text: str, total: int, flash_end: int, flash_start: int = 0, library: str = ""
) -> dict[str, int]:
    """Bytes of flash by purpose from a GNU ld map file; what no section accounts for (alignment) is ``padding``.

    Args:
        map_text: the map file.
        total: bytes that the image takes in flash.
        flash_end: first address behind the flash.
        flash_start: its first address.
        library: file name of TensorFlow Lite Micro's archive; empty for an image without one.
    """
    kinds = (*_FLASH_KINDS, *_UNWIND_KINDS) if library else _FLASH_KINDS
    groups: dict[str, int] = {}
    for section in input_sections(map_text):
        if flash_start <= section.address < flash_end and section.name.startswith(kinds):
            group = _group(section, library)
            groups[group] = groups.get(group, 0) + section.size
    groups["padding"] = total - sum(size for group, size in groups.items() if group != "padding")
    return {group: size for group, size in sorted(groups.items(), key=lambda item: (-item[1], item[0])) if size}


def library_ram(map_text: str, library: str, flash: range) -> int:
    """Static RAM of an archive's own variables, in bytes.

    Args:
        map_text: the map file.
        library: file name of the archive.
        flash: addresses of the flash; sections there are constants.
    """
    return sum(
        section.size
        for section in input_sections(map_text)
        if section.name.startswith(_RAM_KINDS) and section.address not in flash and _is_of(section, library)
    )
