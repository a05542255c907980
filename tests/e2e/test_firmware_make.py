"""Makefile and CMake project of the firmware: targets, incremental builds, footprint, one line for what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kit.errors import LinkError, ToolchainError
from kit.host.boards import BOARDS, NATIVE, NATIVE_UART
from kit.host.emulator import start as start_emulator
from kit.host.firmware import Firmware
from kit.host.footprint import EXCEPTION_FRAME_BYTES, EXCEPTION_FRAME_FPU_BYTES, exception_frame, measure
from kit.host.link import Link
from tests.firmware_folder import make_firmware
from tests.support import ROOT, need, need_target


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        command, cwd=folder, env={**clean, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    need("make")
    need("gcc")
    return make_firmware(tmp_path_factory.mktemp("make") / "with space")


def test_help_and_boards(firmware: Firmware) -> None:
    text = run(["make"], firmware.folder).stdout
    for goal in ("help", "host-test", "qemu-test", "size", "runner", "app", "image", "boards", "clean"):
        assert f"  {goal} " in text
    boards = run(["make", "-s", "boards"], firmware.folder).stdout
    assert [line.split()[0] for line in boards.splitlines()] == [NATIVE, *sorted([*BOARDS, NATIVE_UART])]


def test_builds_are_incremental(firmware: Firmware) -> None:
    build = ["make", "-j2", "image"]
    first = run(build, firmware.folder)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("compile") > 10 and first.stdout.count("link ") == 2
    assert "compile" not in run(build, firmware.folder).stdout
    (firmware.folder / "runtime" / "kit_cobs.h").touch()
    again = run(build, firmware.folder).stdout
    assert "runtime/kit_cobs.c" in again and "runtime/kit_codec.c" not in again
    assert "runtime/kit_codec.c" in run([*build, "CFLAGS=-DNDEBUG"], firmware.folder).stdout
    assert run(["make", "clean"], firmware.folder).returncode == 0
    assert not (firmware.folder / "build").exists()


def test_run_selects_a_build(firmware: Firmware, tmp_path: Path) -> None:
    # A path in RUN is a word of make, so it has no spaces.
    shutil.copytree(firmware.folder, tmp_path / "run" / "firmware")
    done = run(["make", "-C", "firmware", f"RUN={tmp_path / 'run'}", "runner"], ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "firmware" / "build" / "native" / "runner").is_file()
    (tmp_path / "run" / "firmware" / "Makefile").unlink()
    done = run(["make", "-C", "firmware", f"RUN={tmp_path / 'run'}", "runner"], ROOT)
    assert done.returncode == 0 and "compile  runtime/kit_codec.c" in done.stdout
    done = run(["make", "-C", "firmware", "RUN=runs/absent", "host-test"], ROOT)
    assert done.returncode != 0 and "nothing is rendered in runs/absent" in done.stderr


def test_what_is_missing_is_named_in_one_line(firmware: Firmware, tmp_path: Path) -> None:
    folder = firmware.folder
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("make", "sh", "sed", "grep", "mkdir", "cmp", "mv", "rm", "awk", "env", "dirname"):
        (tools / name).symlink_to(need(name))
    cases = (
        (["BOARD=mps2-an386", "app"], "arm-none-eabi-gcc not found; run: apt install gcc-arm-none-eabi"),
        (["BOARD=riscv-virt", "app"], "riscv64-unknown-elf-gcc not found; run: apt install gcc-riscv64-unknown-elf"),
        (["qemu-test", "KIT=true"], "no emulated board can be compiled for and run here"),
        (["host-test"], "kit not found in ../.venv/bin or on PATH"),
        (["ENGINE=tflm", "app"], "ENGINE=tflm, but TFLM_ROOT is not set: set TFLM_ROOT to a folder with TensorFlow"),
        (["BOARD=toaster", "app"], f"no board toaster; boards: {' '.join(sorted([*BOARDS, NATIVE, NATIVE_UART]))}"),
    )
    for arguments, complaint in cases:
        done = run(["make", *arguments], folder, PATH=str(tools))
        assert done.returncode != 0
        assert complaint in done.stderr, done.stderr
        assert done.stdout.count("skipped  ") == (len(BOARDS) if "qemu-test" in arguments else 0)
        assert len([line for line in done.stderr.splitlines() if not line.startswith("make: ")]) <= 1
    shutil.copytree(folder, tmp_path / "bare", ignore=shutil.ignore_patterns("generated", "build"))
    done = run(["make", "app"], tmp_path / "bare")
    assert done.returncode != 0 and "nothing is rendered in ./generated" in done.stderr


RECOMMENDED = {
    "signal": {"frame_samples": 320},
    "model": {"embedding_dim": 16, "latent_width": 256, "num_levels": 2, "num_stages": 3, "base_filters": 32},
    "firmware": {"embedded_frames": 8, "symbol_prefix": "ppg", "ring_margin_samples": 32},
}
"""Sizes of configs/08x_ds8_l2.yaml."""


@pytest.fixture(scope="module")
def recommended(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    need("make")
    return make_firmware(tmp_path_factory.mktemp("size"), **RECOMMENDED)


@pytest.mark.parametrize("board", BOARDS)
def test_footprint(recommended: Firmware, board: str) -> None:
    need_target(board)
    footprint = measure(recommended.folder, board)
    assert footprint.encoder_ram <= 2048
    assert footprint.codec_ram <= 3072
    assert footprint.fits
    assert sum(footprint.flash.values()) == footprint.flash_total
    assert sum(footprint.ram.values()) == footprint.ram_total
    assert footprint.stack_path[0] == "kit_reset" and footprint.stack > footprint.codec_stack
    assert all(size >= 0 for size in footprint.ram.values())
    assert sum(section.size for section in footprint.sections if section.in_ram) == footprint.ram_total
    assert {".bss"} <= {section.name for section in footprint.sections if not section.in_flash}
    # Any 16 KB part must hold the whole firmware with room for a radio stack beside it.
    assert footprint.ram_total + footprint.stack <= 8192


DOT_PRODUCTS = {"mps2-an386": {"smlad"}, "mps2-an500": {"smlad"}, "mps3-an547": {"vmlava"}}
"""Instructions that multiply in the inner loops of encoder and search; the other boards have only the portable C."""


@pytest.mark.parametrize("board", BOARDS)
def test_each_core_multiplies_with_the_best_it_has(recommended: Firmware, board: str) -> None:
    need_target(board)
    image = recommended.build("app", board)
    # Named, because objdump does not know Helium from the image alone.
    architecture = ["-m", "armv8.1-m.main"] if board == "mps3-an547" else []
    code = run(
        [BOARDS[board].compiler.replace("gcc", "objdump"), "-d", *architecture, str(image)], recommended.folder
    ).stdout
    for functions in (r"(?:kit_aot_conv|conv_\w+)", "kit_rvq_level"):
        bodies = re.findall(rf"<{functions}>:\n(.*?)\n\n", code + "\n\n", re.DOTALL)
        found = {name for name in ("smlad", "vmlava") if name in "".join(bodies)}
        assert bodies and found == DOT_PRODUCTS.get(board, set())


def test_interrupts_on_a_core_with_fpu_take_the_larger_frame() -> None:
    assert EXCEPTION_FRAME_FPU_BYTES > EXCEPTION_FRAME_BYTES
    entry = {name: exception_frame(board) for name, board in BOARDS.items()}
    small = {name for name, size in entry.items() if size == EXCEPTION_FRAME_BYTES}
    assert small == {"microbit", "mps2-an385"}
    assert entry["mps3-an547"] == EXCEPTION_FRAME_FPU_BYTES, "its FPU comes with the core, without -mfpu"
    assert entry["riscv-virt"] == 0, "its handler stores the registers, which the compiler counts"


@pytest.mark.parametrize("board", ["microbit", "riscv-virt"])
def test_a_firmware_whose_stack_has_no_bound_is_refused(firmware: Firmware, board: str, tmp_path: Path) -> None:
    need_target(board)
    folder = tmp_path / "firmware"
    shutil.copytree(firmware.folder, folder, ignore=shutil.ignore_patterns("build"))
    source = folder / "runtime" / "kit_cobs.c"
    text = source.read_text()
    again = "__attribute__((noinline)) static unsigned again(volatile unsigned depth)\n"
    again += "{\n    return depth == 0 ? 1u : again(depth - 1u) * 3u + depth;\n}\n\n"
    at = text.index("{\n", text.index("kit_cobs_encode("))
    head = text.rindex("\n\n", 0, at) + 2
    source.write_text(text[:head] + again + text[head : at + 2] + "    (void)again(3);\n" + text[at + 2 :])
    with pytest.raises(ToolchainError, match=r"recursion: again.* -> again"):
        measure(folder, board)


UNDEFINED = {"cortexm": "udf #0", "riscv": "unimp"}
"""An instruction that no core of a family has."""


@pytest.mark.parametrize("board", BOARDS)
def test_a_fault_in_the_runner_ends_with_its_own_code(recommended: Firmware, board: str, tmp_path: Path) -> None:
    need_target(board)
    folder = tmp_path / "firmware"
    shutil.copytree(recommended.folder, folder, ignore=shutil.ignore_patterns("build"))
    source = folder / "runner" / "runner.c"
    start = "const kit_status_t started = KIT_INIT(&storage);"
    assert start in source.read_text()
    source.write_text(
        source.read_text().replace(start, f'__asm volatile("{UNDEFINED[BOARDS[board].family]}");\n    {start}')
    )
    image = Firmware(folder).build("runner", board)
    command = [*BOARDS[board].emulate(image), "-serial", "null", "-semihosting-config"]
    done = run([*command, "enable=on,target=native,arg=runner,arg=in,arg=out"], tmp_path)
    assert done.returncode == 99 and "fault: the core took an exception" in done.stdout + done.stderr


@pytest.mark.parametrize("board", ["microbit", "riscv-virt"])
def test_app_image_has_no_semihosting(recommended: Firmware, board: str) -> None:
    need_target(board)
    image = recommended.build("app", board)
    code = run([BOARDS[board].compiler.replace("gcc", "objdump"), "-d", str(image)], recommended.folder).stdout
    assert "kit_app_poll" in code and "bkpt" not in code and "ebreak" not in code


@pytest.mark.parametrize("board", ["mps2-an386", "riscv-virt"])
def test_a_fault_in_the_application_starts_it_again(firmware: Firmware, board: str, tmp_path: Path) -> None:
    need_target(board)
    folder = tmp_path / "firmware"
    shutil.copytree(firmware.folder, folder, ignore=shutil.ignore_patterns("build"))
    source = folder / "runtime" / "kit_app.c"
    text = source.read_text()
    start = "bool kit_app_poll(kit_app_t *app)\n{\n"
    assert start in text
    # Once in a thousand polls, when the first greeting has been answered.
    instruction = f'__asm volatile("{UNDEFINED[BOARDS[board].family]}");'
    fault = f"static unsigned polls;\n    if (++polls == 1000u) {{ {instruction} }}\n"
    source.write_text(text.replace(start, f"{start}    {fault}"))
    with start_emulator(Firmware(folder), board) as device, Link.open(device.port) as link:
        received, deadline = [0], time.monotonic() + 20
        # It forgets what it counted whenever it starts.
        while received[-1] >= received[0] and time.monotonic() < deadline:
            assert link.hello().target == board
            with suppress(LinkError):
                received.append(link.request("COUNTERS_REQUEST").integer("rx_frames"))
            received = [max(received), received[-1]]
        assert received[-1] < received[0] and device.exit_code is None


CONSUMER = """
cmake_minimum_required(VERSION 3.16)
project(consumer C)
add_subdirectory("{root}" kit)
add_executable(consumer main.c)
target_link_libraries(consumer PRIVATE kit::codec)
"""
CROSS_CONSUMER = """
cmake_minimum_required(VERSION 3.16)
project(consumer C)
add_subdirectory("{root}" kit)
add_library(consumer STATIC main.c)
target_link_libraries(consumer PRIVATE kit::codec)
"""
CONSUMER_MAIN = """
#include "kit_generated.h"
static KIT_STORAGE_T storage;
int main(void) { return KIT_INIT(&storage) == KIT_OK ? 0 : 1; }
"""


def test_cmake(firmware: Firmware, tmp_path: Path) -> None:
    need("cmake")
    generated = f"-DKIT_GENERATED_DIR={firmware.folder / 'generated'}"
    done = run(["cmake", "-S", str(ROOT), "-B", "own", generated], tmp_path)
    assert done.returncode == 0, done.stderr
    done = run(["cmake", "--build", "own", "-j2"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(["ctest", "--output-on-failure"], tmp_path / "own")
    assert done.returncode == 0 and "100% tests passed" in done.stdout, done.stdout
    (tmp_path / "CMakeLists.txt").write_text(CONSUMER.format(root=ROOT))
    (tmp_path / "main.c").write_text(CONSUMER_MAIN)
    done = run(["cmake", "-S", ".", "-B", "consumer", generated], tmp_path)
    assert done.returncode == 0, done.stderr
    assert run(["cmake", "--build", "consumer", "-j2"], tmp_path).returncode == 0
    assert run([str(tmp_path / "consumer" / "consumer")], tmp_path).returncode == 0
    assert not list((tmp_path / "consumer").rglob("kit_runner*"))
    done = run(["cmake", "-S", str(ROOT), "-B", "none", f"-DKIT_GENERATED_DIR={tmp_path}"], tmp_path)
    assert done.returncode != 0 and "nothing is rendered in" in done.stderr


@pytest.mark.parametrize("board", ["mps2-an386", "riscv-virt"])
def test_cmake_for_a_board(firmware: Firmware, board: str, tmp_path: Path) -> None:
    need("cmake")
    need_target(board)
    facts = BOARDS[board]
    (tmp_path / "CMakeLists.txt").write_text(CROSS_CONSUMER.format(root=ROOT))
    (tmp_path / "main.c").write_text(CONSUMER_MAIN)
    settings = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_SYSTEM_NAME": "Generic",
        "CMAKE_TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY",
        "CMAKE_C_COMPILER": facts.compiler,
        "CMAKE_C_FLAGS": " ".join((*facts.cpu_flags, *facts.specs)),
        "KIT_GENERATED_DIR": str(firmware.folder / "generated"),
    }
    done = run(["cmake", "-S", ".", "-B", "out", *(f"-D{name}={value}" for name, value in settings.items())], tmp_path)
    assert done.returncode == 0, done.stderr
    done = run(["cmake", "--build", "out", "-j2"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    library = next((tmp_path / "out").rglob("libkit_codec.a"))
    symbols = run([facts.compiler.replace("gcc", "nm"), str(library)], tmp_path).stdout
    assert "kit_codec_poll" in symbols and "kit_aot_conv" in symbols
