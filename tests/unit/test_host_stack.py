"""Worst-case stack: frames from call-graph files, calls from a disassembly, and everything that has no bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import ToolchainError
from kit.host.footprint import flash_groups
from kit.host.stack import Frame, read_frames, read_routines, worst_case

DISASSEMBLY = """
00000010 <main>:
      10:\tpush\t{r4, r5, lr}
      12:\tbl\t20 <step>
      16:\tbeq.n\t12 <main+0x2>
      18:\tb.w\t40 <leaf>
00000020 <step>:
      20:\tstmdb\tsp!, {r4, r5, r6, r7, r8, lr}
      24:\tsub\tsp, #20
      26:\tbl\t60 <__aeabi_divide>
00000040 <leaf>:
      40:\tbx\tlr
00000060 <__aeabi_divide>:
      60:\tpush\t{r0, lr}
      62:\tvpush\t{d8-d9}
      64:\tstr.w\tr2, [sp, #-8]!
      68:\tsub.w\tsp, sp, #12
      6c:\tblt.n\t40 <leaf>
      6e:\tbx\tlr
"""
FRAMES = {"main": Frame(16, True, False), "step": Frame(44, True, False), "leaf": Frame(0, True, False)}


def test_worst_case_adds_frames_along_the_deepest_chain() -> None:
    routines = read_routines(DISASSEMBLY.splitlines())
    assert routines["main"].calls == {"step", "leaf"}
    assert routines["__aeabi_divide"].frame == 8 + 16 + 8 + 12
    use = worst_case(["main"], routines, FRAMES)
    assert use.bytes == 16 + 44 + 44
    assert use.path == ("main", "step", "__aeabi_divide")
    assert worst_case(["absent"], routines, FRAMES).bytes == 0


def test_code_without_bound_is_refused() -> None:
    lines = DISASSEMBLY.replace("<__aeabi_divide>\n", "<main>\n", 1).splitlines()
    with pytest.raises(ToolchainError, match="recursion: main -> step -> main"):
        worst_case(["main"], read_routines(lines), FRAMES)
    routines = read_routines(DISASSEMBLY.splitlines())
    with pytest.raises(ToolchainError, match="step calls through a pointer"):
        worst_case(["main"], routines, {**FRAMES, "step": Frame(8, True, True)})
    with pytest.raises(ToolchainError, match="leaf takes a variable amount of stack"):
        worst_case(["main"], routines, {**FRAMES, "leaf": Frame(8, False, False)})
    lines = DISASSEMBLY.replace("sub.w\tsp, sp, #12", "sub.w\tsp, sp, r3").splitlines()
    with pytest.raises(ToolchainError, match=r"__aeabi_divide: .* no bound"):
        worst_case(["main"], read_routines(lines), FRAMES)
    lines = DISASSEMBLY.replace("<leaf>", "<missing>", 1).splitlines()
    with pytest.raises(ToolchainError, match="missing: is called, but not in the image"):
        worst_case(["main"], read_routines(lines), FRAMES)


def test_read_frames(tmp_path: Path) -> None:
    (tmp_path / "a.ci").write_text(
        'graph: { title: "a.c"\n'
        'node: { title: "a.c:helper" label: "helper\\na.c:1:2\\n24 bytes (static)" }\n'
        'node: { title: "run" label: "run\\na.c:9:2\\n8 bytes (dynamic,bounded)" }\n'
        'edge: { sourcename: "run" targetname: "__indirect_call" label: "a.c:10:1" }\n'
        'node: { title: "memset" label: "__builtin_memset\\n<built-in>" shape : ellipse }\n}\n'
    )
    (tmp_path / "b.ci").write_text('node: { title: "b.c:helper" label: "helper\\nb.c:1:2\\n40 bytes (dynamic)" }\n')
    assert read_frames(tmp_path) == {"helper": Frame(40, False, False), "run": Frame(8, True, True)}
    with pytest.raises(ToolchainError, match="no call graph"):
        read_frames(tmp_path / "nothing")


MAP = """
Discarded input sections
 .text.unused   0x00000000       0x99 out/obj/kit_link.o
Linker script and memory map
.text           0x00000000     0x300
 .vectors       0x00000000       0x40 out/obj/cortexm_start.o
 .text.kit_codec_poll
                0x00000040       0x60 out/obj/kit_codec.o
 .text.kit_engine_step
                0x000000a0       0x20 out/obj/kit_aot.o
 .rodata.ppg_codebook
                0x000000c0      0x100 out/obj/ppg_codec.o
 .rodata.ppg_conv0_weights
                0x000001c0       0x40 out/obj/ppg_model.o
 .rodata.ppg_vector_frames
                0x00000200       0x80 out/obj/kit_app.o
 *fill*         0x00000280        0x2
 .text          0x00000282       0x10 /usr/lib/libgcc.a(_udivsi3.o)
 .bss.app       0x20000000      0x200 out/obj/app_main.o
"""


def test_flash_groups() -> None:
    assert flash_groups(MAP, 0x298, 0x10000) == {
        "codebook": 0x100, "embedded recording": 0x80, "codec": 0x60, "encoder weights": 0x40,
        "port and start-up": 0x40, "engine": 0x20, "compiler and C library": 0x10, "padding": 0x8,
    }  # fmt: skip
