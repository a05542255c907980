"""The firmware on every target: this machine and each emulated board, in bulk and over its serial line."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from kit.files import read_npz
from kit.host.boards import BOARDS, NATIVE, emulated_boards
from kit.host.emulator import start
from kit.host.firmware import Firmware
from kit.host.image_runner import ImageRunner
from kit.host.link import Link
from tests.firmware_folder import make_firmware
from tests.support import need_target, seed

pytestmark = pytest.mark.alone

TARGETS = (NATIVE, *emulated_boards())


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    return make_firmware(tmp_path_factory.mktemp("boards"))


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    need_target(name)
    return name


def test_bulk_run_equals_the_reference(firmware: Firmware, target: str) -> None:
    vectors = read_npz(firmware.artifacts / "vectors.npz")
    result = ImageRunner(firmware, target).run(vectors["frames"])
    assert result.build_hash == firmware.build_hash
    assert np.array_equal(result.latents, vectors["latents"])
    assert np.array_equal(result.packets, vectors["packets"])


def test_serial_line(firmware: Firmware, target: str) -> None:
    vectors = read_npz(firmware.artifacts / "vectors.npz")
    bodies = [packet.tobytes() for packet in vectors["packets"]]
    with start(firmware, target) as device, Link.open(device.port) as link:
        hello = link.hello()
        assert (hello.target, hello.engine, hello.build_hash) == (target, "aot", firmware.build_hash)
        assert hello.embedded_frames == firmware.config.firmware.embedded_frames
        result = link.self_test()
        assert (result.integer("frames"), result.integer("failed")) == (hello.embedded_frames, 0)
        for number in (0, len(bodies) - 1):
            answer = link.encode_frame(number, vectors["frames"][number])
            assert answer.data("body") == bodies[number]
        check_stream(link, "fast", 20, bodies)
        check_stream(link, "realtime", 2, bodies)
        counters = link.request("COUNTERS_REQUEST")
        assert counters.integer("tx_packets") == 22
        assert [counters.integer(f"rx_{name}") for name in ("bad_crc", "bad_length", "overrun")] == [0, 0, 0]
        assert device.exit_code is None


def check_stream(link: Link, mode: str, count: int, bodies: list[bytes]) -> None:
    """Packets in order, each as its reference; in realtime, a second of device time apart (T = 64 at 64 Hz)."""
    embedded = link.device.embedded_frames
    request = link.stream_start(mode, count)
    times = []
    for seq in range(count):
        message = link.receive(20.0)
        assert message is not None and message.name == "PACKET" and message.integer("seq") == seq
        assert message.data("body") == bodies[seq % embedded]
        times.append(message.integer("time_ms"))
    end = link.receive(20.0)
    assert end is not None and end.name == "STREAM_STATE" and end.integer("request") == request
    assert (end.integer("state"), end.integer("packets"), end.integer("dropped")) == (2, count, 0)
    if mode == "realtime":
        assert all(abs((b - a) % 65536 - 1000) <= 1 for a, b in pairwise(times))


@contextmanager
def held_up(process: int) -> Iterator[None]:
    """The machine gives a process no time for 2 ms, again and again."""
    done, rng = threading.Event(), np.random.default_rng(seed())

    def hold() -> None:
        while not done.wait(rng.uniform(0.0002, 0.001)):
            os.kill(process, signal.SIGSTOP)
            time.sleep(0.002)
            os.kill(process, signal.SIGCONT)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_stream_in_real_time_outlasts_hold_ups(firmware: Firmware, target: str) -> None:
    """What wakes a sleeping port must not be missed when its moment passes unseen; one that can miss it stands still in
    every second or third run of this test."""
    bodies = [packet.tobytes() for packet in read_npz(firmware.artifacts / "vectors.npz")["packets"]]
    with start(firmware, target) as device, Link.open(device.port) as link:
        link.hello()
        link.stream_start("realtime", 4)
        with held_up(device._process.pid):
            for seq in range(4):
                message = link.receive(10.0)
                assert message is not None and message.name == "PACKET"
                assert message.data("body") == bodies[seq % link.device.embedded_frames]


def test_a_busy_line_survives_garbage(firmware: Firmware, target: str) -> None:
    rng = np.random.default_rng(3)
    with start(firmware, target) as device, Link.open(device.port) as link:
        link.hello()
        # A slow first answer makes the host greet twice: count from here.
        greeted = link.request("COUNTERS_REQUEST").integer("rx_frames")
        link._transport.write(rng.bytes(2000) + b"\0")
        assert link.self_test().integer("failed") == 0
        counters = link.request("COUNTERS_REQUEST")
        assert sum(counters.integer(f"rx_{name}") for name in ("bad_crc", "bad_length", "overrun")) > 0
        assert counters.integer("rx_frames") == greeted + 2


def test_native_application_ends_with_its_input(firmware: Firmware) -> None:
    image = firmware.build("app")
    begun = time.monotonic()
    done = subprocess.run([str(image)], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert time.monotonic() - begun < 10


RUNNER_FAULTS = {
    "is no KITV file": lambda data: b"RIFF" + data[4:],
    "is of another KITV version": lambda data: data[:4] + b"\x02" + data[5:],
    "has another frame length than this firmware": lambda data: data[:8] + b"\x41" + data[9:],
    "holds no frame": lambda data: data[:12] + bytes(4),
    "ends before its last frame": lambda data: data[:-1],
    "goes on behind its last frame": lambda data: data + b"\0",
}


@pytest.mark.parametrize("complaint", RUNNER_FAULTS)
def test_runner_refuses_a_damaged_file(firmware: Firmware, complaint: str, tmp_path: Path) -> None:
    samples = firmware.config.signal.frame_samples
    good = b"KITV" + np.array([1, samples, 1], "<u4").tobytes() + bytes(2 * samples)
    (tmp_path / "in").write_bytes(RUNNER_FAULTS[complaint](good))
    image = firmware.build("runner")
    done = subprocess.run([image, "in", "out"], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stderr == f"kit_runner: in: {complaint}\n"


@pytest.mark.parametrize("board", emulated_boards())
def test_runner_on_a_board_reports_over_semihosting(firmware: Firmware, board: str, tmp_path: Path) -> None:
    need_target(board)
    command = [*BOARDS[board].emulate(firmware.build("runner", board)), "-serial", "null"]
    for names, code, complaint in (
        ("arg=runner,arg=absent,arg=out", 1, "absent: cannot be opened"),
        ("arg=runner,arg=absent", 2, "usage:"),
    ):
        semihosting = ["-semihosting-config", f"enable=on,target=native,{names}"]
        done = subprocess.run(
            [*command, *semihosting], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code and complaint in done.stdout + done.stderr
