"""What a firmware costs on a board: flash by purpose, RAM by owner, worst-case stack; compiled, not estimated."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kit.errors import ToolchainError
from kit.host.boards import Board, find_board
from kit.host.disassembly import Routine, read_routines
from kit.host.firmware import Firmware
from kit.host.stack import Frame, StackUse, read_frames, worst_case
from kit.host.toolchain import require_tool

EXCEPTION_FRAME_BYTES = 36
"""What an interrupt of a Cortex-M stores on entry: eight words, and one to align the stack. A RISC-V core stores
nothing; its handler does, and the compiler counts that."""
EXCEPTION_FRAME_FPU_BYTES = 108
"""The same with eighteen words of floating-point registers."""

_ENCODER_CALLS = ("kit_engine_begin", "kit_engine_step", "kit_engine_put", "kit_engine_column")
_CODEC_PREFIX = "kit_codec_"
_HANDLERS = {"cortexm": re.compile(r"kit_(?:systick|\w+_irq)"), "riscv": re.compile("kit_trap")}
"""Functions that interrupts enter, by core family; handlers of a Cortex-M have these names in common."""

_ENTRY = "kit_reset"

_SECTION = re.compile(r"^ (\.\S+|\*fill\*)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)(?: (.*))?$")
_LONG_NAME = re.compile(r"^ (\.\S+)\n", re.MULTILINE)

_OBJECT_GROUPS: tuple[tuple[str, str], ...] = (
    (r"\.a\(", "compiler and C library"),
    (r"/(kit_codec|kit_normalise|kit_rvq|kit_pack)\.o$", "codec"),
    (r"/kit_(aot|tflm)\w*\.o$", "engine"),
    (
        r"/(kit_app|kit_reply|kit_packet|kit_source|kit_stream|replay|kit_link|kit_cobs|kit_crc|app_main)\.o$",
        "application and link",
    ),
    (r"_model\.o$", "encoder weights"),
    (r"_codec\.o$", "codec"),
)
_TABLE_GROUPS: tuple[tuple[str, str], ...] = (
    (r"^\.s?rodata\.\w+_codebook", "codebook"),
    (r"^\.s?rodata\.\w+_vector_(frames|packets)$", "embedded recording"),
)


class Section(NamedTuple):
    """A section of the image: its bytes, and whether it takes flash (``.data`` takes both: initial values) and RAM."""

    name: str
    size: int
    in_flash: bool
    in_ram: bool


@dataclass(frozen=True, slots=True)
class Footprint:
    """Figures of one application image, in bytes.

    Attributes:
        board: name of the board.
        compiler: first line of its ``--version``.
        flash: by purpose; ``flash_total`` is their sum, ``flash_size`` what the board has.
        ram: static RAM by owner; ``ram_total`` is their sum, ``ram_size`` what the board has.
        encoder_state: RAM of the encoder engine.
        encoder_stack: worst case of any call of the engine.
        codec_state: RAM of one codec: encoder, sample ring, packet.
        codec_stack: worst case of any call of the codec.
        stack: worst case of the whole application, interrupts included; ``stack_path`` is its deepest chain of calls.
        sections: every section of the image that takes memory, in the order of their addresses.
    """

    board: str
    compiler: str
    flash: dict[str, int]
    flash_total: int
    flash_size: int
    ram: dict[str, int]
    ram_total: int
    ram_size: int
    encoder_state: int
    encoder_stack: int
    codec_state: int
    codec_stack: int
    stack: int
    stack_path: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def encoder_ram(self) -> int:
        """Encoder state and worst-case stack of its calls."""
        return self.encoder_state + self.encoder_stack

    @property
    def codec_ram(self) -> int:
        """Codec state and worst-case stack of its calls."""
        return self.codec_state + self.codec_stack

    @property
    def fits(self) -> bool:
        """Flash and RAM, worst-case stack included, are within what the board has."""
        return self.flash_total <= self.flash_size and self.ram_total + self.stack <= self.ram_size

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        derived = {"encoder_ram": self.encoder_ram, "codec_ram": self.codec_ram, "fits": self.fits}
        sections = [section._asdict() for section in self.sections]
        return {**asdict(self), "stack_path": list(self.stack_path), "sections": sections, **derived}


def _output_of(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise ToolchainError(f"{command[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return done.stdout


def _group(section: str, origin: str) -> str:
    """Purpose of an input section of the map file."""
    for pattern, group in _TABLE_GROUPS:
        if re.search(pattern, section):
            return group
    for pattern, group in _OBJECT_GROUPS:
        if re.search(pattern, origin):
            return group
    return "padding" if section == "*fill*" else "port and start-up"


def flash_groups(map_text: str, total: int, flash_end: int, flash_start: int = 0) -> dict[str, int]:
    """Bytes of flash by purpose from a GNU ld map file; what no section accounts for (alignment) is ``padding``.

    Args:
        map_text: the map file.
        total: bytes that the image takes in flash.
        flash_end: first address behind the flash.
        flash_start: its first address.
    """
    body = map_text.partition("Linker script and memory map")[2]
    kinds = (".text", ".rodata", ".srodata", ".vectors")
    groups: dict[str, int] = {}
    for line in _LONG_NAME.sub(r" \1 ", body).splitlines():
        found = _SECTION.match(line)
        if found and flash_start <= int(found.group(2), 16) < flash_end and found.group(1).startswith(kinds):
            group = _group(found.group(1), found.group(4) or "")
            groups[group] = groups.get(group, 0) + int(found.group(3), 16)
    groups["padding"] = total - sum(size for group, size in groups.items() if group != "padding")
    return {group: size for group, size in sorted(groups.items(), key=lambda item: (-item[1], item[0])) if size}


def _sections(path: Path) -> tuple[Section, ...]:
    from elftools.elf.constants import SH_FLAGS
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as stream:
        found = [s for s in ELFFile(stream).iter_sections() if s["sh_flags"] & SH_FLAGS.SHF_ALLOC and s["sh_size"]]
        return tuple(
            Section(
                section.name,
                int(section["sh_size"]),
                section["sh_type"] != "SHT_NOBITS",
                bool(section["sh_flags"] & SH_FLAGS.SHF_WRITE),
            )
            for section in sorted(found, key=lambda section: int(section["sh_addr"]))
        )


def _symbol_sizes(path: Path) -> dict[str, int]:
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as stream:
        # Any: the declared type is that of every section, only symbol tables have symbols.
        table: Any = ELFFile(stream).get_section_by_name(".symtab")
        return {symbol.name: int(symbol["st_size"]) for symbol in table.iter_symbols()} if table else {}


def _probe(folder: Path) -> dict[str, int]:
    """Sizes of the application's structures, from the object that the Makefile compiles for this."""
    prefix = "kit_probe_"
    found = {
        n.removeprefix(prefix): s for n, s in _symbol_sizes(folder / "size_probe.o").items() if n.startswith(prefix)
    }
    if set(found) != {"app", "storage", "encoder", "samples"}:
        raise ToolchainError(f"{folder}/size_probe.o does not hold the sizes of the firmware", "run make clean")
    return found


