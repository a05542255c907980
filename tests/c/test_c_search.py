"""The pruned search on every instruction set gives the indices of the reference, which compares every entry."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kit.host.boards import BOARDS
from kit.reference.rvq import search
from tests.c.test_c_cores import CORES
from tests.c_support import C_TESTS, COMPILERS, PORTS, RUNTIME, SANITIZERS, WARNINGS, compile_c
from tests.search_cases import KINDS, Case, encode, make_case, random_cases
from tests.support import ROOT, need_target, seed

RUNNER = ROOT / "host" / "runner"
SOURCES = (RUNTIME / "kit_rvq.c", C_TESTS / "search_main.c")
WIDTHS = {"both": "", "narrow": "#define KIT_CODEBOOK_BITS 8\n", "wide": "#define KIT_CODEBOOK_BITS 16\n"}


BEAMS = (2, 4, 8, 3, 1)


def write_config(folder: Path, width: str = "both", beam: bool = False) -> None:
    lines = f"#define KIT_SAMPLE_BITS 16\n#define KIT_BEAM_SEARCH {int(beam)}\n{WIDTHS[width]}"
    (folder / "kit_config.h").write_text(lines)


def assert_right(output: bytes, cases: Sequence[Case]) -> None:
    """The indices in ``output`` are the reference's; names the first case that differs."""
    at = 0
    for case in cases:
        want = search(case.latents, case.codebook)[:, 0]
        got = np.frombuffer(output[at : at + 2 * want.size], np.uint16).reshape(want.shape)
        at += 2 * want.size
        wrong = np.argwhere(got != want)
        if len(wrong):
            row, level = wrong[0]
            pytest.fail(
                f"{case.name} [latent={row}, level={level}]: want {want[row, level]}, got {got[row, level]}; "
                f"{len(wrong)} of {want.size} differ"
            )
    assert at == len(output)


def run_native(program: Path, folder: Path, cases: Sequence[Case]) -> None:
    (folder / "in").write_bytes(encode(cases))
    done = subprocess.run([program, "in", "out"], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert_right((folder / "out").read_bytes(), cases)


def build_native(compiler: str, folder: Path, width: str, flags: Sequence[str] = (), beam: bool = False) -> Path:
    write_config(folder, width, beam)
    sources = [*SOURCES, RUNNER / "runner_stdio.c"]
    return compile_c(compiler, sources, (RUNTIME, RUNNER, folder), folder / "search", [*SANITIZERS, *flags])


@pytest.mark.parametrize("flags", [(), ("-DKIT_NO_SIMD",)], ids=["native", "portable"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_random_codebooks(compiler: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    program = build_native(compiler, tmp_path, "both", flags)
    run_native(program, tmp_path, random_cases(seed(), 120, 1 << 16))


@pytest.mark.parametrize("flags", [(), ("-DKIT_NO_SIMD",)], ids=["native", "portable"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_beams_of_random_codebooks(compiler: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    program = build_native(compiler, tmp_path, "both", flags, beam=True)
    run_native(program, tmp_path, random_cases(seed() + 1, 120, 1 << 16, BEAMS))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    "shape",
    [
        *[(1, 2, 1), (8, 1024, 64), (2, 1024, 3), (8, 2, 64)],
        *[(4, 64, 6), (2, 256, 16), (2, 1024, 14), (2, 64, 15), (3, 512, 15), (2, 1024, 15)],
        *[(2, 2048, 7), (8, 4096, 8)],
    ],
    ids=str,
)
def test_extreme_shapes(shape: tuple[int, int, int], bits: int, tmp_path: Path) -> None:
    program = build_native("gcc", tmp_path, "narrow" if bits == 8 else "wide")
    rng = np.random.default_rng(seed() + bits)
    run_native(program, tmp_path, [make_case(rng, kind, shape, bits) for kind in KINDS])
    run_native(program, tmp_path, [make_case(rng, kind, shape, bits, priced=True) for kind in KINDS])


@pytest.mark.parametrize(
    "shape", [(8, 1024, 64), (8, 2, 64), (2, 512, 14), (3, 4, 1), (8, 2, 1), (2, 4096, 7)], ids=str
)
def test_beams_of_extreme_shapes(shape: tuple[int, int, int], tmp_path: Path) -> None:
    program = build_native("gcc", tmp_path, "narrow", beam=True)
    rng = np.random.default_rng(seed() + 2)
    cases = [make_case(rng, kind, shape, 8, priced=bool(n % 2), beam=BEAMS[n % 4]) for n, kind in enumerate(KINDS)]
    run_native(program, tmp_path, cases)


@pytest.mark.parametrize("core", CORES)
def test_cores(core: str, tmp_path: Path) -> None:
    board = BOARDS[CORES[core][0]]
    need_target(board.name)
    flags = CORES[core][1] or board.cpu_flags
    write_config(tmp_path, beam=True)
    image, common = tmp_path / "image.elf", PORTS / "common"
    command = [board.compiler, *flags, *board.specs, "-O2", "-std=c99", *WARNINGS, "-ffunction-sections"]
    command += ["-DPOOL_BYTES=196608", "-nostartfiles", "-Wl,--gc-sections", "-T", str(common / f"{board.family}.ld")]
    command += ["-L", str(PORTS / board.name)]
    command += [f"-I{path}" for path in (RUNTIME, RUNNER, common, PORTS / board.name, tmp_path)]
    sources = [*SOURCES, common / f"{board.family}_start.c", RUNNER / "runner_semihosting.c"]
    done = subprocess.run([*command, *map(str, sources), "-o", str(image)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cases = random_cases(seed() + len(core), 45, 1 << 14) + random_cases(seed() + 9, 45, 1 << 14, BEAMS)
    (tmp_path / "in").write_bytes(encode(cases))
    command = [*board.emulate(image), "-serial", "null"]
    command += ["-semihosting-config", "enable=on,target=native,arg=search,arg=in,arg=out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert_right((tmp_path / "out").read_bytes(), cases)
