"""The TensorFlow Lite Micro harness: right latents, measured arena, and every bad input named.

The same tests run on the API double and, where TFLM_ROOT names one for this machine, on the real library.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.errors import ConfigError, EngineError, LinkError, RenderError, RunnerError, ToolchainError, UnsupportedOpError
from kit.golden.arena import WheelArena
from kit.host.arena import Measured, arena_of_targets, arena_of_wheel, kernel_scratch_bytes, measure
from kit.host.emulator import start
from kit.host.firmware import Firmware
from kit.host.link import Link
from kit.host.random_firmware import random_firmware
from kit.host.tflm_root import how_to_get
from kit.host.validate import validate, vector_frames
from kit.render.tflm import Arena, operator_names, tflm_view
from kit.render.views import encoder_file_view
from tests.models import encoder_for, tiny_config, with_operator, with_schema_version
from tests.support import need, need_arm_cxx, need_golden, seed
from tests.tflm_support import DOUBLE, REAL, tflm_root

GENEROUS = Arena(65536, 0, "Generous, for tests")
BOTH = (DOUBLE, REAL)
pytestmark = pytest.mark.timeout(900)  # the real library's headers take a compiler seconds a file


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    hidden = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "TFLM_ROOT", "ENGINE")
    clean = {k: v for k, v in os.environ.items() if k not in hidden}
    return subprocess.run(
        command, cwd=folder, env={**clean, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """A depthwise stage is in it: three stages."""
    need("make")
    need("g++")
    config = tiny_config(model={"num_stages": 3}, signal={"frame_samples": 64})
    return random_firmware(
        tmp_path_factory.mktemp("tflm"), config, np.random.default_rng(seed()), arena=GENEROUS
    )


@pytest.fixture(scope="module", params=BOTH)
def firmware(request: pytest.FixtureRequest, rendered: Firmware, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """A folder per library, so that images of one are not taken for those of the other."""
    root = tflm_root(request.param)
    folder = tmp_path_factory.mktemp(request.param) / "firmware"
    shutil.copytree(rendered.folder, folder)
    return Firmware(folder, "tflm", (("", root),))


def root_of(firmware: Firmware) -> str:
    return str(dict(firmware.tflm_roots)[""])


def make(firmware: Firmware, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(["make", *arguments, "ENGINE=tflm", f"TFLM_ROOT={root_of(firmware)}"], firmware.folder)


def test_latents_packets_and_layers_equal_the_golden(firmware: Firmware) -> None:
    report = validate(firmware, ["native"], vector_frames(firmware), engines=["tflm"], layers=True)
    assert report.passed, [outcome.detail for outcome in report.outcomes]
    last = report.outcomes[-1]
    assert (last.engine, last.target) == ("tflm", "native")
    assert last.comparison is not None and "latents" in last.comparison.fields


def test_the_ahead_of_time_engine_is_beside_it(firmware: Firmware) -> None:
    report = validate(firmware, ["native"], vector_frames(firmware), engines=["aot", "tflm"])
    assert report.passed and {"aot", "tflm"} <= {outcome.engine for outcome in report.outcomes}
    assert firmware.image("runner") != replace(firmware, chosen_engine="aot").image("runner")


def test_hello_says_engine_and_used_arena(firmware: Firmware, request: pytest.FixtureRequest) -> None:
    with start(firmware, "native") as device, Link.open(device.port) as link:
        hello = link.hello()
        used = measure(firmware).used
        assert hello.arena_used_bytes == used > 0
        assert hello.engine == ("double" if DOUBLE in request.node.name else "tflm")
        assert link.self_test().integer("failed") == 0


def test_the_smallest_arena_is_enough_and_one_byte_less_is_refused(firmware: Firmware, tmp_path: Path) -> None:
    firmware = copy_of(firmware, tmp_path)
    found = measure(firmware)
    assert 0 < found.used <= found.needed, "planning may take more than is kept"
    exact = make(firmware, "runner", f"CFLAGS=-DKIT_TFLM_ARENA_BYTES={found.needed}")
    assert exact.returncode == 0, exact.stderr
    image = firmware.folder / "build" / "native-tflm" / "runner"
    assert "cannot be opened" in run([str(image), "absent", "out"], firmware.folder).stderr
    record_need(firmware, found.needed)
    assert make(firmware, "runner", f"CFLAGS=-DKIT_TFLM_ARENA_BYTES={found.needed - 1}").returncode == 0
    done = run([str(image), "absent", "out"], firmware.folder)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"kit_runner: codec does not start: the tensor arena is too small: needs {found.needed} bytes, "
        f"has {found.needed - 1} bytes"
    )
    record_need(firmware, 0)
    # Without a recorded need it is tried, and TensorFlow Lite Micro itself says no.
    assert make(firmware, "runner", f"CFLAGS=-DKIT_TFLM_ARENA_BYTES={found.needed - 1}").returncode == 0
    done = run([str(image), "absent", "out"], firmware.folder)
    assert done.returncode == 1 and "cannot prepare the model" in done.stderr


def record_need(firmware: Firmware, needed: int) -> None:
    header = firmware.folder / "generated" / "tiny_tflm.h"
    text, count = re.subn(r"_ARENA_NEEDED_BYTES \d+", f"_ARENA_NEEDED_BYTES {needed}", header.read_text())
    assert count == 3
    header.write_text(text)


def test_an_application_whose_arena_is_too_small_says_so_to_the_host(firmware: Firmware, tmp_path: Path) -> None:
    broken = copy_of(firmware, tmp_path)
    header = broken.folder / "generated" / "tiny_tflm.h"
    header.write_text(header.read_text().replace("_ARENA_NEEDED_BYTES 0", "_ARENA_NEEDED_BYTES 65636"))
    with start(broken, "native") as device, Link.open(device.port) as link:
        with pytest.raises(LinkError, match=r"the tensor arena is too small \(status -12, detail 100\)"):
            link.hello()
        assert device.exit_code is None, "it goes on answering"


def copy_of(firmware: Firmware, folder: Path) -> Firmware:
    """A copy to damage, with what is compiled already."""
    target = folder / "firmware"
    shutil.copytree(firmware.folder, target)
    return replace(firmware, folder=target)


def with_model(firmware: Firmware, model: bytes) -> None:
    """Carry another model, with its length and check value: what the checks behind those must find."""
    folder, view = firmware.folder / "generated", encoder_file_view(model)
    header, source = folder / "encoder.h", folder / "tiny_tflm.cc"
    body = "\n".join(f"    {', '.join(row)}," for row in view.rows)
    text = re.sub(r"= \{\n.*\n\};", lambda _: f"= {{\n{body}\n}};", header.read_text(), flags=re.DOTALL)
    header.write_text(re.sub(r"(_ENCODER_BYTES) \d+u", rf"\1 {len(model)}u", text))
    text = re.sub(r"0x[0-9a-f]{8}u, /\* crc32 \*/", f"0x{zlib.crc32(model):08x}u, /* crc32 */", source.read_text())
    source.write_text(text)


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def tables_of(firmware: Firmware) -> Path:
    return firmware.folder / "generated" / "tiny_tflm.cc"


def misaligned(firmware: Firmware) -> None:
    replace_in(tables_of(firmware), "    tiny_encoder_tflite,", "    tiny_encoder_tflite + 4,")


def truncated(firmware: Firmware) -> None:
    header = firmware.folder / "generated" / "encoder.h"
    lines = header.read_text().splitlines(keepends=True)
    bytes_of = [i for i, line in enumerate(lines) if line.startswith("    0x")]
    for i in bytes_of[len(bytes_of) // 2 :]:
        lines[i] = ""
    header.write_text("".join(lines))


def another_schema(firmware: Firmware) -> None:
    with_model(firmware, with_schema_version(firmware.model_bytes(), 2))


def unregistered_operator(firmware: Firmware) -> None:
    with_model(firmware, with_operator(firmware.model_bytes(), 1, "ADD"))


def another_type(firmware: Firmware) -> None:
    replace_in(tables_of(firmware), "        9, /* int8 */", "        1, /* int8 */")


def another_shape(firmware: Firmware) -> None:
    replace_in(tables_of(firmware), "{ 1, 1, 64, 1 }", "{ 1, 1, 65, 1 }")


def another_zero_point(firmware: Firmware) -> None:
    replace_in(tables_of(firmware), "        0, /* zero point */", "        3, /* zero point */")


def another_scale(firmware: Firmware) -> None:
    replace_in(tables_of(firmware), "0x3d000000u", "0x3d000001u")


BAD_STARTS = {
    misaligned: "the model array does not start at a multiple of 16 bytes: expected 16, found 4",
    truncated: "the model array is truncated or changed",
    another_schema: "the model has another schema version than TensorFlow Lite Micro reads: expected 3, found 2",
    unregistered_operator: "the model has an operator that was not registered",
    another_type: "input or output tensor is not of the type rendered for: expected 1, found 9",
    another_shape: "input or output tensor has another shape than rendered for: expected 65, found 64",
    another_zero_point: "input or output tensor has another quantization than rendered for: expected 3, found 0",
    another_scale: "input or output tensor has another quantization than rendered for: expected 1023410177, found",
}


@pytest.mark.parametrize("damage", BAD_STARTS, ids=lambda damage: damage.__name__)
def test_a_bad_start_has_its_own_sentence(firmware: Firmware, damage: object, tmp_path: Path) -> None:
    broken = copy_of(firmware, tmp_path)
    damage(broken)  # type: ignore[operator]
    with pytest.raises(RunnerError, match="codec does not start: " + re.escape(BAD_STARTS[damage])):  # type: ignore[index]
        validate_native(broken)


def validate_native(firmware: Firmware) -> None:
    """Run it, and raise what the runner says."""
    from kit.host.image_runner import ImageRunner

    ImageRunner(firmware).run(vector_frames(firmware).frames)


@pytest.mark.parametrize("compiler", [("gcc", "g++"), ("clang", "clang++")], ids=lambda pair: pair[1])
def test_harness_compiles_without_a_warning(firmware: Firmware, compiler: tuple[str, str], tmp_path: Path) -> None:
    for tool in compiler:
        need(tool)
    fresh = copy_of(firmware, tmp_path)
    done = make(fresh, "image", f"CC={compiler[0]}", f"CXX={compiler[1]}", "CXXFLAGS=-Wold-style-cast")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    symbols = run(["nm", "-C", str(fresh.folder / "build" / "native-tflm" / "obj" / "kit_tflm.o")], tmp_path).stdout
    assert "kit_engine_step" in symbols
    assert not re.search(r"\b(?:malloc|operator new\(|operator delete|__cxa_throw|__cxa_allocate|typeinfo)", symbols)


def test_sanitizers_find_nothing(firmware: Firmware, tmp_path: Path) -> None:
    fresh = copy_of(firmware, tmp_path)
    flags = "CFLAGS=-g -fsanitize=address,undefined -fno-sanitize-recover=all"
    done = make(fresh, "runner", flags, "LDFLAGS=-fsanitize=address,undefined")
    assert done.returncode == 0, done.stderr
    validate_image(fresh)


def validate_image(firmware: Firmware) -> None:
    """The image as it was just made, without make, against the recorded vectors."""
    from kit.files import read_npz
    from kit.host.runner_files import input_bytes, parse_output

    vectors, layout = read_npz(firmware.artifacts / "vectors.npz"), firmware.layout
    folder = firmware.folder / "build"
    (folder / "in").write_bytes(input_bytes(vectors["frames"], layout.sample_bytes))
    done = run([str(firmware.image("runner")), "in", "out"], folder)
    assert done.returncode == 0, done.stderr
    out = parse_output((folder / "out").read_bytes(), len(vectors["frames"]), firmware.latent_bytes, layout.frame_bytes)
    assert np.array_equal(out.latents.reshape(vectors["latents"].shape), vectors["latents"])


# ---- finding it: plain make, no library needed ----


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The only line that says what is wrong; make adds one that says that it stops."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("make: ***", "make[1]: ***"))]
    lines = lines or done.stderr.splitlines()
    assert done.returncode != 0 and len(lines) == 1, done.stderr
    return lines[0]


def test_without_it_one_line_says_where_to_get_it(rendered: Firmware, tmp_path: Path) -> None:
    tflm = rendered.folder
    line = one_line(run(["make", "app", "ENGINE=tflm"], tflm))
    assert line.endswith(f"ENGINE=tflm, but TFLM_ROOT is not set: {how_to_get()}.  Stop."), "kit's own sentence"
    assert "is no folder" in one_line(run(["make", "app", "ENGINE=tflm", "TFLM_ROOT=/absent"], tflm))
    (tmp_path / "tensorflow").mkdir()
    empty = f"TFLM_ROOT={tmp_path}"
    line = one_line(run(["make", "app", "ENGINE=tflm", empty], tflm))
    assert "has no libtensorflow-microlite.a" in line and how_to_get() in line
    libraries = [tmp_path / "gen" / name / "lib" / "libtensorflow-microlite.a" for name in ("one", "two")]
    for path in libraries:
        path.parent.mkdir(parents=True)
        path.touch()
    line = one_line(run(["make", "app", "ENGINE=tflm", empty], tflm))
    assert "set TFLM_LIBRARY to one of: gen/one/lib" in line and "gen/two/lib" in line
    line = one_line(run(["make", "app", "ENGINE=tflm", empty], tflm, TFLM_LIBRARY="gen/three.a"))
    assert "has no gen/three.a, which TFLM_LIBRARY names" in line
    chosen = "gen/one/lib/libtensorflow-microlite.a"
    line = one_line(run(["make", "app", "ENGINE=tflm", empty], tflm, TFLM_LIBRARY=chosen))
    assert "micro_interpreter.h is in none of: ." in line
    assert "is neither aot nor tflm" in one_line(run(["make", "app", "ENGINE=tvm"], tflm))
    assert run(["make", "help", "ENGINE=tflm"], tflm).returncode == 0
    with pytest.raises(EngineError, match="no TFLM_ROOT names it"):
        Firmware(tflm, "tflm").build("runner")


def test_settings_come_from_options_environment_file_or_defaults(rendered: Firmware, tmp_path: Path) -> None:
    double = tflm_root(DOUBLE)
    root = tmp_path / "root"
    shutil.copytree(double / "include", root / "include")
    shutil.copytree(double / "lib", root / "lib")
    (root / "lib" / "libtflm-double.a").rename(root / "lib" / "libtensorflow-microlite.a")
    command = ["make", "-n", "V=1", "runner", "ENGINE=tflm", f"TFLM_ROOT={root}"]
    plain = run(command, rendered.folder).stdout
    assert f"-isystem {root}/include" in plain and "-DTF_LITE_STATIC_MEMORY" in plain
    assert f"{root}/lib/libtensorflow-microlite.a" in plain
    (root / "tflm-kit.conf").write_text("# comment\nTFLM_FLAGS=-DFROM_FILE -DTWO\nTFLM_INCLUDES = include\n")
    assert "-DFROM_FILE -DTWO" in run(command, rendered.folder).stdout
    assert "-DFROM_ENV" in run(command, rendered.folder, TFLM_FLAGS="-DFROM_ENV").stdout
    given = run([*command, "TFLM_FLAGS=-DGIVEN"], rendered.folder, TFLM_FLAGS="-DFROM_ENV").stdout
    assert "-DGIVEN" in given and "-DFROM_ENV" not in given


def test_a_render_for_one_engine_names_the_other(tmp_path: Path) -> None:
    need("make")
    need("gcc")
    rng = np.random.default_rng(seed())
    aot = random_firmware(tmp_path / "aot", tiny_config(), rng).folder
    command = ["make", "app", "ENGINE=tflm", f"TFLM_ROOT={tflm_root(DOUBLE)}"]
    assert "is not rendered for ENGINE=tflm; run: kit build-firmware --engine tflm" in one_line(run(command, aot))
    config = tiny_config(firmware={"engine": "tflm"})
    with pytest.raises(RenderError, match="the size of the tensor arena is not known"):
        random_firmware(tmp_path / "none", config, rng)
    tflm = random_firmware(tmp_path / "tflm", config, rng, arena=GENEROUS).folder
    assert "is not rendered for ENGINE=aot" in one_line(run(["make", "app", "ENGINE=aot"], tflm))
    assert "TFLM_ROOT is not set" in one_line(run(["make", "app"], tflm)), "the engine of the render"


def foreign_root(folder: Path, compiler: str) -> Path:
    """The double's headers with a library for another processor."""
    shutil.copytree(tflm_root(DOUBLE), folder)
    (folder / "empty.c").write_text("int kit_foreign(void) { return 1; }\n")
    library = folder / "lib" / "libtflm-double.a"
    library.unlink()
    for step in (
        [need(compiler), "-c", "empty.c", "-o", "empty.o"],
        [compiler.replace("gcc", "ar"), "rcs", str(library), "empty.o"],
    ):
        assert run(step, folder).returncode == 0
    # A linker opens the members that it needs: this one is made to hold the interpreter.
    done = run([compiler.replace("gcc", "objcopy"), "--redefine-sym",
                "kit_foreign=_ZN6tflite16MicroInterpreter6InvokeEv", "empty.o"], folder)  # fmt: skip
    assert done.returncode == 0
    assert run([compiler.replace("gcc", "ar"), "rcs", str(library), "empty.o"], folder).returncode == 0
    return folder


