"""The one source of the serial protocol: message types, fields, units, ranges and versions.

The Python codec (:mod:`kit.wire.messages`), the C header (``generated/kit_protocol.h``) and
``firmware/PROTOCOL.md`` are all made from the tables below. Every integer is little-endian. Status codes are not here:
their one table is the X-macro of ``firmware/runtime/kit_status.h`` (see :mod:`kit.wire.status`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from kit.config import INDEX_BITS_MAX

PROTOCOL_VERSION = 2
"""Raised whenever a byte changes its meaning; host and device refuse each other when it differs."""

CRC16_BYTES, CRC32_BYTES = 2, 4
COBS_BLOCK = 254
"""Data bytes that one COBS code byte can announce."""

Kind = Literal["u8", "u16", "u32", "i8", "bytes", "text"]
TailKind = Literal["samples", "frame", "body"]
Direction = Literal["host", "device"]

_INTEGER: dict[str, tuple[int, int, int]] = {
    "u8": (1, 0, 0xFF),
    "u16": (2, 0, 0xFFFF),
    "u32": (4, 0, 0xFFFF_FFFF),
    "i8": (1, -0x80, 0x7F),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One fixed field. ``count`` is the length in bytes of ``bytes`` and ``text`` fields, and 1 for integers."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    count: int = 1
    low: int | None = None
    high: int | None = None

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return _INTEGER[self.kind][0] if self.kind in _INTEGER else self.count

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest valid value of an integer field."""
        _, low, high = _INTEGER[self.kind]
        return (low if self.low is None else self.low, high if self.high is None else self.high)

    @property
    def type_text(self) -> str:
        """Type as the documents write it: ``u16``, ``u8[8]``, ``char[16]``."""
        return {"bytes": f"u8[{self.count}]", "text": f"char[{self.count}]"}.get(self.kind, self.kind)


@dataclass(frozen=True, slots=True)
class Tail:
    """The variable part that ends a message; its length follows from the build (frame length, packet layout)."""

    name: str
    kind: TailKind
    meaning: str

    @property
    def type_text(self) -> str:
        """Type as the documents write it."""
        return {"samples": "i16[T] or i32[T]", "frame": "u8[frame_bytes]", "body": "u8[packet_bytes]"}[self.kind]


@dataclass(frozen=True, slots=True)
class Message:
    """One message type. On the line: type byte, fields in order, tail, CRC."""

    name: str
    code: int
    direction: Direction
    meaning: str
    fields: tuple[Field, ...]
    tail: Tail | None = None
    long: bool = False
    """Protected by CRC-32 instead of CRC-16."""
    answer: str = ""
    """Name of the message that answers it (or ERROR); empty for messages of the device."""

    @property
    def fixed_bytes(self) -> int:
        """Type byte and fixed fields."""
        return 1 + sum(field.size for field in self.fields)

    @property
    def crc_bytes(self) -> int:
        """Bytes of the check value."""
        return CRC32_BYTES if self.long else CRC16_BYTES

    def offset(self, name: str) -> int:
        """Offset of a field (or of the tail) from the type byte, which is at 0.

        Raises:
            KeyError: the message has no such field.
        """
        at = 1
        for field in self.fields:
            if field.name == name:
                return at
            at += field.size
        if self.tail is not None and self.tail.name == name:
            return at
        raise KeyError(f"{self.name} has no field {name}")


_REQUEST = Field("request", "u8", "chosen by the host, repeated in the answer")

