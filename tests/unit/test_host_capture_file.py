"""Capture files: nothing that interrupts loses a packet that was written."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import CaptureError
from kit.host.capture_file import (
    CaptureHeader,
    CaptureReader,
    CaptureWriter,
    EndRecord,
    GapRecord,
    PacketRecord,
    SessionRecord,
)
from kit.host.sequence import SequenceTracker
from tests.fake_device import HELLO, LAYOUT, body, other_build
from tests.support import ROOT

HEADER = CaptureHeader(HELLO, LAYOUT, "2026-01-02T03:04:05+00:00", "/dev/fake", "fast", "name: tiny\n", "synthetic")


def write(path: Path, count: int) -> None:
    with CaptureWriter(path, HEADER) as writer:
        writer.begin_session(HELLO, "/dev/fake")
        for number in range(count):
            writer.packet(number, number * 250, body(number))
        writer.end("enough", packets=count)


def read(path: Path) -> tuple[list[int], list[dict[str, object]], int]:
    with CaptureReader(path) as reader:
        assert reader.header == HEADER
        records = list(reader)
        packets = [r for r in records if isinstance(r, PacketRecord)]
        assert all(p.body == body(p.number) and p.device_time_ms == p.number * 250 for p in packets)
        ends = [record.values for record in records if isinstance(record, EndRecord)]
        return [p.number for p in packets], ends, reader.left_out_bytes


def test_round_trip(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "a.kitcap", 5)
    assert read(tmp_path / "sub" / "a.kitcap") == ([0, 1, 2, 3, 4], [{"why": "enough", "packets": 5}], 0)


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.kitcap"
    write(path, 4)
    data = path.read_bytes()
    cut = tmp_path / "cut.kitcap"
    seen: list[int] = []
    for length in range(len(data)):
        cut.write_bytes(data[:length])
        try:
            packets, notes, left_out = read(cut)
        except CaptureError as error:
            assert "header" in str(error) or "not a capture" in str(error)
            assert seen == []
            continue
        assert packets == list(range(len(packets))) and len(packets) >= len(seen) and notes == []
        assert left_out < 600
        seen = packets
    assert seen == [0, 1, 2, 3]


def test_damage_anywhere_costs_the_record_it_hits(tmp_path: Path) -> None:
    path = tmp_path / "a.kitcap"
    write(path, 3)
    data = path.read_bytes()
    with CaptureReader(path) as reader:
        header_end = reader.whole_bytes
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        if at < header_end:
            with pytest.raises(CaptureError):
                read(path)
            continue
        packets, ends, left_out = read(path)
        # Exactly one of: session record (which the packets replace), a packet, the end.
        lost = [number for number in range(3) if number not in packets]
        assert left_out > 0 and len(lost) + (not ends) <= 1, at


def test_damage_with_bytes_inserted_lost_and_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.kitcap"
    write(path, 40)
    data = path.read_bytes()
    third = len(data) // 3
    for damaged in (
        data[:third] + b"\xa7\x4b\x02\xff\xff\x0f\0" * 5 + data[third:],
        data[:third] + data[third + 7 :],
        data[:third] + bytes(200) + data[third + 200 :],
        data[:third] + os.urandom(70000) + data[third:],
    ):
        path.write_bytes(damaged)
        with CaptureReader(path) as reader:
            numbers = [r.number for r in reader if isinstance(r, PacketRecord)]
            assert reader.damaged_places == 1 and reader.torn_bytes == 0 and reader.left_out_bytes > 0
        assert numbers == sorted(set(numbers)) and numbers[-1] == 39 and len(numbers) >= 30


def test_memory_of_a_reader_does_not_grow(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "a.kitcap"
    write(path, 10)
    data = path.read_bytes()
    with CaptureReader(path) as reader:
        header_end = reader.whole_bytes
    with path.open("wb") as stream:
        stream.write(data)
        for _ in range(2000):
            stream.write(data[header_end:])
        stream.write(b"\xa7" * 3_000_000)
    tracemalloc.start()
    with CaptureReader(path) as reader:
        count = sum(isinstance(record, EndRecord) for record in reader)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 2001 and reader.torn_bytes == 3_000_000 and peak < 1_500_000


def test_not_a_capture(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot read"):
        CaptureReader(tmp_path / "absent")
    (tmp_path / "other").write_bytes(b"PK\3\4" * 9)
    with pytest.raises(CaptureError, match="not a capture"):
        CaptureReader(tmp_path / "other")
    (tmp_path / "newer").write_bytes(b"KITCAP\x03\n")
    with pytest.raises(CaptureError, match="format 3, this kit reads 1 to 2"):
        CaptureReader(tmp_path / "newer")


def test_existing_and_unwritable_paths(tmp_path: Path) -> None:
    write(tmp_path / "a.kitcap", 1)
    with pytest.raises(CaptureError, match="exists already"):
        CaptureWriter(tmp_path / "a.kitcap", HEADER)
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match="cannot create"):
        CaptureWriter(tmp_path / "file" / "a.kitcap", HEADER)


def test_full_disk_keeps_whole_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third packet fits only half: its half is cut off again."""
    path = tmp_path / "a.kitcap"
    real = os.write
    with CaptureWriter(path, HEADER) as writer:
        writer.begin_session(HELLO, "")
        writer.packet(0, 0, body(0))
        writer.packet(1, 250, body(1))
        whole = path.stat().st_size

        def full(descriptor: int, data: bytes) -> int:
            if descriptor == writer._descriptor and len(data) > 10:
                return real(descriptor, bytes(data)[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(CaptureError, match=r"No space left.*2 packets before are safe"):
            writer.packet(2, 500, body(2))
        assert path.stat().st_size == whole == writer.bytes_written
        monkeypatch.undo()
        writer.packet(2, 500, body(2))
    assert read(path)[0] == [0, 1, 2]


def test_full_disk_at_the_start_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CaptureError, match="No space left"):
        CaptureWriter(tmp_path / "a.kitcap", HEADER)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_real_file_size_limit_and_killed_process(tmp_path: Path) -> None:
    """A process under a file size limit, which then dies without closing anything."""
    path = tmp_path / "a.kitcap"
    script = (
        "import os, resource, sys; from pathlib import Path\n"
        "from tests.unit.test_host_capture_file import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "w = CaptureWriter(Path(sys.argv[1]), HEADER)\n"
        "w.begin_session(HELLO, '')\n"
        "n = 0\n"
        "try:\n"
        "    while True:\n"
        "        w.packet(n, n * 250, body(n)); n += 1\n"
        "except CaptureError as e:\n"
        "    print(n, e, flush=True)\n"
        "os._exit(9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 9, done.stderr
    count = int(done.stdout.split()[0])
    packets, _, left_out = read(path)
    assert packets == list(range(count)) and count > 10 and left_out == 0
    assert "File too large" in done.stdout


def test_sequence_numbers() -> None:
    tracker = SequenceTracker()
    assert [tracker.push(seq) for seq in (0, 1, 1, 4, 3, 5)] == [0, 1, None, 4, None, 5]
    assert (tracker.received, tracker.lost, tracker.duplicates) == (4, 2, 2)
    tracker = SequenceTracker(next_number=65534)
    assert [tracker.push(seq) for seq in (65534, 65535, 0, 2, 65535)] == [65534, 65535, 65536, 65538, None]


def test_cut_off_and_damaged_headers_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.kitcap"
    write(path, 3)
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:60])
    with pytest.raises(CaptureError, match="ends before its header is whole"):
        CaptureReader(path)
    data[60] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(CaptureError, match=r"header of .* is damaged.*restore the file"):
        CaptureReader(path)


