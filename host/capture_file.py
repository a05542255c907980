"""Capture files (``.kitcap``): append-only, every record checked, whole up to the last record whatever interrupts.

A file is the 8 bytes ``KITCAP`` version newline, then records: type u8, payload length u32, host time u64 (microseconds
since the capture began, monotonic), payload, CRC-32 over all of it; little-endian. The first record is the header.
A record that was cut off or damaged ends the file for a reader, which reports how many bytes it left out.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from kit.errors import CaptureError, ShapeError
from kit.wire.messages import Hello
from kit.wire.packet import PacketLayout

VERSION = 1
MAGIC = b"KITCAP" + bytes([VERSION]) + b"\n"
SUFFIX = ".kitcap"
SYNC_SECONDS = 2.0
"""At most this much is lost when the machine itself goes down; a killed process loses nothing."""

_HEAD = struct.Struct("<BIQ")
_CRC = struct.Struct("<I")
_PACKET = struct.Struct("<HH")
_PAYLOAD_BYTES_MAX = 1 << 20
HEADER, PACKET, NOTE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class CaptureHeader:
    """What a capture is; enough to read its indices without any other file.

    Attributes:
        hello: what the device said.
        layout: of the packet bodies.
        started: wall clock of the host at the start, ISO 8601 with offset.
        port: where the device was.
        mode: ``realtime`` or ``fast``.
        config: resolved configuration (YAML) of the build, empty where the build is not known.
        label: datasets of the build's decoder, empty where not known.
    """

    hello: Hello
    layout: PacketLayout
    started: str
    port: str
    mode: str
    config: str = ""
    label: str = ""

    @property
    def build_hash(self) -> str:
        """Build of the device, 16 hex digits."""
        return self.hello.build_hash

    def to_json(self) -> bytes:
        """Header record's payload."""
        values = {**asdict(self), "format": VERSION}
        return json.dumps(values, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, payload: bytes) -> CaptureHeader:
        """Inverse of :meth:`to_json`.

        Raises:
            CaptureError: not such a payload.
        """
        try:
            values = json.loads(payload)
            del values["format"]
            hello, layout = Hello(**values.pop("hello")), PacketLayout.from_dict(values.pop("layout"))
            return cls(hello=hello, layout=layout, **values)
        except (ValueError, TypeError, KeyError, AttributeError, ShapeError):
            raise CaptureError("the capture's header is of another kit version", "use the kit that wrote it") from None


@dataclass(frozen=True, slots=True)
class PacketRecord:
    """One packet: host time of arrival, and what PACKET said."""

    time_us: int
    seq: int
    device_time_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """Something that happened: how the capture ended, counters."""

    time_us: int
    values: dict[str, Any]


def _record(kind: int, time_us: int, payload: bytes) -> bytes:
    data = _HEAD.pack(kind, len(payload), time_us) + payload
    return data + _CRC.pack(zlib.crc32(data))


