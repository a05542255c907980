"""Messages, packet layout and framing: known values and every refusal."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from kit.config import parse_config
from kit.errors import ShapeError
from kit.wire.bits import pack_indices, packed_bytes, unpack_indices
from kit.wire.framing import Deframer, frame
from kit.wire.messages import Hello, TailSizes, WireError, crc16, crc32, decode, encode
from kit.wire.packet import Coding, PacketLayout
from kit.wire.registry import PROTOCOL_VERSION
from tests.fake_device import HELLO

LAYOUT = PacketLayout(320, 16, 40, 2, 8, True)


def test_check_values() -> None:
    assert crc16(b"123456789") == 0x29B1
    assert crc32(b"123456789") == 0xCBF43926


def test_known_bytes() -> None:
    message = encode("HELLO_REQUEST", request=1, protocol=1)
    assert message == bytes.fromhex("010101bcd8")
    assert frame(message) == bytes.fromhex("06010101bcd800")
    long = encode("ENCODE_FRAME", frame=0x0201, samples=b"\x03\x04")
    assert long[:-4] == bytes.fromhex("0201020304") and int.from_bytes(long[-4:], "little") == crc32(long[:-4])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("STREAM_START", {"request": 0, "mode": 2, "packets": 0}),
        ("STREAM_START", {"request": 0, "mode": 0}),
        ("STREAM_START", {"request": 256, "mode": 0, "packets": 0}),
        ("STREAM_START", {"request": True, "mode": 0, "packets": 0}),
        ("STREAM_STOP", {"request": 0, "more": 1}),
        ("ERROR", {"request": 0, "status": -129, "detail": 0}),
        ("ENCODE_FRAME", {"frame": 0, "samples": "text"}),
    ],
)
def test_encode_refuses(name: str, values: dict[str, object]) -> None:
    with pytest.raises(WireError) as caught:
        encode(name, **values)  # type: ignore[arg-type]
    assert caught.value.reason == "value"


def with_crc(content: bytes) -> bytes:
    return content + crc16(content).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "length"),
        (b"\x05\x00", "length"),
        (with_crc(b"\x55\x00"), "type"),
        (b"\x05\x01\x00\x00", "crc"),
        (with_crc(b"\x05"), "length"),
        (with_crc(b"\x05\x01\x02"), "length"),
        (with_crc(b"\x04\x01\x07\x00\x00\x00\x00"), "value"),
        (with_crc(b"\x02\x01\x02"), "crc"),
    ],
)
def test_decode_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(data)
    assert caught.value.reason == reason


def test_tail_length_is_exact_once_known() -> None:
    message = encode("PACKET", seq=1, time_ms=2, body=b"12345")
    assert decode(message).data("body") == b"12345"
    assert decode(message, TailSizes(body=5)).integer("seq") == 1
    with pytest.raises(WireError):
        decode(message, TailSizes(body=4))


def test_hello_and_its_contradictions() -> None:
    decoded = decode(HELLO.to_message(9))
    assert decoded.text("target") == "fake" and decoded.integer("request") == 9
    assert Hello.from_message(decoded) == HELLO
    assert HELLO.frame_seconds == 0.25
    with pytest.raises(WireError, match="its own layout"):
        Hello.from_message(decode(replace(HELLO, packet_bytes=6).to_message(1)))


def test_layout_figures_of_the_default_build() -> None:
    layout = PacketLayout.from_config(parse_config({"name": "x"}))
    assert layout == LAYOUT
    assert (layout.side_bytes, layout.index_bytes, layout.body_bytes, layout.payload_bits) == (3, 80, 83, 640)
    assert layout.payload_ratio == 8.0
    # type, seq, time_ms, body, CRC-16, COBS, delimiter
    assert layout.wire_bytes == 1 + 2 + 2 + 83 + 2 + 1 + 1
    body = layout.pack(np.zeros((40, 2), np.uint16), -1, 255)
    assert len(frame(encode("PACKET", seq=0, time_ms=0, body=body))) == layout.wire_bytes
    assert PacketLayout.from_dict(layout.to_dict()) == layout


def test_packet_bytes_by_hand() -> None:
    layout = PacketLayout(16, 16, 2, 2, 3, True)
    packed = layout.pack(np.array([[1, 2], [3, 4]], np.uint16), mean=-2, scale_code=7)
    # 1 | 2 << 3 | 3 << 6 | 4 << 9 = 0x8D1, low byte first
    assert packed == bytes([0xFE, 0xFF, 7, 0xD1, 0x08])
    wide = PacketLayout(16, 24, 2, 2, 3, True)
    assert wide.pack(np.zeros((2, 2), np.uint16), mean=-(1 << 23), scale_code=0)[:4] == bytes([0, 0, 0x80, 0])
    assert wide.unpack(bytes([0xFE, 0xFF, 0xFF, 1, 0, 0])).mean == np.array([-2])
    bare = replace(layout, side_information=False)
    assert bare.pack(np.array([[1, 2], [3, 4]], np.uint16)) == bytes([0xD1, 0x08])
    assert bare.unpack(bytes([0xD1, 0x08])).mean is None


@pytest.mark.parametrize(
    "action",
    [
        lambda: LAYOUT.pack(np.full((40, 2), 256, np.uint16)),
        lambda: LAYOUT.pack(np.zeros((40, 1), np.uint16)),
        lambda: LAYOUT.pack(np.zeros((40, 2), np.uint16), mean=32768),
        lambda: LAYOUT.pack(np.zeros((40, 2), np.uint16), scale_code=256),
        lambda: LAYOUT.pack_batch(np.zeros((1, 40, 2), np.uint16)),
        lambda: LAYOUT.pack(np.zeros((40, 2), np.float32)),  # type: ignore[arg-type]
        lambda: LAYOUT.unpack(b"short"),
        lambda: PacketLayout(16, 16, 2, 2, 3, True).unpack(bytes([0, 0, 0, 0, 0x10])),
        lambda: PacketLayout(16, 16, 0, 2, 3, True),
        lambda: PacketLayout(16, 16, 65535, 255, 10, True),
        lambda: PacketLayout(16, 16, 2, 2, 3, 1),  # type: ignore[arg-type]
        lambda: PacketLayout.from_dict({"frame_samples": 3}),
        lambda: pack_indices(np.zeros(3, np.uint16), 0),
        lambda: pack_indices(np.uint16(3), 4),  # type: ignore[arg-type]
        lambda: unpack_indices(np.zeros(3, np.uint8), 2, 8),
    ],
)
def test_packet_refusals(action: object) -> None:
    with pytest.raises(ShapeError):
        action()  # type: ignore[operator]


@pytest.mark.parametrize("bits", range(1, 17))
def test_bit_packing_at_every_width(bits: int) -> None:
    values = np.arange(0, 1 << bits, max(1, (1 << bits) // 50)).astype(np.uint16)
    packed = pack_indices(values, bits)
    assert packed.shape == (packed_bytes(len(values), bits),)
    number = int.from_bytes(packed.tobytes(), "little")
    assert [number >> (bits * i) & ((1 << bits) - 1) for i in range(len(values))] == values.tolist()
    assert (unpack_indices(packed, len(values), bits) == values).all()


def test_deframer_counts_and_recovers() -> None:
    good = frame(encode("PACKET", seq=1, time_ms=0, body=b"12345"))
    deframer = Deframer(64, TailSizes(body=5))
    damaged = bytearray(good)
    damaged[good.index(b"2")] ^= 0x40
    wrong_length = frame(encode("PACKET", seq=1, time_ms=0, body=b"1234"))
    bad_value = frame(with_crc(b"\x85\x01\x07" + bytes(8)))
    line = (
        b"noise\0" + bytes(damaged) + b"\0\0" + wrong_length + bytes([200]) + b"x\0" + b"\x01" * 500 + b"\0" + bad_value
    )
    found = deframer.feed(line + good + good[:4])
    assert [m.name for m in found] == ["PACKET"]
    counters = deframer.counters
    assert counters.frames == 1 and counters.line_bytes == len(line + good) + 4
    assert (counters.bad_crc, counters.bad_length, counters.overlong, counters.bad_value) == (1, 1, 1, 1)
    assert counters.bad_cobs == 2 and counters.damaged == 6
    assert [m.name for m in deframer.feed(good[4:])] == ["PACKET"]


def test_several_frames_in_a_packet() -> None:
    single = PacketLayout(16, 16, 2, 2, 3, True)
    layout = replace(single, frames_per_packet=3)
    assert (layout.frame_bytes, layout.body_bytes, layout.wire_bytes) == (5, 15, 24)
    assert layout.wire_ratio == pytest.approx(256 / (8 * 24 / 3)) and layout.wire_bytes_per_frame == 8
    bodies = [single.pack(np.full((2, 2), number, np.uint16), mean=-number, scale_code=number) for number in range(3)]
    found = layout.unpack_packet(b"".join(bodies))
    assert found.mean is not None and found.mean.tolist() == [0, -1, -2]
    assert [row.tobytes() for row in layout.frames(b"".join(bodies))] == bodies
    with pytest.raises(ShapeError, match="packet body has 14 bytes, want 15"):
        layout.frames(bytes(14))
    with pytest.raises(ShapeError, match=r"outside 1\.\.16"):
        replace(single, frames_per_packet=17)
    assert PacketLayout.from_dict({k: v for k, v in single.to_dict().items() if k != "frames_per_packet"}) == single


@pytest.mark.parametrize("length", [5, 60, 61, 200])
def test_a_hello_of_another_version_is_recognised_whatever_its_length(length: int) -> None:
    deframer = Deframer()
    deframer.feed(frame(with_crc(bytes([0x81, 7, PROTOCOL_VERSION - 1]) + bytes(length - 3))))
    assert deframer.other_protocol == PROTOCOL_VERSION - 1 and deframer.counters.bad_length == 1
    deframer.feed(frame(with_crc(bytes([0x81, 7, PROTOCOL_VERSION]) + bytes(length - 3))))
    assert deframer.other_protocol == PROTOCOL_VERSION - 1


@pytest.mark.parametrize("coding", ["fixed", "range"])
def test_a_hello_announces_indices_of_up_to_12_bits(coding: Coding) -> None:
    layout = replace(HELLO.layout, index_bits=12, coding=coding)
    sizes = {"packet_bytes": layout.body_bytes, "frame_bytes": layout.frame_bytes}
    hello = replace(HELLO, index_bits=12, coding=coding, **sizes)
    assert Hello.from_message(decode(hello.to_message(1))).layout == layout and layout.index_bytes == 12
    with pytest.raises(WireError, match=r"HELLO\.index_bits = 13: want an integer in 1\.\.12"):
        replace(hello, index_bits=13).to_message(1)
    with pytest.raises(ShapeError, match=r"index_bits = 13 is outside 1\.\.12"):
        replace(layout, index_bits=13)


def test_hello_fields_that_came_with_protocol_2_have_the_meaning_of_protocol_1() -> None:
    later = ("frames_per_packet", "frame_bytes", "credits", "probes")
    values = {k: v for k, v in asdict(HELLO).items() if k not in later}
    hello = Hello(**values)
    assert (hello.frames_per_packet, hello.frame_bytes, hello.credits, hello.probes) == (1, 5, 1, False)
    assert hello.packet_seconds == hello.frame_seconds
