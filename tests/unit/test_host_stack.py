"""Worst-case stack: frames from call-graph files, calls from a disassembly, and everything that has no bound."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kit.errors import ToolchainError
from kit.host.boards import BOARDS
from kit.host.disassembly import read_routines
from kit.host.map_file import TFLM_HARNESS, TFLM_LIBRARY, TFLM_MODEL, flash_groups, library_ram
from kit.host.stack import Frame, read_frames, worst_case
from tests.support import need

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


def test_a_far_jump_is_no_recursion() -> None:
    lines = DISASSEMBLY.replace("bl\t20 <step>", "bl\t18 <main+0x8>").splitlines()
    assert read_routines(lines)["main"].calls == {"leaf"}
    lines = DISASSEMBLY.replace("bl\t20 <step>", "bl\t10 <main>").splitlines()
    assert read_routines(lines)["main"].calls == {"leaf", "main"}


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


RISCV = """
80000000 <kit_reset>:
80000000:\tauipc\tsp,0x800
80000004:\tadd\tsp,sp,-8 # 80800000 <kit_stack_top>
80000008:\tj\t80000010 <main>
80000010 <main>:
80000010:\tadd\tsp,sp,-16
80000012:\tsw\tra,12(sp)
80000014:\tbeqz\ta0,80000012 <main+0x2>
80000016:\tjal\t80000040 <step>
8000001a:\tauipc\tra,0x0
8000001e:\tjalr\t-12(ra) # 80000080 <far>
80000040 <step>:
80000040:\tbltu\ta0,a1,80000080 <far>
80000044:\tj\t80000060 <__divide>
80000060 <__divide>:
80000060:\taddi\tsp,sp,-32
80000062:\tsw\tsp,0(a0)
80000066:\taddi\tsp,sp,32
80000068:\tret
80000080 <far>:
80000080:\tmv\ta0,sp
80000082:\tjr\tra
"""
RISCV_FRAMES = {"kit_reset": Frame(0, True, False), "main": Frame(16, True, False), "step": Frame(0, True, False)}


def test_riscv_code() -> None:
    text = RISCV.replace("jr\tra", "ret")
    routines = read_routines(text.splitlines(), "riscv")
    assert routines["main"].calls == {"step", "far"} and routines["step"].calls == {"far", "__divide"}
    assert (routines["__divide"].frame, routines["__divide"].odd, routines["far"].odd) == (32, "", "")
    use = worst_case(["kit_reset"], routines, RISCV_FRAMES)
    assert (use.bytes, use.path) == (48, ("kit_reset", "main", "step", "__divide"))
    for change, words in (("addi\tsp,sp,-32", "sub\tsp,sp,a5"), ("ret", "jr\ta5"), ("ret", "jalr\ta5")):
        routines = read_routines(text.replace(change, words).splitlines(), "riscv")
        with pytest.raises(ToolchainError, match="no bound"):
            worst_case(["kit_reset"], routines, RISCV_FRAMES)


def test_static_functions_of_one_name_count_together() -> None:
    text = RISCV.replace("jr\tra", "ret") + "90000000 <step>:\n90000000:\tret\n"
    assert read_routines(text.splitlines(), "riscv")["step"].calls == {"far", "__divide"}


PUSHES = {
    "cortexm": "push {r4-r7}\\n\\tpop {r4-r7}",
    "riscv": "addi sp, sp, -16\\n\\taddi sp, sp, 16",
}
SOURCES = {
    "": "__attribute__((noinline)) static int leaf(int x) { volatile int y[8]; y[x] = x; return y[0]; }\n"
    "int root(int x); int root(int x) { return leaf(x) + 1; }",
    "assembly": 'int root(int x);\nint root(int x) { __asm volatile("ASSEMBLY" ::: "memory"); return x + 1; }',
    "recursion": "int root(int x); int side(int x);\n"
    "__attribute__((noinline)) int side(int x) { return x ? root(x - 1) * 3 : 1; }\n"
    "__attribute__((noinline)) int root(int x) { return side(x) + 1; }",
    "recursion: root -> root": "int root(int x);\nint root(int x) { return x ? root(x / 2) * root(x - 1) + 3 : 1; }",
    "takes a variable amount of stack": "int root(int x);\n"
    "int root(int x) { volatile char y[x]; y[x / 2] = 1; return y[0]; }",
    "calls through a pointer": "extern int (*hook)(int); int (*hook)(int); int root(int x);\n"
    "int root(int x) { return hook(x) + 1; }",
}


@pytest.mark.parametrize("board", ["microbit", "mps3-an547", "riscv-virt"])
@pytest.mark.parametrize("complaint", SOURCES)
def test_compiled_code_without_bound_is_an_error(board: str, complaint: str, tmp_path: Path) -> None:
    compiler, flags = need(BOARDS[board].compiler), BOARDS[board].cpu_flags
    source, image = tmp_path / "source.c", tmp_path / "obj" / "image.elf"
    image.parent.mkdir()
    source.write_text(SOURCES[complaint].replace("ASSEMBLY", PUSHES[BOARDS[board].family]) + "\n")
    command = [compiler, *flags, "-std=c99", "-O2", "-fcallgraph-info=su", "-nostdlib", "-nostartfiles", "-Wl,-e,root"]
    subprocess.run([*command, "-dumpdir", f"{image.parent}/", str(source), "-o", str(image)], check=True)
    disassembler = compiler.removesuffix("gcc") + "objdump"
    text = subprocess.run(
        [disassembler, "-d", "--no-show-raw-insn", str(image)], capture_output=True, text=True, check=True
    ).stdout
    frames, routines = read_frames(image.parent), read_routines(text.splitlines(), BOARDS[board].family)
    if complaint == "assembly":
        assert worst_case(["root"], routines, frames).bytes == 16
    elif complaint:
        with pytest.raises(ToolchainError, match=complaint):
            worst_case(["root"], routines, frames)
    else:
        use = worst_case(["root"], routines, frames)
        assert use.path == ("root", "leaf") and 32 < use.bytes < 128


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


def test_flash_may_lie_anywhere() -> None:
    line = " {name} 0x000000008000{at} 0x10 out/obj/kit_codec.o\n"
    text = "Linker script and memory map\n" + line.format(name=".text.a", at="0000")
    text += line.format(name=".srodata.ppg_codebook", at="0010") + line.format(name=".text.ram", at="1000")
    assert flash_groups(text, 0x20, 0x80001000, 0x80000000) == {"codec": 0x10, "codebook": 0x10}


def test_flash_groups() -> None:
    assert flash_groups(MAP, 0x298, 0x10000) == {
        "codebook": 0x100, "embedded recording": 0x80, "codec": 0x60, "encoder weights": 0x40,
        "port and start-up": 0x40, "engine": 0x20, "compiler and C library": 0x10, "padding": 0x8,
    }  # fmt: skip


TFLM_MAP = """
Linker script and memory map
 .text.step     0x00000000       0x20 out/obj/kit_tflm.o
 .text._ZN      0x00000020       0x10 out/obj/kit_tflm_checks.o
 .text.init     0x00000030       0x08 out/obj/ppg_tflm.o
 .rodata._ZL18ppg_encoder_tflite
                0x00000040      0x100 out/obj/ppg_tflm.o
 .text.conv     0x00000140       0x40 /opt/tflm/lib/libvendor.a(conv.o)
 .text          0x00000180       0x10 /usr/lib/libstdc++_nano.a(new.o)
 .ARM.exidx     0x00000190       0x08 /opt/tflm/lib/libvendor.a(conv.o)
 .bss.state     0x20000000       0x0c /opt/tflm/lib/libvendor.a(conv.o)
 .data.state    0x2000000c       0x04 /opt/tflm/lib/libvendor.a(conv.o)
 .bss.other     0x20000010       0x40 /usr/lib/libother_libvendor.a(x.o)
"""


def test_flash_and_ram_of_a_library_are_told_from_the_compilers() -> None:
    found = flash_groups(TFLM_MAP, 0x19C, 0x10000, library="libvendor.a")
    assert found == {
        TFLM_MODEL: 0x100, TFLM_LIBRARY: 0x48, TFLM_HARNESS: 0x38, "compiler, C and C++ library": 0x10, "padding": 0xC,
    }  # fmt: skip
    assert library_ram(TFLM_MAP, "libvendor.a", range(0x10000)) == 0x10
