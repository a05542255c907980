"""The link parser and the application under libFuzzer for a few seconds, starting from every valid message."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kit.wire.framing import frame
from kit.wire.messages import encode
from kit.wire.registry import PROTOCOL_VERSION
from tests.c_support import AOT, C_TESTS, CODEC_SOURCES, RUNTIME, WARNINGS, Rendered, render_random
from tests.models import tiny_config
from tests.support import ROOT, missing, need, seed

FUZZ_SECONDS = int(os.environ.get("KIT_FUZZ_SECONDS", "4"))
APP = tuple(RUNTIME / f"kit_{name}.c" for name in ("app", "reply", "link", "cobs", "crc"))
FLAGS = ("-O1", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")


def build(rendered: Rendered, target: Path) -> Path:
    """The fuzzer; skips where clang has no libFuzzer."""
    sources = [*CODEC_SOURCES, *APP, *sorted(rendered.folder.glob("*.c"))]
    sources += [C_TESTS / "fake_port.c", ROOT / "tests" / "fuzz" / "fuzz_link.c"]
    includes = [f"-I{path}" for path in (RUNTIME, AOT, rendered.folder, C_TESTS)]
    command = [need("clang"), "-std=c99", *WARNINGS, *FLAGS, *includes, *map(str, sources), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode and "clang_rt.fuzzer" in done.stderr:
        missing("libfuzzer", "clang has no libFuzzer")
    assert done.returncode == 0, done.stderr
    return target


def write_seeds(folder: Path, rendered: Rendered) -> None:
    """One input per message that a host sends, behind the byte that sets the speed of the line."""
    folder.mkdir()
    messages = {
        "hello": encode("HELLO_REQUEST", request=1, protocol=PROTOCOL_VERSION),
        "encode": encode("ENCODE_FRAME", frame=3, samples=rendered.frames[0].tobytes()),
        "self_test": encode("SELF_TEST", request=2),
        "fast": encode("STREAM_START", request=3, mode=1, packets=3),
        "realtime": encode("STREAM_START", request=4, mode=0, packets=0),
        "stop": encode("STREAM_STOP", request=5),
        "counters": encode("COUNTERS_REQUEST", request=6),
    }
    for name, message in messages.items():
        (folder / name).write_bytes(b"\x40" + frame(message))
    (folder / "all").write_bytes(b"\x03" + b"".join(frame(message) for message in messages.values()))


def test_fuzz_link(tmp_path: Path) -> None:
    rendered = render_random(tiny_config(), tmp_path / "generated", seed())
    program = build(rendered, tmp_path / "fuzz_link")
    write_seeds(tmp_path / "seeds", rendered)
    command = [str(program), f"-max_total_time={FUZZ_SECONDS}", "-max_len=4096", "-timeout=20", f"-seed={seed()}"]
    command += [f"-artifact_prefix={tmp_path}/", str(tmp_path / "seeds")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FUZZ_SECONDS + 120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "DONE" in done.stderr