MESSAGES: tuple[Message, ...] = (
    Message(
        "HELLO_REQUEST", 0x01, "host", "Who are you? Always the first message; the device never speaks unasked.",
        (_REQUEST, Field("protocol", "u8", "protocol version of the host", low=1)),
        answer="HELLO",
    ),
    Message(
        "ENCODE_FRAME", 0x02, "host", "Encode one frame of samples.",
        (Field("frame", "u16", "number of the frame, repeated in the answer"),),
        Tail("samples", "samples", "one frame, oldest sample first; i16 when sample_bits <= 16, else i32"),
        long=True,
        answer="ENCODED",
    ),
    Message(
        "SELF_TEST", 0x03, "host", "Encode every embedded frame and compare with its known packet.", (_REQUEST,),
        answer="SELF_TEST_RESULT",
    ),
    Message(
        "STREAM_START", 0x04, "host", "Replay the embedded recording as if a sensor delivered it.",
        (
            _REQUEST,
            Field("mode", "u8", "0 realtime: at the sample rate; 1 fast: as fast as the codec runs", high=1),
            Field("packets", "u32", "packets to send; 0 = until STREAM_STOP"),
        ),
        answer="STREAM_STATE",
    ),
    Message("STREAM_STOP", 0x05, "host", "Stop streaming.", (_REQUEST,), answer="STREAM_STATE"),
    Message("COUNTERS_REQUEST", 0x06, "host", "Ask for the link counters.", (_REQUEST,), answer="COUNTERS"),
    Message(
        "PROFILE_REQUEST", 0x07, "host",
        "Ask what one stage of the codec took. Stage 0 measures first: it encodes every embedded frame. Only firmware "
        "with probes knows (HELLO.probes); others answer ERROR, unknown message type.",
        (_REQUEST, Field("stage", "u8", "number of the stage, see kit_probe.h; 0: measure now")),
        answer="PROFILE",
    ),
    Message(
        "HELLO", 0x81, "device", "What the device is and what it computes; answers HELLO_REQUEST.",
        (
            _REQUEST,
            Field("protocol", "u8", "protocol version of the device", low=1),
            Field("build_hash", "bytes", "what the device computes; 16 hex digits in every other place", count=8),
            Field("target", "text", "port name, zero-padded", count=16),
            Field("engine", "text", "aot or tflm, zero-padded", count=8),
            Field("sample_rate_mhz", "u32", "sample rate", "millihertz", low=1),
            Field("frame_samples", "u16", "T, samples of a frame", "samples", low=1),
            Field("sample_bits", "u8", "significant bits of a sample", "bits", low=8, high=24),
            Field("side_information", "u8", "bit 0: frames begin with mean and scale code; bit 1: range-coded indices",
                  high=3),
            Field("latent_positions", "u16", "P, latent positions of a frame", low=1),
            Field("embedding_dim", "u8", "D, values of a latent", low=1),
            Field("num_levels", "u8", "M, RVQ levels", low=1),
            Field("index_bits", "u8", "B, bits of an index", "bits", low=1, high=INDEX_BITS_MAX),
            Field("packet_bytes", "u16", "length of a packet body, the longest of range-coded ones", "bytes",
                  low=1),
            Field("embedded_frames", "u16", "frames of the embedded recording", "frames"),
            Field("state_bytes", "u32", "RAM of one codec instance", "bytes"),
            Field("arena_used_bytes", "u32", "scratch memory the engine uses; 0 when it needs none", "bytes"),
            Field("frames_per_packet", "u8", "frames in a packet", "frames", low=1, high=16),
            Field("frame_bytes", "u16", "length of one frame's body, the longest of range-coded ones", "bytes",
                  low=1),
            Field("credits", "u8", "ENCODE_FRAME messages that may be unanswered at a time", "messages", low=1),
            Field("probes", "u8", "1: the firmware measures its stages, see PROFILE_REQUEST", high=1),
        ),
    ),
    Message(
        "PACKET", 0x82, "device", "The next frames_per_packet frames of the stream.",
        (
            Field("seq", "u16", "counts packets from 0 at STREAM_START, modulo 65536"),
            Field("time_ms", "u16", "arrival of the last frame's last sample, modulo 65536", "ms"),
        ),
        Tail("body", "body", "frames_per_packet frame bodies, oldest first, see Packet body"),
    ),
    Message(
        "ENCODED", 0x83, "device", "Answer to ENCODE_FRAME.",
        (
            Field("frame", "u16", "number given by ENCODE_FRAME"),
            Field("time_us", "u32", "time spent encoding", "us"),
        ),
        Tail("body", "frame", "the frame's body: side information and packed indices, see Packet body"),
    ),
    Message(
        "SELF_TEST_RESULT", 0x84, "device", "Answer to SELF_TEST.",
        (
            _REQUEST,
            Field("frames", "u16", "frames encoded", "frames"),
            Field("failed", "u16", "frames whose packet differed", "frames"),
            Field("first_failed", "u16", "lowest frame that differed; meaningless when failed is 0"),
        ),
    ),
    Message(
        "STREAM_STATE", 0x85, "device",
        "Answers STREAM_START and STREAM_STOP; sent again, with the request of STREAM_START, when a stream finishes.",
        (
            _REQUEST,
            Field("state", "u8", "0 stopped, 1 running, 2 finished", high=2),
            Field("packets", "u32", "packets sent since STREAM_START", "packets"),
            Field("dropped", "u32", "packets left out since STREAM_START, mostly for a slow link", "packets"),
        ),
    ),
    Message(
        "COUNTERS", 0x86, "device", "Link counters since boot; answers COUNTERS_REQUEST.",
        (
            _REQUEST,
            Field("rx_frames", "u32", "messages received whole", "messages"),
            Field("rx_bad_crc", "u32", "messages thrown away for their CRC", "messages"),
            Field("rx_bad_length", "u32", "messages thrown away for their length or coding", "messages"),
            Field("rx_overrun", "u32", "messages that outgrew the buffer", "messages"),
            Field("tx_packets", "u32", "packets sent", "packets"),
            Field("samples_dropped", "u32", "samples lost before they were encoded", "samples"),
            Field("rx_lost", "u32", "times that the receiver lost bytes: those before had not been fetched", "events"),
            Field("rx_queue_max", "u16", "most received bytes that ever waited to be fetched", "bytes"),
            Field("rx_queue_bytes", "u16", "room for them; 0 when the port does not say", "bytes"),
            Field("tx_dropped", "u32", "packets left out because the transmit queue was full", "packets"),
            Field("tx_queue_max", "u16", "most bytes that ever waited in the transmit queue", "bytes"),
            Field("tx_queue_bytes", "u16", "room for them", "bytes"),
            Field("refused", "u32", "messages answered by ERROR", "messages"),
            Field("pass_us_max", "u32", "longest time between two turns of the main loop", "us"),
        ),
    ),
    Message(
        "PROFILE", 0x87, "device", "What a stage took since it was last measured; answers PROFILE_REQUEST.",
        (
            _REQUEST,
            Field("stage", "u8", "number of the stage, as asked for"),
            Field("stages", "u8", "how many numbers there are; the build does not use all"),
            Field("unit", "u8", "1 cycles of the core, 2 instructions; 0: the counter counts neither", high=2),
            Field("frames", "u16", "frames that were measured", "frames"),
            Field("visits", "u32", "how often the stage was entered"),
            Field("total_low", "u32", "cycles or instructions in all frames, low word"),
            Field("total_high", "u32", "high word"),
            Field("worst", "u32", "the most in one frame"),
        ),
    ),
    Message(
        "ERROR", 0x8F, "device", "A request that was refused.",
        (
            Field("request", "u8", "request it answers; low byte of frame for ENCODE_FRAME"),
            Field("status", "i8", "status code, see Status codes"),
            Field("detail", "u16", "depends on the status: a length, a limit or 0"),
        ),
    ),
)  # fmt: skip