def _ram_groups(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    return {
        "encoder": sizes["encoder"],
        "sample ring": sizes["samples"],
        "rest of the codec": sizes["storage"] - sizes["encoder"] - sizes["samples"],
        "application and link": sizes["app"] - sizes["storage"],
        "port": total - sizes["app"],
    }


def has_fpu(cpu_flags: Sequence[str]) -> bool:
    """Whether interrupts of a Cortex-M may store floating-point registers: yes, unless flags say that code uses none.

    ``-mfpu`` does not tell: some cores, such as the Cortex-M55, imply it.
    """
    return "-mfloat-abi=soft" not in cpu_flags


def exception_frame(board: Board) -> int:
    """Bytes that the core itself puts on the stack when an interrupt begins."""
    if board.family != "cortexm":
        return 0
    return EXCEPTION_FRAME_FPU_BYTES if has_fpu(board.cpu_flags) else EXCEPTION_FRAME_BYTES


def _application_stack(board: Board, routines: Mapping[str, Routine], frames: Mapping[str, Frame]) -> StackUse:
    """Worst case of the main program plus that of one interrupt: all have one priority, so none interrupts another."""
    main = worst_case((_ENTRY,), routines, frames)
    handlers = [name for name in routines if _HANDLERS[board.family].fullmatch(name)]
    handler = worst_case(handlers, routines, frames)
    return StackUse(main.bytes + exception_frame(board) + handler.bytes, (*main.path, *handler.path[:1]))


def measure(firmware_dir: str | Path, board: str, build_dir: str | Path | None = None) -> Footprint:
    """Compile the application for a board and measure it.

    Args:
        firmware_dir: folder with the Makefile and ``generated/``.
        board: name of a board.
        build_dir: folder of an application that is already compiled; None compiles it with ``make``.

    Raises:
        RunnerError: unknown board.
        ToolchainError: compiler missing or failing, or code whose stack has no bound.
    """
    facts = find_board(board)
    image = Firmware(Path(firmware_dir)).build("app", board) if build_dir is None else Path(build_dir) / "app.elf"
    objects = image.parent / "obj"
    disassembler = require_tool(facts.compiler.removesuffix("gcc") + "objdump")
    text = _output_of([disassembler, "-d", "--no-show-raw-insn", str(image)])
    routines = read_routines(text.splitlines(), facts.family)
    frames = read_frames(objects)
    sizes = _probe(objects)
    sections = _sections(image)
    flash = sum(section.size for section in sections if section.in_flash)
    ram = sum(section.size for section in sections if section.in_ram)
    map_text = image.with_name(f"{image.name}.map").read_text(encoding="utf-8")
    stack = _application_stack(facts, routines, frames)
    return Footprint(
        board=board,
        compiler=_output_of([require_tool(facts.compiler), "--version"]).partition("\n")[0],
        flash=flash_groups(map_text, flash, facts.flash_start + facts.flash_bytes, facts.flash_start),
        flash_total=flash,
        flash_size=facts.flash_bytes,
        ram=_ram_groups(sizes, ram),
        ram_total=ram,
        ram_size=facts.ram_bytes,
        encoder_state=sizes["encoder"],
        encoder_stack=worst_case(_ENCODER_CALLS, routines, frames).bytes,
        codec_state=sizes["storage"],
        codec_stack=worst_case((n for n in routines if n.startswith(_CODEC_PREFIX)), routines, frames).bytes,
        stack=stack.bytes,
        stack_path=stack.path,
        sections=sections,
    )


def print_table(footprint: Footprint) -> None:
    """Print the figures as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=footprint.board, title_justify="left")
    table.add_column("what")
    table.add_column("bytes", justify="right")
    table.add_column("of", justify="right")
    for group, size in footprint.flash.items():
        table.add_row(f"flash: {group}", f"{size:,}")
    table.add_row("flash", f"{footprint.flash_total:,}", f"{footprint.flash_size:,}", end_section=True, style="bold")
    for group, size in footprint.ram.items():
        table.add_row(f"RAM: {group}", f"{size:,}")
    table.add_row("RAM: worst-case stack, interrupts included", f"{footprint.stack:,}")
    total = footprint.ram_total + footprint.stack
    table.add_row("RAM", f"{total:,}", f"{footprint.ram_size:,}", end_section=True, style="bold")
    encoder = f"encoder: state {footprint.encoder_state:,} + worst-case stack {footprint.encoder_stack:,}"
    codec = f"codec: state {footprint.codec_state:,} + worst-case stack {footprint.codec_stack:,}"
    table.add_row(encoder, f"{footprint.encoder_ram:,}", style="bold")
    table.add_row(codec, f"{footprint.codec_ram:,}", style="bold")
    console = Console()
    console.print(table)
    static = ", ".join(f"{section.name} {section.size:,}" for section in footprint.sections if section.in_ram)
    console.print(f"static RAM by section: {static}", highlight=False)
    console.print(f"compiler: {footprint.compiler}", highlight=False)
    console.print(f"deepest chain of calls: {' > '.join(footprint.stack_path)}", highlight=False)
