"""Renders ``firmware/PROTOCOL.md`` from the registry; a test checks that the committed file is current."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kit.files import atomic_write_text
from kit.wire.bare import bare_bytes
from kit.wire.framing import frame
from kit.wire.messages import encode
from kit.wire.packet import PacketLayout
from kit.wire.registry import MESSAGES, PROTOCOL_VERSION, STREAM_MODES, STREAM_STATES, Direction, Message
from kit.wire.status import Status, status_table

_EXAMPLE = PacketLayout(
    frame_samples=320, sample_bits=16, latent_positions=40, num_levels=2, index_bits=8, side_information=True
)

_INTRODUCTION = """\
# Serial protocol, version {version}

Generated from `kit/wire/registry.py` and `firmware/runtime/kit_status.h` by `python -m kit.wire.docs`; do not edit.
The same tables make `generated/kit_protocol.h` for the device and the codec of the host.

## On the line

    COBS( type u8 | fields | tail | CRC ) 0x00

- Every integer is little-endian. Offsets count from the type byte, which is at 0.
- CRC-16/CCITT-FALSE (polynomial 0x1021, initial 0xFFFF, not reflected, no final XOR; "123456789" gives 0x29B1) over
  type, fields and tail. Messages marked *long* carry the CRC-32 of zlib instead ("123456789" gives 0xCBF43926).
- COBS removes every zero, so 0x00 ends a message and nothing else. A receiver that lost its place waits for the next
  zero; empty messages are skipped, so a sender may start with a zero to cut off what stood before.
- A message of n bytes takes at most n + ceil(n / 254) bytes after COBS, then the delimiter.
- Serial settings: 115200 baud, 8 data bits, no parity, 1 stop bit, no flow control, unless a port says otherwise.
  USB CDC and emulators ignore the rate.

## Rules

1. The device speaks only when asked. The host opens with HELLO_REQUEST and repeats it until HELLO comes; there is no
   boot banner to miss.
2. `request` is chosen by the host and repeated in the answer, so that a late answer is not taken for a new one. Every
   request has exactly one answer: the message named in its row, or ERROR.
3. A message with a wrong CRC, coding or length is thrown away and counted, never half used. A message that is whole but
   cannot be served is answered by ERROR.
4. `seq` counts packets from 0 at every STREAM_START, modulo 65536: a gap is a lost packet, a repetition a duplicate.
5. Unless the firmware was built with a sensor, the stream replays the embedded recording, frame after frame and around
   again, from its start: frame f of the stream equals the known frame f modulo `embedded_frames`.
6. The host decodes packets only of a build it can name by `build_hash`.
7. The first two fields of HELLO_REQUEST and HELLO (`request`, `protocol`) stay where they are in every future version.
   Host and device refuse each other when `protocol` differs, whatever the length of the rest.
8. Credits: the host never has more than HELLO.`credits` ENCODE_FRAME messages unanswered, nor any other request beside
   them, so that whatever it sends has its place on the device. Frames are answered in the order in which they came.
"""

_BODY = """\
## Packet body

A packet's body is the bodies of `frames_per_packet` frames (`packet.frames_per_packet` of the configuration, 1 unless
set), oldest first: frame j of packet i is frame i * frames_per_packet + j of the stream. `time_ms` is that of the last
frame; frame j ended (frames_per_packet - 1 - j) * T / rate before. ENCODED carries one frame's body. A frame's body is
the contract of `firmware/NUMERICS.md` section 5; lengths are announced in HELLO.

| part | type | when | meaning |
|---|---|---|---|
| mean | i16, or i24 when sample_bits > 16 | side_information = 1 | rounded mean of the frame, ADC codes |
| scale code | u8 | side_information = 1 | scale of the frame; 0 = flat |
| indices | ceil(P * M * B / 8) bytes | always | position-major, then level; B bits each, lowest bit first; rest 0 |

Where bit 1 of HELLO.side_information is set (`packet.coding: range`), a range code stands in the place of the indices
wherever it is shorter, with no change of the other parts; `firmware/NUMERICS.md` section 7 defines it. HELLO then
announces the longest bodies, and the length of a message says how long its body is. In a packet of several frames every
body but the last stands behind its length: u8, or u16 when frame_bytes > 255. Indices can only be read with the coding
model of the build, which travels in its server bundle.

Example, {samples} samples of {bits} bits, {positions} positions, {levels} levels of {index_bits}-bit indices: body
{body} bytes, of which {side} are side information; {wire} bytes on the line per PACKET, of which {overhead} are
neither: type, seq, time, CRC, COBS, delimiter. Compression is {payload:.2f} by payload (index bits alone) and
{line:.2f} on the wire (everything sent).

## Bare packet

For transports that keep messages apart and check them themselves, such as Bluetooth LE notifications: the fields and
the body of PACKET and nothing else, {bare} bytes in the example. `kit_packet_bare` (`firmware/runtime/kit_packet.h`)
writes it, `kit.wire.bare` reads it. It keeps `seq`, because a transport may drop whole messages, and `time_ms`, so that
a gap has a length; it has no type, check value or framing, so that nothing but packets of one build may travel there.