def format_1(path: Path, seqs: list[int]) -> None:
    """A file as the first release wrote it: no sessions, ``seq`` of the wire, a hello of protocol 1."""

    def record(kind: int, payload: bytes) -> bytes:
        data = struct.pack("<BIQ", kind, len(payload), 5) + payload
        return data + struct.pack("<I", zlib.crc32(data))

    header = json.loads(HEADER.to_json())
    for name in ("frames_per_packet", "frame_bytes", "credits", "probes"):
        header["hello"].pop(name, None)
    del header["decoder"]
    header["format"] = 1
    packets = [record(2, struct.pack("<HH", seq & 0xFFFF, seq * 250 & 0xFFFF) + body(seq)) for seq in seqs]
    end = record(3, json.dumps({"event": "end", "why": "enough"}).encode())
    path.write_bytes(b"KITCAP\x01\n" + record(1, json.dumps(header).encode()) + b"".join(packets) + end)


def test_format_1_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.kitcap"
    format_1(path, [0, 1, 1, 4, 65534, 65535, 65536, 65540])
    with CaptureReader(path) as reader:
        assert reader.version == 1 and reader.header == HEADER
        first, *records = list(reader)
        assert isinstance(first, SessionRecord) and first.session == 0
        assert [r.number for r in records if isinstance(r, PacketRecord)] == [0, 1, 4]
    format_1(path, [0, 1, 1, 4, 5, 20000, 50000, 65535, 65536, 65540])
    data = bytearray(path.read_bytes())
    with CaptureReader(path) as reader:
        records = list(reader)
        numbers = [r.number for r in records if isinstance(r, PacketRecord)]
        assert numbers == [0, 1, 4, 5, 20000, 50000, 65535, 65536, 65540] and reader.duplicates == 1
        assert records[-1] == EndRecord(5, {"why": "enough"})
    data[-120] ^= 1
    path.write_bytes(data)
    with CaptureReader(path) as reader:
        assert len([r for r in reader if isinstance(r, PacketRecord)]) == 8 and reader.damaged_places == 1
    with pytest.raises(CaptureError, match="format 1, this kit writes 2"):
        CaptureWriter.append(path, HELLO)


