"""Messages as bytes and back: type, fields, tail and check value, strictly checked in both directions."""

from __future__ import annotations

import binascii
import zlib
from dataclasses import dataclass, fields
from typing import Literal

from kit.errors import LinkError
from kit.wire.packet import Coding, PacketLayout
from kit.wire.registry import BY_CODE, BY_NAME, CRC16_BYTES, PROTOCOL_VERSION, Field, Message

Value = int | str | bytes
SIDE_INFORMATION_BIT, RANGE_CODING_BIT = 1, 2
"""Of HELLO.side_information."""
Reason = Literal["crc", "length", "type", "value"]


class WireError(LinkError):
    """Bytes that are no valid message; ``reason`` says which check failed."""

    def __init__(self, reason: Reason, what: str, other_protocol: int | None = None) -> None:
        self.reason: Reason = reason
        self.other_protocol = other_protocol
        """Version of a HELLO that is laid out in another way than ours."""
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class TailSizes:
    """Tail lengths of a build in bytes; None where they are not known yet (before the hello)."""

    samples: int | None = None
    frame: int | None = None
    body: int | None = None
    frame_min: int | None = None
    """Where not None, bodies of frames have this length to ``frame``; likewise below."""
    body_min: int | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """One valid message: its registry entry and its values by field name (the tail included)."""

    message: Message
    values: dict[str, Value]

    @property
    def name(self) -> str:
        """Message name, as in the registry."""
        return self.message.name

    def integer(self, name: str) -> int:
        """Value of an integer field."""
        value = self.values[name]
        assert isinstance(value, int)
        return value

    def data(self, name: str) -> bytes:
        """Value of a ``bytes`` field or of the tail."""
        value = self.values[name]
        assert isinstance(value, bytes)
        return value

    def text(self, name: str) -> str:
        """Value of a ``text`` field."""
        value = self.values[name]
        assert isinstance(value, str)
        return value


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE; crc16(b"123456789") == 0x29B1."""
    return binascii.crc_hqx(data, 0xFFFF)


def crc32(data: bytes) -> int:
    """CRC-32 of zlib; crc32(b"123456789") == 0xCBF43926."""
    return zlib.crc32(data)


def _check(message: Message, data: bytes) -> bytes:
    value = crc32(data) if message.long else crc16(data)
    return value.to_bytes(message.crc_bytes, "little")


def _encode_field(message: Message, field: Field, value: Value) -> bytes:
    where = f"{message.name}.{field.name}"
    if field.kind == "bytes":
        if not isinstance(value, bytes) or len(value) != field.count:
            raise WireError("value", f"{where} = {value!r}: want {field.count} bytes")
        return value
    if field.kind == "text":
        if not isinstance(value, str) or not value.isascii() or "\0" in value or len(value) > field.count:
            raise WireError("value", f"{where} = {value!r}: want ASCII text of at most {field.count} characters")
        return value.encode("ascii").ljust(field.count, b"\0")
    low, high = field.limits
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise WireError("value", f"{where} = {value!r}: want an integer in {low}..{high}")
    return value.to_bytes(field.size, "little", signed=field.kind == "i8")


def encode(name: str, **values: Value) -> bytes:
    """A message before framing: type, fields, tail, CRC.

    Raises:
        WireError: a field is missing, unknown, of the wrong type or out of range.
    """
    message = BY_NAME[name]
    known = {field.name for field in message.fields} | ({message.tail.name} if message.tail else set())
    if known != values.keys():
        raise WireError("value", f"{name} takes {sorted(known)}, got {sorted(values)}")
    parts = [bytes([message.code])]
    parts += [_encode_field(message, field, values[field.name]) for field in message.fields]
    if message.tail is not None:
        tail = values[message.tail.name]
        if not isinstance(tail, bytes):
            raise WireError("value", f"{name}.{message.tail.name}: want bytes")
        parts.append(tail)
    data = b"".join(parts)
    return data + _check(message, data)


def _decode_field(message: Message, field: Field, raw: bytes) -> Value:
    where = f"{message.name}.{field.name}"
    if field.kind == "bytes":
        return raw
    if field.kind == "text":
        text = raw.rstrip(b"\0")
        if b"\0" in text or not text.isascii():
            raise WireError("value", f"{where} is {raw!r}: not zero-padded ASCII")
        return text.decode("ascii")
    value = int.from_bytes(raw, "little", signed=field.kind == "i8")
    low, high = field.limits
    if not low <= value <= high:
        raise WireError("value", f"{where} = {value} is outside {low}..{high}")
    return value


def _other_protocol(message: Message, content: bytes) -> int | None:
    """The version in a HELLO, which stands in the same place in every version, when it is not ours."""
    if message.name != "HELLO" or len(content) < 3 or content[2] == PROTOCOL_VERSION:
        return None
    return content[2]


def _check_length(message: Message, length: int, sizes: TailSizes, other_protocol: int | None) -> None:
    least = message.fixed_bytes + message.crc_bytes
    if message.tail is None:
        exact: int | None = 0
    else:
        exact = {"samples": sizes.samples, "frame": sizes.frame, "body": sizes.body}[message.tail.kind]
    shortest = exact
    if message.tail is not None and message.tail.kind != "samples":
        found = sizes.frame_min if message.tail.kind == "frame" else sizes.body_min
        shortest = exact if found is None else found
    if length < least or (exact is not None and shortest is not None and not shortest <= length - least <= exact):
        span = "" if shortest == exact else f"{least + (shortest or 0)} to "
        want = f"{span}{least + exact}" if exact is not None else f"at least {least}"
        raise WireError("length", f"{message.name} has {length} bytes, want {want}", other_protocol)


def decode(data: bytes, sizes: TailSizes | None = None) -> Decoded:
    """Inverse of :func:`encode`; what is accepted encodes to the same bytes again.

    Args:
        data: one unframed message.
        sizes: tail lengths of the build, checked exactly where known.

    Raises:
        WireError: unknown type, wrong check value, wrong length or a value out of range; checked in that order.
    """
    if len(data) < 1 + CRC16_BYTES:
        raise WireError("length", f"message of {len(data)} bytes is too short")
    message = BY_CODE.get(data[0])
    if message is None:
        raise WireError("type", f"unknown message type 0x{data[0]:02X}")
    content = data[: -message.crc_bytes]
    if not content or _check(message, content) != data[-message.crc_bytes :]:
        raise WireError("crc", f"{message.name}: check value does not match")
    _check_length(message, len(data), sizes or TailSizes(), _other_protocol(message, content))
    values: dict[str, Value] = {}
    at = 1
    for field in message.fields:
        values[field.name] = _decode_field(message, field, content[at : at + field.size])
        at += field.size
    if message.tail is not None:
        values[message.tail.name] = content[at:]
    return Decoded(message, values)


@dataclass(frozen=True, slots=True)
class Hello:
    """What a device says about itself; fields as in the registry, except that ``build_hash`` is 16 hex digits."""

    protocol: int
    build_hash: str
    target: str
    engine: str
    sample_rate_mhz: int
    frame_samples: int
    sample_bits: int
    side_information: bool
    latent_positions: int
    embedding_dim: int
    num_levels: int
    index_bits: int
    packet_bytes: int
    embedded_frames: int
    state_bytes: int
    arena_used_bytes: int
    frames_per_packet: int = 1
    frame_bytes: int = 0
    """As ``packet_bytes`` when 0: what protocol 1, which had neither field, means."""
    credits: int = 1
    probes: bool = False
    coding: Coding = "fixed"
    """On the wire, bit 1 of ``side_information``."""

    def __post_init__(self) -> None:
        if self.frame_bytes == 0:
            object.__setattr__(self, "frame_bytes", self.packet_bytes // self.frames_per_packet)

    @classmethod
    def from_message(cls, decoded: Decoded) -> Hello:
        """From a HELLO message.

        Raises:
            WireError: its packet length contradicts its own layout.
        """
        values = {field.name: decoded.values[field.name] for field in fields(cls) if field.name != "coding"}
        values["build_hash"] = decoded.data("build_hash").hex()
        flags = decoded.integer("side_information")
        values["side_information"] = bool(flags & SIDE_INFORMATION_BIT)
        values["coding"] = "range" if flags & RANGE_CODING_BIT else "fixed"
        values["probes"] = bool(values["probes"])
        hello = cls(**values)  # type: ignore[arg-type]
        want = (hello.layout.body_bytes, hello.layout.frame_bytes)
        got = (hello.packet_bytes, hello.frame_bytes)
        if want != got:
            raise WireError(
                "value",
                f"HELLO announces packets of {got[0]} bytes and frames of {got[1]}, its own layout makes {want[0]} "
                f"and {want[1]}",
            )
        return hello

    def to_message(self, request: int) -> bytes:
        """As HELLO message; used by test devices."""
        values: dict[str, Value] = {field.name: getattr(self, field.name) for field in fields(self)}
        values["build_hash"] = bytes.fromhex(self.build_hash)
        values["side_information"] = int(self.side_information)
        if values.pop("coding") == "range":
            values["side_information"] = int(self.side_information) | RANGE_CODING_BIT
        values["probes"] = int(self.probes)
        return encode("HELLO", request=request, **values)

    @property
    def layout(self) -> PacketLayout:
        """Packet layout that follows from the announced sizes."""
        return PacketLayout(
            frame_samples=self.frame_samples,
            sample_bits=self.sample_bits,
            latent_positions=self.latent_positions,
            num_levels=self.num_levels,
            index_bits=self.index_bits,
            side_information=self.side_information,
            frames_per_packet=self.frames_per_packet,
            coding=self.coding,
        )

    @property
    def sizes(self) -> TailSizes:
        """Exact tail lengths of this device's messages."""
        layout = self.layout
        samples = self.frame_samples * layout.sample_bytes
        if not layout.variable:
            return TailSizes(samples, self.frame_bytes, self.packet_bytes)
        return TailSizes(samples, self.frame_bytes, self.packet_bytes, layout.frame_bytes_min, layout.body_bytes_min)

    @property
    def frame_seconds(self) -> float:
        """Duration of a frame in seconds."""
        return self.frame_samples * 1000.0 / self.sample_rate_mhz

    @property
    def packet_seconds(self) -> float:
        """Duration of the frames of a packet in seconds."""
        return self.frames_per_packet * self.frame_seconds
