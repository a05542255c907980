"""The link over a pseudo-terminal, with a device whose line fails in every way."""

from __future__ import annotations

import os
import random
import socket
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.errors import LinkError, LinkTimeout
from kit.host.link import Link
from kit.host.transport import open_transport
from kit.wire.framing import Deframer, frame
from kit.wire.messages import crc16, encode
from tests.fake_device import HELLO, LAYOUT, FakeDevice, Fault, body
from tests.support import seed

pytestmark = pytest.mark.alone


def test_hello_and_requests() -> None:
    lines: list[str] = []
    with FakeDevice() as device, Link.open(device.port, lines.append) as link:
        assert link.hello() == HELLO == link.device
        assert link.request("COUNTERS_REQUEST").integer("rx_frames") == 0
        assert link.self_test().integer("failed") == 0
        answer = link.encode_frame(513, np.arange(16, dtype=np.int16))
        assert answer.data("body") == body(513) and answer.integer("time_us") == 7
        assert link.counters.damaged == 0
    assert lines[0].startswith("> HELLO_REQUEST request=1") and lines[1].startswith("< HELLO request=1")


def test_stream() -> None:
    with FakeDevice() as device, Link.open(device.port) as link:
        link.hello()
        request = link.stream_start("fast", 20)
        seen = []
        while (message := link.receive(2.0)) is not None and message.name == "PACKET":
            seen.append(message)
        assert [m.integer("seq") for m in seen] == list(range(20))
        assert [LAYOUT.unpack(m.data("body")).mean[0] for m in seen] == list(range(20))  # type: ignore[index]
        assert message is not None and message.integer("state") == 2 and message.integer("request") == request
        assert link.stream_stop().integer("state") == 0
        with pytest.raises(LinkError, match="no stream mode"):
            link.stream_start("slow")


def test_everything_before_the_hello_is_passed_over() -> None:
    with FakeDevice() as device, Link.open(device.port) as link:
        device.raw(
            b"boot banner\r\n" + os.urandom(300) + b"\0" + frame(encode("PACKET", seq=1, time_ms=1, body=b"old"))
        )
        assert link.hello() == HELLO


def test_unanswered_and_damaged_answers_are_asked_again() -> None:
    def damage_first(name: str, number: int, data: bytes) -> bytes:
        return data[:5] + bytes([data[5] ^ 1 or 3]) + data[6:] if number == 0 else data

    with FakeDevice(fault=damage_first) as device, Link.open(device.port) as link:
        device.ignore["HELLO_REQUEST"] = 1
        assert link.hello() == HELLO
        device.ignore["COUNTERS_REQUEST"] = 1
        assert link.request("COUNTERS_REQUEST", 0.2).name == "COUNTERS"
        assert link.counters.damaged == 2
        assert device.received.count("COUNTERS_REQUEST") == 3


def test_late_answers_are_not_taken_for_new_ones() -> None:
    with FakeDevice() as device, Link.open(device.port) as link:
        link.hello()
        device.say("STREAM_STATE", request=200, state=1, packets=9, dropped=9)
        assert link.stream_stop().integer("packets") == 0


def test_flaky_line_never_yields_a_wrong_packet() -> None:
    """Split, short, duplicated, corrupt, lost messages and garbage between them."""
    rng = random.Random(seed())

    def fault(name: str, number: int, data: bytes) -> bytes:
        if name != "PACKET":
            return data
        kind = rng.randrange(8)
        if kind == 0:
            return b""
        if kind == 1:
            return data + data
        if kind == 2:
            at = rng.randrange(len(data))
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        if kind == 3:
            return data[: rng.randrange(len(data))]
        if kind == 4:
            return bytes(rng.randrange(256) for _ in range(rng.randrange(40))) + data
        return data

    with FakeDevice(fault=fault) as device, Link.open(device.port) as link:
        link.hello()
        link.stream_start("fast", 400)
        got = 0
        while (message := link.receive(2.0)) is not None and message.name != "STREAM_STATE":
            assert message.data("body") == body(message.integer("seq"))
            got += 1
        assert got > 200 and link.counters.damaged > 20


def test_silent_device() -> None:
    with FakeDevice() as device, Link.open(device.port) as link:
        device.ignore["HELLO_REQUEST"] = 99
        with pytest.raises(LinkTimeout, match="does not answer"):
            link.hello(attempts=2)
        device.ignore.clear()
        link.hello()
        device.ignore["SELF_TEST"] = 99
        with pytest.raises(LinkTimeout, match="no answer to SELF_TEST"):
            link.request("SELF_TEST", 0.1)


def test_something_else_talks() -> None:
    with (
        FakeDevice(fault=lambda *_: b"$GPGGA,1,2,3*00\r\n\0") as device,
        Link.open(device.port) as link,
        pytest.raises(LinkError, match="damaged messages"),
    ):
        link.hello(attempts=1)