class CaptureWriter:
    """Appends records to a new capture file; a context manager.

    Records reach the operating system one by one and whole: when one cannot be written completely (disk full), what was
    written of it is cut off again, so that the file always ends with a whole record.
    """

    def __init__(self, path: Path, header: CaptureHeader) -> None:
        """Create ``path``.

        Raises:
            CaptureError: it exists already or cannot be written.
        """
        self.path = path
        self.packets = 0
        self._begun = time.monotonic_ns()
        self._synced = time.monotonic()
        self._end = 0
        self._descriptor = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CaptureError(f"cannot create {path.parent}: {error.strerror}", "choose a writable --out") from None
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(path, flags, 0o644)
        except FileExistsError:
            raise CaptureError(f"{path} exists already", "choose another --out: captures are kept") from None
        except OSError as error:
            raise CaptureError(f"cannot create {path}: {error.strerror}", "choose a writable --out") from None
        try:
            self._append(MAGIC + _record(HEADER, 0, header.to_json()))
        except CaptureError:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bytes_written(self) -> int:
        """Length of the file."""
        return self._end

    def packet(self, seq: int, device_time_ms: int, body: bytes) -> None:
        """Append a packet.

        Raises:
            CaptureError: the disk is full or failed; everything before is safe.
        """
        self._append(_record(PACKET, self._now_us(), _PACKET.pack(seq, device_time_ms) + body))
        self.packets += 1

    def note(self, **values: Any) -> None:
        """Append a note.

        Raises:
            CaptureError: as :meth:`packet`.
        """
        self._append(_record(NOTE, self._now_us(), json.dumps(values, sort_keys=True).encode()))

    def close(self) -> None:
        """Flush to the disk and close; may be called twice."""
        if self._descriptor >= 0:
            try:
                os.fsync(self._descriptor)
            except OSError:
                # Nothing can be done about it here; a reader finds how far the file got.
                pass
            finally:
                os.close(self._descriptor)
                self._descriptor = -1

    def _now_us(self) -> int:
        return (time.monotonic_ns() - self._begun) // 1000

    def _append(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._cut_back()
            raise CaptureError(
                f"cannot write on to {self.path}: {error.strerror}; the {self.packets} packets before are safe in it",
                "free some space and start another capture",
            ) from None
        self._end += len(data)
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise CaptureError(
                f"cannot flush {self.path}: {error.strerror}; its last {SYNC_SECONDS:g} s may be missing",
                "check the disk, then start another capture",
            ) from None
        self._synced = time.monotonic()

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._end)
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
        except OSError:
            # The torn record stays; readers leave it out.
            return


class CaptureReader:
    """Reads a capture file; iterate over it for its records. A context manager.

    Attributes:
        header: what was captured.
        left_out_bytes: bytes behind the last whole record, known when the iteration has ended.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path`` and read its header.

        Raises:
            CaptureError: missing, not a capture, of another version, or without a whole header.
        """
        self.path = path
        self.left_out_bytes = 0
        self._cut_off = False
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise CaptureError(f"cannot read {path}: {error.strerror}", "give a .kitcap file") from None
        try:
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> CaptureReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _read_header(self) -> CaptureHeader:
        magic = self._file.read(len(MAGIC))
        if magic[:6] != MAGIC[:6] or len(magic) < len(MAGIC):
            raise CaptureError(f"{self.path} is not a capture file", "give a .kitcap file of kit serial-capture")
        if magic != MAGIC:
            raise CaptureError(
                f"{self.path} has format {magic[6]}, this kit reads {VERSION}", "use the kit that wrote it"
            )
        first = self._next()
        if first is None and self._cut_off:
            raise CaptureError(f"{self.path} ends before its header is whole", "nothing was captured; capture again")
        if first is None or first[0] != HEADER:
            raise CaptureError(
                f"the header of {self.path} is damaged, and without it the packets behind it cannot be read",
                "restore the file from a copy, or capture again",
            )
        return CaptureHeader.from_json(first[2])

    def __iter__(self) -> Iterator[PacketRecord | NoteRecord]:
        while (record := self._next()) is not None:
            kind, time_us, payload = record
            if kind == PACKET and len(payload) == _PACKET.size + self.header.layout.body_bytes:
                seq, device_time_ms = _PACKET.unpack_from(payload)
                yield PacketRecord(time_us, seq, device_time_ms, payload[_PACKET.size :])
            elif kind == NOTE:
                try:
                    note = json.loads(payload)
                except ValueError:
                    raise CaptureError(
                        f"{self.path} holds a note of another kit version", "use the kit that wrote it"
                    ) from None
                yield NoteRecord(time_us, note)

    def _next(self) -> tuple[int, int, bytes] | None:
        """Type, host time and payload of the next record; None at the end or at the first damage."""
        at = self._file.tell()
        head = self._file.read(_HEAD.size)
        self._cut_off = len(head) < _HEAD.size
        if len(head) == _HEAD.size:
            kind, length, time_us = _HEAD.unpack(head)
            if length <= _PAYLOAD_BYTES_MAX:
                rest = self._file.read(length + _CRC.size)
                whole = len(rest) == length + _CRC.size
                self._cut_off = not whole
                if whole and zlib.crc32(head + rest[:length]) == _CRC.unpack_from(rest, length)[0]:
                    return kind, time_us, rest[:length]
        self._file.seek(0, os.SEEK_END)
        self.left_out_bytes = self._file.tell() - at
        return None
