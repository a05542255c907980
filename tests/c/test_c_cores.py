"""Every variant of the kernels gives the reference's packets on the core that selects it, in the emulator, also with
several instances of several models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.c_support import C_TESTS, CODEC_SOURCES, allow_any_codebook, render_random, run_bare
from tests.models import tiny_config
from tests.support import seed

CORES: dict[str, tuple[str, tuple[str, ...]]] = {
    # variant: board, flags in place of the board's own
    "portable6m": ("mps2-an385", ("-mthumb", "-mcpu=cortex-m0", "-mfloat-abi=soft")),
    "portable7m": ("mps2-an385", ()),
    "dsp": ("mps2-an386", ()),
    "helium": ("mps3-an547", ()),
    "riscv": ("riscv-virt", ()),
}
BUILDS: dict[str, dict[str, Any]] = {
    # Lengths that leave every remainder behind whole vectors of 4, 8 and 16.
    "odd": {
        "model": {"embedding_dim": 7, "base_filters": 5, "num_stages": 4},
        "quantize": {"codebook_bits": 8, "input_remainder_bits": 3},
    },
    "wide": {
        "model": {"embedding_dim": 13, "base_filters": 9},
        "quantize": {"codebook_bits": 16, "latent_copies": 3},
    },
    "even": {
        "signal": {"sample_bits": 20},
        "model": {"embedding_dim": 16, "base_filters": 32, "latent_width": 256},
    },
}


def run_models(core: str, main: str, rendered: Sequence[Path], folder: Path) -> int:
    """Exit code of a test program of tests/c with rendered models."""
    board, flags = CORES[core]
    generated = [path for each in rendered for path in sorted(each.glob("*.c"))]
    return run_bare(board, flags, [*CODEC_SOURCES, *generated, C_TESTS / main], rendered, folder)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("core", CORES)
def test_core(core: str, build: str, tmp_path: Path) -> None:
    config = tiny_config(**{**BUILDS[build], "firmware": {"embedded_frames": 14}})
    rendered = render_random(config, tmp_path / "generated", seed() + len(build), frames=14)
    code = run_models(core, "bare_main.c", [rendered.folder], tmp_path)
    assert code == 0, f"{code} of {config.firmware.embedded_frames} packets differ"


@pytest.mark.parametrize("core", CORES)
def test_two_instances_of_two_models(core: str, tmp_path: Path) -> None:
    ppg = tiny_config(firmware={"symbol_prefix": "ppg", "embedded_frames": 6})
    ecg = tiny_config(
        signal={"frame_samples": 40}, model={"num_stages": 3, "embedding_dim": 5}, quantize={"codebook_bits": 16},
        firmware={"symbol_prefix": "ecg", "embedded_frames": 5},
    )  # fmt: skip
    folders = [
        render_random(config, tmp_path / config.firmware.symbol_prefix, seed() + number, frames=6).folder
        for number, config in enumerate((ppg, ecg))
    ]
    for folder in folders:
        allow_any_codebook(folder)
    assert run_models(core, "bare_two_main.c", folders, tmp_path) == 0
