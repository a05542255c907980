"""The C codec equals the reference executor bit for bit: random models of every shape, random and extreme frames."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.c_support import (
    AOT,
    C_TESTS,
    CODEC_SOURCES,
    COMPILERS,
    RUNTIME,
    WARNINGS,
    allow_any_codebook,
    assert_equal_results,
    compile_c,
    compile_codec,
    render_random,
    run_c,
)
from tests.models import tiny_config
from tests.support import need, seed

BUILDS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "seed": {
        "signal": {"frame_samples": 320},
        "model": {"embedding_dim": 16, "latent_width": 256, "num_stages": 3, "base_filters": 32},
        "firmware": {"symbol_prefix": "ppg", "ring_margin_samples": 32},
    },
    "smallest": {
        "signal": {"frame_samples": 16},
        "model": {"embedding_dim": 1, "latent_width": 2, "num_levels": 1, "num_stages": 1, "base_filters": 1},
        "firmware": {"ring_margin_samples": 1},
    },
    "deepest": {
        "signal": {"frame_samples": 128},
        "model": {"embedding_dim": 5, "latent_width": 8, "num_levels": 8, "num_stages": 6, "base_filters": 3},
        "quantize": {"input_clip": 2},
    },
    "longest": {
        "signal": {"frame_samples": 4096},
        "model": {"embedding_dim": 3, "latent_width": 1024, "num_stages": 6, "base_filters": 6, "multiplier": 1.0},
        "quantize": {"input_clip": 16, "codebook_bits": 16},
    },
    "wide_samples": {
        "signal": {"frame_samples": 72, "sample_bits": 24},
        "model": {"embedding_dim": 7, "latent_width": 32, "num_levels": 3, "num_stages": 3, "multiplier": 2.0},
        "firmware": {"symbol_prefix": "ecg"},
    },
    "no_side_information": {
        "signal": {"frame_samples": 48, "sample_bits": 18},
        "model": {"embedding_dim": 64, "num_stages": 4},
        "packet": {"side_information": False},
        "quantize": {"input_clip": 8, "codebook_bits": 16},
    },
    "beam": {
        "signal": {"frame_samples": 64},
        "model": {"embedding_dim": 6, "latent_width": 64, "num_levels": 3, "num_stages": 3},
        "quantize": {"beam": 4},
    },
    "lapped": {
        "signal": {"frame_samples": 160},
        "model": {
            "embedding_dim": 14, "latent_width": 64, "num_stages": 3, "encoder": "lapped", "encoder_taps": 63,
            "encoder_filters": 33,
        },
    },
    "lapped_beyond_the_frame": {
        "signal": {"frame_samples": 32},
        "model": {"num_stages": 4, "encoder": "lapped", "encoder_taps": 95, "embedding_dim": 10},
        "quantize": {"input_clip": 2, "codebook_bits": 16},
    },
    "narrow_samples": {
        "signal": {"frame_samples": 96, "sample_bits": 8},
        "model": {"embedding_dim": 6, "latent_width": 4, "num_levels": 5, "num_stages": 5},
        "quantize": {"codebook_bits": 16},
    },
    "many_entries": {
        "signal": {"frame_samples": 128},
        "model": {"latent_width": 4096, "num_levels": 2},
        "quantize": {"latent_copies": 2, "codebook_bits": 16},
    },
    "beam_of_many_entries": {
        "model": {"latent_width": 2048, "num_levels": 2, "embedding_dim": 6},
        "quantize": {"beam": 4},
    },
}


@pytest.mark.parametrize("name", BUILDS)
def test_packets_and_latents_equal_the_reference(name: str, tmp_path: Path) -> None:
    config = tiny_config(**BUILDS[name])
    number = list(BUILDS).index(name)
    rendered = render_random(config, tmp_path / "generated", seed() + number)
    program = compile_codec(COMPILERS[number % 2], rendered, "codec_main.c", tmp_path / "codec")
    samples = rendered.frames.tobytes()
    for chunk in (1, 7, 64, config.signal.frame_samples + 5):
        assert_equal_results(run_c(program, chunk, len(rendered.frames), stdin=samples), rendered)
    assert len(np.unique(rendered.expected.latents)) > 3, "latents too poor to prove anything"


@pytest.mark.parametrize("beam", [1, 4])
def test_two_instances_of_two_models(beam: int, tmp_path: Path) -> None:
    ppg = render_random(tiny_config(firmware={"symbol_prefix": "ppg"}), tmp_path / "ppg", seed())
    config = tiny_config(
        signal={"frame_samples": 40}, model={"num_stages": 3}, quantize={"codebook_bits": 16, "beam": beam},
        firmware={"symbol_prefix": "ecg"},
    )  # fmt: skip
    ecg = render_random(config, tmp_path / "ecg", seed() + 1)
    allow_any_codebook(ppg.folder)
    if beam > 1:
        refused = compile_refused(ppg.folder, ecg.folder)
        assert "ecg: its search keeps 4 choices; set KIT_BEAM_SEARCH to 1 in kit_config.h" in refused
        header = ppg.folder / "kit_config.h"
        header.write_text(header.read_text().replace("KIT_BEAM_SEARCH 0", "KIT_BEAM_SEARCH 1"))
    generated = [path for build in (ppg, ecg) for path in sorted(build.folder.glob("*.c"))]
    program = compile_c(
        "gcc",
        [*CODEC_SOURCES, *generated, C_TESTS / "two_models_main.c"],
        (RUNTIME, AOT, ppg.folder, ecg.folder),
        tmp_path / "two",
    )
    inputs = [build.frames[order] for build in (ppg, ecg) for order in (slice(None), slice(None, None, -1))]
    output = run_c(program, len(ppg.frames), len(ecg.frames), stdin=b"".join(x.tobytes() for x in inputs))
    packets = [build.expected.packets[order] for build in (ppg, ecg) for order in (slice(None), slice(None, None, -1))]
    assert output == b"".join(x.tobytes() for x in packets)


def compile_refused(first: Path, second: Path) -> str:
    """What the compiler says of the codec in ``second`` with the kit_config.h of ``first``."""
    command = [need("gcc"), "-std=c99", "-fsyntax-only", *(f"-I{path}" for path in (RUNTIME, AOT, first, second))]
    done = subprocess.run([*command, str(second / "ecg_codec.c")], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stderr


def test_a_network_that_the_firmware_leaves_out_is_refused_by_the_compiler(tmp_path: Path) -> None:
    classes = {"coding": "range"}
    ppg = render_random(tiny_config(packet=classes, firmware={"symbol_prefix": "ppg"}), tmp_path / "ppg", seed())
    config = tiny_config(packet={**classes, "context": "network"}, firmware={"symbol_prefix": "ecg"})
    ecg = render_random(config, tmp_path / "ecg", seed() + 1)
    refused = compile_refused(ppg.folder, ecg.folder)
    assert "ecg: a network predicts its indices; set KIT_CODING_NETWORK to 1 in kit_config.h" in refused


def test_a_codebook_of_another_width_is_refused_by_the_compiler(tmp_path: Path) -> None:
    rendered = render_random(tiny_config(quantize={"codebook_bits": 16}), tmp_path / "generated", seed(), frames=2)
    (rendered.folder / "kit_config.h").write_text("#define KIT_SAMPLE_BITS 16\n#define KIT_CODEBOOK_BITS 8\n")
    command = [need("gcc"), *WARNINGS, "-fsyntax-only", *(f"-I{path}" for path in (RUNTIME, AOT, rendered.folder))]
    done = subprocess.run(
        [*command, str(rendered.folder / "tiny_codec.c")], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "tiny: its codebook has 16-bit entries; set KIT_CODEBOOK_BITS to 0 in kit_config.h" in done.stderr


def test_a_narrow_model_runs_in_a_firmware_of_wide_samples(tmp_path: Path) -> None:
    rendered = render_random(tiny_config(), tmp_path / "generated", seed())
    config_header = rendered.folder / "kit_config.h"
    config_header.write_text(config_header.read_text().replace("KIT_SAMPLE_BITS 16", "KIT_SAMPLE_BITS 32"))
    program = compile_codec("gcc", rendered, "codec_main.c", tmp_path / "codec")
    samples = rendered.frames.astype(np.int32).tobytes()
    assert_equal_results(run_c(program, 5, len(rendered.frames), stdin=samples), rendered)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_samples_pushed_by_an_interrupt(compiler: str, tmp_path: Path) -> None:
    rendered = render_random(tiny_config(), tmp_path / "generated", seed(), frames=400)
    program = compile_codec(compiler, rendered, "interrupt_main.c", tmp_path / "interrupt")
    assert run_c(program, stdin=rendered.frames.tobytes()) == rendered.expected.packets.tobytes()
