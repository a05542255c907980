"""Reads capture files (docs/capture_format.md) in constant memory; goes on behind damage and says what it left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from kit.errors import CaptureError
from kit.host.capture_records import (
    COUNTERS,
    END,
    GAP,
    HEADER,
    MAGIC_BYTES,
    NOTE,
    PACKET,
    SESSION,
    UNREADABLE,
    VERSIONS,
    WITHIN_SESSION,
    CaptureHeader,
    CountersRecord,
    EndRecord,
    GapRecord,
    NoteRecord,
    PacketRecord,
    Parser,
    Record,
    SessionRecord,
    magic,
)
from kit.host.sequence import SequenceTracker

_CHUNK_BYTES = 1 << 16
_GAP_SECONDS_MAX = 1e9
"""Thirty years: longer gaps are no gaps."""


class CaptureReader:
    """Reads a capture file in constant memory; iterate over it once for its records. A context manager.

    Every packet comes behind the :class:`SessionRecord` of its stream, which is made up where the file has none.

    Attributes:
        version: format of the file, 1 or 2.
        header: what was captured.
        left_out_bytes: passed over so far because they are torn or damaged.
        damaged_places: how often records were passed over in the middle of the file.
        torn_bytes: of ``left_out_bytes`` those behind the last whole record.
        whole_bytes: where the last whole record ends.
        duplicates: packets left out because one of the same number stands before them.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path`` and read its header.

        Raises:
            CaptureError: missing, not a capture, of another version, or without a whole header.
        """
        self.path = path
        self.left_out_bytes = self.damaged_places = self.torn_bytes = self.whole_bytes = self.duplicates = 0
        self._buffer = bytearray()
        self._at = 0
        self._offset = 0
        self._record_length = 0
        try:
            self._file: BinaryIO = path.open("rb", buffering=0)
        except OSError as error:
            raise CaptureError(f"cannot read {path}: {error.strerror}", "give a .kitcap file") from None
        try:
            self.version = self._read_magic()
            self._parser = Parser(self.version)
            self.header = self._read_header()
        except OSError as error:
            self._file.close()
            raise CaptureError(f"cannot read {path}: {error.strerror}", "give a .kitcap file") from None
        except BaseException:
            self._file.close()
            raise
        layout, head = self.header.layout, self._parser.packet_head.size
        self._parser.packet_bytes = range(head + layout.body_bytes_min, head + layout.body_bytes + 1)
        self._session = -1
        self._tracker = SequenceTracker()
        self._next_number = 0

    def __enter__(self) -> CaptureReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Record]:
        try:
            while (found := self._next()) is not None:
                kind, time_us, payload = found
                if kind == PACKET:
                    yield from self._packet(time_us, payload)
                elif kind != HEADER:
                    yield from self._other(kind, time_us, payload)
        except OSError as error:
            raise CaptureError(f"cannot read {self.path} to its end: {error.strerror}", "check the disk") from None

    def _read_magic(self) -> int:
        self._fill(MAGIC_BYTES)
        start = bytes(self._buffer[:MAGIC_BYTES])
        if len(start) < MAGIC_BYTES or start[:6] != magic()[:6] or start[7:] != magic()[7:]:
            raise CaptureError(f"{self.path} is not a capture file", "give a .kitcap file of kit serial-capture")
        if start[6] not in VERSIONS:
            raise CaptureError(
                f"{self.path} has format {start[6]}, this kit reads {VERSIONS[0]} to {VERSIONS[-1]}",
                "use the kit that wrote it",
            )
        self._at = MAGIC_BYTES
        return start[6]

    def _read_header(self) -> CaptureHeader:
        found = self._record_here()
        if found == "torn":
            raise CaptureError(f"{self.path} ends before its header is whole", "nothing was captured; capture again")
        if isinstance(found, str) or found[0] != HEADER:
            raise CaptureError(
                f"the header of {self.path} is damaged, and without it the packets behind it cannot be read",
                "restore the file from a copy, or capture again",
            )
        self.whole_bytes = self._offset + self._at
        return CaptureHeader.from_json(found[2])

    def _packet(self, time_us: int, payload: bytes) -> Iterator[Record]:
        values = self._parser.packet_head.unpack_from(payload)
        body = payload[self._parser.packet_head.size :]
        session = 0 if self.version == 1 else int(values[0])
        if session != self._session:
            # Format 1, or damage took the SESSION record.
            yield self._enter(SessionRecord(time_us if session else 0, session, {}))
        if self.version == 1:
            number = self._tracker.push(values[0])
        else:
            number = None if values[1] < self._next_number else int(values[1])
        if number is None:
            self.duplicates += 1
            return
        self._next_number = number + 1
        yield PacketRecord(time_us, session, number, int(values[-1]), body)

    def _enter(self, record: SessionRecord) -> SessionRecord:
        self._session = record.session
        self._next_number = 0
        return record

    def _other(self, kind: int, time_us: int, payload: bytes) -> Iterator[Record]:
        if kind not in (NOTE, SESSION, GAP, COUNTERS, END):
            return
        try:
            values = json.loads(payload)
            if kind == SESSION:
                yield self._enter(SessionRecord(time_us, int(values.pop("session")) & 0xFFFF, values))
            elif kind == GAP:
                detail, packets = str(values.get("detail", "")), values.get("packets")
                session = self._session + (str(values["reason"]) not in WITHIN_SESSION)
                yield GapRecord(
                    time_us, session, str(values["reason"]), _seconds(values["seconds"]),
                    None if packets is None else int(packets), detail,
                )  # fmt: skip
            elif kind == COUNTERS:
                yield CountersRecord(time_us, dict(values))
            elif kind == END:
                yield EndRecord(time_us, dict(values))
            elif self.version == 1 and values.get("event") == "end":
                yield EndRecord(time_us, {k: v for k, v in values.items() if k != "event"})
            else:
                yield NoteRecord(time_us, dict(values))
        except UNREADABLE:
            raise CaptureError(
                f"{self.path} holds a note of another kit version", "use the kit that wrote it"
            ) from None

    def _next(self) -> tuple[int, int, bytes] | None:
        """The next whole record, however many damaged bytes stand before it; None at the end."""
        start = self._offset + self._at
        while True:
            found = self._record_here()
            if not isinstance(found, str):
                skipped = self._offset + self._at - self._record_length - start
                if skipped:
                    self.damaged_places += 1
                    self.left_out_bytes += skipped
                self.whole_bytes = self._offset + self._at
                return found
            if not self._fill(2):
                self._at = len(self._buffer)
                self.torn_bytes = self._offset + self._at - start
                self.left_out_bytes += self.torn_bytes
                return None
            self._at = max(self._at + 1, self._parser.next_candidate(self._buffer, self._at + 1))

    def _record_here(self) -> tuple[int, int, bytes] | str:
        """The record at the current place, which then moves behind it; else ``torn`` or ``damaged``."""
        parser = self._parser
        if not self._fill(parser.head_bytes):
            return "torn"
        length = parser.payload_bytes(bytes(self._buffer[self._at : self._at + parser.head_bytes]))
        if length is None:
            return "damaged"
        self._record_length = parser.record_bytes(length)
        if not self._fill(self._record_length):
            return "torn"
        found = parser.record(bytes(self._buffer[self._at : self._at + self._record_length]))
        if found is None:
            return "damaged"
        self._at += self._record_length
        return found

    def _fill(self, count: int) -> bool:
        """Have ``count`` bytes at the current place; False where the file ends before."""
        while len(self._buffer) - self._at < count:
            if self._at >= _CHUNK_BYTES:
                del self._buffer[: self._at]
                self._offset += self._at
                self._at = 0
            chunk = self._file.read(max(_CHUNK_BYTES, count))
            if not chunk:
                return False
            self._buffer += chunk
        return True


def _seconds(value: Any) -> float:
    """Length of a gap.

    Raises:
        ValueError: negative, endless, or no number.
        TypeError: no number.
    """
    seconds = float(value)
    if not 0 <= seconds <= _GAP_SECONDS_MAX:
        raise ValueError("a gap of impossible length")
    return seconds
