"""The same frames through every runtime: the process, emulated boards in bulk, and both through their serial line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kit.cli.main import app
from kit.errors import KitError, LinkError, RunnerError, ToolchainError
from kit.files import read_npz, write_npz
from kit.host import emulator as emulators
from kit.host.boards import emulated_boards
from kit.host.capture import CaptureOptions, capture
from kit.host.emulator import Emulator, start
from kit.host.firmware import Firmware, firmware_folder
from kit.host.link import Link
from kit.host.targets import make_runner
from kit.host.validate import random_frames, validate, vector_frames
from tests.captures import read_packets
from tests.firmware_folder import FRAMES, make_firmware
from tests.support import ROOT, need, need_target

pytestmark = pytest.mark.alone

BULK = ("native", *(f"qemu:{name}" for name in emulated_boards()))
LINE = ("uart:native", *(f"uart:{name}" for name in emulated_boards()))


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    need("make")
    need("gcc")
    return make_firmware(tmp_path_factory.mktemp("device"))


@pytest.mark.parametrize("target", [*BULK, *LINE])
def test_targets_equal_the_truth(firmware: Firmware, target: str) -> None:
    need_target(target)
    report = validate(firmware, [target], vector_frames(firmware))
    assert report.passed, [o.detail for o in report.outcomes]
    assert [o.target for o in report.outcomes][-1] == target and report.frames == FRAMES
    compared = report.outcomes[-1].comparison
    assert compared is not None and ("latents" in compared.fields) == (target in BULK)


def test_random_frames_over_several_chunks(firmware: Firmware, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.host.image_runner.NATIVE_CHUNK_FRAMES", 30)
    calls: list[tuple[str, int, int]] = []
    frames = random_frames(firmware, 100, seed=3)
    report = validate(firmware, ["native"], frames, progress=lambda *call: calls.append(call))
    assert report.passed and ("native", 90, 100) in calls and ("native", 100, 100) in calls
    assert (np.ptp(frames.frames, axis=1) == 0).any(), "flat frames belong to the set"


def test_a_wrong_target_fails_with_the_place(firmware: Firmware, tmp_path: Path) -> None:
    """Firmware whose codebook was changed in the C after rendering: latents equal, indices differ."""
    import shutil

    folder = tmp_path / "firmware"
    shutil.copytree(firmware.folder, folder, ignore=shutil.ignore_patterns("build"))
    header = folder / "generated" / "codebook.h"
    text = header.read_text()
    at = text.index("{", text.index("_codebook")) + 1
    end = text.index("};", at)
    values = [value.strip() for value in text[at:end].split(",") if value.strip()]
    header.write_text(text[:at] + ", ".join(reversed(values)) + text[end:])
    report = validate(Firmware(folder), ["native"], vector_frames(firmware))
    outcome = report.outcomes[-1]
    assert outcome.state == "failed" and outcome.comparison is not None and not report.passed
    assert outcome.comparison.fields["latents"].different == 0
    assert outcome.comparison.first is not None and outcome.comparison.first.field == "indices"


def test_stale_vectors_and_other_builds_are_noticed(firmware: Firmware, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "firmware"
    shutil.copytree(firmware.folder, folder)
    path = folder / "generated" / "artifacts" / "vectors.npz"
    vectors = read_npz(path)
    vectors["latents"][3, 0, 0] ^= 1
    write_npz(path, **vectors)
    changed = Firmware(folder)
    report = validate(changed, ["native"], vector_frames(changed))
    assert [o.state for o in report.outcomes] == ["failed", "passed", "passed"]
    assert "frame 3, latents [position 0, channel 0]" in report.outcomes[0].detail
    config = folder / "generated" / "artifacts" / "config.yaml"
    config.write_text(config.read_text().replace("sample_rate_hz: 64", "sample_rate_hz: 65"))
    report = validate(Firmware(folder), ["native", "uart:native"], random_frames(firmware, 2, 1))
    assert [o.state for o in report.outcomes] == ["passed", "failed", "failed"]
    assert all("build" in o.detail for o in report.outcomes[1:])


def test_no_frames_is_a_failure(firmware: Firmware) -> None:
    with pytest.raises(RunnerError, match="no frames"):
        validate(firmware, ["native"], random_frames(firmware, 0, 1))


def test_missing_tools(firmware: Firmware, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("KIT_REQUIRE", raising=False)
    for target, words in (
        ("qemu:microbit", "qemu-system-arm.*is not installed; apt install"),
        ("uart:microbit", "qemu-system-arm.*is not installed"),
        ("native", "make.*is not installed"),
    ):
        with pytest.raises(ToolchainError, match=words):
            make_runner(target, firmware).run(vector_frames(firmware).frames)
    frames = random_frames(firmware, 1, 1)
    assert not validate(firmware, ["native"], frames).passed
    report = validate(firmware, ["native", "qemu:microbit"], frames, skip_absent=True)
    assert [o.state for o in report.outcomes][-2:] == ["skipped", "skipped"]
    monkeypatch.setenv("KIT_REQUIRE", "qemu-system-arm")
    report = validate(firmware, ["native", "qemu:microbit"], frames, skip_absent=True)
    assert [o.state for o in report.outcomes][-2:] == ["skipped", "failed"]


def test_missing_compilers(firmware: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "make").symlink_to(need("make"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError, match="gcc, which compiles the firmware for this machine, is not installed"):
        firmware.build("runner")
    with pytest.raises(ToolchainError, match=r"arm-none-eabi-gcc.*apt install gcc-arm-none-eabi"):
        firmware.build("runner", "microbit")


def test_compiler_errors_are_one_line(firmware: Firmware, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "firmware"
    shutil.copytree(firmware.folder, folder, ignore=shutil.ignore_patterns("build"))
    with (folder / "runtime" / "kit_codec.c").open("a") as stream:
        stream.write("\nnonsense\n")
    with pytest.raises(ToolchainError, match=r"make -C .* failed: .*kit_codec\.c.*error") as caught:
        Firmware(folder).build("runner")
    assert "\n" not in str(caught.value)


def test_an_outer_make_does_not_redirect_the_build(firmware: Firmware, monkeypatch: pytest.MonkeyPatch) -> None:
    """``make -C firmware host-test RUN=...`` calls kit, which calls make again."""
    monkeypatch.setenv("MAKEFLAGS", " -- RUN=elsewhere BUILD=nowhere")
    monkeypatch.setenv("RUN", "elsewhere")
    image = firmware.build("runner")
    assert image == firmware.folder / "build" / "native" / "runner" and image.is_file()


def test_firmware_folders(firmware: Firmware, tmp_path: Path) -> None:
    assert firmware_folder(run=firmware.folder.parent) == firmware.folder
    with pytest.raises(KitError, match="two firmware folders"):
        firmware_folder(tmp_path, tmp_path)
    with pytest.raises(KitError, match="no rendered firmware; run kit build-firmware"):
        firmware_folder(firmware=tmp_path)


# ---- emulated devices ----


@pytest.mark.parametrize("board", ["native", *emulated_boards()])
def test_protocol_on_an_emulated_device(firmware: Firmware, board: str) -> None:
    need_target(board)
    vectors = read_npz(firmware.artifacts / "vectors.npz")
    with start(firmware, board) as device:
        with Link.open(device.port) as link:
            hello = link.hello()
            assert hello.build_hash == firmware.build_hash and hello.layout == firmware.layout
            assert hello.target == board and hello.engine == "aot" and hello.embedded_frames == 2
            assert link.self_test().integer("failed") == 0
            link.stream_start("fast", 7)
            packets = []
            while (message := link.receive(10.0)) is not None and message.name == "PACKET":
                packets.append(message)
            assert message is not None and message.name == "STREAM_STATE" and message.integer("state") == 2
            assert [p.integer("seq") for p in packets] == list(range(7))
            want = [vectors["packets"][i % 2].tobytes() for i in range(7)]
            assert [p.data("body") for p in packets] == want
            # Damage costs the message it hits, and is counted on the other side.
            link._transport.write(b"\x05garbage\x00\x03\x01\x02")
            counters = link.request("COUNTERS_REQUEST")
            assert counters.integer("tx_packets") == 7
            assert counters.integer("rx_bad_crc") + counters.integer("rx_bad_length") >= 1
            assert link.counters.damaged == 0
        # The port can be closed and opened again.
        with Link.open(device.port) as link:
            assert link.hello().build_hash == firmware.build_hash
    assert device.exit_code is not None


def test_realtime_stream_keeps_the_sample_clock(tmp_path: Path) -> None:
    need("make")
    need("gcc")
    fast = make_firmware(tmp_path, signal={"frame_samples": 64, "sample_rate_hz": 256})
    with start(fast, "native") as device:
        options = CaptureOptions(device.port, tmp_path / "a.kitcap", any_build=True, packets=6)
        begun = time.monotonic()
        state = capture(options)
        took = time.monotonic() - begun
    assert state.tracker.received == 6 and state.tracker.lost == 0 and state.damaged == 0
    times = read_packets(tmp_path / "a.kitcap").device_time_ms.astype(np.int64)
    steps = np.diff(times) % 65536
    assert took >= 1.4 and abs(steps.mean() - 250) < 30, steps


def test_unplugged_emulator(firmware: Firmware, tmp_path: Path) -> None:
    device = start(firmware, "native")
    with Link.open(device.port) as link:
        link.hello()
        link.stream_start("realtime")
        device.unplug()
        with pytest.raises(LinkError, match="unplugged"):
            for _ in range(20):
                link.receive(0.5)


def test_emulators_that_do_not_start(firmware: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("qemu-system-arm")
    with pytest.raises(RunnerError, match="QEMU did not start microbit"):
        emulators.start_qemu("microbit", tmp_path / "absent.elf")
    with pytest.raises(RunnerError, match="cannot start"):
        emulators.start_native(tmp_path / "absent")
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "qemu-system-arm").write_text("#!/bin/sh\nexec sleep 60\n")
    (fake / "qemu-system-arm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    monkeypatch.setattr(emulators, "START_SECONDS", 0.5)
    begun = time.monotonic()
    with pytest.raises(RunnerError, match="QEMU did not start"):
        emulators.start_qemu("microbit", tmp_path / "absent.elf")
    assert time.monotonic() - begun < 10


def test_children_are_ended_when_the_block_fails(firmware: Firmware) -> None:
    begun: list[Emulator] = []
    with pytest.raises(ZeroDivisionError), start(firmware, "native") as device:
        begun.append(device)
        raise ZeroDivisionError
    assert begun[0].exit_code is not None


# ---- commands ----


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, KitError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_validate_command(firmware: Firmware, tmp_path: Path) -> None:
    where = ["--firmware", str(firmware.folder)]
    files = ["--json", str(tmp_path / "r.json"), "--junit", str(tmp_path / "r.xml")]
    code, text = invoke("validate", *where, "--frames", "5", *files)
    assert code == 0 and "no departure in 3 runs" in text and firmware.build_hash in text
    assert ": 5 frames of " in " ".join(text.split())
    rows = [line.split() for line in text.splitlines() if " passed" in line]
    assert len(rows) == 3 and all("5" in row for row in rows), text
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is True and (tmp_path / "r.xml").is_file()
    assert invoke("validate", *where, "--random", "--frames", "9")[0] == 0
    assert invoke("validate", *where, "--target", "serial:/dev/kit-absent")[0] == 1
    assert "no target 'nonsense'" in invoke("validate", *where, "--target", "nonsense")[1]
    assert "two sources" in invoke("validate", *where, "--random", "--data", str(tmp_path))[1]


def test_emulate_and_capture_as_processes(firmware: Firmware, tmp_path: Path) -> None:
    """The two commands as a user runs them, both ended by Ctrl-C."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    base = [sys.executable, "-m", "kit"]
    emulate = subprocess.Popen(
        [*base, "emulate", "--board", "native", "--firmware", str(firmware.folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    try:
        assert emulate.stdout is not None and emulate.stderr is not None
        port = emulate.stdout.readline().strip()
        assert port.startswith("/dev/"), emulate.stderr.read()
        capturing = subprocess.Popen(
            [*base, "serial-capture", port, "--any-build", "--mode", "fast", "--out", "a.kitcap"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 30
            path = tmp_path / "a.kitcap"
            while time.monotonic() < deadline and not (path.exists() and path.stat().st_size > 5000):
                time.sleep(0.05)
            capturing.send_signal(signal.SIGINT)
            out, err = capturing.communicate(timeout=20)
        finally:
            capturing.kill()
        assert capturing.returncode == 0, err
        assert "stopped by the user" in out and "0 lost" in out
        assert len(read_packets(path).numbers) > 20
        emulate.send_signal(signal.SIGINT)
        assert emulate.wait(10) == 0
    finally:
        emulate.kill()
