"""Capture files: nothing that interrupts loses a packet that was written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.errors import CaptureError
from kit.host.capture_file import CaptureHeader, CaptureReader, CaptureWriter, NoteRecord, PacketRecord
from kit.host.sequence import SequenceTracker
from tests.fake_device import HELLO, LAYOUT, body
from tests.support import ROOT

HEADER = CaptureHeader(HELLO, LAYOUT, "2026-01-02T03:04:05+00:00", "/dev/fake", "fast", "name: tiny\n", "synthetic")


def write(path: Path, count: int) -> None:
    with CaptureWriter(path, HEADER) as writer:
        for number in range(count):
            writer.packet(number, number * 250, body(number))
        writer.note(event="end", packets=count)


def read(path: Path) -> tuple[list[int], list[dict[str, object]], int]:
    with CaptureReader(path) as reader:
        assert reader.header == HEADER
        records = list(reader)
        packets = [r for r in records if isinstance(r, PacketRecord)]
        assert all(p.body == body(p.seq) and p.device_time_ms == p.seq * 250 for p in packets)
        return [p.seq for p in packets], [r.values for r in records if isinstance(r, NoteRecord)], reader.left_out_bytes


def test_round_trip(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "a.kitcap", 5)
    assert read(tmp_path / "sub" / "a.kitcap") == ([0, 1, 2, 3, 4], [{"event": "end", "packets": 5}], 0)


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
        assert left_out < 60
        seen = packets
    assert seen == [0, 1, 2, 3]


def test_damage_anywhere_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.kitcap"
    write(path, 3)
    data = path.read_bytes()
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        try:
            packets, _, left_out = read(path)
        except CaptureError:
            continue
        assert packets == list(range(len(packets))) and left_out > 0


def test_not_a_capture(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot read"):
        CaptureReader(tmp_path / "absent")
    (tmp_path / "other").write_bytes(b"PK\3\4" * 9)
    with pytest.raises(CaptureError, match="not a capture"):
        CaptureReader(tmp_path / "other")
    (tmp_path / "newer").write_bytes(b"KITCAP\x02\n")
    with pytest.raises(CaptureError, match="format 2"):
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
