"""Exported libraries and examples compile for this machine and for Arm, and talk to the kit.

Examples run against the SDK doubles of ``tests/export_sdk``, engine tflm against the double of ``tests/tflm_double``:
neither is evidence about the software it stands in for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from kit.build.export import LAYOUTS
from kit.host.capture import CaptureOptions, capture
from kit.host.emulator import start_native
from kit.host.link import Link
from kit.host.pipeline import device_counters, encode_frames
from kit.host.tflm_root import how_to_get
from tests.captures import read_packets
from tests.export_support import (
    ENGINES,
    Exported,
    RandomBuild,
    build_example,
    compile_objects,
    engine_flags,
    export,
    includes_of,
    random_build,
)
from tests.support import need, need_arm_cxx
from tests.tflm_support import DOUBLE, tflm_root

CORTEX_M4 = ("-mcpu=cortex-m4", "-mthumb")
ARM = "arm-none-eabi-"
ENGINE_NAMES = {"aot": "aot", "tflm": "double"}
"""As the hello has them here."""

VARIANTS = {"arduino": ("-DSDK_DOUBLE_UNKNOWN_ROOM",), "esp-idf": ("-DKIT_PORT_UART",)}
"""Further ways in which an example may be compiled."""


@pytest.fixture(scope="module", params=ENGINES, ids=["aot", "tflm-double"])
def built(request: pytest.FixtureRequest) -> RandomBuild:
    return random_build(request.param)


@pytest.fixture(scope="module")
def library(built: RandomBuild, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """The export for a layout."""
    folder = tmp_path_factory.mktemp("exports")
    return cache(lambda layout: export(built, layout, folder / layout))


@pytest.fixture(scope="module", params=LAYOUTS)
def exported(request: pytest.FixtureRequest, library: Callable[[str], Exported]) -> Exported:
    return library(request.param)


def check_device(program: Path, source: RandomBuild, target: str) -> None:
    """Hello, self-test on the embedded vectors, and every reference frame over the line."""
    with start_native(program) as device, Link.open(device.port) as link:
        hello = link.hello()
        assert (hello.build_hash, hello.engine) == (source.build_hash, ENGINE_NAMES[source.engine])
        assert hello.target == target
        result = link.self_test()
        assert (result.integer("frames"), result.integer("failed")) == (4, 0)
        encoded = encode_frames(link, source.frames)
        assert np.array_equal(encoded.bodies, source.packets)
        counters = device_counters(link)
        assert (counters["rx_overrun"], counters["rx_bad_crc"], counters["tx_dropped"]) == (0, 0, 0)


def test_the_example_answers_the_kit(exported: Exported, tmp_path: Path) -> None:
    check_device(build_example(exported, tmp_path), exported.source, exported.layout.name)


def test_packets_of_variable_length(tmp_path: Path) -> None:
    exported = export(random_build("aot", packet={"coding": "range"}), "esp-idf", tmp_path / "lib")
    check_device(build_example(exported, tmp_path / "o"), exported.source, "esp-idf")


@pytest.mark.parametrize("layout", VARIANTS)
def test_variants_of_the_example_answer_the_kit(
    library: Callable[[str], Exported], layout: str, tmp_path: Path
) -> None:
    exported = library(layout)
    check_device(build_example(exported, tmp_path, VARIANTS[layout]), exported.source, layout)


def test_serial_capture_takes_the_stream(library: Callable[[str], Exported], tmp_path: Path) -> None:
    """The embedded recording, through what `kit serial-capture` runs."""
    exported = library("zephyr")
    file = tmp_path / "x.kitcap"
    with start_native(build_example(exported, tmp_path)) as device:
        capture(CaptureOptions(device.port, file, "fast", packets=6, any_build=True), lambda state: None)
    packets = read_packets(file)
    assert packets.numbers.tolist() == list(range(6))
    assert packets.header.hello.build_hash == exported.source.build_hash


def test_example_compiles_for_arm(exported: Exported, tmp_path: Path) -> None:
    """All of it that needs no operating system."""
    sources = [path for path in exported.sources(exported.layout.example) if path.name != "posix_line.c"]
    compile_objects(sources, includes_of(exported), tmp_path, ARM, CORTEX_M4)


@pytest.mark.parametrize("cpu", ["cortex-m0", "cortex-m4", "cortex-m55"])
def test_library_compiles_for_arm(library: Callable[[str], Exported], cpu: str, tmp_path: Path) -> None:
    """Kernels of other cores vanish by themselves."""
    exported = library("arduino")
    if exported.engine == "tflm":
        need_arm_cxx()
    flags = (f"-mcpu={cpu}", "-mthumb", *engine_flags(exported))
    compile_objects(exported.sources("src"), includes_of(exported), tmp_path, ARM, flags)


USER_PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(user LANGUAGES {languages})
{before}
add_subdirectory(lib)
add_executable(user main.c)
target_link_libraries(user PRIVATE tiny_codec::tiny_codec)
"""

