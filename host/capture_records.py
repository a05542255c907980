"""What stands in a capture file (docs/capture_format.md): the records and their bytes."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass, fields
from typing import Any

from kit.errors import CaptureError, KitError
from kit.wire.messages import Hello, decode
from kit.wire.packet import PacketLayout

VERSION = 2
VERSIONS = (1, 2)
"""Formats that a reader opens."""
MAGIC_BYTES = 8
SUFFIX = ".kitcap"
PAYLOAD_BYTES_MAX = 1 << 20

HEADER, PACKET, NOTE, SESSION, GAP, COUNTERS, END = range(1, 8)
KINDS_MAX = 31
"""Kinds up to here are passed over where a reader does not know them; beyond, a head is taken for damaged."""

MARKER = b"\xa7\x4b"
"""Begins every record of format 2, so that a reader finds the next one behind damage quickly."""
GAP_REASONS = ("lost", "damaged", "unplugged", "reset", "silent", "stopped")
"""Packets that never came; that came damaged; a port that vanished; a device that started anew; one that fell silent;
a capture that ended, to which a later one was appended."""
WITHIN_SESSION = ("lost", "damaged")
"""Reasons of gaps in a stream that went on; the others stand between two streams."""

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError, KitError)
"""What parsing JSON of any content, and taking values of any type out of it, may raise."""

_HEADS = {1: struct.Struct("<BIQ"), 2: struct.Struct("<2sBIQ")}
_CRC = struct.Struct("<I")
_PACKETS = {1: struct.Struct("<HH"), 2: struct.Struct("<HIH")}


def magic(version: int = VERSION) -> bytes:
    """First bytes of a file."""
    return b"KITCAP" + bytes([version]) + b"\n"


def hello_from_dict(values: dict[str, Any]) -> Hello:
    """A hello as a file of any kit version holds it.

    Raises:
        one of :data:`UNREADABLE`: not a dictionary of fields, one is missing, or has a value that no device can send.
    """
    known = {field.name for field in fields(Hello)}
    hello = Hello(**{name: value for name, value in values.items() if name in known})
    # On the wire every field has a range; what has no place there is no hello either.
    if Hello.from_message(decode(hello.to_message(0))) != hello:
        raise ValueError("a hello whose fields change on the wire")
    return hello


def hello_to_dict(hello: Hello) -> dict[str, Any]:
    """Inverse of :func:`hello_from_dict`; ``coding`` only where it is not fixed, so that older kits read the file."""
    values = asdict(hello)
    if hello.coding == "fixed":
        del values["coding"]
    return values


@dataclass(frozen=True, slots=True)
class CaptureHeader:
    """What a capture is; enough to read its indices without any other file.

    Attributes:
        hello: what the device said.
        layout: of the packet bodies and the frames in them.
        started: wall clock of the host at the start, ISO 8601 with offset.
        port: where the device was.
        mode: ``realtime`` or ``fast``.
        config: resolved configuration (YAML) of the build, empty where the build is not known.
        label: datasets of the build's decoder, empty where not known.
        decoder: server folder that decoded it when it was captured, empty where not known.
    """

    hello: Hello
    layout: PacketLayout
    started: str
    port: str
    mode: str
    config: str = ""
    label: str = ""
    decoder: str = ""

    @property
    def build_hash(self) -> str:
        """Build of the device, 16 hex digits."""
        return self.hello.build_hash

    def frames(self, body: bytes) -> list[bytes]:
        """The frame bodies of a packet body, oldest first.

        Raises:
            ShapeError: no body of this layout.
        """
        return self.layout.split(body)

    def to_json(self) -> bytes:
        """Payload of the HEADER record."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values.update(hello=hello_to_dict(self.hello), layout=self.layout.to_dict(), format=VERSION)
        return to_json(values)

    @classmethod
    def from_json(cls, payload: bytes) -> CaptureHeader:
        """Inverse of :meth:`to_json`; headers of format 1 as well.

        Raises:
            CaptureError: not such a payload.
        """
        try:
            values = json.loads(payload)
            hello, layout = hello_from_dict(values["hello"]), PacketLayout.from_dict(values["layout"])
            texts = {f.name: values.get(f.name, "") for f in fields(cls) if f.name not in ("hello", "layout")}
            if layout != hello.layout or not all(isinstance(text, str) for text in texts.values()):
                raise ValueError("a header that contradicts itself")
            return cls(hello=hello, layout=layout, **texts)
        except UNREADABLE:
            raise CaptureError("the capture's header is of another kit version", "use the kit that wrote it") from None


