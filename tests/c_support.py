"""Building and running C in tests: compilers, warnings, sanitizers, and random models rendered into folders."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.graph.codebook import IntegerCodebook
from kit.graph.fingerprint import build_hash
from kit.graph.ir import Encoder
from kit.graph.reader import read_tflite
from kit.host.boards import BOARDS
from kit.quantize.coding import fit_coding
from kit.reference.device_path import DevicePath, DeviceResult
from kit.render import Vectors, render_firmware, write_firmware
from kit.wire.coding import PLACES_MAX, CodingModel
from tests.models import encoder_for, random_codebook, random_frames
from tests.support import ROOT, need, need_target

RUNTIME = ROOT / "firmware" / "runtime"
AOT = ROOT / "firmware" / "engines" / "aot"
PORTS = ROOT / "firmware" / "ports"
C_TESTS = ROOT / "tests" / "c"
CODEC_SOURCES = tuple(
    [RUNTIME / f"kit_{name}.c" for name in ("codec", "coding", "normalise", "rvq", "pack")] + sorted(AOT.glob("*.c"))
)
REPLAY = ROOT / "firmware" / "sources" / "replay"
APP_SOURCES = (
    *(RUNTIME / f"kit_{name}.c" for name in ("crc", "cobs", "link", "packet", "reply", "source", "stream", "app")),
    REPLAY / "replay.c",
)
"""The application without its port."""
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror")
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
COMPILERS = ("gcc", "clang")


@dataclass(frozen=True)
class Rendered:
    """A random build with its reference results and the folder of its rendered files."""

    config: Config
    model: bytes
    encoder: Encoder
    codebook: IntegerCodebook
    frames: NDArray[Any]
    expected: DeviceResult
    files: dict[str, str]
    folder: Path
    coding: CodingModel | None = None


def render_random(config: Config, folder: Path, seed: int, frames: int = 14) -> Rendered:
    """Random weights for a configuration: rendered into ``folder``, and run by the reference executor."""
    rng = np.random.default_rng(seed)
    model = encoder_for(config, rng)
    encoder = read_tflite(model)
    model_config, bits, beam = config.model, config.quantize.codebook_bits, config.quantize.beam
    codebook = random_codebook(
        rng, encoder, model_config.num_levels, model_config.latent_width, bits, priced=beam > 1, beam=beam,
        copies=config.quantize.latent_copies,
    )  # fmt: skip
    samples = random_frames(rng, frames, config.signal.frame_samples, sample_bits=config.signal.sample_bits)
    fixed = config.model_copy(update={"packet": config.packet.model_copy(update={"coding": "fixed"})})
    coding = None
    if config.packet.coding == "range":
        found = DevicePath(encoder, codebook, fixed).run(samples).indices
        network, in_place = config.packet.context == "network", model_config.latent_width > PLACES_MAX
        coding = fit_coding(found, found, model_config.index_bits, network=network, in_place=in_place)
    expected = DevicePath(encoder, codebook, config, coding=coding).run(samples)
    vectors = Vectors(samples, expected.packets, "random")
    arrays = None if coding is None else coding.arrays()
    named = build_hash(config, encoder, codebook, arrays)
    files = render_firmware(config, encoder, codebook, vectors, model, named, coding)
    write_firmware(files, folder)
    return Rendered(config, model, encoder, codebook, samples, expected, files, folder, coding)


def allow_any_codebook(folder: Path) -> None:
    """Make the kit_config.h of a rendered folder one for models whose codebooks differ in width."""
    header = folder / "kit_config.h"
    text, count = re.subn(r"KIT_CODEBOOK_BITS \d+", "KIT_CODEBOOK_BITS 0", header.read_text())
    assert count == 1
    header.write_text(text)


def compile_c(
    compiler: str, sources: Iterable[Path], includes: Iterable[Path], target: Path, flags: Sequence[str] = SANITIZERS
) -> Path:
    """Compile and link C99 sources with every warning an error; fails the test with the compiler's words."""
    command = [need(compiler), "-std=c99", *WARNINGS, *flags]
    command += [f"-I{path}" for path in includes]
    command += [str(path) for path in sources] + ["-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return target


def compile_codec(compiler: str, rendered: Rendered, main: str, target: Path) -> Path:
    """A test program of tests/c with the codec and one rendered model."""
    generated = sorted(rendered.folder.glob("*.c"))
    sources = [*CODEC_SOURCES, *generated, C_TESTS / main]
    return compile_c(compiler, sources, (RUNTIME, AOT, rendered.folder), target)


def run_c(program: Path, *arguments: object, stdin: bytes = b"") -> bytes:
    """Standard output of a program that must succeed."""
    done = subprocess.run(
        [str(program), *map(str, arguments)], input=stdin, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def split_results(output: bytes, rendered: Rendered) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """Latents int8[n, P, C * D] and packets uint8[n, packet bytes] from records of one frame each."""
    expected = rendered.expected
    latent_bytes = expected.latents[0].size
    records = np.frombuffer(output, np.uint8).reshape(-1, latent_bytes + expected.packets.shape[1])
    latents = records[:, :latent_bytes].copy().view(np.int8).reshape(-1, *expected.latents.shape[1:])
    return latents, records[:, latent_bytes:]


def assert_equal_results(output: bytes, rendered: Rendered) -> None:
    """Records of every frame against the reference; names the first difference."""
    latents, packets = split_results(output, rendered)
    expected = rendered.expected
    assert latents.shape == expected.latents.shape
    wrong = np.argwhere(latents != expected.latents)
    if len(wrong):
        frame, position, channel = wrong[0]
        raise AssertionError(
            f"latent [frame={frame}, position={position}, channel={channel}]: want "
            f"{expected.latents[frame, position, channel]}, got {latents[frame, position, channel]}; "
            f"{len(wrong)} of {latents.size} differ"
        )
    assert np.array_equal(packets, expected.packets)


def run_bare(
    board_name: str, flags: Sequence[str], sources: Iterable[Path], includes: Iterable[Path], folder: Path
) -> int:
    """Compile C with the start-up of a board's port, run it in the emulator; its exit code.

    Args:
        board_name: an emulated board.
        flags: in place of the board's own, where there are any.
        sources: the program, with a ``main``.
        includes: folders of its headers; runtime, engine and port are there already.
        folder: for the image.
    """
    board = BOARDS[board_name]
    need_target(board.name)
    image, common = folder / "image.elf", PORTS / "common"
    command = [board.compiler, "-O2", *(flags or board.cpu_flags), *board.specs, "-std=c99", *WARNINGS]
    command += ["-ffunction-sections", "-nostartfiles", "-Wl,--gc-sections", "-T", str(common / f"{board.family}.ld")]
    command += ["-L", str(PORTS / board.name)]
    command += [f"-I{path}" for path in (RUNTIME, AOT, common, PORTS / board.name, *includes)]
    parts = [*sources, common / f"{board.family}_start.c", C_TESTS / "bare_end.c"]
    done = subprocess.run([*command, *map(str, parts), "-o", str(image)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    command = [*board.emulate(image), "-serial", "null", "-semihosting-config", "enable=on,target=native"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).returncode
