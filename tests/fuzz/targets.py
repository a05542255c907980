"""The libFuzzer targets of the device's receiver: how they are built, what they start from, what they cover."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.wire.coding import CodingModel
from kit.wire.framing import frame
from kit.wire.messages import encode
from kit.wire.range_coder import encode as encode_indices
from kit.wire.registry import PROTOCOL_VERSION
from tests.c_support import AOT, APP_SOURCES, C_TESTS, CODEC_SOURCES, RUNTIME, WARNINGS, Rendered, render_random
from tests.coding_cases import header_text, likely_indices, random_model
from tests.models import tiny_config
from tests.support import ROOT

FOLDER = ROOT / "tests" / "fuzz"
CORPUS = FOLDER / "corpus"
"""One folder per target: a small set of inputs that reaches what fuzzing found, and every input that found a fault."""

PARSERS = tuple(RUNTIME / f"kit_{name}.c" for name in ("cobs", "crc", "link", "reply", "packet", "stream", "app"))
"""What takes bytes from the line apart and answers them."""

FUZZER = ("-O2", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
COVERAGE = ("-O0", "-g", "-fprofile-instr-generate", "-fcoverage-mapping")
_LINK = tuple(RUNTIME / f"kit_{name}.c" for name in ("cobs", "crc", "link"))
NAMES = ("link", "app", "coding")
LENGTH_MAX = {"link": 600, "app": 200, "coding": 40}
"""Longest input in bytes: some of the longest messages one behind the other."""
SEED = 7


def render_target(folder: Path) -> Rendered:
    """The smallest model there is, with two frames per packet: most of the time goes to the parser."""
    config = tiny_config(
        signal={"frame_samples": 16},
        model={"embedding_dim": 2, "latent_width": 4, "num_stages": 2, "base_filters": 2},
        packet={"frames_per_packet": 2},
        firmware={"ring_margin_samples": 4},
    )
    rendered = render_random(config, folder, SEED)
    (folder / "coding.h").write_text(header_text(coding_model(network=False)))
    (folder / "coding_network.h").write_text(header_text(coding_model(network=True), "net"))
    settings = folder / "kit_config.h"
    settings.write_text(settings.read_text().replace("KIT_CODING_NETWORK 0", "KIT_CODING_NETWORK 1"))
    return rendered


def coding_model(network: bool) -> CodingModel:
    """What the target ``coding`` codes with: one model or the other."""
    model = random_model(np.random.default_rng(SEED), 2, 6, network)
    assert not any(level.uniform for level in model.levels)
    return model


def sources(name: str, rendered: Rendered) -> list[Path]:
    """C files of a target."""
    own = FOLDER / f"fuzz_{name}.c"
    if name == "link":
        return [*_LINK, own]
    if name == "coding":
        return [RUNTIME / "kit_coding.c", C_TESTS / "coding_decode.c", own]
    return [*CODEC_SOURCES, *APP_SOURCES, *sorted(rendered.folder.glob("*.c")), C_TESTS / "fake_port.c", own]


def build_command(
    name: str, rendered: Rendered, target: Path, flags: Sequence[str], more: Sequence[Path] = ()
) -> list[str]:
    """The compiler's command line."""
    includes = [f"-I{path}" for path in (RUNTIME, AOT, rendered.folder, C_TESTS)]
    files = [str(path) for path in (*sources(name, rendered), *more)]
    return ["clang", "-std=c99", *WARNINGS, *flags, *includes, *files, "-o", str(target)]


