"""The bare packet: PACKET without type, check value and framing, for transports that have their own.

Layout: ``seq`` u16, ``time_ms`` u16, then the packet's body; little-endian. With indices of fixed width it has the same
length for every packet of a build. With range-coded ones the transport tells the length, and in a file of bare packets
each stands behind its length, u16.
Nothing in it detects damage: the transport has to, as Bluetooth LE does for every notification.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kit.errors import ShapeError
from kit.wire.packet import PacketLayout, Packets
from kit.wire.registry import BY_NAME

LENGTH_BYTES = 2
"""Of the length before a range-coded packet in a file."""
HEADER_BYTES = BY_NAME["PACKET"].fixed_bytes - 1


@dataclass(frozen=True, slots=True)
class BarePacket:
    """One packet: number modulo 65536, arrival of its last sample in ms modulo 65536, and the bodies of its frames."""

    seq: int
    time_ms: int
    body: bytes


def bare_bytes(layout: PacketLayout) -> int:
    """Length of a bare packet of a build, of the longest where indices are range-coded."""
    return HEADER_BYTES + layout.body_bytes


def encode_bare(packet: BarePacket) -> bytes:
    """The bytes of a packet.

    Raises:
        ShapeError: ``seq`` or ``time_ms`` outside 0..65535.
    """
    if not (0 <= packet.seq <= 0xFFFF and 0 <= packet.time_ms <= 0xFFFF):
        raise ShapeError(f"bare packet: seq {packet.seq} or time {packet.time_ms} ms is outside 0..65535")
    return packet.seq.to_bytes(2, "little") + packet.time_ms.to_bytes(2, "little") + packet.body


def decode_bare(data: bytes, layout: PacketLayout) -> BarePacket:
    """One notification to a packet; ``layout.unpack_packet(packet.body)`` gives indices, means and scale codes.

    Raises:
        ShapeError: wrong length, or padding bits that are not 0.
    """
    packet, _ = parse_bare(data, layout)
    return packet


def parse_bare(data: bytes, layout: PacketLayout) -> tuple[BarePacket, Packets]:
    """One notification to a packet and the frames in it.

    Raises:
        ShapeError: wrong length, or a body that the layout does not allow.
    """
    low, high = HEADER_BYTES + layout.body_bytes_min, bare_bytes(layout)
    if not low <= len(data) <= high:
        raise ShapeError(f"bare packet has {len(data)} bytes, want {f'{high}' if low == high else f'{low} to {high}'}")
    packet = BarePacket(int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little"), data[HEADER_BYTES:])
    return packet, layout.unpack_packet(packet.body)


def split_bare(data: bytes, layout: PacketLayout) -> Iterator[BarePacket]:
    """The packets of a file in which bare packets stand one behind the other.

    Raises:
        ShapeError: before the first packet when the length is no multiple of a packet's; else at a packet whose padding
            bits are not 0. Either way the file is of another build, or damaged.
    """
    size = bare_bytes(layout)
    if not layout.variable and len(data) % size:
        raise ShapeError(f"{len(data)} bytes are no whole number of bare packets of {size} bytes")
    return (decode_bare(packet, layout) for packet in read_bare(io.BytesIO(data), layout))


def read_bare(stream: BinaryIO, layout: PacketLayout) -> Iterator[bytes]:
    """The bare packets of an open file, one at a time, unchecked; what is no whole packet of fixed width is left out.

    Raises:
        ShapeError: range-coded packets, and a length that no packet has, or the end within a packet.
    """
    size, low = bare_bytes(layout), HEADER_BYTES + layout.body_bytes_min
    if not layout.variable:
        while len(data := stream.read(size)) == size:
            yield data
        return
    while head := stream.read(LENGTH_BYTES):
        length = int.from_bytes(head, "little")
        data = stream.read(length) if len(head) == LENGTH_BYTES and low <= length <= size else b""
        if len(data) != length or len(data) < low:
            raise ShapeError(f"a bare packet of {length} bytes, want {low} to {size} in whole")
        yield data


def file_bytes(packet: bytes, layout: PacketLayout) -> bytes:
    """A bare packet as it stands in a file of them."""
    return len(packet).to_bytes(LENGTH_BYTES, "little") + packet if layout.variable else packet
