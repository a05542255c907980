"""Bare packets: round trip, what C writes is what Python reads, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import ShapeError
from kit.wire.bare import BarePacket, bare_bytes, decode_bare, encode_bare, parse_bare, split_bare
from kit.wire.messages import encode
from kit.wire.packet import PacketLayout
from tests.c_support import AOT, APP_SOURCES, C_TESTS, CODEC_SOURCES, RUNTIME, compile_c, render_random, run_c
from tests.models import tiny_config
from tests.support import seed

LAYOUT = PacketLayout(16, 16, 4, 2, 2, True, 3)


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 2**31)), max_size=5))
def test_round_trip(rows: list[tuple[int, int, int]]) -> None:
    packets = []
    for number, time_ms, state in rows:
        rng = np.random.default_rng(state)
        bodies = LAYOUT.pack_batch(
            rng.integers(0, 4, (3, 4, 2)).astype(np.uint16), rng.integers(-9, 9, 3), rng.integers(0, 256, 3)
        )
        packets.append(BarePacket(number, time_ms, bodies.tobytes()))
    data = b"".join(encode_bare(packet) for packet in packets)
    assert len(data) == len(packets) * bare_bytes(LAYOUT) == len(packets) * (4 + 3 * 5)
    assert list(split_bare(data, LAYOUT)) == packets


def test_it_is_a_packet_message_without_type_and_check_value() -> None:
    body = bytes(LAYOUT.body_bytes)
    message = encode("PACKET", seq=0x1234, time_ms=0x5678, body=body)
    assert encode_bare(BarePacket(0x1234, 0x5678, body)) == message[1:-2]


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="has 18 bytes, want 19"):
        decode_bare(bytes(18), LAYOUT)
    with pytest.raises(ShapeError, match="20 bytes are no whole number of bare packets of 19 bytes"):
        split_bare(bytes(20), LAYOUT)
    with pytest.raises(ShapeError, match=r"outside 0\.\.65535"):
        encode_bare(BarePacket(65536, 0, b""))
    with pytest.raises(ShapeError, match="padding"):
        decode_bare(bytes(4) + b"\xff" * 5, PacketLayout(16, 16, 3, 1, 3, True))


def test_packets_from_the_device_code(tmp_path: Path) -> None:
    config = tiny_config(packet={"frames_per_packet": 2}, firmware={"embedded_frames": 8})
    rendered = render_random(config, tmp_path / "generated", seed())
    sources = [*CODEC_SOURCES, *APP_SOURCES, *sorted(rendered.folder.glob("*.c"))]
    sources += [C_TESTS / "fake_port.c", C_TESTS / "bare_packet_main.c"]
    program = compile_c("gcc", sources, (RUNTIME, AOT, rendered.folder, C_TESTS), tmp_path / "bare_packet")
    layout = PacketLayout.from_config(config)
    found = list(split_bare(run_c(program), layout))
    assert [packet.seq for packet in found] == list(range(len(found))) and len(found) == 4
    frames = np.concatenate([layout.frames(packet.body) for packet in found])
    assert np.array_equal(frames, rendered.expected.packets[: len(frames)])
    _, fields = parse_bare(encode_bare(found[0]), layout)
    assert np.array_equal(fields.indices, rendered.expected.indices[:2])
