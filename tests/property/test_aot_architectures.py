"""The ahead-of-time engine equals the reference on random architectures, with every file of kernels."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kit.graph.ir import Encoder
from kit.render.environment import RUNTIME_ABI, Origin, render_template
from kit.render.views import plan_view
from tests.architectures import latents_of, random_architecture, random_inputs
from tests.c_support import AOT, C_TESTS, RUNTIME, SANITIZERS, compile_c, run_bare
from tests.support import seed

ARCHITECTURES = 36
FRAMES = 4
ARMV6M = ("-mthumb", "-mcpu=cortex-m0", "-mfloat-abi=soft")
ARMV7EM = ("-mthumb", "-mcpu=cortex-m4", "-mfloat-abi=soft")
CORES: dict[str, tuple[str, tuple[str, ...]]] = {
    # kernels: board, flags in place of the board's own
    "thumb1": ("mps2-an385", ARMV6M),
    "portable": ("mps2-an385", ()),
    "dsp": ("mps2-an386", ()),
    "dsp_m7": ("mps2-an500", ()),
    "helium": ("mps3-an547", ()),
    "riscv": ("riscv-virt", ()),
    # Assembly that takes nearly every register must compile whatever the compiler wants them for.
    "thumb1_small": ("mps2-an385", (*ARMV6M, "-Os", "-fno-omit-frame-pointer")),
    "thumb1_debug": ("mps2-an385", (*ARMV6M, "-O0")),
    "portable_small": ("mps2-an385", ("-mthumb", "-mcpu=cortex-m3", "-Os", "-fno-omit-frame-pointer")),
    "dsp_small": ("mps2-an386", (*ARMV7EM, "-Os", "-fno-omit-frame-pointer")),
    "dsp_debug": ("mps2-an386", (*ARMV7EM, "-O0")),
}
NATIVE = {
    "host_gcc": ("gcc", ["-O2"]), "host_clang": ("clang", list(SANITIZERS)),
    "portable_gcc": ("gcc", [*SANITIZERS, "-DKIT_NO_SIMD"]), "portable_clang": ("clang", ["-O2", "-DKIT_NO_SIMD"]),
}  # fmt: skip


def array(name: str, values: np.ndarray) -> str:
    return f"static const int8_t {name}[] = {{{', '.join(map(str, values.reshape(-1).tolist()))}}};\n"


def write_cases(encoders: list[Encoder], folder: Path) -> None:
    """Rendered models m0, m1, ... and cases.h with frames and the reference's latents."""
    rng = np.random.default_rng(seed() + 77)
    origin = Origin("0", "0" * 16, "0", "0", 1, RUNTIME_ABI)
    includes, tables = "", ""
    for number, encoder in enumerate(encoders):
        prefix = f"m{number}"
        context = {"model": SimpleNamespace(prefix=prefix, upper=prefix.upper()), "plan": plan_view(encoder, prefix)}
        for suffix in ("c", "h"):
            text = render_template(f"aot/model.{suffix}.j2", origin, context)
            (folder / f"{prefix}_model.{suffix}").write_text(text)
        frames = random_inputs(rng, encoder, FRAMES)
        includes += f'#include "{prefix}_model.h"\n'
        tables += array(f"{prefix}_frames", frames) + array(f"{prefix}_latents", latents_of(encoder, frames))
    cases = " ".join(f"X(m{number})" for number in range(len(encoders)))
    (folder / "cases.h").write_text(f"{includes}#define CASE_FRAMES {FRAMES}\n{tables}#define CASES(X) {cases}\n")
    (folder / "kit_config.h").write_text("#define KIT_SAMPLE_BITS 16\n")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    encoders = [random_architecture(np.random.default_rng(seed() + n), n) for n in range(ARCHITECTURES)]
    write_cases(encoders, folder)
    outputs = [latents_of(e, random_inputs(np.random.default_rng(1), e, 4)) for e in encoders]
    assert sum(len(np.unique(latents)) > 3 for latents in outputs) > ARCHITECTURES // 2, "too poor to prove anything"
    return folder


def sources(folder: Path) -> list[Path]:
    return [*sorted(AOT.glob("*.c")), *sorted(folder.glob("*.c")), C_TESTS / "engine_main.c"]


@pytest.mark.parametrize("name", NATIVE)
def test_native(cases: Path, name: str, tmp_path: Path) -> None:
    compiler, flags = NATIVE[name]
    program = compile_c(compiler, sources(cases), (RUNTIME, AOT, cases), tmp_path / "engine", flags)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"architecture {done.returncode - 1} is wrong: {done.stderr}"


@pytest.mark.parametrize("core", CORES)
def test_core(cases: Path, core: str, tmp_path: Path) -> None:
    board, flags = CORES[core]
    code = run_bare(board, flags, sources(cases), [cases], tmp_path)
    assert code == 0, f"architecture {code - 1} is wrong"
