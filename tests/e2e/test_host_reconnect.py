"""Captures that go on: unplugged and returned, reset, silent, another speed; and what must end them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import kit.host.capture_stream as stream_module
import kit.host.connect as connect_module
from kit.errors import LinkError, LinkTimeout
from kit.host.capture import CaptureOptions, CaptureState, capture
from kit.host.capture_file import CaptureReader, EndRecord, GapRecord, NoteRecord, PacketRecord, SessionRecord
from kit.host.capture_info import inspect_capture
from kit.host.connect import PortIdentity, connect, speed_matters
from kit.host.ports import Port
from kit.host.transport import SerialTransport
from kit.wire.messages import Hello
from tests.fake_device import HELLO, FakeDevice, body, other_build, write_tiny_run

pytestmark = pytest.mark.alone


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_tiny_run(tmp_path / "runs" / "tiny")


class Socket:
    """A name that leads to one fake device after another."""

    def __init__(self, path: Path) -> None:
        self.port = path
        self.device: FakeDevice | None = None

    def insert(self, hello: Hello = HELLO) -> FakeDevice:
        device = FakeDevice(hello)
        device.__enter__()
        self.port.symlink_to(device.port)
        self.device = device
        return device

    def pull(self) -> None:
        self.port.unlink(missing_ok=True)
        if self.device is not None:
            self.device.unplug()
            self.device = None


@contextmanager
def socket(tmp_path: Path) -> Iterator[Socket]:
    found = Socket(tmp_path / "board")
    try:
        yield found
    finally:
        found.pull()


class Running:
    """A capture in a thread."""

    def __init__(self, options: CaptureOptions) -> None:
        self.options = options
        self.state: CaptureState | None = None
        self.waiting: set[str] = set()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            capture(self.options, self._note)
        except LinkError as error:
            self.error = error

    def _note(self, state: CaptureState) -> None:
        self.state = state
        if state.waiting:
            self.waiting.add(state.waiting)

    def until(self, wanted: Callable[[CaptureState], bool]) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.state is not None and wanted(self.state):
                return
            time.sleep(0.01)
        raise AssertionError(f"never came: {self.state}, {self.error}")

    def end(self, stop: bool = True) -> None:
        if stop:
            self.options.stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


def records(path: Path) -> list[object]:
    with CaptureReader(path) as reader:
        found: list[object] = list(reader)
        assert reader.left_out_bytes == 0
        return found


def test_unplugged_twice_in_one_capture(tmp_path: Path, run: Path) -> None:
    out = tmp_path / "a.kitcap"
    with socket(tmp_path) as board:
        board.insert()
        running = Running(CaptureOptions(str(board.port), out, "fast", run=run))
        for cycle in range(2):
            running.until(lambda s, n=cycle: s.sessions == n + 1 and s.tracker.next_number > 3)
            board.pull()
            running.until(lambda s: s.waiting != "")
            time.sleep(0.3)
            board.insert()
        running.until(lambda s: s.sessions == 3 and s.tracker.next_number > 3)
        running.end()
    state = running.state
    assert running.error is None and state is not None and state.ended == "stopped by the user"
    assert state.tracker.lost == 0 and len(state.gaps) == 2 and all(0.3 <= gap < 5 for gap in state.gaps)
    assert "2 interruptions of" in state.text and any("waiting for" in text for text in running.waiting)
    found = records(out)
    sessions = [r for r in found if isinstance(r, SessionRecord)]
    assert [s.session for s in sessions] == [0, 1, 2] and all(s.hello == HELLO for s in sessions)
    gaps = [r for r in found if isinstance(r, GapRecord)]
    assert [(g.reason, g.session) for g in gaps] == [("unplugged", 1), ("unplugged", 2)]
    assert [g.seconds for g in gaps] == pytest.approx(state.gaps, abs=1e-5)
    for session in range(3):
        packets = [r for r in found if isinstance(r, PacketRecord) and r.session == session]
        assert [p.number for p in packets] == list(range(len(packets))) and len(packets) > 3
        assert all(p.body == body(p.number) for p in packets)
    assert [r.values["reason"] for r in found if isinstance(r, NoteRecord)] == ["unplugged"] * 2
    assert isinstance(found[-1], EndRecord) and found[-1].values["sessions"] == 3


def test_packet_and_time_limits_span_sessions(tmp_path: Path, run: Path) -> None:
    with socket(tmp_path) as board:
        board.insert()
        running = Running(CaptureOptions(str(board.port), tmp_path / "a.kitcap", run=run, packets=200))
        running.until(lambda s: s.tracker.received > 20)
        board.pull()
        running.until(lambda s: s.waiting != "")
        board.insert()
        running.end(stop=False)
        assert running.state is not None and running.state.tracker.received == 200 and running.state.sessions == 2
        running = Running(CaptureOptions(str(board.port), tmp_path / "b.kitcap", run=run, duration_s=1.2))
        running.until(lambda s: s.tracker.received > 5)
        board.pull()
        running.end(stop=False)
    assert running.error is None and running.state is not None and running.state.ended == "time limit reached"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (other_build(), r"returned runs build fedcba9876543210, this capture is of build 0123.*packets are safe in"),
        (replace(HELLO, protocol=99), r"speaks protocol 99, this kit 2.*packets are safe in"),
    ],
)
def test_another_device_on_the_port_ends_the_capture(tmp_path: Path, run: Path, returned: Hello, message: str) -> None:
    with socket(tmp_path) as board:
        board.insert()
        running = Running(CaptureOptions(str(board.port), tmp_path / "a.kitcap", run=run))
        running.until(lambda s: s.tracker.received > 3)
        board.pull()
        board.insert(returned)
        running.end(stop=False)
    assert isinstance(running.error, LinkError)
    with pytest.raises(LinkError, match=message):
        raise running.error
    assert "\n" not in str(running.error)
    last = records(tmp_path / "a.kitcap")[-1]
    assert isinstance(last, EndRecord) and last.values["why"] in str(running.error)


def test_reset_behind_a_bridge_is_noticed(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port stays, the device forgets: it answers, but has sent nothing since its start."""
    monkeypatch.setattr(stream_module, "QUIET_SECONDS_MIN", 0.2)
    monkeypatch.setattr(stream_module, "QUIET_PACKETS", 0.2)
    monkeypatch.setattr(stream_module, "ASK_SECONDS", 0.1)
    with FakeDevice() as device:
        running = Running(CaptureOptions(device.port, tmp_path / "a.kitcap", run=run))
        running.until(lambda s: s.tracker.received > 10)
        device.reset()
        running.until(lambda s: s.sessions == 2 and s.tracker.next_number > 3)
        running.end()
    assert [r.reason for r in records(tmp_path / "a.kitcap") if isinstance(r, GapRecord)] == ["reset"]


