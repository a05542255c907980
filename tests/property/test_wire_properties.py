"""Properties of the wire: nothing a line can carry breaks the receiver, and what is accepted is exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.host.capture_file import CaptureHeader, CaptureReader, CaptureWriter, PacketRecord
from kit.wire.framing import Deframer, frame
from kit.wire.messages import Value, WireError, decode, encode
from kit.wire.packet import PacketLayout
from kit.wire.registry import MESSAGES, Message
from tests.fake_device import HELLO, LAYOUT, body


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, dict[str, Value]]:
    message: Message = draw(st.sampled_from(MESSAGES))
    values: dict[str, Value] = {}
    for field in message.fields:
        if field.kind == "bytes":
            values[field.name] = draw(st.binary(min_size=field.count, max_size=field.count))
        elif field.kind == "text":
            values[field.name] = draw(st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=field.count))
        else:
            values[field.name] = draw(st.integers(*field.limits))
    if message.tail is not None:
        values[message.tail.name] = draw(st.binary(max_size=300))
    return message.name, values


@given(messages())
def test_every_message_survives_the_line(drawn: tuple[str, dict[str, Value]]) -> None:
    name, values = drawn
    (decoded,) = Deframer().feed(b"\0" + frame(encode(name, **values)))
    assert decoded.name == name and decoded.values == values


@given(st.binary(max_size=80))
def test_what_decodes_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        decoded = decode(data)
    except WireError:
        return
    assert encode(decoded.name, **decoded.values) == data


@settings(max_examples=300)
@given(st.lists(st.one_of(st.binary(max_size=60), messages()), max_size=8), st.data())
def test_deframer_takes_anything_in_any_pieces(
    parts: list[bytes | tuple[str, dict[str, Value]]], data: st.DataObject
) -> None:
    line = b"".join(p if isinstance(p, bytes) else b"\0" + frame(encode(p[0], **p[1])) for p in parts)
    whole = Deframer(400)
    found = whole.feed(line)
    # Cut anywhere, the same messages come out.
    pieces = Deframer(400)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(line)), max_size=10)))
    cut_found = [m for a, b in zip([0, *cuts], [*cuts, len(line)], strict=True) for m in pieces.feed(line[a:b])]
    assert cut_found == found and pieces.counters == whole.counters
    # Every message sent behind a delimiter arrives, whatever stood before it.
    assert sum(isinstance(p, tuple) for p in parts) <= whole.counters.frames
    for message in found:
        assert decode(encode(message.name, **message.values)) == message


@given(st.binary(max_size=3000), st.integers(8, 64))
def test_deframer_memory_is_bounded(noise: bytes, limit: int) -> None:
    deframer = Deframer(limit)
    deframer.feed(noise)
    assert len(deframer._buffer) <= limit + 2


@given(messages(), st.binary(min_size=1, max_size=40))
def test_damage_costs_at_most_two_messages(drawn: tuple[str, dict[str, Value]], noise: bytes) -> None:
    name, values = drawn
    good = frame(encode(name, **values))
    deframer = Deframer()
    found = deframer.feed(good + noise + good + good)
    assert len(found) >= 2 and found[-1].values == values


@given(
    st.integers(1, 40), st.integers(1, 8), st.integers(1, 12), st.sampled_from([8, 12, 16, 18, 24]), st.booleans(),
    st.integers(0, 5), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_packets_round_trip(p: int, m: int, bits: int, sample_bits: int, side: bool, count: int, seed: int) -> None:
    layout = PacketLayout(320, sample_bits, p, m, bits, side)
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, 1 << bits, (count, p, m)).astype(np.uint16)
    half = 1 << (15 if sample_bits <= 16 else 23)
    mean = rng.choice([-half, -1, 0, 1, half - 1], count)
    scale = rng.integers(0, 256, count)
    bodies = layout.pack_batch(indices, mean, scale)
    assert bodies.shape == (count, layout.body_bytes)
    fields = layout.unpack_batch(bodies)
    assert (fields.indices == indices).all()
    if side:
        assert fields.mean is not None and fields.scale_code is not None
        assert (fields.mean == mean).all() and (fields.scale_code == scale).all()
        assert (layout.pack_batch(fields.indices, fields.mean, fields.scale_code) == bodies).all()
    for row, packed in zip(indices, bodies, strict=True):
        assert (layout.unpack(packed.tobytes()).indices[0] == row).all()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=30), max_size=4), st.integers(0, 5))
def test_captures_survive_any_tail(tmp_path: Path, tails: list[bytes], count: int) -> None:
    path = tmp_path / "a.kitcap"
    path.unlink(missing_ok=True)
    with CaptureWriter(path, CaptureHeader(HELLO, LAYOUT, "", "", "fast")) as writer:
        writer.begin_session(HELLO, "")
        for number in range(count):
            writer.packet(number, 0, body(number))
    tail = b"".join(tails)
    path.write_bytes(path.read_bytes() + tail)
    with CaptureReader(path) as reader:
        assert [record.number for record in reader if isinstance(record, PacketRecord)] == list(range(count))
        assert reader.left_out_bytes == len(tail)
