"""The bare packet: PACKET without type, check value and framing, for transports that have their own.

Layout: ``seq`` u16, ``time_ms`` u16, then the packet's body; little-endian, always the same length for one build.
Nothing in it detects damage: the transport has to, as Bluetooth LE does for every notification.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kit.errors import ShapeError
from kit.wire.packet import PacketLayout, Packets
from kit.wire.registry import BY_NAME

HEADER_BYTES = BY_NAME["PACKET"].fixed_bytes - 1


@dataclass(frozen=True, slots=True)
class BarePacket:
    """One packet: number modulo 65536, arrival of its last sample in ms modulo 65536, and the bodies of its frames."""

    seq: int
    time_ms: int
    body: bytes


def bare_bytes(layout: PacketLayout) -> int:
    """Length of a bare packet of a build."""
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
        ShapeError: wrong length, or padding bits that are not 0.
    """
    want = bare_bytes(layout)
    if len(data) != want:
        raise ShapeError(f"bare packet has {len(data)} bytes, want {want}")
    packet = BarePacket(int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little"), data[HEADER_BYTES:])
    return packet, layout.unpack_packet(packet.body)


def split_bare(data: bytes, layout: PacketLayout) -> Iterator[BarePacket]:
    """The packets of a file in which bare packets stand one behind the other.

    Raises:
        ShapeError: before the first packet when the length is no multiple of a packet's; else at a packet whose padding
            bits are not 0. Either way the file is of another build, or damaged.
    """
    size = bare_bytes(layout)
    if len(data) % size:
        raise ShapeError(f"{len(data)} bytes are no whole number of bare packets of {size} bytes")
    return (decode_bare(data[at : at + size], layout) for at in range(0, len(data), size))
