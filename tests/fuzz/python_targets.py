"""What the Python parsers are fuzzed through: bytes in; a valid result, or a KitError, and nothing else.

Targets that stand behind a check value put the right one on, so that the parser behind it is reached.
"""

from __future__ import annotations

import functools
import json
import math
import struct
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from kit.errors import KitError
from kit.host.capture_file import CaptureHeader, CaptureReader, PacketRecord
from kit.host.capture_info import inspect_capture
from kit.host.capture_records import HEADER, PACKET, SESSION, encode_packet, encode_record, magic
from kit.host.decode_source import CaptureSource, Frame, Missing, Session, SourceNotes, measure
from kit.host.faults import FaultSpec, parse_faults
from kit.wire.bare import decode_bare, encode_bare
from kit.wire.framing import Deframer, frame
from kit.wire.messages import Hello, TailSizes, crc16, crc32, decode, encode
from kit.wire.packet import PacketLayout
from kit.wire.registry import BY_NAME, MESSAGES
from tests.coding_cases import likely_indices, random_model
from tests.fake_device import HELLO, LAYOUT, body

Target = Callable[[bytes], None]
LIMIT = 200
TOKENS = (
    b"\0", b"\xff", b"\xfe\x01", b"\x01\x01", b"KITCAP\x02\n", b"\xa7\x4b", b'"hello":', b"null", b"NaN", b"Infinity",
    b"-1", b"0", b"1e999", b"[]", b"{}", b'""', b"true", b'"seconds":', b'"reason":', b'"unplugged"', b'"session":',
    b"99999999999999999999", b"ber=", b"loss=0.5,", b"seed=", b"to=both",
)  # fmt: skip
"""Pieces that the formats are made of."""


def fuzz_deframer(data: bytes) -> None:
    """Line bytes: never an exception, bounded memory, everything accounted for."""
    for sizes in (TailSizes(), HELLO.sizes):
        deframer = Deframer(LIMIT, sizes)
        found = deframer.feed(data)
        counters = deframer.counters
        assert len(found) == counters.frames and counters.line_bytes == len(data)
        assert counters.frames + counters.damaged <= data.count(0) + 1
        assert len(deframer._buffer) <= LIMIT + 2
        for message in found:
            assert decode(encode(message.name, **message.values), sizes) == message
        tail = Deframer(LIMIT, sizes)
        tail.feed(data + b"\0")
        (last,) = tail.feed(frame(encode("ERROR", request=1, status=-2, detail=3)))
        assert last.name == "ERROR", "the first message behind a delimiter must arrive"


def fuzz_message(data: bytes) -> None:
    """One message: the first byte chooses its type, the check value is made right."""
    if not data:
        decode_exact(data, TailSizes())
        return
    message = MESSAGES[data[0] % len(MESSAGES)]
    content = bytes([message.code]) + data[1:]
    check = crc32(content).to_bytes(4, "little") if message.long else crc16(content).to_bytes(2, "little")
    for sizes in (TailSizes(), HELLO.sizes):
        decode_exact(content + check, sizes)
        decode_exact(data, sizes)


def decode_exact(data: bytes, sizes: TailSizes) -> None:
    """What is accepted encodes to the same bytes."""
    try:
        decoded = decode(data, sizes)
    except KitError:
        return
    assert encode(decoded.name, **decoded.values) == data


def fuzz_hello(data: bytes) -> None:
    """The fields of a HELLO: a hello that is accepted has sizes that can be used."""
    hello = BY_NAME["HELLO"]
    content = bytes([hello.code]) + data[: hello.fixed_bytes - 1].ljust(hello.fixed_bytes - 1, b"\0")
    message = content + crc16(content).to_bytes(2, "little")
    try:
        found = Hello.from_message(decode(message))
    except KitError:
        return
    assert 0 < found.packet_seconds < math.inf and found.sizes.body == found.packet_bytes
    assert found.layout.body_bytes == found.packet_bytes <= 0xFFFF
    assert decode(found.to_message(1)).values == {
        **decode(content + crc16(content).to_bytes(2, "little")).values,
        "request": 1,
    }