def test_a_library_for_another_processor_is_named(rendered: Firmware, tmp_path: Path) -> None:
    root = foreign_root(tmp_path / "root", "arm-none-eabi-gcc")
    firmware = replace(rendered, chosen_engine="tflm", tflm_roots=(("", root),))
    line = one_line(make(firmware, "runner"))
    assert "is for another processor or float ABI than BOARD=native; set TFLM_ROOT to a build for that board" in line
    with pytest.raises(ToolchainError, match="is for another processor or float ABI"):
        firmware.build("runner")


def test_a_board_is_not_linked_with_a_library_of_this_machine(rendered: Firmware) -> None:
    need_arm_cxx()
    firmware = replace(rendered, chosen_engine="tflm", tflm_roots=(("", tflm_root(DOUBLE)),))
    line = one_line(make(firmware, "runner", "BOARD=mps2-an386"))
    assert "is for another processor or float ABI than BOARD=mps2-an386" in line


def test_a_library_without_a_needed_kernel_is_named(rendered: Firmware, tmp_path: Path) -> None:
    firmware = replace(rendered, chosen_engine="tflm", tflm_roots=(("", tflm_root(DOUBLE)),))
    folder = copy_of(firmware, tmp_path)
    line = one_line(make(folder, "runner", "TFLM_FLAGS=-DTF_LITE_STATIC_MEMORY -DCMSIS_NN"))
    assert "lacks the kernel of CONV_2D_INT8 DEPTHWISE_CONV_2D_INT8" in line


