"""Every variant of the dot products gives the reference's packets on the core that selects it, in the emulator."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.c_support import AOT, C_TESTS, CODEC_SOURCES, RUNTIME, WARNINGS, render_random
from tests.models import tiny_config
from tests.support import need, seed

CORES = {
    "portable6m": ("mps2-an385", ["-mcpu=cortex-m0"]),
    "portable7m": ("mps2-an385", ["-mcpu=cortex-m3"]),
    "dsp": ("mps2-an386", ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]),
    "helium": ("mps3-an547", ["-mcpu=cortex-m55", "-mfloat-abi=hard"]),
}
BUILDS: dict[str, dict[str, Any]] = {
    # Lengths that leave every remainder behind whole vectors of 4, 8 and 16.
    "odd": {"model": {"embedding_dim": 7, "base_filters": 5, "num_stages": 4}, "quantize": {"codebook_bits": 8}},
    "wide": {"model": {"embedding_dim": 13, "base_filters": 9}, "quantize": {"codebook_bits": 16}},
    "even": {
        "signal": {"sample_bits": 20},
        "model": {"embedding_dim": 16, "base_filters": 32, "latent_width": 256},
    },
}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("core", CORES)
def test_core(core: str, build: str, tmp_path: Path) -> None:
    compiler, emulator = need("arm-none-eabi-gcc"), need("qemu-system-arm")
    machine, flags = CORES[core]
    config = tiny_config(**{**BUILDS[build], "firmware": {"embedded_frames": 14}})
    rendered = render_random(config, tmp_path / "generated", seed() + len(build), frames=14)
    image = tmp_path / "image.elf"
    command = [compiler, *flags, "-mthumb", "-O2", "-std=c99", *WARNINGS, "-ffunction-sections", "-nostartfiles"]
    command += ["-Wl,--gc-sections", "-T", str(C_TESTS / "bare.ld"), "--specs=nano.specs", "--specs=nosys.specs"]
    command += [f"-I{folder}" for folder in (RUNTIME, AOT, rendered.folder)]
    sources = [*CODEC_SOURCES, *sorted(rendered.folder.glob("*.c")), C_TESTS / "bare_main.c"]
    done = subprocess.run([*command, *map(str, sources), "-o", str(image)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    command = [emulator, "-M", machine, "-kernel", str(image), "-nographic", "-monitor", "none", "-serial", "null"]
    command += ["-semihosting-config", "enable=on,target=native"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{done.returncode} of {config.firmware.embedded_frames} packets differ"
