"""The TensorFlow Lite Micro harness in programs of other makers: CMake, two models side by side, and ``kit bench``.

All of it on the API double; what the double counts says nothing about TensorFlow Lite Micro.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from kit.cli.main import app
from kit.errors import RunnerError
from kit.files import read_npz
from kit.host.bench import BenchReport, bench_board, load_reports
from kit.host.bench_compare import compare, compare_table
from kit.host.bench_link import bench_link
from kit.host.bench_table import print_reports
from kit.host.firmware import Firmware
from kit.host.random_firmware import random_firmware
from kit.host.runner_files import input_bytes, parse_output
from kit.host.tflm_root import how_to_get
from kit.host.validate import validate, vector_frames
from kit.render.tflm import Arena
from tests.c_support import C_TESTS, RUNTIME, WARNINGS, allow_any_codebook
from tests.models import tiny_config
from tests.support import ROOT, need, need_target, seed
from tests.tflm_support import DOUBLE, double_for, tflm_root

GENEROUS = Arena(32768, 0, "Generous, for tests")
ENGINE = ROOT / "firmware" / "engines" / "tflm"
BOARD = "mps2-an386"
pytestmark = pytest.mark.timeout(600)


def run(command: list[str], folder: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, timeout=300, check=False)


def succeeded(command: list[str], folder: Path, stdin: bytes = b"") -> bytes:
    done = run(command, folder, stdin)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """An ahead-of-time build, which has the harness beside it."""
    need("make")
    folder = tmp_path_factory.mktemp("both")
    return random_firmware(folder, tiny_config(), np.random.default_rng(seed()), arena=GENEROUS)


# ---- CMake ----


def test_cmake_builds_the_harness(both: Firmware, tmp_path: Path) -> None:
    need("cmake")
    root = tflm_root(DOUBLE)
    generated = f"-DKIT_GENERATED_DIR={both.folder / 'generated'}"
    succeeded(
        ["cmake", "-S", str(ROOT), "-B", "out", generated, "-DKIT_ENGINE=tflm", f"-DTFLM_ROOT={root}"], tmp_path
    )
    succeeded(["cmake", "--build", "out", "-j2", "--target", "kit_runner"], tmp_path)
    vectors, layout = read_npz(both.artifacts / "vectors.npz"), both.layout
    (tmp_path / "in").write_bytes(input_bytes(vectors["frames"], layout.sample_bytes))
    succeeded([str(tmp_path / "out" / "kit_runner"), "in", "out.bin"], tmp_path)
    data = (tmp_path / "out.bin").read_bytes()
    found = parse_output(data, len(vectors["frames"]), both.latent_bytes, layout.frame_bytes)
    assert np.array_equal(found.packets, vectors["packets"])
    assert np.array_equal(found.latents.reshape(vectors["latents"].shape), vectors["latents"])


def complaint(folder: Path, both: Firmware, *settings: str) -> str:
    """What CMake says; it breaks its lines as it likes."""
    generated = f"-DKIT_GENERATED_DIR={both.folder / 'generated'}"
    done = run(["cmake", "-S", str(ROOT), "-B", "none", "--fresh", generated, "-DKIT_ENGINE=tflm", *settings], folder)
    assert done.returncode != 0
    return " ".join(done.stderr.decode().split())


def test_cmake_says_what_make_and_kit_say(
    both: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("cmake")
    monkeypatch.delenv("TFLM_ROOT", raising=False)
    assert f"KIT_ENGINE=tflm, but TFLM_ROOT is not set: {how_to_get()}" in complaint(tmp_path, both)
    said = complaint(tmp_path, both, "-DTFLM_ROOT=/absent")
    assert f"TFLM_ROOT=/absent is no folder: {how_to_get()}" in said
    (tmp_path / "root" / "lib").mkdir(parents=True)
    given = f"-DTFLM_ROOT={tmp_path / 'root'}"
    assert f"name it in TFLM_LIBRARY, or {how_to_get()}" in complaint(tmp_path, both, given)
    (tmp_path / "root" / "lib" / "libtensorflow-microlite.a").touch()
    assert "micro_interpreter.h is in none of:" in complaint(tmp_path, both, given)


# ---- two models in one program ----


def test_two_instances_of_two_models(tmp_path: Path) -> None:
    """Each has its own interpreter, resolver and arena; they run in turn, one poll each."""
    rng = np.random.default_rng(seed())
    ppg = tiny_config(firmware={"symbol_prefix": "ppg", "engine": "tflm"})
    ecg = tiny_config(
        signal={"frame_samples": 40}, model={"num_stages": 3}, quantize={"codebook_bits": 16},
        firmware={"symbol_prefix": "ecg", "engine": "tflm"},
    )  # fmt: skip
    builds = [random_firmware(tmp_path / c.firmware.symbol_prefix, c, rng, arena=GENEROUS) for c in (ppg, ecg)]
    generated = [build.folder / "generated" for build in builds]
    allow_any_codebook(generated[0])
    c_sources = [RUNTIME / f"kit_{name}.c" for name in ("codec", "coding", "normalise", "rvq", "pack", "crc")]
    c_sources += [path for folder in generated for path in folder.glob("*_codec.c")]
    root = tflm_root(DOUBLE)
    includes = [f"-I{folder}" for folder in (RUNTIME, ENGINE, *generated)]
    common = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DKIT_ENGINE_TFLM", *includes]
    main = C_TESTS / "two_models_main.c"
    succeeded([need("gcc"), "-std=c99", *WARNINGS, *common, "-c", *map(str, [*c_sources, main])], tmp_path)
    cxx = [*ENGINE.glob("*.cc"), *(path for folder in generated for path in folder.glob("*_tflm.cc"))]
    flags = ["-std=c++17", *WARNINGS, "-fno-exceptions", "-fno-rtti", *common, "-isystem", str(root / "include")]
    succeeded(
        [need("g++"), *flags, "-DTF_LITE_STATIC_MEMORY", "-DKIT_TFLM_DOUBLE", "-c", *map(str, cxx)], tmp_path
    )
    library = root / "lib" / "libtflm-double.a"
    objects = map(str, sorted(tmp_path.glob("*.o")))
    succeeded(["g++", "-fsanitize=address,undefined", *objects, str(library), "-o", "two"], tmp_path)
    vectors = [read_npz(build.artifacts / "vectors.npz") for build in builds]
    orders = (slice(None), slice(None, None, -1))
    samples = b"".join(each["frames"][order].tobytes() for each in vectors for order in orders)
    counts = [str(len(each["frames"])) for each in vectors]
    output = succeeded([str(tmp_path / "two"), *counts], tmp_path, samples)
    assert output == b"".join(each["packets"][order].tobytes() for each in vectors for order in orders)


# ---- packets of varying length ----


@pytest.mark.parametrize("remainder_bits", [0, 3])
def test_range_coded_packets_equal_the_golden(tmp_path: Path, remainder_bits: int) -> None:
    need("make")
    quantize = {"input_remainder_bits": remainder_bits, "latent_copies": 1 + remainder_bits}
    config = tiny_config(packet={"coding": "range"}, quantize=quantize, firmware={"engine": "tflm"})
    built = random_firmware(tmp_path, config, np.random.default_rng(seed()), arena=GENEROUS)
    device = Firmware(built.folder, "tflm", (("", tflm_root(DOUBLE)),))
    report = validate(device, ["native"], vector_frames(device), engines=["tflm"])
    last = report.outcomes[-1]
    assert report.passed and last.double and last.comparison is not None
    assert last.comparison.fields["packets"].compared > 0


# ---- kit bench ----


@pytest.fixture(scope="module")
def on_board(both: Firmware) -> Firmware:
    need_target(BOARD)
    return Firmware(both.folder, "tflm", ((BOARD, double_for(BOARD)),))


@pytest.fixture(scope="module")
def reports(both: Firmware, on_board: Firmware) -> tuple[BenchReport, BenchReport]:
    vectors = read_npz(both.artifacts / "vectors.npz")
    aot, tflm = (bench_board(each, BOARD, vectors["frames"][:2], "random") for each in (both, on_board))
    return aot, tflm


def test_all_work_of_the_interpreter_is_one_stage(reports: tuple[BenchReport, BenchReport]) -> None:
    aot, tflm = reports
    assert (aot.engine, tflm.engine) == ("aot", "tflm (double)")
    encoder = [cost for cost in tflm.stages if cost.part == "encoder"]
    assert [cost.key for cost in encoder] == ["encoder, TFLM"] and encoder[0].visits > 0
    assert encoder[0].macs == aot.total("encoder").macs and encoder[0].mean == tflm.total("encoder").mean > 0
    assert tflm.total("search").mean == pytest.approx(aot.total("search").mean, rel=0.02)


def test_memory_of_the_harness_is_told_apart(both: Firmware, reports: tuple[BenchReport, BenchReport]) -> None:
    footprint = reports[1].footprint
    assert footprint is not None
    flash, ram = footprint["flash"], footprint["ram"]
    assert sum(flash.values()) == footprint["flash_total"] and sum(ram.values()) == footprint["ram_total"]
    parts = [flash[f"TensorFlow Lite Micro, {part}"] for part in ("library", "harness", "model")]
    assert parts[2] == len(both.model_bytes()) and min(parts) > 100
    assert footprint["encoder_flash"] == sum(parts)
    assert footprint["library_flash"] == flash["compiler, C and C++ library"] > 0
    assert ram["encoder: tensor arena"] == GENEROUS.bytes
    assert footprint["encoder_state"] == GENEROUS.bytes + ram["encoder: interpreter, resolver"]


def test_a_stack_behind_pointers_is_called_unknown(reports: tuple[BenchReport, BenchReport]) -> None:
    aot, tflm = reports
    assert aot.footprint is not None and tflm.footprint is not None
    for key in ("encoder_stack", "codec_stack", "stack", "encoder_ram", "codec_ram"):
        assert tflm.footprint[key] is None and aot.footprint[key] > 0
    console = Console(width=170, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_reports([aot, tflm], console)
    text = console.export_text()
    assert "not known" in text and "called through pointers, which hide their stack" in text
    found = compare(aot, tflm)
    rows = {row.key: row for row in (*found.stages, *found.memory)}
    assert rows["encoder, TFLM"].first is None and rows["layer 0"].second is None
    assert rows["encoder"].change is not None and rows["flash: encoder"].change is not None
    assert rows["RAM: encoder with stack"].second is None and "stack of B: not known" in found.notes[0]
    console.print(compare_table(found))


def test_the_serial_line_tells_the_same(on_board: Firmware, reports: tuple[BenchReport, BenchReport]) -> None:
    line = bench_link(on_board, f"uart:{BOARD}")
    assert line.engine == "tflm (double)"
    assert line.total("encoder").mean == pytest.approx(reports[1].total("encoder").mean, rel=0.01)


def test_the_command_compares_engines(both: Firmware, on_board: Firmware, tmp_path: Path) -> None:
    root = dict(on_board.tflm_roots)[BOARD]
    where = ["--firmware", str(both.folder), "--target", f"qemu:{BOARD}", "--frames", "2"]
    given = [*where, "--tflm-root", f"{BOARD}={root}", "--json", str(tmp_path / "found.json")]
    done = CliRunner().invoke(app, ["bench", "--compare", "aot", "tflm", *given])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "found.json").read_text())["comparisons"][0]
    assert found["first"].endswith("engine aot") and found["second"].endswith("engine tflm (double)")
    done = CliRunner().invoke(app, ["bench", "--engine", "tflm", *given])
    assert done.exit_code == 0 and load_reports(tmp_path / "found.json")[0].engine == "tflm (double)"
    done = CliRunner().invoke(app, ["bench", "--engine", "reference", *where])
    assert isinstance(done.exception, RunnerError) and "engines: aot, tflm" in str(done.exception)