def fuzz_packet(data: bytes) -> None:
    """A layout from the first bytes, and a body or bare packet of the rest."""
    head = data[:8].ljust(8, b"\0")
    try:
        layout = PacketLayout(
            1 + head[0], 8 + head[1] % 20, 1 + head[2] % 50, head[3] % 9, head[4] % 12, bool(head[5] & 1), head[6] % 18
        )
    except KitError:
        return
    for candidate in (data[8:], data[8:].ljust(layout.body_bytes + 4, b"\0")[: layout.body_bytes + 4]):
        try:
            packet = decode_bare(candidate, layout)
        except KitError:
            continue
        assert encode_bare(packet) == candidate
        fields = layout.unpack_packet(packet.body)
        assert layout.pack_batch(fields.indices, fields.mean, fields.scale_code).tobytes() == packet.body


@functools.cache
def _coding_layouts() -> list[PacketLayout]:
    """Layouts of range-coded packets: random models of several sizes, and one or three frames a packet."""
    found = []
    for number, (bits, levels, frames) in enumerate(((8, 2, 1), (4, 1, 3), (10, 2, 1), (1, 3, 1), (6, 4, 2))):
        model = random_model(np.random.default_rng(number), levels, bits)
        found.append(PacketLayout(64, 16, 9, levels, bits, number % 2 == 0, frames, "range", model))
    return found


def fuzz_coding(data: bytes) -> None:
    """Range-coded packets: the first byte chooses a model; what is accepted packs to the same bytes."""
    layout = _coding_layouts()[data[0] % len(_coding_layouts()) if data else 0]
    for packet in (data[1:], data[1 : 1 + layout.body_bytes]):
        try:
            fields = layout.unpack_packet(packet)
        except KitError:
            continue
        assert int(fields.indices.max()) < 1 << layout.index_bits
        rows = layout.pack_batch(fields.indices, fields.mean, fields.scale_code)
        assert layout.join(layout.bodies(rows)) == packet


def coding_seeds() -> list[bytes]:
    """A valid packet of every layout."""
    found = []
    for number, layout in enumerate(_coding_layouts()):
        assert layout.model is not None
        rng = np.random.default_rng(number)
        indices = likely_indices(rng, layout.model, layout.frames_per_packet, layout.latent_positions)
        side = rng.integers(0, 256, len(indices))
        found.append(bytes([number]) + layout.join(layout.bodies(layout.pack_batch(indices, side, side))))
    return found


def read_everything(content: bytes) -> None:
    """Every reader of capture files over one file: bounded output, or a KitError."""
    with tempfile.NamedTemporaryFile(suffix=".kitcap") as stream:
        stream.write(content)
        stream.flush()
        path = Path(stream.name)
        with suppress(KitError), CaptureReader(path) as reader:
            packets = 0
            for record in reader:
                assert record.time_us >= 0
                if isinstance(record, PacketRecord):
                    packets += 1
                    frames = reader.header.frames(record.body)
                    layout = reader.header.layout
                    sizes = {len(one) for one in frames}
                    assert layout.frame_bytes_min <= min(sizes) <= max(sizes) <= layout.frame_bytes
            assert packets * reader.header.layout.body_bytes_min <= len(content)
            assert reader.left_out_bytes <= len(content)
        with suppress(KitError):
            json.dumps(inspect_capture(path).as_dict())
        with suppress(KitError):
            source = CaptureSource(path)
            extent = measure(source)
            assert extent.received <= len(content) and 0 <= extent.pause_samples_max <= extent.samples
            walked = 0
            for event in source.events(SourceNotes()):
                assert isinstance(event, (Session, Missing, Frame))
                walked += 1
            assert walked <= 3 * len(content)


def fuzz_capture(data: bytes) -> None:
    """A whole file, check values as they come."""
    read_everything(data)


def header_values() -> dict[str, Any]:
    """The JSON of a good header."""
    header = CaptureHeader(HELLO, LAYOUT, "2026-01-02T03:04:05+00:00", "/dev/fake", "fast", "name: tiny\n", "synthetic")
    return {**json.loads(header.to_json()), "hello": asdict(HELLO), "layout": LAYOUT.to_dict()}