def test_headers_without_a_needed_operator_are_named(rendered: Firmware, tmp_path: Path) -> None:
    firmware = replace(rendered, chosen_engine="tflm", tflm_roots=(("", tflm_root(DOUBLE)),))
    folder = copy_of(firmware, tmp_path)
    source = folder.folder / "generated" / "tiny_tflm.cc"
    source.write_text(source.read_text().replace("KIT_TFLM_ADD_CONV_2D_INT8(*resolver)", "resolver->AddMean()"))
    line = one_line(make(folder, "runner"))
    assert "the headers of TFLM_ROOT have no AddMean" in line


# ---- what Python decides ----


def test_operators_the_harness_cannot_register_are_refused() -> None:
    model = encoder_for(tiny_config(), np.random.default_rng(seed()))
    assert operator_names(model) == ("CONV_2D",)
    with pytest.raises(UnsupportedOpError, match=r"LSTM \(layer .*\): the tflm engine cannot register it"):
        tflm_view(with_operator(model, 0, "LSTM"), GENEROUS)
    view = tflm_view(model, GENEROUS)
    assert [(operator.name, operator.int8) for operator in view.operators] == [("CONV_2D", True)]
    assert view.crc32 == f"0x{zlib.crc32(model):08x}" and view.bytes == len(model)
    assert [tap.layer for tap in view.taps] == list(range(view.uses))