def test_refusals_carry_the_text_of_the_status() -> None:
    def refuse(name: str, number: int, data: bytes) -> bytes:
        (message,) = Deframer().feed(data)
        return frame(encode("ERROR", request=message.integer("request"), status=-7, detail=3))

    with FakeDevice() as device, Link.open(device.port) as link:
        link.hello()
        device.fault = refuse
        with pytest.raises(LinkError, match=r"refused SELF_TEST: not possible in this state.*status -7, detail 3"):
            link.self_test()


def test_other_protocol_version_and_contradictions() -> None:
    with (
        FakeDevice(replace(HELLO, protocol=3)) as device,
        Link.open(device.port) as link,
        pytest.raises(LinkError, match="protocol 3"),
    ):
        link.hello()
    with (
        FakeDevice(replace(HELLO, packet_bytes=9)) as device,
        Link.open(device.port) as link,
        pytest.raises(LinkError, match="contradicts itself"),
    ):
        link.hello()


def answer_as_protocol_1(name: str, number: int, data: bytes) -> bytes:
    """What a device of protocol 1 says to a hello of any other version."""
    (message,) = Deframer().feed(data)
    return frame(encode("ERROR", request=message.integer("request"), status=-6, detail=1))


def hello_of_protocol_1(name: str, number: int, data: bytes) -> bytes:
    """The hello of protocol 1 (60 bytes before its check value), should a device send it all the same."""
    content = bytes([0x81, 1, 1]) + bytes(57)
    return frame(content + crc16(content).to_bytes(2, "little"))


@pytest.mark.parametrize("fault", [answer_as_protocol_1, hello_of_protocol_1])
def test_old_device_with_this_host(fault: Fault) -> None:
    with FakeDevice(fault=fault) as device, Link.open(device.port) as link, pytest.raises(LinkError) as caught:
        link.hello()
    assert str(caught.value) == (
        f"{device.port}: the device speaks protocol 1, this kit 2; rebuild the firmware with this kit, or use the kit "
        "that built it"
    )


def test_unplugged() -> None:
    with FakeDevice() as device, Link.open(device.port) as link:
        link.hello()
        timer = threading.Timer(0.2, device.unplug)
        timer.start()
        with pytest.raises(LinkError, match="unplugged"):
            for _ in range(20):
                link.receive(1.0)
        with pytest.raises(LinkError, match="unplugged"):
            link.send("STREAM_STOP", request=1)
        timer.join()


def test_port_that_does_not_exist() -> None:
    with pytest.raises(LinkError, match="/dev/kit-absent does not exist; ports here: "):
        Link.open("/dev/kit-absent")
    with pytest.raises(LinkError, match="no serial port and no URL"):
        Link.open("nonsense://x")


def test_busy_port() -> None:
    with FakeDevice() as device, Link.open(device.port), pytest.raises(LinkError, match="in use by another program"):
        Link.open(device.port)


def test_not_permitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import serial

    def denied(*_: object, **__: object) -> None:
        raise serial.SerialException(13, "could not open port: Permission denied")

    monkeypatch.setattr(serial, "serial_for_url", denied)
    with pytest.raises(LinkError, match=r"permission denied.*usermod -aG dialout"):
        Link.open("/dev/kit-absent")
    monkeypatch.undo()
    (tmp_path / "file").write_text("no terminal")
    with pytest.raises(LinkError, match="cannot open serial port"):
        Link.open(str(tmp_path / "file"))


def test_urls_and_descriptors() -> None:
    """The protocol over TCP (a serial server) and over a plain descriptor (a socket pair)."""
    ours, theirs = socket.socketpair()
    transport = open_transport(ours.detach())
    theirs.sendall(frame(HELLO.to_message(1)))
    link = Link(transport)
    assert link.hello() == HELLO
    theirs.close()
    with pytest.raises(LinkError, match="unplugged"):
        link.receive(1.0)
    link.close()
    link.close()

    server = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(LinkError, match="nothing listens"):
        closed = socket.create_server(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        closed.close()
        Link.open(f"socket://127.0.0.1:{port}")
    with Link.open(f"socket://127.0.0.1:{server.getsockname()[1]}") as link:
        peer, _ = server.accept()
        peer.sendall(frame(HELLO.to_message(1)))
        assert link.hello() == HELLO
        peer.close()
        with pytest.raises(LinkError, match="unplugged"):
            link.receive(1.0)
    server.close()


def test_frames_that_do_not_fit_the_device() -> None:
    with FakeDevice() as device, Link.open(device.port) as link:
        with pytest.raises(LinkError, match="no hello yet"):
            link.encode_frame(0, np.zeros(16, np.int16))
        link.hello()
        with pytest.raises(LinkError, match="frames of 16 samples"):
            link.encode_frame(0, np.zeros(15, np.int16))
