"""The fuzz targets: every kept input under sanitizers, libFuzzer itself for a few seconds; ``make fuzz`` runs long."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.c_support import SANITIZERS, Rendered
from tests.fuzz.targets import (
    CORPUS,
    COVERAGE,
    FOLDER,
    FUZZER,
    LENGTH_MAX,
    NAMES,
    build_command,
    coverage,
    render_target,
    seeds,
)
from tests.support import missing, need, seed

FUZZ_SECONDS = int(os.environ.get("KIT_FUZZ_SECONDS", "3"))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render_target(tmp_path_factory.mktemp("fuzz") / "generated")


def build(name: str, rendered: Rendered, target: Path, flags: tuple[str, ...], *more: Path) -> Path:
    need("clang")
    command = build_command(name, rendered, target, flags, more)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode and "clang_rt.fuzzer" in done.stderr:
        missing("libfuzzer", "clang has no libFuzzer")
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("name", NAMES)
def test_every_kept_input(name: str, rendered: Rendered, tmp_path: Path) -> None:
    inputs = [path for path in (CORPUS / name).iterdir() if not path.name.startswith(".")]
    assert len(inputs) > 10, "the corpus is gone"
    program = build(name, rendered, tmp_path / name, SANITIZERS, FOLDER / "replay_main.c")
    done = subprocess.run([str(program), str(CORPUS / name)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"replay: {len(inputs)} inputs\n"


@pytest.mark.parametrize("name", NAMES)
def test_fuzz(name: str, rendered: Rendered, tmp_path: Path) -> None:
    program = build(name, rendered, tmp_path / name, FUZZER)
    grown = tmp_path / "grown"
    grown.mkdir()
    for key, data in seeds(name, rendered).items():
        (grown / key).write_bytes(data)
    command = [str(program), f"-max_total_time={FUZZ_SECONDS}", f"-max_len={LENGTH_MAX[name]}", "-timeout=20"]
    command += [f"-seed={seed()}", f"-artifact_prefix={tmp_path}/", str(grown), str(CORPUS / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FUZZ_SECONDS + 120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "DONE" in done.stderr


def test_the_corpus_reaches_the_parser(rendered: Rendered, tmp_path: Path) -> None:
    need("llvm-cov")
    need("llvm-profdata")
    program = build("app", rendered, tmp_path / "app", COVERAGE, FOLDER / "replay_main.c")
    found = {file.name: file for file in coverage(program, CORPUS / "app", tmp_path)}
    assert {"kit_cobs.c", "kit_crc.c", "kit_link.c", "kit_app.c"} <= found.keys()
    for name, least in {"kit_cobs.c": 0.8, "kit_crc.c": 1.0, "kit_link.c": 0.8, "kit_app.c": 0.8}.items():
        assert 1 - found[name].branches_missed / found[name].branches >= least, found[name].text