def test_append_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "a.kitcap"
    write(path, 4)
    data = path.read_bytes()
    for cut in (0, 1, 20, 150):
        path.write_bytes(data[: len(data) - cut])
        with CaptureWriter.append(path, HELLO) as writer:
            writer.gap("stopped", 12.5)
            assert writer.begin_session(HELLO, "/dev/other") == 1
            writer.packet(0, 0, body(0))
        with CaptureReader(path) as reader:
            records = list(reader)
            assert reader.left_out_bytes == 0
        gap = next(r for r in records if isinstance(r, GapRecord))
        assert (gap.session, gap.reason, gap.seconds, gap.packets) == (1, "stopped", 12.5, None)
        session = [r for r in records if isinstance(r, SessionRecord)][-1]
        assert session.session == 1 and session.hello == HELLO and session.values["port"] == "/dev/other"
        times = [record.time_us for record in records]
        assert times == sorted(times)
        last = records[-1]
        assert isinstance(last, PacketRecord) and (last.session, last.number) == (1, 0)


def test_append_refusals(tmp_path: Path) -> None:
    path = tmp_path / "a.kitcap"
    with pytest.raises(CaptureError, match=r"cannot append to .*No such file"):
        CaptureWriter.append(path, HELLO)
    write(path, 1)
    with pytest.raises(CaptureError, match=r"holds build 0123456789abcdef, the device runs build fedcba9876543210"):
        CaptureWriter.append(path, other_build())
    with CaptureWriter.append(path, HELLO), pytest.raises(CaptureError, match="being written by another capture"):
        CaptureWriter.append(path, HELLO)


def test_session_record_lost_to_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.kitcap"
    with CaptureWriter(path, HEADER) as writer:
        for session in range(2):
            if session:
                writer.gap("unplugged", 3.0)
            writer.begin_session(HELLO, "")
            for number in range(3):
                writer.packet(number, 0, body(number))
    data = path.read_bytes()
    at = data.rindex(b'"session": 1')
    path.write_bytes(data[:at] + b"X" + data[at + 1 :])
    with CaptureReader(path) as reader:
        records = list(reader)
    found = [(r.session, r.number) for r in records if isinstance(r, PacketRecord)]
    assert found == [(session, number) for session in range(2) for number in range(3)]
    assert [r.hello for r in records if isinstance(r, SessionRecord)] == [HELLO, None]


def test_several_frames_in_a_packet(tmp_path: Path) -> None:
    hello = replace(HELLO, frames_per_packet=3, packet_bytes=3 * LAYOUT.frame_bytes)
    header = replace(HEADER, hello=hello, layout=hello.layout)
    path = tmp_path / "a.kitcap"
    with CaptureWriter(path, header) as writer:
        writer.begin_session(hello, "")
        writer.packet(0, 0, body(0) + body(1) + body(2))
    with CaptureReader(path) as reader:
        (packet,) = [record for record in reader if isinstance(record, PacketRecord)]
        assert reader.header == header and reader.header.frames(packet.body) == [body(0), body(1), body(2)]
