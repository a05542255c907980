"""Which port leads to a device: answers, silence, foreign talk, closed doors and drivers that block."""

from __future__ import annotations

import errno
import grp
import json
import os
import stat
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import serial
from typer.testing import CliRunner

import kit.host.ports as ports_module
from kit.cli.main import app
from kit.errors import KitError, LinkError
from kit.host.link import Link
from kit.host.ports import Port, PortFinding, find_ports, only_device, survey
from kit.host.transport import SerialTransport, open_transport
from tests.fake_device import BUILD_HASH, HELLO, FakeDevice, other_build, write_tiny_run

pytestmark = pytest.mark.alone


def info(device: str, **more: object) -> SimpleNamespace:
    """A port as pyserial lists it."""
    facts = {"vid": None, "pid": None, "manufacturer": None, "product": None, "serial_number": None}
    return SimpleNamespace(device=device, **{**facts, **more})


def usb(device: str) -> SimpleNamespace:
    return info(device, vid=0x0483, pid=0x374B, manufacturer="Maker", product="Board\x1b[2J\n", serial_number="0007")


class System:
    """The ports pyserial is made to list, and the folder of lasting names."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ports: list[SimpleNamespace] = []
        self.by_id = folder / "by-id"
        self.by_id.mkdir()
        monkeypatch.setattr("serial.tools.list_ports.comports", lambda: list(self.ports))
        monkeypatch.setattr(ports_module, "BY_ID", self.by_id)
        monkeypatch.setattr(ports_module, "PROBE_ATTEMPTS", 1)
        monkeypatch.chdir(folder)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    return System(tmp_path, monkeypatch)


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that takes everything and says nothing."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


@contextmanager
def held(port: str) -> Iterator[None]:
    """Another program has the port."""
    transport = open_transport(port)
    yield
    transport.close()


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, KitError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def test_listing(system: System) -> None:
    system.ports = [usb("/dev/ttyACM10"), usb("/dev/ttyACM2"), info("/dev/ttyS0")]
    only_udev = system.by_id.parent / "ttyXY0"
    only_udev.touch()
    (system.by_id / "usb-Other-if00").symlink_to(only_udev)
    (system.by_id / "usb-Gone-if00").symlink_to(system.by_id / "absent")
    found = find_ports()
    assert [p.device for p in found] == ["/dev/ttyACM2", "/dev/ttyACM10", "/dev/ttyS0", str(only_udev)]
    assert [p.usb for p in found] == [True, True, False, True]
    assert found[3].names == (str(system.by_id / "usb-Other-if00"),)
    assert found[0] == Port("/dev/ttyACM2", (), 0x0483, 0x374B, "Maker", "Board[2J", "0007")


def test_port_that_leaves_while_it_is_listed(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def comports() -> list[SimpleNamespace]:
        calls.append(1)
        if len(calls) == 1:
            raise TypeError("int() can't convert non-string with explicit base")
        return [usb("/dev/ttyACM0")]

    monkeypatch.setattr("serial.tools.list_ports.comports", comports)
    assert [p.device for p in find_ports()] == ["/dev/ttyACM0"]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: int(None, 16))  # type: ignore[call-overload]
    with pytest.raises(LinkError, match="cannot list the serial ports"):
        find_ports()


def test_survey_names_the_run_and_says_what_is_wrong(system: System, silent: str) -> None:
    write_tiny_run(Path("runs/tiny"))
    bare = Path("runs/bare")
    bare.mkdir()
    (bare / "manifest.json").write_text(json.dumps({"facts": {"build_hash": BUILD_HASH}}))
    talk = b"$GPGGA,1,2,3*00\r\n\0"
    with (
        FakeDevice() as known,
        FakeDevice(other_build()) as unknown,
        FakeDevice(fault=lambda *_: talk) as foreign,
        FakeDevice() as busy,
        held(busy.port),
    ):
        devices = [known.port, unknown.port, foreign.port, busy.port, silent, "/dev/kit-absent"]
        begun = time.monotonic()
        findings = survey([Port(device, vendor_id=1) for device in devices] + [Port("/dev/ttyS0")])
        assert time.monotonic() - begun < 3.0, "all ports are asked at once"
    assert [f.port.device for f in findings] == [*devices, "/dev/ttyS0"]
    assert [f.hello is not None for f in findings] == [True, True] + [False] * 5
    assert [f.run for f in findings[:2]] == ["tiny", ""]
    assert findings[0].text == f"fake, engine aot, build {BUILD_HASH} (tiny)"
    assert findings[1].text.endswith("(unknown run)")
    wrong = [f.problem for f in findings[2:]]
    assert wrong[0].startswith("something sends bytes") and "in use by another program" in wrong[1]
    assert wrong[2] == "the device does not answer" and "does not exist" in wrong[3] and wrong[4] == ""
    assert not findings[-1].probed and only_device(findings[1:]) is findings[1]


def test_device_in_the_middle_of_a_stream_still_answers(system: System) -> None:
    with FakeDevice() as device:
        with Link.open(device.port) as link:
            link.hello()
            link.stream_start("fast", 0)
        (finding,) = survey([Port(device.port, vendor_id=1)])
    assert finding.hello == HELLO


def test_driver_that_blocks_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def blocks(self: SerialTransport, port: str, baud: int) -> None:
        release.wait(20)
        raise LinkError("too late")

    monkeypatch.setattr(SerialTransport, "__init__", blocks)
    begun = time.monotonic()
    (finding,) = survey([Port("/dev/stuck", vendor_id=1)], seconds_max=0.2)
    assert time.monotonic() - begun < 2.0
    release.set()
    assert finding.probed and finding.problem == "blocked for 0.2 s"


def test_driver_that_fails_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    import termios

    def fails(self: SerialTransport, port: str, baud: int) -> None:
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr(SerialTransport, "__init__", fails)
    (finding,) = survey([Port("/dev/odd", vendor_id=1)])
    assert finding.problem.startswith("cannot be asked: ") and "Input/output error" in finding.problem


def test_speed_to_ask_at(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    real = SerialTransport.__init__

    def note(self: SerialTransport, port: str, baud: int) -> None:
        opened.append(baud)
        real(self, port, baud)

    monkeypatch.setattr(SerialTransport, "__init__", note)
    with FakeDevice() as device:
        port = Port(device.port, vendor_id=1)
        assert [finding.hello for finding in (*survey([port]), *survey([port], baud=921600))] == [HELLO, HELLO]
    assert opened == [115200, 921600]


def test_only_device_refuses_none_and_several() -> None:
    one, two = (PortFinding(Port(f"/dev/ttyACM{n}", vendor_id=1), True, HELLO, "tiny") for n in range(2))
    denied = PortFinding(Port("/dev/ttyACM7", vendor_id=1), True, problem="permission denied", fix="join its group")
    console = PortFinding(Port("/dev/ttyS0"))
    assert only_device([denied, one, console]) is one
    with pytest.raises(LinkError, match=r"2 devices answer: /dev/ttyACM0 \(fake.*; /dev/ttyACM1 .*name one"):
        only_device([one, two])
    with pytest.raises(LinkError, match=r"asked: /dev/ttyACM7 \(permission denied\); join its group"):
        only_device([denied, console])
    with pytest.raises(LinkError, match=r"no USB serial port here.*other ports: /dev/ttyS0; plug"):
        only_device([console])
    with pytest.raises(LinkError, match="other ports: none"):
        only_device([])


@pytest.mark.parametrize(
    ("mode", "group", "groups", "user", "fix"),
    [
        (0o660, 12345, [1000], 1000, "join its group: sudo usermod -aG kitgroup"),
        (0o660, 12345, [12345], 1000, "in a container, pass the device in"),
        (0o600, 12345, [12345], 1000, "udev rule"),
        (0o660, 0, [1000], 1000, "udev rule"),
        (0o660, 12345, [1000], 0, "in a container, pass the device in"),
        (0o660, 777, [1000], 1000, "join its group: sudo usermod -aG dialout"),
    ],
)
def test_denied_port_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, mode: int, group: int, groups: list[int], user: int, fix: str
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port")

    names = {12345: "kitgroup", 0: "root"}
    status = SimpleNamespace(st_gid=group, st_mode=stat.S_IFCHR | mode)
    with monkeypatch.context() as patch:
        patch.setattr(serial, "serial_for_url", denied)
        patch.setattr(os, "stat", lambda path: status)
        patch.setattr(os, "geteuid", lambda: user)
        patch.setattr(os, "getegid", lambda: 1000)
        patch.setattr(os, "getgroups", lambda: groups)
        patch.setattr(grp, "getgrgid", lambda number: SimpleNamespace(gr_name=names[number]))
        with pytest.raises(LinkError) as caught:
            open_transport("/dev/ttyACM0")
    assert caught.value.what == "permission denied: this user may not open /dev/ttyACM0"
    assert fix in caught.value.fix


def test_windows_denies_access_to_a_port_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise serial.SerialException("could not open port 'COM3': PermissionError(13, 'Access is denied.', None, 5)")

    monkeypatch.setattr(serial, "serial_for_url", denied)
    with pytest.raises(LinkError, match="COM3 is in use by another program"):
        open_transport("COM3")


def test_command_line(system: System, silent: str) -> None:
    assert "no serial port here" in invoke("ports")[1]
    assert invoke("ports", "--json") == (0, "[]\n")
    with FakeDevice() as device:
        system.ports = [usb(device.port), info(silent)]
        (system.by_id / "usb-Maker_Board").symlink_to(device.port)
        code, text = invoke("ports")
        assert code == 0 and f"{device.port}  0483:374b  Maker  Board" in text and "usb-Maker_Board" in text
        assert f"fake, engine aot, build {BUILD_HASH} (unknown run)" in text and f"{silent}\n    not asked" in text
        rows = {row["device"]: row for row in json.loads(invoke("ports", "--json", "--probe")[1])}
        assert rows[device.port]["answers"] and rows[device.port]["build_hash"] == BUILD_HASH
        assert rows[device.port]["vendor_id"] == "0483" and rows[device.port]["target"] == "fake"
        assert rows[silent]["probed"] and rows[silent]["problem"] == "the device does not answer"
        hellos = device.received.count("HELLO_REQUEST")
        rows = {row["device"]: row for row in json.loads(invoke("ports", "--json", "--no-probe")[1])}
        assert not any(row["probed"] for row in rows.values())
        assert device.received.count("HELLO_REQUEST") == hellos


def test_capture_without_a_port(system: System, silent: str) -> None:
    write_tiny_run(Path("runs/tiny"))
    system.ports = [usb(silent)]
    code, text = invoke("serial-capture")
    assert code == 1 and f"no device of this kit answers; asked: {silent} (the device does not answer)" in text
    with FakeDevice() as device, FakeDevice() as other:
        system.ports = [usb(silent), usb(device.port)]
        code, text = invoke("serial-capture", "--packets", "3", "--out", "a.kitcap")
        assert code == 0 and "3 packets" in text and "3 frames (1 s), 0 missing" in text
        system.ports.append(usb(other.port))
        code, text = invoke("serial-capture", "--packets", "3")
        assert code == 1 and "2 devices answer" in text and device.port in text and other.port in text
        assert "contradict" in invoke("serial-capture", "--decode", "x.npz", "--no-decode")[1]
