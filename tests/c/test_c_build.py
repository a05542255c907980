"""How the codec compiles: headers stand alone in C and C++, small cores take it, and it needs no heap and no float."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from kit.host.boards import BOARDS, Board
from tests.c_support import AOT, CODEC_SOURCES, RUNTIME, WARNINGS, Rendered, render_random
from tests.models import tiny_config
from tests.support import need, seed

SEED_MODEL = {
    "signal": {"frame_samples": 320},
    "model": {"embedding_dim": 16, "latent_width": 256, "num_stages": 3, "base_filters": 32, "num_levels": 2},
    "firmware": {"symbol_prefix": "ppg", "ring_margin_samples": 32},
}
FORBIDDEN = re.compile(
    r"malloc|calloc|realloc|free|sbrk|printf|sqrt|__aeabi_[fd](?!iv0)|__aeabi_\w*2[fd]\b"
    r"|__(?:add|sub|mul|div|neg|eq|ne|lt|le|gt|ge|unord|fix|float|extend|trunc)\w*[sdt]f\w*"
)
"""Heap, C library input and output, and floating point by the names of both compilers' routines for it."""


@pytest.fixture(scope="module")
def seed_model(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render_random(tiny_config(**SEED_MODEL), tmp_path_factory.mktemp("seed") / "generated", seed())


LANGUAGES = {
    "c99": ("gcc", "-std=c99"), "c11": ("clang", "-std=c11"), "c++11": ("g++", "-std=c++11"),
    "c++17": ("clang++", "-std=c++17"),
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_header_stands_alone(seed_model: Rendered, language: str, tmp_path: Path) -> None:
    compiler, standard = LANGUAGES[language]
    folders = (RUNTIME, AOT, seed_model.folder)
    headers = sorted({path.name for folder in folders for path in folder.glob("*.h")})
    assert {"kit_codec.h", "kit_aot.h", "ppg_codec.h", "encoder.h", "codebook.h", "ppg_vectors.h"} <= set(headers)
    suffix = "cpp" if "+" in language else "c"
    source = tmp_path / f"headers.{suffix}"
    for header in headers:
        # Twice: the guard holds. -Wunused needs no use of the tables that a header defines.
        source.write_text(f'#include "{header}"\n#include "{header}"\nextern int nothing;\n')
        command = [need(compiler), standard, *WARNINGS, "-fsyntax-only", *(f"-I{folder}" for folder in folders)]
        done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{header}: {done.stderr}"


def cross_compile(rendered: Rendered, board: Board, folder: Path) -> list[Path]:
    compiler = need(board.compiler)
    objects = []
    # Without its FPU, so that floating point shows as calls.
    flags = [flag.replace("=hard", "=soft") for flag in board.cpu_flags if not flag.startswith("-mfpu=")]
    for source in [*CODEC_SOURCES, *sorted(rendered.folder.glob("*.c"))]:
        target = folder / f"{source.stem}.o"
        command = [compiler, *flags, *board.specs, "-O2", "-std=c99", *WARNINGS, "-fstack-usage"]
        command += ["-ffunction-sections", f"-I{RUNTIME}", f"-I{AOT}", f"-I{rendered.folder}"]
        done = subprocess.run([*command, "-c", str(source), "-o", str(target)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        objects.append(target)
    return objects


@pytest.mark.parametrize("board", BOARDS)
def test_no_core_needs_heap_or_float(seed_model: Rendered, board: str, tmp_path: Path) -> None:
    if "mps3-an547" in board:
        pytest.skip("Helium code cannot be compiled for a core without its registers")
    objects = cross_compile(seed_model, BOARDS[board], tmp_path)
    lister = BOARDS[board].compiler.removesuffix("gcc") + "nm"
    symbols = subprocess.run([lister, *objects], capture_output=True, text=True, check=True).stdout
    assert "kit_codec_poll" in symbols
    assert not FORBIDDEN.findall(symbols)
    writable = [line for line in symbols.splitlines() if re.search(r" [bBdDcC] ", line)]
    assert not writable, "all state is the caller's"


def test_memory_of_the_described_model(seed_model: Rendered, tmp_path: Path) -> None:
    cross_compile(seed_model, BOARDS["microbit"], tmp_path)
    probe = tmp_path / "probe.c"
    probe.write_text(
        '#include "ppg_codec.h"\nconst unsigned char engine_bytes[sizeof(ppg_engine_t)] = {0};\n'
        "const unsigned char codec_bytes[sizeof(kit_codec_t)] = {0};\n"
    )
    folders = [f"-I{folder}" for folder in (RUNTIME, AOT, seed_model.folder)]
    command = [need("arm-none-eabi-gcc"), "-mcpu=cortex-m0", "-std=c99", *folders, "-c", str(probe)]
    subprocess.run([*command, "-o", str(tmp_path / "probe.o")], check=True)
    sizes = subprocess.run(
        ["arm-none-eabi-nm", "-S", str(tmp_path / "probe.o")], capture_output=True, text=True, check=True
    ).stdout
    bytes_of = {line.split()[3]: int(line.split()[1], 16) for line in sizes.splitlines()}
    # There is no recursion, so that all frames together are more than any chain of calls.
    frames = [int(line.split("\t")[1]) for path in tmp_path.glob("*.su") for line in path.read_text().splitlines()]
    assert bytes_of["engine_bytes"] <= 860
    assert bytes_of["engine_bytes"] + bytes_of["codec_bytes"] + sum(frames) <= 2048


def test_files_of_another_runtime_are_refused(seed_model: Rendered, tmp_path: Path) -> None:
    source = tmp_path / "old.c"
    lines = ['#include "kit_common.h"', "#undef KIT_RUNTIME_ABI", "#define KIT_RUNTIME_ABI 0", '#include "ppg_codec.h"']
    source.write_text("\n".join(lines) + "\n")
    command = [need("gcc"), "-std=c99", "-fsyntax-only", f"-I{RUNTIME}", f"-I{AOT}", f"-I{seed_model.folder}"]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "rendered for another runtime; rerun `kit build-firmware`" in done.stderr