def seeds(name: str, rendered: Rendered) -> dict[str, bytes]:
    """Inputs to start from: every message that a host sends, on the line and ready to be framed, and all in a row."""
    if name == "coding":
        return _coding_seeds()
    messages = {
        "hello": encode("HELLO_REQUEST", request=1, protocol=PROTOCOL_VERSION),
        "old_hello": encode("HELLO_REQUEST", request=1, protocol=1),
        "encode": encode("ENCODE_FRAME", frame=3, samples=rendered.frames[0].tobytes()),
        "self_test": encode("SELF_TEST", request=2),
        "fast": encode("STREAM_START", request=3, mode=1, packets=3),
        "realtime": encode("STREAM_START", request=4, mode=0, packets=0),
        "stop": encode("STREAM_STOP", request=5),
        "counters": encode("COUNTERS_REQUEST", request=6),
        "profile": encode("PROFILE_REQUEST", request=7, stage=0),
    }
    crc_bytes = {key: 4 if key == "encode" else 2 for key in messages}
    bare = {key: message[: -crc_bytes[key]] for key, message in messages.items()}
    if name == "link":
        line = {key: b"\x80\0" + frame(message) for key, message in messages.items()}
        queued = b"".join(bytes([len(message), *message, 133]) for key, message in bare.items() if key != "encode")
        sent = {f"send_{key}": b"\x80\1" + message for key, message in bare.items()}
        return line | sent | {"queue": b"\0\3" + queued + b"\x63" + bytes(99) + b"\x61" + bytes(97)}
    line = {key: b"\x40" + frame(message) for key, message in messages.items()}
    framed = {key: bytes([0xC0, len(message)]) + message + b"\0" for key, message in bare.items()}
    everything = b"".join(bytes([len(message)]) + message for message in bare.values())
    twice = 2 * (bytes([len(bare["encode"])]) + bare["encode"])
    return (
        line
        | {f"framed_{key}": message for key, message in framed.items()}
        | {
            "all": b"\x03" + b"".join(frame(message) for message in messages.values()),
            "framed_all": b"\x83" + everything + b"\0",
            "framed_two": b"\xff" + twice + b"\0",
        }
    )


def _coding_seeds() -> dict[str, bytes]:
    """Codes of likely indices, and indices."""
    rng, found = np.random.default_rng(SEED), {}
    for network in (False, True):
        model = coding_model(network)
        indices = likely_indices(rng, model, 40, 14)
        codes = encode_indices(indices, model)
        for number, (data, length) in enumerate(zip(codes.data, codes.lengths, strict=True)):
            found[f"code{number}_{network:d}"] = bytes([2 * network]) + data[:length].tobytes()
        for number, row in enumerate(indices[:8]):
            found[f"indices{number}_{network:d}"] = bytes([1 + 2 * network]) + row.astype(np.uint8).tobytes()
    return found


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """How much of a file was run: counts, and how many of them were not reached."""

    name: str
    lines: int
    lines_missed: int
    branches: int
    branches_missed: int

    @property
    def text(self) -> str:
        """One line."""
        share = 100 * (1 - self.branches_missed / self.branches) if self.branches else 100.0
        return (
            f"{self.name:14s} branches {self.branches - self.branches_missed:4d} of {self.branches:4d} "
            f"({share:5.1f} %), "
            f"lines {self.lines - self.lines_missed:4d} of {self.lines:4d}"
        )


def coverage(program: Path, corpus: Path, scratch: Path) -> list[FileCoverage]:
    """Run a program built with ``COVERAGE`` over a corpus; what it reached in each of ``PARSERS``.

    Raises:
        subprocess.CalledProcessError: the program or LLVM's tools fail.
    """
    raw, profile = scratch / "raw.profraw", scratch / "merged.profdata"
    subprocess.run([str(program), str(corpus)], check=True, env={"LLVM_PROFILE_FILE": str(raw)}, capture_output=True)
    subprocess.run(["llvm-profdata", "merge", "-o", str(profile), str(raw)], check=True)
    command = ["llvm-cov", "report", str(program), f"-instr-profile={profile}", "-show-branch-summary=true"]
    command += ["-show-region-summary=false", *map(str, PARSERS)]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = []
    for line in report.splitlines():
        name, *numbers = line.split()[:1] + re.findall(r"\s(\d+)(?=\s)", line + " ") if line.strip() else [""]
        if name.endswith(".c") and len(numbers) >= 6:
            functions, _, lines, lines_missed, branches, branches_missed = map(int, numbers[:6])
            if functions:
                found.append(FileCoverage(Path(name).name, lines, lines_missed, branches, branches_missed))
    return found
