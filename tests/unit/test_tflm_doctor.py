"""``kit doctor --tflm``: every defect of a TFLM_ROOT is found and said; a sound one passes, the real one included."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kit.cli.main import app
from kit.errors import ConfigError, RunnerError, ToolchainError
from kit.host.boards import BOARDS
from kit.host.tflm_doctor import Check, examine_tflm
from kit.host.tflm_library import read_library
from kit.host.tflm_root import find_tflm
from kit.host.tflm_target import describe, examine_target
from tests.support import ROOT, missing, need
from tests.tflm_archives import (
    CMSIS_RELEASE,
    CONV,
    DYNAMIC,
    LOGS,
    PRINTF,
    RANGE,
    RELEASE,
    TEMPORARY,
    Member,
    tflm_root,
)

ENCODER = ROOT / "zoo" / "bench_seed" / "encoder.tflite"
STRIPPED = "-DTF_LITE_STATIC_MEMORY -DTF_LITE_STRIP_ERROR_STRINGS"


def checks(root: Path, target: str | None = "native", model: Path | None = ENCODER) -> dict[str, Check]:
    need("g++")
    return {check.name: check for check in examine_tflm(find_tflm(root, {}), target, model)}


def wrong(found: Mapping[str, Check]) -> list[str]:
    return [name for name, check in found.items() if check.state == "wrong"]


def test_sound_roots(tmp_path: Path) -> None:
    for name, members, flags in (
        ("release", RELEASE, STRIPPED),
        ("logs", LOGS, "-DTF_LITE_STATIC_MEMORY"),
        ("cmsis", CMSIS_RELEASE, f"{STRIPPED} -DCMSIS_NN"),
        ("dynamic", DYNAMIC, "-DTF_LITE_STRIP_ERROR_STRINGS"),
    ):
        found = checks(tflm_root(tmp_path / name, members, flags))
        assert {check.state for check in found.values()} == {"ok"}, found
        assert found["schema"].says == "version 3, as the kit writes"
        assert found["model"].says == "encoder.tflite: CONV_2D, DEPTHWISE_CONV_2D"


@pytest.mark.parametrize(
    ("members", "flags", "name", "says", "fix"),
    [
        (RELEASE, "-DTF_LITE_STRIP_ERROR_STRINGS", "TF_LITE_STATIC_MEMORY", "library with it, headers without", "add"),
        (DYNAMIC, STRIPPED, "TF_LITE_STATIC_MEMORY", "headers with it, library without: common.o has", "build the lib"),
        (RELEASE, "-DTF_LITE_STATIC_MEMORY", "TF_LITE_STRIP_ERROR_STRINGS", "library with it, headers without", "add"),
        (LOGS, STRIPPED, "TF_LITE_STRIP_ERROR_STRINGS", "library without: 1 of 6 members print", "take it out"),
        (RELEASE, f"{STRIPPED} -DCMSIS_NN", "CMSIS_NN", "library without: conv.o calls nothing", "take -DCMSIS_NN out"),
        (CMSIS_RELEASE, STRIPPED, "CMSIS_NN", "headers without: conv.o calls arm_convolve_wrapper_s8", "add -D"),
    ],
)
def test_headers_and_library_disagree(
    tmp_path: Path, members: Mapping[str, Member], flags: str, name: str, says: str, fix: str
) -> None:
    found = checks(tflm_root(tmp_path / "root", members, flags))
    # Headers for CMSIS-NN also register what a library without it does not have.
    assert wrong(found) == ([name, "kernels"] if "-DCMSIS_NN" in flags else [name])
    assert says in found[name].says and found[name].fix.startswith(fix)


def test_headers_count_not_the_flags(tmp_path: Path) -> None:
    """A vendor may define the macro in a header."""
    root = tflm_root(tmp_path / "root", RELEASE, "-DTF_LITE_STRIP_ERROR_STRINGS")
    common = root / "include/tensorflow/lite/c/common.h"
    common.write_text("#define TF_LITE_STATIC_MEMORY 1\n" + common.read_text(encoding="utf-8"), encoding="utf-8")
    assert wrong(checks(root)) == []


def test_a_library_of_two_builds(tmp_path: Path) -> None:
    mixed = {**RELEASE, "kernel_util.o": Member((RANGE, TEMPORARY))}
    found = checks(tflm_root(tmp_path / "memory", mixed))
    assert wrong(found) == ["TF_LITE_STATIC_MEMORY"]
    assert "built differently: common.o with, kernel_util.o without" in found["TF_LITE_STATIC_MEMORY"].says
    found = checks(tflm_root(tmp_path / "print", {**RELEASE, "conv.o": Member((CONV,), (PRINTF,))}))
    assert wrong(found) == ["TF_LITE_STRIP_ERROR_STRINGS"]
    assert "conv.o calls MicroPrintf, which no member defines" in found["TF_LITE_STRIP_ERROR_STRINGS"].says


def test_kernels_without_cmsis_nn_itself(tmp_path: Path) -> None:
    members = {name: member for name, member in CMSIS_RELEASE.items() if not name.startswith("arm_")}
    found = checks(tflm_root(tmp_path / "root", members, f"{STRIPPED} -DCMSIS_NN"))
    assert wrong(found) == ["CMSIS-NN"]
    assert found["CMSIS-NN"].says == "kernels call arm_convolve_wrapper_s8, which the library does not hold"


def test_a_missing_kernel_is_named(tmp_path: Path) -> None:
    members = {name: member for name, member in RELEASE.items() if name != "depthwise_conv.o"}
    found = checks(tflm_root(tmp_path / "root", members))
    assert wrong(found) == ["kernels"]
    assert found["kernels"].says == "the library lacks DEPTHWISE_CONV_2D"


def test_a_library_that_is_not_tflm_and_tells_nothing(tmp_path: Path) -> None:
    found = checks(tflm_root(tmp_path / "root", {"x.o": Member(("something_else",))}), model=None)
    assert wrong(found) == ["library"]
    unknown = [name for name, check in found.items() if check.state == "unknown"]
    assert unknown == ["TF_LITE_STATIC_MEMORY", "TF_LITE_STRIP_ERROR_STRINGS", "CMSIS_NN", "kernels"]


def test_a_header_that_is_missing(tmp_path: Path) -> None:
    root = tflm_root(tmp_path / "root", RELEASE)
    (root / "include/tensorflow/lite/schema/schema_generated.h").unlink()
    found = checks(root)
    assert wrong(found) == ["headers"]
    assert found["headers"].says == "tensorflow/lite/schema/schema_generated.h is in no include folder"
    assert found["schema"].state == "unknown"


def test_another_schema_and_other_flatbuffers(tmp_path: Path) -> None:
    root = tflm_root(tmp_path / "root", RELEASE)
    interpreter = root / "include/tensorflow/lite/micro/micro_interpreter.h"
    text = interpreter.read_text(encoding="utf-8")
    assert "#define TFLITE_SCHEMA_VERSION (3)" in text
    numbers = {"MAJOR": (23, 25), "MINOR": (5, 9), "REVISION": (26, 23)}
    versions = "".join(f"#define FLATBUFFERS_VERSION_{part} {found}\n" for part, (found, _) in numbers.items())
    interpreter.write_text(text.replace("VERSION (3)", "VERSION (4)") + versions, encoding="utf-8")
    schema = root / "include/tensorflow/lite/schema/schema_generated.h"
    asserted = " && ".join(f"FLATBUFFERS_VERSION_{part} == {wanted}" for part, (_, wanted) in numbers.items())
    schema.write_text(f"{schema.read_text(encoding='utf-8')}/* {asserted} */\n", encoding="utf-8")
    found = checks(root)
    assert wrong(found) == ["FlatBuffers", "schema"]
    assert found["schema"].says == "the headers read schema version 4, the kit writes 3"
    assert "generated for FlatBuffers 25.9.23, the include folders have 23.5.26" in found["FlatBuffers"].says


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data[:4000], "is truncated or damaged"),
        (lambda data: b"", "is no .tflite model"),
    ],
)
def test_a_damaged_model(tmp_path: Path, change: object, expected: str) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(change(ENCODER.read_bytes()))  # type: ignore[operator]
    found = checks(tflm_root(tmp_path / "root", RELEASE), model=path)
    assert wrong(found) == ["model"]
    assert expected in found["model"].says


M4 = ("arm-none-eabi-gcc", *BOARDS["mps2-an386"].cpu_flags)


@pytest.mark.parametrize(
    ("flags", "board", "expected"),
    [
        (M4[1:], "mps2-an386", ""),
        (M4[1:], "mps2-an500", ""),
        (M4[1:], "mps2-an385", "a core of v7 does not run its instructions"),
        (M4[1:], "microbit", "a core of v6S-M does not run its instructions"),
        (M4[1:], "riscv-virt", "the target is RISC-V 32 bit, soft-float"),
        (M4[1:], "native", "the target is "),
        (("-mthumb", "-mcpu=cortex-m3"), "mps2-an385", ""),
        (("-mthumb", "-mcpu=cortex-m3"), "mps2-an386", "the target passes floats in FPU registers"),
        (("-mthumb", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=softfp"), "mps2-an386", "in FPU registers"),
        (("-mthumb", "-mcpu=cortex-m55", "-mfloat-abi=hard"), "mps3-an547", ""),
        (("-mthumb", "-mcpu=cortex-m55", "-mfloat-abi=hard"), "mps2-an500", "does not run its instructions"),
    ],
)
def test_libraries_of_another_processor(tmp_path: Path, flags: tuple[str, ...], board: str, expected: str) -> None:
    need(BOARDS[board].compiler if board in BOARDS else "gcc")
    root = tflm_root(tmp_path / "root", RELEASE, compiler=("arm-none-eabi-gcc", *flags))
    check = checks(root, board)["target"]
    assert (check.state, expected in check.says) == ("wrong" if expected else "ok", True)
    assert not expected or board in check.fix


def test_one_member_of_another_float_abi(tmp_path: Path) -> None:
    need("arm-none-eabi-gcc")
    root = tflm_root(tmp_path / "root", RELEASE, compiler=M4)
    soft = tflm_root(tmp_path / "soft", {"soft.o": Member(("soft",))}, compiler=(*M4, "-mfloat-abi=softfp"))
    library = root / "lib/libtensorflow-microlite.a"
    shutil.copy(soft / "lib/libtensorflow-microlite-objects/soft.o", tmp_path)
    subprocess.run(["ar", "rD", str(library), str(tmp_path / "soft.o")], check=True)
    check = checks(root, "mps2-an386")["target"]
    assert check.state == "wrong" and "soft.o is for Arm v7E-M, soft-float" in check.says


def test_boards_that_a_library_serves(tmp_path: Path) -> None:
    need("arm-none-eabi-gcc")
    check = checks(tflm_root(tmp_path / "root", RELEASE, compiler=M4), None)["target"]
    assert check.says == "runs on mps2-an386, mps2-an500, mps3-an547"


def test_an_unknown_board(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="no board 'esp32'"):
        checks(tflm_root(tmp_path / "root", RELEASE), "esp32")


def test_the_command(tmp_path: Path) -> None:
    need("g++")
    runner = CliRunner()
    sound = tflm_root(tmp_path / "sound", RELEASE)
    done = runner.invoke(app, ["doctor", "--tflm", str(sound), "--model", str(ENCODER), "--json"])
    assert done.exit_code == 0, done.output
    assert {row["state"] for row in json.loads(done.output)} == {"ok"}
    ill = tflm_root(tmp_path / "ill", DYNAMIC)
    done = runner.invoke(app, ["doctor", "--tflm", str(ill), "--model", str(ENCODER)])
    assert done.exit_code == 1
    assert f"kit: wrong in {ill}: TF_LITE_STATIC_MEMORY" in done.output
    for arguments, expected in (
        (["doctor", str(sound)], "ROOT without --tflm"),
        (["doctor", "--tflm", str(sound), "--run", "a", "--model", "b"], "both name an encoder"),
    ):
        done = runner.invoke(app, arguments)
        assert isinstance(done.exception, ConfigError) and expected in str(done.exception)


def test_without_the_compiler_flags_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("gcc")
    root = tflm_root(tmp_path / "root", RELEASE)
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = {check.name: check for check in examine_tflm(find_tflm(root, {}), "native", ENCODER)}
    assert (found["headers"].state, found["headers"].says) == ("unknown", "no-such-compiler is not installed")
    assert wrong(found) == [] and found["TF_LITE_STATIC_MEMORY"].state == "ok"
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ToolchainError, match="no-such-compiler is not installed"):
        examine_tflm(find_tflm(root, {}), "native", ENCODER)


def test_a_real_root() -> None:
    """The flags of a real build agree with its symbols, and each flag taken away is missed."""
    if not os.environ.get("TFLM_ROOT"):
        missing("tflm", "TFLM_ROOT is not set")
    root = find_tflm()
    library = read_library(root.library)
    found = {check.name: check for check in examine_tflm(root, None, ENCODER)}
    assert wrong(found) == [] and library.is_tflm
    assert found["kernels"].state == found["headers"].state == "ok"
    for flag in ("TF_LITE_STATIC_MEMORY", "TF_LITE_STRIP_ERROR_STRINGS", "CMSIS_NN"):
        rest = [f for f in root.flags if f != f"-D{flag}"]
        flags = " ".join(rest if len(rest) < len(root.flags) else [*root.flags, f"-D{flag}"])
        other = find_tflm(root.root, {"TFLM_FLAGS": flags})
        assert flag in wrong({check.name: check for check in examine_tflm(other, None, ENCODER)})


def test_what_this_machine_compiles_is_described() -> None:
    need("gcc")
    target = examine_target("native")
    assert describe(target.sample).endswith(f"{target.sample.bits} bit")
