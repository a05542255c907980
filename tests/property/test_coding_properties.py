"""Range-coded bodies: whatever the model and the indices, they come back; whatever the bytes, no surprise."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import ShapeError
from kit.wire.packet import PacketLayout
from kit.wire.range_coder import encode
from tests.coding_cases import likely_indices, random_model

SIZES = st.tuples(
    st.integers(1, 12), st.integers(1, 4), st.integers(1, 30), st.integers(0, 2**32 - 1), st.integers(1, 4),
    st.booleans(),
)  # fmt: skip


def layout_of(sizes: tuple[int, int, int, int, int, bool]) -> tuple[PacketLayout, np.random.Generator]:
    index_bits, levels, positions, seed, frames, side = sizes
    rng = np.random.default_rng(seed)
    model = random_model(rng, levels, index_bits)
    return PacketLayout(64, 16, positions, levels, index_bits, side, frames, "range", model), rng


@given(SIZES)
@settings(deadline=None, max_examples=60)
def test_round_trip_and_length(sizes: tuple[int, int, int, int, int, bool]) -> None:
    layout, rng = layout_of(sizes)
    assert layout.model is not None
    count = 3 * layout.frames_per_packet
    indices = likely_indices(rng, layout.model, count, layout.latent_positions)
    mean = rng.integers(-(2**15), 2**15, count)
    scale = rng.integers(0, 256, count)
    rows = layout.pack_batch(indices, mean, scale)
    fields = layout.unpack_batch(rows)
    assert np.array_equal(fields.indices, indices)
    bodies = layout.bodies(rows)
    # Never longer than with fixed width, and shorter wherever the coder wrote less.
    shorter = encode(indices, layout.model).written < layout.index_bytes
    lengths = np.array([len(body) for body in bodies])
    assert (lengths <= layout.frame_bytes).all() and np.array_equal(lengths < layout.frame_bytes, shorter)
    assert np.array_equal(layout.rows(bodies), rows)
    for at in range(0, count, layout.frames_per_packet):
        part = bodies[at : at + layout.frames_per_packet]
        packet = layout.join(part)
        assert layout.split(packet) == part
        assert layout.body_bytes_min <= len(packet) <= layout.body_bytes
        assert np.array_equal(layout.unpack_packet(packet).indices, indices[at : at + len(part)])


@given(SIZES, st.binary(max_size=80))
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_refused_or_the_one_body_of_their_indices(
    sizes: tuple[int, int, int, int, int, bool], data: bytes
) -> None:
    layout, _ = layout_of(sizes)
    try:
        fields = layout.unpack_packet(data)
    except ShapeError:
        return
    frames = layout.bodies(layout.pack_batch(fields.indices, fields.mean, fields.scale_code))
    assert layout.join(frames) == data


@given(SIZES, st.data())
@settings(deadline=None, max_examples=60)
def test_damaged_bodies(sizes: tuple[int, int, int, int, int, bool], data: st.DataObject) -> None:
    layout, rng = layout_of(sizes)
    assert layout.model is not None
    indices = likely_indices(rng, layout.model, 1, layout.latent_positions)
    body = bytearray(layout.pack(indices[0], 5, 6))
    change = data.draw(st.sampled_from(("cut", "zero", "byte")))
    if change == "cut" and len(body) > layout.side_bytes:
        del body[-1]
    elif change == "zero":
        body.append(0)
    elif body:
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        fields = layout.unpack(bytes(body))
    except ShapeError:
        return
    assert layout.bodies(layout.pack_batch(fields.indices, fields.mean, fields.scale_code)) == [bytes(body)]