def test_arena_by_the_wheel() -> None:
    need_golden()
    model = encoder_for(tiny_config(), np.random.default_rng(seed()))
    arena = arena_of_wheel(model)
    assert arena.bytes % 16 == 0 and arena.needed < arena.bytes
    assert "tflite-micro wheel" in arena.provenance and "64-bit pointers" in arena.provenance
    wheel = WheelArena(head=2000, tail=1500)
    assert arena_of_wheel(model, wheel).bytes == -(-(3500 + kernel_scratch_bytes(model)) // 16) * 16
    assert arena_of_wheel(model, wheel, fixed=2048).bytes == 2048
    with pytest.raises(ConfigError, match=r"arena_bytes = 1024: the encoder needs at least 2000 bytes, 976 more"):
        arena_of_wheel(model, wheel, fixed=1024)


def test_arena_by_targets_is_the_largest_need() -> None:
    found = [Measured("native", 900, 904), Measured("qemu:mps2-an386", 800, 801)]
    arena = arena_of_targets(found)
    assert (arena.bytes, arena.needed) == (912, 904)
    assert "native uses 900 bytes and needs 904" in arena.provenance and "qemu:mps2-an386" in arena.provenance
    with pytest.raises(ConfigError, match=r"904 bytes, 8 more; set firmware\.arena_bytes: auto, or at least 912"):
        arena_of_targets(found, fixed=896)
    with pytest.raises(ConfigError, match="arena_bytes"):
        tiny_config(firmware={"arena_bytes": 1000})
    for size in (0, 17, 1 << 25):
        with pytest.raises(RenderError):
            Arena(size, 0, "")
