"""The probes of the runtime: their arithmetic, and that nothing of them is left where they are not asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.c_support import C_TESTS, COMPILERS, RUNTIME, SANITIZERS, compile_c, run_c
from tests.support import need


@pytest.mark.parametrize("compiler", COMPILERS)
def test_probes_take_their_own_share_off(compiler: str, tmp_path: Path) -> None:
    (tmp_path / "kit_config.h").write_text("#define KIT_SAMPLE_BITS 16\n")
    sources = [RUNTIME / "kit_probe.c", C_TESTS / "probe_test.c"]
    flags = [*SANITIZERS, "-DKIT_PROBES"]
    run_c(compile_c(compiler, sources, (RUNTIME, C_TESTS, tmp_path), tmp_path / "probe_test", flags))


def test_without_probes_the_codec_is_compiled_as_if_there_were_none(tmp_path: Path) -> None:
    """The same object file, byte for byte, with the probes' lines cut out of the source."""
    (tmp_path / "kit_config.h").write_text("#define KIT_SAMPLE_BITS 16\n")
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("kit_codec.c", "kit_aot.c"):
        folder = RUNTIME if name == "kit_codec.c" else RUNTIME.parent / "engines" / "aot"
        text = (folder / name).read_text()
        # Lines are emptied, not removed: nothing else may move.
        lines = ["" if "KIT_PROBE_" in line or "kit_probe.h" in line else line for line in text.splitlines()]
        assert any("KIT_PROBE_ENTER" in line for line in text.splitlines())
        (bare / name).write_text("\n".join(lines) + "\n")
        objects = [tmp_path / f"{place}_{name}.o" for place in ("with", "bare")]
        for source, target in zip((folder / name, bare / name), objects, strict=True):
            includes = [f"-I{path}" for path in (RUNTIME, RUNTIME.parent / "engines" / "aot", tmp_path)]
            command = [need("gcc"), "-std=c99", "-O2", "-c", *includes, str(source), "-o", str(target)]
            subprocess.run(command, check=True, timeout=60)
        # The symbol table names the source file; everything else is the same.
        assert objects[0].read_bytes() == objects[1].read_bytes()
        assert b"kit_probe" not in objects[0].read_bytes()
