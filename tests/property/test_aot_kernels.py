"""Kernels against the reference, layer by layer: random shapes, extreme values, multipliers and shifts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.c_support import AOT, C_TESTS, COMPILERS, RUNTIME, SANITIZERS, compile_c, run_bare, run_c
from tests.kernel_cases import random_cases, write_cases
from tests.support import seed

CASES = 60
BATCH = 2
HOST = {"vnni": (), "avx2": ("-DKIT_NO_VNNI",), "c": ("-DKIT_NO_AVX",)}


def write_headers(folder: Path, isa: str, number: int) -> None:
    """cases.h and the configuration header that the runtime wants."""
    (folder / "kit_config.h").write_text("#define KIT_SAMPLE_BITS 16\n")
    write_cases(folder / "cases.h", random_cases(np.random.default_rng(seed() + number), CASES, BATCH), isa)


@pytest.mark.parametrize("variant", HOST)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_host_kernels(compiler: str, variant: str, tmp_path: Path) -> None:
    write_headers(tmp_path, "KIT_ISA_HOST", list(HOST).index(variant))
    sources = [AOT / "kit_aot_kernels_host.c", C_TESTS / "kernels_main.c"]
    for name, flags in (("checked", SANITIZERS), ("fast", ("-O2",))):
        program = compile_c(
            compiler, sources, (RUNTIME, AOT, tmp_path), tmp_path / name, (*flags, *HOST[variant])
        )  # fmt: skip
        run_c(program)


@pytest.mark.parametrize("number", range(2))
def test_helium_kernels(number: int, tmp_path: Path) -> None:
    write_headers(tmp_path, "KIT_ISA_HELIUM", number)
    sources = [AOT / "kit_aot_kernels_helium.c", C_TESTS / "kernels_main.c"]
    assert run_bare("mps3-an547", (), sources, [tmp_path], tmp_path) == 0
