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
from kit.host.map_file import TFLM_LIBRARY, flash_groups, library_ram
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

NO_BOUND = "not known: kernels of TensorFlow Lite Micro are called through pointers, which hide their stack"
"""What stands for a worst-case stack of engine tflm."""

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
        encoder_state: RAM of the encoder engine; of TensorFlow Lite Micro with arena, interpreter and resolver.
        encoder_stack: worst case of any call of the engine; None, as every stack below, where it cannot be told
            (:data:`NO_BOUND`).
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
    encoder_stack: int | None
    codec_state: int
    codec_stack: int | None
    stack: int | None
    stack_path: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def encoder_ram(self) -> int | None:
        """Encoder state and worst-case stack of its calls; None where the stack is not known."""
        return None if self.encoder_stack is None else self.encoder_state + self.encoder_stack

    @property
    def codec_ram(self) -> int | None:
        """Codec state and worst-case stack of its calls; None where the stack is not known."""
        return None if self.codec_stack is None else self.codec_state + self.codec_stack

    @property
    def fits(self) -> bool:
        """Flash and RAM, worst-case stack included as far as it is known, are within what the board has."""
        return self.flash_total <= self.flash_size and self.ram_total + (self.stack or 0) <= self.ram_size

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
    if set(found) - {"arena"} != {"app", "storage", "encoder", "samples"}:
        raise ToolchainError(f"{folder}/size_probe.o does not hold the sizes of the firmware", "run make clean")
    return found


def _ram_groups(sizes: Mapping[str, int], total: int, library: int) -> dict[str, int]:
    """Static RAM by owner; ``library`` is that of TensorFlow Lite Micro's own variables."""
    arena = sizes.get("arena", 0)
    parts = {"encoder: tensor arena": arena, "encoder: interpreter, resolver": sizes["encoder"] - arena}
    return {
        **(parts if arena else {"encoder": sizes["encoder"]}),
        **({TFLM_LIBRARY: library} if arena else {}),
        "sample ring": sizes["samples"],
        "rest of the codec": sizes["storage"] - sizes["encoder"] - sizes["samples"],
        "application and link": sizes["app"] - sizes["storage"],
        "port": total - sizes["app"] - library,
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


class _Stacks(NamedTuple):
    """Worst cases of engine, codec and application."""

    encoder: int | None
    codec: int | None
    application: int | None
    path: tuple[str, ...]


def _stacks(facts: Board, image: Path) -> _Stacks:
    """From the disassembly of an image of the aot engine, in which no call is hidden."""
    disassembler = require_tool(facts.compiler.removesuffix("gcc") + "objdump")
    text = _output_of([disassembler, "-d", "--no-show-raw-insn", str(image)])
    routines = read_routines(text.splitlines(), facts.family)
    frames = read_frames(image.parent / "obj")
    application = _application_stack(facts, routines, frames)
    return _Stacks(
        worst_case(_ENCODER_CALLS, routines, frames).bytes,
        worst_case((n for n in routines if n.startswith(_CODEC_PREFIX)), routines, frames).bytes,
        application.bytes,
        application.path,
    )


def measure(firmware: Firmware | str | Path, board: str) -> Footprint:
    """Compile the application for a board with ``make`` and measure it.

    Args:
        firmware: a rendered build, or its folder.
        board: name of a board.

    Raises:
        RunnerError: unknown board.
        ToolchainError: compiler missing or failing, or code of the aot engine whose stack has no bound.
    """
    facts = find_board(board)
    built = firmware if isinstance(firmware, Firmware) else Firmware(Path(firmware))
    image = built.build("app", board)
    library = built.tflm_library(board)
    sizes, sections = _probe(image.parent / "obj"), _sections(image)
    flash = sum(section.size for section in sections if section.in_flash)
    ram = sum(section.size for section in sections if section.in_ram)
    map_text = image.with_name(f"{image.name}.map").read_text(encoding="utf-8")
    flash_range = range(facts.flash_start, facts.flash_start + facts.flash_bytes)
    stacks = _Stacks(None, None, None, ()) if library else _stacks(facts, image)
    return Footprint(
        board=board,
        compiler=_output_of([require_tool(facts.compiler), "--version"]).partition("\n")[0],
        flash=flash_groups(map_text, flash, flash_range.stop, flash_range.start, library),
        flash_total=flash,
        flash_size=facts.flash_bytes,
        ram=_ram_groups(sizes, ram, library_ram(map_text, library, flash_range) if library else 0),
        ram_total=ram,
        ram_size=facts.ram_bytes,
        encoder_state=sizes["encoder"],
        encoder_stack=stacks.encoder,
        codec_state=sizes["storage"],
        codec_stack=stacks.codec,
        stack=stacks.application,
        stack_path=stacks.path,
        sections=sections,
    )


def _with_stack(who: str, state: int, stack: int | None, ram: int | None) -> tuple[str, str]:
    """A row of the table: state and stack of the encoder or the codec."""
    if stack is None:
        return f"{who}: state; worst-case stack not known", f"{state:,}"
    return f"{who}: state {state:,} + worst-case stack {stack:,}", f"{ram:,}"


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
    stack = "not known" if footprint.stack is None else f"{footprint.stack:,}"
    table.add_row("RAM: worst-case stack, interrupts included", stack)
    total = footprint.ram_total + (footprint.stack or 0)
    table.add_row("RAM", f"{total:,}", f"{footprint.ram_size:,}", end_section=True, style="bold")
    encoder = _with_stack("encoder", footprint.encoder_state, footprint.encoder_stack, footprint.encoder_ram)
    codec = _with_stack("codec", footprint.codec_state, footprint.codec_stack, footprint.codec_ram)
    table.add_row(*encoder, style="bold")
    table.add_row(*codec, style="bold")
    console = Console()
    console.print(table)
    static = ", ".join(f"{section.name} {section.size:,}" for section in footprint.sections if section.in_ram)
    console.print(f"static RAM by section: {static}", highlight=False)
    console.print(f"compiler: {footprint.compiler}", highlight=False)
    chain = " > ".join(footprint.stack_path) or NO_BOUND
    console.print(f"{'deepest chain of calls' if footprint.stack_path else 'stack'}: {chain}", highlight=False)