| offset | field | type | meaning |
|---|---|---|---|
| 0 | seq | u16 | as in PACKET |
| 2 | time_ms | u16 | as in PACKET |
| 4 | body | u8[packet_bytes] | as in PACKET |

With range-coded indices the transport says how long a bare packet is; in a file of bare packets, each stands behind its
length, u16.
"""


_STREAMS = """## Streams

The device replays its embedded recording, frame after frame and from its start, as if a sensor delivered it; a firmware
built with a sensor (`docs/sensor.md`) streams that. Packet `seq` holds frames `seq * frames_per_packet` and following.

- STREAM_START during a stream starts over at seq 0. SELF_TEST and ENCODE_FRAME are refused with ERR_STATE while the
  device is busy with a stream, a self-test or a frame.
- A line that is too slow loses whole packets, never parts: their seq is skipped, and STREAM_STATE.dropped counts them.
  A packet of several frames of which one could not be encoded is left out as a whole, too.
- A processor that is too slow for real time makes the recording pause: COUNTERS.samples_dropped counts the sample
  periods lost, and the frames stay those of the recording.
- A HELLO_REQUEST of another protocol version is answered by ERROR with status ERR_PROTOCOL and the device's version as
  detail.
- A device whose codec does not start answers every message by ERROR with the status of that; detail is then by how much
  what it found misses what it expected (ERR_ARENA: bytes that are missing).
"""


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _message_section(message: Message) -> str:
    length = message.fixed_bytes + message.crc_bytes
    tail = message.tail
    size = f"{length} bytes" if tail is None else f"{length} bytes and the tail"
    title = f"### 0x{message.code:02X} {message.name}{' (long)' if message.long else ''}\n\n"
    rows: list[tuple[object, ...]] = []
    for field in message.fields:
        span = f"{field.limits[0]}..{field.limits[1]}" if field.kind not in ("bytes", "text") else ""
        rows.append((message.offset(field.name), field.name, field.type_text, field.unit, span, field.meaning))
    if tail is not None:
        rows.append((message.offset(tail.name), tail.name, tail.type_text, "", "", tail.meaning))
    table = _table(("offset", "field", "type", "unit", "range", "meaning"), rows)
    answer = f" Answered by {message.answer}." if message.answer else ""
    return f"{title}{message.meaning}{answer} {size}, CRC included.\n\n{table}"


def _messages(direction: Direction, title: str) -> str:
    sections = [_message_section(message) for message in MESSAGES if message.direction == direction]
    return f"## {title}\n\n" + "\n".join(sections)


def _hex(data: bytes) -> str:
    return data.hex(" ")


def _example() -> str:
    request = encode("HELLO_REQUEST", request=1, protocol=PROTOCOL_VERSION)
    return (
        "## Worked example\n\n"
        f"HELLO_REQUEST with request 1: message `{_hex(request)}`, on the line `{_hex(frame(request))}`.\n"
    )


def render_protocol_document(statuses: Sequence[Status] | None = None) -> str:
    """Text of ``firmware/PROTOCOL.md``.

    Args:
        statuses: status codes; those of ``firmware/runtime/kit_status.h`` when None.

    Raises:
        ArtifactError: the status header is missing.
    """
    table = status_table() if statuses is None else statuses
    layout = _EXAMPLE
    body = _BODY.format(
        samples=layout.frame_samples,
        bits=layout.sample_bits,
        positions=layout.latent_positions,
        levels=layout.num_levels,
        index_bits=layout.index_bits,
        body=layout.body_bytes,
        side=layout.side_bytes,
        wire=layout.wire_bytes,
        bare=bare_bytes(layout),
        overhead=layout.wire_bytes - layout.body_bytes,
        payload=layout.payload_ratio,
        line=layout.wire_ratio,
    )
    modes = ", ".join(f"{value} {name}" for name, value in STREAM_MODES.items())
    states = ", ".join(f"{value} {name}" for name, value in STREAM_STATES.items())
    codes = _table(("value", "name", "text"), ((s.value, f"KIT_{s.name}", s.text) for s in table))
    return "\n".join(
        (
            _INTRODUCTION.format(version=PROTOCOL_VERSION),
            _messages("host", "Host to device"),
            _messages("device", "Device to host"),
            f"STREAM_START.mode: {modes}. STREAM_STATE.state: {states}.\n",
            _STREAMS,
            body,
            f"## Status codes\n\nOf ERROR.status; negative codes are errors.\n\n{codes}",
            _example(),
        )
    )


def main() -> None:
    """Rewrite ``firmware/PROTOCOL.md`` of this checkout."""
    path = Path(__file__).resolve().parents[2] / "firmware" / "PROTOCOL.md"
    atomic_write_text(path, render_protocol_document())


if __name__ == "__main__":
    main()