def test_silent_device_is_greeted_again(tmp_path: Path, run: Path) -> None:
    with FakeDevice(hangs_after=5) as device:
        running = Running(CaptureOptions(device.port, tmp_path / "a.kitcap", run=run, silence_s=0.4))
        running.until(lambda s: s.sessions == 3)
        running.end()
    gaps = [r for r in records(tmp_path / "a.kitcap") if isinstance(r, GapRecord)]
    assert len(gaps) >= 2 and all(g.reason == "silent" and g.seconds >= 0.4 for g in gaps)


def test_gaps_within_a_stream_name_their_cause(tmp_path: Path, run: Path) -> None:
    def fault(name: str, number: int, data: bytes) -> bytes:
        if name == "PACKET" and number in (3, 4):
            return b""
        return data[:4] + data[6:] if name == "PACKET" and number == 9 else data

    with FakeDevice(fault=fault) as device:
        capture(CaptureOptions(device.port, tmp_path / "a.kitcap", run=run, packets=20))
    gaps = [r for r in records(tmp_path / "a.kitcap") if isinstance(r, GapRecord)]
    assert [(g.reason, g.packets, g.seconds, g.session) for g in gaps] == [("lost", 2, 0.5, 0), ("damaged", 1, 0.25, 0)]


@pytest.mark.parametrize("stop", [False, True])
def test_packets_lost_at_the_end_are_counted(tmp_path: Path, run: Path, stop: bool) -> None:
    """No later packet shows them; the device's own count does."""

    def fault(name: str, number: int, data: bytes) -> bytes:
        return b"" if name == "PACKET" and number >= 17 else data

    with FakeDevice(fault=fault, hangs_after=20) as device:
        options = CaptureOptions(device.port, tmp_path / "a.kitcap", run=run, packets=None if stop else 20)
        if stop:
            running = Running(options)
            running.until(lambda s: s.tracker.received == 17)
            time.sleep(0.3)
            running.end()
            state = running.state
        else:
            state = capture(options)
    assert state is not None and (state.tracker.received, state.tracker.lost) == (17, 3)
    *_, gap, end = records(tmp_path / "a.kitcap")
    assert isinstance(gap, GapRecord) and (gap.reason, gap.packets) == ("lost", 3)
    assert isinstance(end, EndRecord) and end.values["lost"] == 3
    assert inspect_capture(tmp_path / "a.kitcap").lost == 3


def test_append(tmp_path: Path, run: Path) -> None:
    out = tmp_path / "a.kitcap"
    with FakeDevice() as device:
        capture(CaptureOptions(device.port, out, run=run, packets=5))
        out.write_bytes(out.read_bytes()[:-9])
        state = capture(CaptureOptions(device.port, out, run=run, packets=4, append=True))
    assert state.tracker.received == 4 and len(state.gaps) == 1
    found = records(out)
    assert [(r.session, r.number) for r in found if isinstance(r, PacketRecord)] == (
        [(0, number) for number in range(5)] + [(1, number) for number in range(4)]
    )
    assert [r.reason for r in found if isinstance(r, GapRecord)] == ["stopped"]