@dataclass(frozen=True, slots=True)
class PacketRecord:
    """A packet.

    Attributes:
        time_us: host time of its arrival since the capture began.
        session: stream it belongs to.
        number: counted without end since that stream began; frame ``number * frames_per_packet`` is its first.
        device_time_ms: arrival of its last sample at the device, modulo 65536.
        body: its frames, one behind the other (:meth:`CaptureHeader.frames`).
    """

    time_us: int
    session: int
    number: int
    device_time_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A stream begins: at the start of a capture, and again after every interruption.

    Attributes:
        time_us: host time when the device confirmed the start; its first sample is taken about then.
        session: number of the stream, from 0.
        values: ``hello``, ``started`` (wall clock), ``port``; empty where the record itself is lost or the file is of
            format 1.
    """

    time_us: int
    session: int
    values: dict[str, Any]

    @property
    def hello(self) -> Hello | None:
        """What the device said when the stream began, None where the file does not hold it."""
        try:
            return hello_from_dict(self.values["hello"])
        except UNREADABLE:
            return None


@dataclass(frozen=True, slots=True)
class GapRecord:
    """Signal is missing here.

    ``lost`` and ``damaged`` stand before the packet that shows them and repeat what its number says, or at the end of
    their stream, where no number does; the others stand before the SESSION that ends the interruption, and only they
    know its length.

    Attributes:
        time_us: host time when it was noticed.
        session: stream that goes on behind it.
        reason: one of :data:`GAP_REASONS`.
        seconds: its length: of the missing packets, or, between streams, by the host's clock.
        packets: how many are missing, None where nobody counted.
        detail: a sentence, may be empty.
    """

    time_us: int
    session: int
    reason: str
    seconds: float
    packets: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """A remark of the capture about itself."""

    time_us: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CountersRecord:
    """What the host counted so far, over all sessions: packets, lost, duplicates, damaged, dropped_by_device..."""

    time_us: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The capture ended: ``why``, and the counters at the end. Another SESSION follows where it was appended to."""

    time_us: int
    values: dict[str, Any]


Record = PacketRecord | SessionRecord | GapRecord | NoteRecord | CountersRecord | EndRecord


def to_json(values: dict[str, Any]) -> bytes:
    """JSON with sorted keys, UTF-8."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False).encode()


def encode_record(kind: int, time_us: int, payload: bytes) -> bytes:
    """The bytes of a record."""
    data = _HEADS[VERSION].pack(MARKER, kind, len(payload), time_us) + payload
    return data + _CRC.pack(zlib.crc32(data))


def encode_packet(session: int, number: int, device_time_ms: int, body: bytes) -> bytes:
    """Payload of a PACKET record."""
    return _PACKETS[VERSION].pack(session & 0xFFFF, number & 0xFFFFFFFF, device_time_ms) + body


class Parser:
    """Finds records in bytes; what is not one is told apart from what is not complete yet."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.head_bytes = _HEADS[version].size
        self.packet_head = _PACKETS[version]
        self.packet_bytes: range | None = None
        """Lengths of a PACKET payload, once the header is known."""

    def payload_bytes(self, head: bytes) -> int | None:
        """Payload length that a head announces, None where it is not the head of a record."""
        if self.version == 1:
            kind, length, _ = _HEADS[1].unpack(head)
        else:
            marker, kind, length, _ = _HEADS[2].unpack(head)
            if marker != MARKER:
                return None
        if not HEADER <= kind <= KINDS_MAX or length > PAYLOAD_BYTES_MAX:
            return None
        if kind == PACKET and self.packet_bytes is not None and length not in self.packet_bytes:
            return None
        return int(length)

    def record(self, data: bytes) -> tuple[int, int, bytes] | None:
        """Kind, host time and payload of a whole record; None where its check value is wrong."""
        end = len(data) - _CRC.size
        if zlib.crc32(data[:end]) != _CRC.unpack_from(data, end)[0]:
            return None
        *_, kind, _, time_us = _HEADS[self.version].unpack_from(data)
        return kind, time_us, data[self.head_bytes : end]

    def record_bytes(self, payload_bytes: int) -> int:
        """Length of a record with such a payload."""
        return self.head_bytes + payload_bytes + _CRC.size

    def next_candidate(self, data: bytes | bytearray, at: int) -> int:
        """Where at or behind ``at`` the next record may begin; the length of ``data`` where nowhere."""
        if self.version == 1:
            return min(at, len(data))
        found = data.find(MARKER, at)
        if found >= 0:
            return found
        # The first half of a marker may stand at the very end.
        return len(data) - 1 if data[-1:] == MARKER[:1] and at < len(data) else len(data)
