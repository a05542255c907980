"""Whatever is done to a capture file behind its header: a reader finds only what was written, and most of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.host.capture_file import CaptureHeader, CaptureReader, CaptureWriter, PacketRecord
from tests.fake_device import HELLO, LAYOUT, body

PACKETS = 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, int]:
    """A scratch file, the bytes of a good capture, and where its header ends."""
    path = tmp_path_factory.mktemp("capture") / "a.kitcap"
    with CaptureWriter(path, CaptureHeader(HELLO, LAYOUT, "", "", "fast")) as writer:
        for session in range(3):
            if session:
                writer.gap("unplugged", 1.0)
            writer.begin_session(HELLO, "")
            for number in range(PACKETS // 3):
                writer.packet(number, 0, body(number))
        writer.end("enough")
    with CaptureReader(path) as reader:
        return path.with_name("b.kitcap"), path.read_bytes(), reader.whole_bytes


@st.composite
def damage(draw: st.DrawFn) -> tuple[str, float, int, bytes]:
    kind = draw(st.sampled_from(["overwrite", "delete", "insert"]))
    return kind, draw(st.floats(0, 1)), draw(st.integers(1, 40)), draw(st.binary(min_size=1, max_size=40))


def apply(data: bytes, header_end: int, done: tuple[str, float, int, bytes]) -> bytes:
    kind, place, count, noise = done
    at = header_end + int(place * (len(data) - header_end))
    if kind == "overwrite":
        return data[:at] + noise + data[at + len(noise) :]
    return data[:at] + data[at + count :] if kind == "delete" else data[:at] + noise + data[at:]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(damage(), max_size=4))
def test_only_what_was_written_is_found(
    whole: tuple[Path, bytes, int], damages: list[tuple[str, float, int, bytes]]
) -> None:
    path, data, header_end = whole
    for done in damages:
        data = apply(data, header_end, done)
    path.write_bytes(data)
    with CaptureReader(path) as reader:
        found = [record for record in reader if isinstance(record, PacketRecord)]
        assert reader.left_out_bytes <= len(data)
        assert reader.whole_bytes + reader.torn_bytes == len(data)
    # A deletion can join two halves of records, an insertion splits one: none costs more than three records.
    assert len({(r.session, r.number) for r in found}) == len(found) >= PACKETS - 3 * len(damages)
    assert all(r.body == body(r.number) and r.session < 3 and r.number < PACKETS // 3 for r in found)
    # Records never change their order.
    assert [(r.session, r.number) for r in found] == sorted((r.session, r.number) for r in found)