STREAM_MODES: dict[str, int] = {"realtime": 0, "fast": 1}
STREAM_STATES: dict[str, int] = {"stopped": 0, "running": 1, "finished": 2}

BY_CODE: dict[int, Message] = {message.code: message for message in MESSAGES}
BY_NAME: dict[str, Message] = {message.name: message for message in MESSAGES}


def registry_hash() -> str:
    """First 12 hex digits of the SHA-256 over the tables; changes whenever anything in them does."""
    return hashlib.sha256(repr((PROTOCOL_VERSION, MESSAGES, STREAM_MODES, STREAM_STATES)).encode()).hexdigest()[:12]


def _field_view(message: Message, name: str, size: int | None, text: str, unit: str) -> dict[str, Any]:
    return {"name": name, "macro": name.upper(), "at": message.offset(name), "bytes": size, "type": text, "unit": unit}


def _message_view(message: Message) -> dict[str, Any]:
    fields = [_field_view(message, f.name, f.size, f.type_text, f.unit) for f in message.fields]
    tail = message.tail
    return {
        "name": message.name,
        "code": f"0x{message.code:02X}",
        "meaning": f"{message.meaning} Answered by {message.answer}." if message.answer else message.meaning,
        "fixed_bytes": message.fixed_bytes,
        "crc_bytes": message.crc_bytes,
        "long": int(message.long),
        "fields": fields,
        "tail": None if tail is None else _field_view(message, tail.name, None, tail.type_text, ""),
    }


def protocol_view() -> dict[str, Any]:
    """The registry as plain data for ``firmware_templates/protocol.h.j2``: lists, strings and integers only."""
    views = {direction: [_message_view(m) for m in MESSAGES if m.direction == direction] for direction in _DIRECTIONS}
    return {
        "version": PROTOCOL_VERSION,
        "registry_hash": registry_hash(),
        "crc16_bytes": CRC16_BYTES,
        "crc32_bytes": CRC32_BYTES,
        "cobs_block": COBS_BLOCK,
        "host_messages": views["host"],
        "device_messages": views["device"],
        "long_codes": [view["code"] for view in (*views["host"], *views["device"]) if view["long"]],
        "host_fixed_bytes_max": max(view["fixed_bytes"] for view in views["host"]),
        "device_fixed_bytes_max": max(view["fixed_bytes"] for view in views["device"]),
        "stream_modes": [{"macro": name.upper(), "value": value} for name, value in STREAM_MODES.items()],
        "stream_states": [{"macro": name.upper(), "value": value} for name, value in STREAM_STATES.items()],
    }


_DIRECTIONS: tuple[Direction, ...] = ("host", "device")