def packet_records(count: int = 3) -> bytes:
    """A few good packets."""
    return b"".join(encode_record(PACKET, n * 1000, encode_packet(0, n, n * 250, body(n))) for n in range(count))


def fuzz_capture_header(data: bytes) -> None:
    """The JSON of a header with the right check value, and good packets behind it."""
    read_everything(magic() + encode_record(HEADER, 0, data) + packet_records())


def fuzz_capture_records(data: bytes) -> None:
    """A good header, then records: each kind, length and payload from the data, with the right check value."""
    content = magic() + encode_record(HEADER, 0, json.dumps(header_values()).encode()) + packet_records(1)
    at = 0
    while at < len(data):
        kind, length = data[at] % 9, data[at + 1] if at + 1 < len(data) else 0
        payload = data[at + 2 : at + 2 + length]
        if kind == PACKET and length % 2:
            payload = encode_packet(length % 3, at, at & 0xFFFF, body(length))
        elif kind == SESSION and length % 2:
            payload = json.dumps({"session": length % 4}).encode()
        content += encode_record(kind, at * 977, payload)
        at += 2 + length
    read_everything(content)


def fuzz_capture_old(data: bytes) -> None:
    """A file of format 1: header and records with the right check value."""
    record = struct.Struct("<BIQ")

    def one(kind: int, payload: bytes) -> bytes:
        head = record.pack(kind, len(payload), 5) + payload
        return head + struct.pack("<I", zlib.crc32(head))

    content = magic(1) + one(HEADER, json.dumps(header_values()).encode())
    for at in range(0, len(data), 12):
        piece = data[at : at + 12]
        content += one(piece[0] % 5, piece[1:] if piece[0] & 8 else piece[1:3].ljust(4, b"\0") + body(piece[0]))
    read_everything(content)


def fuzz_faults(data: bytes) -> None:
    """The grammar of ``--faults``: a specification that can be written down again."""
    try:
        spec = parse_faults(data.decode("utf-8", "replace"))
    except KitError:
        return
    assert spec == FaultSpec() or isinstance(parse_faults(spec.text), FaultSpec)


TARGETS: dict[str, Target] = {
    "deframer": fuzz_deframer,
    "message": fuzz_message,
    "hello": fuzz_hello,
    "packet": fuzz_packet,
    "coding": fuzz_coding,
    "capture": fuzz_capture,
    "capture_header": fuzz_capture_header,
    "capture_records": fuzz_capture_records,
    "capture_old": fuzz_capture_old,
    "faults": fuzz_faults,
}


def seeds(name: str) -> list[bytes]:
    """Valid inputs to begin with."""
    hello = decode(HELLO.to_message(1)).message
    start = HELLO.to_message(1)
    table: dict[str, list[bytes]] = {
        "deframer": [frame(start), b"\0" + frame(encode("PACKET", seq=1, time_ms=2, body=body(1))) * 2, b"\xff" * 300],
        "message": [bytes([n]) + bytes(40) for n in range(len(MESSAGES))] + [start],
        "hello": [start[1 : hello.fixed_bytes]],
        "packet": [bytes([15, 8, 3, 2, 2, 1, 1, 0]) + bytes(4) + body(3)],
        "coding": coding_seeds(),
        "capture": [magic() + encode_record(HEADER, 0, json.dumps(header_values()).encode()) + packet_records()],
        "capture_header": [json.dumps(header_values()).encode(), b"{}", b"[]"],
        "capture_records": [
            bytes([5, len(p)]) + p for p in (b'{"reason":"unplugged","seconds":1.5,"packets":2}', b"[]", b"{}")
        ]
        + [bytes([4, 1, 2, 1, 2, 3, 5, 0, 4, 3, 2, 5]), bytes([3, 2]) + b"{}" + bytes([6, 2]) + b"{}"],
        "capture_old": [bytes([2] * 40), bytes([11]) + b'{"event":"end"}'],
        "faults": [b"ber=1e-4,loss=0.01,seed=3", b"stall=0.1,stall_ms=5,to=host"],
    }
    return table[name]
