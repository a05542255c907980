"""CRC, COBS, link and application in C, built with sanitizers by both compilers; the C programs check themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.render.protocol import render_protocol_header
from tests.c_support import (
    AOT,
    APP_SOURCES,
    C_TESTS,
    CODEC_SOURCES,
    COMPILERS,
    RUNTIME,
    SANITIZERS,
    compile_c,
    render_random,
    run_c,
)
from tests.models import tiny_config
from tests.support import seed

LINK = tuple(RUNTIME / f"kit_{name}.c" for name in ("crc", "cobs", "link"))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_link(compiler: str, tmp_path: Path) -> None:
    (tmp_path / "kit_protocol.h").write_text(render_protocol_header())
    program = compile_c(compiler, [*LINK, C_TESTS / "link_test.c"], (RUNTIME, tmp_path), tmp_path / "link_test")
    assert b"all checks hold" in run_c(program)


MODELS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "wide_samples": {"signal": {"frame_samples": 64, "sample_bits": 24}},
    "no_side_information": {"packet": {"side_information": False}},
    "three_frames": {"packet": {"frames_per_packet": 3}, "firmware": {"ring_margin_samples": 8}},
    "sixteen_frames": {"packet": {"frames_per_packet": 16, "side_information": False}},
}


@pytest.mark.parametrize(
    ("model", "compiler"),
    [
        ("tiny", "gcc"),
        ("tiny", "clang"),
        ("wide_samples", "clang"),
        ("no_side_information", "gcc"),
        ("three_frames", "clang"),
        ("sixteen_frames", "gcc"),
    ],
)
def test_app(model: str, compiler: str, tmp_path: Path) -> None:
    rendered = render_random(tiny_config(**MODELS[model]), tmp_path / "generated", seed())
    sources = [*CODEC_SOURCES, *APP_SOURCES, *sorted(rendered.folder.glob("*.c"))]
    sources += [C_TESTS / name for name in ("fake_port.c", "app_peer.c", "app_test.c")]
    program = compile_c(compiler, sources, (RUNTIME, AOT, rendered.folder, C_TESTS), tmp_path / "app_test")
    assert b"all checks hold" in run_c(program)


@pytest.mark.parametrize(("model", "compiler"), [("tiny", "clang"), ("three_frames", "gcc")])
def test_failing_engine(model: str, compiler: str, tmp_path: Path) -> None:
    rendered = render_random(tiny_config(**MODELS[model]), tmp_path / "generated", seed())
    sources = [*CODEC_SOURCES, *APP_SOURCES, *sorted(rendered.folder.glob("*.c"))]
    sources += [C_TESTS / name for name in ("fake_port.c", "app_peer.c", "engine_test.c")]
    flags = (*SANITIZERS, "-Wl,--wrap=kit_engine_begin", "-Wl,--wrap=kit_engine_step")
    program = compile_c(compiler, sources, (RUNTIME, AOT, rendered.folder, C_TESTS), tmp_path / "engine_test", flags)
    assert b"all checks hold" in run_c(program)
