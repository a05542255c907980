"""The sensor of docs/sensor.md compiles, streams the right packets, and is what SOURCE= builds into a board's image."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.c_support import AOT, APP_SOURCES, C_TESTS, CODEC_SOURCES, REPLAY, RUNTIME, compile_c, render_random, run_c
from tests.firmware_folder import make_firmware
from tests.models import tiny_config
from tests.support import ROOT, need, seed


def write_example(folder: Path) -> Path:
    """The C file of the page; the folder also gets the driver's header."""
    page = (ROOT / "docs" / "sensor.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```c\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    folder.mkdir()
    (folder / "my_sensor.c").write_text(source)
    (folder / "my_afe.h").write_text((C_TESTS / "my_afe.h").read_text())
    return folder


@pytest.mark.parametrize("sample_bits", [16, 24])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_example_streams(compiler: str, sample_bits: int, tmp_path: Path) -> None:
    config = tiny_config(signal={"sample_bits": sample_bits}, packet={"frames_per_packet": 2})
    rendered = render_random(config, tmp_path / "generated", seed())
    example = write_example(tmp_path / "sensor")
    sources = [*CODEC_SOURCES, *APP_SOURCES, *sorted(rendered.folder.glob("*.c"))]
    sources = [path for path in sources if path.parent != REPLAY]
    sources += [example / "my_sensor.c", C_TESTS / "fake_port.c", C_TESTS / "sensor_main.c"]
    program = compile_c(compiler, sources, (RUNTIME, AOT, rendered.folder, C_TESTS, example), tmp_path / "sensor_test")
    assert b"all checks hold" in run_c(program)


def test_make_takes_the_source(tmp_path: Path) -> None:
    need("make")
    need("arm-none-eabi-gcc")
    firmware = make_firmware(tmp_path / "build")
    example = write_example(tmp_path / "sensor")
    driver = '#include "my_afe.h"\nvoid my_afe_start(void) {}\nvoid my_afe_stop(void) {}\n'
    (example / "my_afe.c").write_text(driver + "int32_t my_afe_sample(void) { return 0; }\n")
    command = ["make", "-s", "-C", str(firmware.folder), "app", "BOARD=microbit"]
    subprocess.run([*command, f"SOURCE={example}"], check=True)
    image = firmware.image("app", "microbit")
    symbols = subprocess.run(["arm-none-eabi-nm", str(image)], capture_output=True, text=True, check=True).stdout
    assert "my_afe_start" in symbols and "tiny_vector_frames" in symbols  # the recording stays for the self-test
    done = subprocess.run([*command, f"SOURCE={tmp_path}"], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and f"no .c files in SOURCE={tmp_path}" in done.stderr