class OtherSpeed(SerialTransport):
    """A port whose device talks at one speed only; at any other it hears nothing and sends noise."""

    wanted = 0
    tried: list[int] = []  # noqa: RUF012 (one list for the one instance a test opens)
    noise = b""

    def __init__(self, port: str, baud: int) -> None:
        super().__init__(port, baud)
        self._baud = baud

    def set_baud(self, baud: int) -> None:
        self._baud = baud
        self.tried.append(baud)

    def write(self, data: bytes) -> None:
        if self._baud == self.wanted:
            super().write(data)

    def read(self, timeout_s: float) -> bytes:
        if self._baud == self.wanted:
            return super().read(timeout_s)
        time.sleep(timeout_s)
        return self.noise


@pytest.fixture
def other_speed(monkeypatch: pytest.MonkeyPatch) -> type[OtherSpeed]:
    monkeypatch.setattr(connect_module, "open_transport", OtherSpeed)
    monkeypatch.setattr(connect_module, "speed_matters", lambda port: True)
    monkeypatch.setattr("kit.host.link.HELLO_SECONDS", 0.03)
    monkeypatch.setattr(OtherSpeed, "tried", [])
    return OtherSpeed


def test_speed_is_found(other_speed: type[OtherSpeed], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_speed, "wanted", 460800)
    with FakeDevice() as device:
        with connect(device.port) as link:
            assert link.device == HELLO
        assert other_speed.tried == [115200, 921600, 1000000, 460800]
        with connect(device.port, baud=460800) as link:
            assert link.device == HELLO
        with pytest.raises(LinkTimeout, match="does not answer"):
            connect(device.port, baud=9600, attempts=2)


def test_no_speed_fits(other_speed: type[OtherSpeed], monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeDevice() as device:
        with pytest.raises(LinkTimeout, match=r"does not answer at 115200, 921600, .*, 9600 baud"):
            connect(device.port)
        monkeypatch.setattr(other_speed, "noise", b"\x55\x00")
        with pytest.raises(LinkError, match=r"something sends bytes, but does not answer our hello at 115200"):
            connect(device.port)
        assert len(other_speed.tried) == 2 * 2 * len(connect_module.BAUD_RATES)


def test_where_speed_matters() -> None:
    def ports(product: str) -> Callable[[], list[Port]]:
        return lambda: [Port("/dev/ttyACM0", product=product)]

    assert not speed_matters("socket://localhost:4000") and speed_matters("rfc2217://localhost:4000")
    assert not speed_matters("/dev/pts/3") and speed_matters("/dev/ttyUSB0") and speed_matters("COM3")
    assert not speed_matters("/dev/ttyACM0", ports("Board CDC")) and speed_matters(
        "/dev/ttyACM0", ports("STM32 STLink")
    )
    assert speed_matters("/dev/ttyACM0", ports("")) and speed_matters("/dev/ttyACM1", ports("Board CDC"))


def test_identity_of_a_port_that_returns_under_another_name(tmp_path: Path) -> None:
    here, there = tmp_path / "ttyACM0", tmp_path / "ttyACM1"
    here.touch()
    board = Port(str(here), (), 1, 2, serial_number="0007")
    identity = PortIdentity.of(str(here), lambda: [board])
    assert identity.usb == (1, 2, "0007") and identity.find(lambda: [board]) == str(here)
    here.unlink()
    assert identity.find(list) is None
    there.touch()
    here.touch()  # another board has taken the old name
    moved = [Port(str(here), (), 1, 2, serial_number="0008"), replace(board, device=str(there))]
    assert identity.find(lambda: moved) == str(there)
    named = PortIdentity.of(str(there), lambda: [Port(str(there), (str(tmp_path / "by-id"),), 1, 2)])
    os.symlink(there, tmp_path / "by-id")
    assert named.find(list) == str(tmp_path / "by-id")
    assert PortIdentity.of("socket://x:1", list).find(list) == "socket://x:1"
    plain = PortIdentity.of(str(there), list)
    assert plain.find(list) == str(there)


def test_counters_are_asked_and_stored(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "COUNTERS_SECONDS", 0.2)
    monkeypatch.setattr(stream_module, "ASK_SECONDS", 0.1)
    with FakeDevice() as device:
        capture(CaptureOptions(device.port, tmp_path / "a.kitcap", run=run, duration_s=0.7))
    text = json.dumps([r.values for r in records(tmp_path / "a.kitcap") if hasattr(r, "values")])
    assert '"tx_packets"' in text and '"line_bytes"' in text