USER_MAIN = """
#include <stdio.h>
#include "kit_generated.h"
#include "tiny_codec.h"
#include "tiny_vectors.h"

static tiny_storage_t storage;

int main(void)
{
    if (tiny_init(&storage) != KIT_OK) {
        return 1;
    }
    for (int frame = 0; frame < KIT_EMBEDDED_FRAMES; frame++) {
        kit_codec_push(&storage.codec, KIT_EMBEDDED_SAMPLES[frame], KIT_FRAME_SAMPLES);
        while (kit_codec_poll(&storage.codec) != KIT_IDLE) {
            uint16_t bytes;
            const uint8_t *packet = kit_codec_packet(&storage.codec, &bytes);
            for (int i = 0; packet != NULL && i < bytes; i++) {
                printf("%02x", packet[i]);
            }
            printf(packet != NULL ? "\\n" : "");
        }
    }
    return 0;
}
"""


def cmake(*arguments: str, folder: Path) -> None:
    need("cmake")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TFLM_")}
    done = subprocess.run(
        ["cmake", *arguments], cwd=folder, capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def tflm_options(exported: Exported) -> list[str]:
    return [f"-DTFLM_ROOT={tflm_root(DOUBLE)}"] if exported.engine == "tflm" else []


def test_cmake_builds_the_example(library: Callable[[str], Exported], tmp_path: Path) -> None:
    exported = library("cmake")
    cmake("-S", str(exported.folder), "-B", str(tmp_path), *tflm_options(exported), folder=tmp_path)
    cmake("--build", str(tmp_path), folder=tmp_path)
    check_device(tmp_path / "stream", exported.source, "cmake")


def build_user_project(exported: Exported, folder: Path, options: list[str], before: str = "") -> list[str]:
    """A program of a few lines around the library; the packets that it prints, as hexadecimal digits."""
    shutil.copytree(exported.folder, folder / "lib")
    languages = "C CXX" if exported.engine == "tflm" else "C"
    (folder / "CMakeLists.txt").write_text(USER_PROJECT.format(languages=languages, before=before))
    (folder / "main.c").write_text(USER_MAIN)
    cmake("-S", ".", "-B", "build", *options, folder=folder)
    cmake("--build", "build", folder=folder)
    done = subprocess.run([str(folder / "build" / "user")], capture_output=True, text=True, check=True)
    return done.stdout.split()


def embedded_packets(exported: Exported) -> list[str]:
    return [packet.tobytes().hex() for packet in exported.source.packets[:4]]


def test_cmake_library_in_a_project_of_the_user(library: Callable[[str], Exported], tmp_path: Path) -> None:
    exported = library("cmake")
    assert build_user_project(exported, tmp_path, tflm_options(exported)) == embedded_packets(exported)


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """For cmake, with engine tflm."""
    return export(random_build("tflm"), "cmake", tmp_path_factory.mktemp("harness") / "lib")


def test_cmake_takes_the_target_of_an_sdk(harness: Exported, tmp_path: Path) -> None:
    root = tflm_root(DOUBLE)
    sdk = "add_library(sdk_tflm INTERFACE)\n"
    sdk += f"target_include_directories(sdk_tflm INTERFACE {root}/include)\n"
    sdk += f"target_link_libraries(sdk_tflm INTERFACE {root}/lib/libtflm-double.a)\n"
    assert build_user_project(harness, tmp_path, ["-DTFLM_TARGET=sdk_tflm"], sdk) == embedded_packets(harness)


def test_cmake_without_tflm_says_what_is_missing(harness: Exported, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        cmake("-S", str(harness.folder), "-B", str(tmp_path), folder=tmp_path)
    said = " ".join(str(caught.value).replace("\\'", "'").replace("\\n", " ").split())
    assert f"KIT_ENGINE=tflm, but TFLM_ROOT is not set: {how_to_get()}" in said
