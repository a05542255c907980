"""Writes capture files (docs/capture_format.md): what was handed to it survives whatever ends the process."""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from kit.errors import CaptureError
from kit.host.capture_reader import CaptureReader
from kit.host.capture_records import (
    COUNTERS,
    END,
    GAP,
    GAP_REASONS,
    HEADER,
    NOTE,
    PACKET,
    SESSION,
    VERSION,
    WITHIN_SESSION,
    CaptureHeader,
    GapRecord,
    PacketRecord,
    SessionRecord,
    encode_packet,
    encode_record,
    magic,
    to_json,
)
from kit.wire.messages import Hello

SYNC_SECONDS = 2.0
"""At most this much is lost when the machine itself goes down; a killed process loses nothing."""


class CaptureWriter:
    """Appends records to a capture file; a context manager. One writer at a time: the file is locked where possible.

    Records reach the operating system one by one and whole: when one cannot be written completely (disk full), what was
    written of it is cut off again, so that the file always ends with a whole record. A new file appears under its name
    with its header in it, so that there is no moment at which it cannot be read.

    Attributes:
        path: the file.
        header: in it.
        packets: written by this writer.
        session: of the packets that are written next, -1 before the first :meth:`begin_session`.
        last_signal_us: host time of the last packet, or of the start of the session behind it; None without any.
    """

    def __init__(self, path: Path, header: CaptureHeader) -> None:
        """Create ``path``.

        Raises:
            CaptureError: it exists already or cannot be written.
        """
        self._set_up(path)
        self.header = header
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CaptureError(f"cannot create {path.parent}: {error.strerror}", "choose a writable --out") from None
        if path.exists():
            raise _exists(path)
        temporary = None
        try:
            self._descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            os.chmod(temporary, 0o644)
            self._append(magic() + encode_record(HEADER, 0, header.to_json()))
            _publish(temporary, path)
            # Opened again, so that the system knows the descriptor by the name that stays.
            self.close()
            self._open()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise CaptureError(f"cannot create {path}: {error.strerror}", "choose a writable --out") from None
            raise
        finally:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)

    @classmethod
    def append(cls, path: Path, hello: Hello) -> CaptureWriter:
        """Open an existing file of format 2 to write on; what is torn at its end is cut off first.

        Args:
            path: the file.
            hello: of the device that is to be captured now.

        Raises:
            CaptureError: missing, not a capture, of format 1, of another build, in use, or not writable.
        """
        writer = cls.__new__(cls)
        writer._set_up(path)
        try:
            writer._open()
            writer._continue(hello)
        except OSError as error:
            writer.close()
            raise CaptureError(
                f"cannot append to {path}: {error.strerror}", "give a capture that exists and may be written"
            ) from None
        except CaptureError:
            writer.close()
            raise
        return writer

    def _set_up(self, path: Path) -> None:
        self.path = path
        self.packets = 0
        self.session = -1
        self.last_signal_us: int | None = None
        self._begun = time.monotonic_ns()
        self._synced = time.monotonic()
        self._end = 0
        self._descriptor = -1

    def _open(self) -> None:
        """Open the file under its name, lock it and stand at its end."""
        self._descriptor = os.open(self.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        _lock(self._descriptor, self.path)
        self._end = os.lseek(self._descriptor, 0, os.SEEK_END)

    def _continue(self, hello: Hello) -> None:
        """Go to the end of the last whole record, with the clock as if the capture had never paused."""
        last_us = 0
        with CaptureReader(self.path) as reader:
            if reader.version != VERSION:
                raise CaptureError(
                    f"cannot append to {self.path}: it has format {reader.version}, this kit writes {VERSION}",
                    "capture to another --out",
                )
            if reader.header.build_hash != hello.build_hash:
                raise CaptureError(
                    f"cannot append to {self.path}: it holds build {reader.header.build_hash}, the device runs build "
                    f"{hello.build_hash}",
                    "capture to another --out",
                )
            for record in reader:
                last_us = max(last_us, record.time_us)
                if isinstance(record, (PacketRecord, SessionRecord)):
                    self.session = max(self.session, record.session)
                    self.last_signal_us = record.time_us
            self._end = reader.whole_bytes
            self.header = reader.header
        os.ftruncate(self._descriptor, self._end)
        os.lseek(self._descriptor, self._end, os.SEEK_SET)
        # A wall clock that was set back in between cannot make the records run backwards.
        now_us = max(last_us, _microseconds_since(reader.header.started))
        self._begun = time.monotonic_ns() - now_us * 1000

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

    def now_us(self) -> int:
        """Host time since the capture began."""
        return (time.monotonic_ns() - self._begun) // 1000

    def begin_session(self, hello: Hello, port: str) -> int:
        """Append a SESSION: the device has just confirmed the start of a stream. Returns its number.

        Raises:
            CaptureError: as :meth:`packet`.
        """
        started = datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
        values = {"session": self.session + 1, "hello": asdict(hello), "port": port, "started": started}
        self._write(SESSION, to_json(values))
        self.session += 1
        self.last_signal_us = self.now_us()
        return self.session

    def packet(self, number: int, device_time_ms: int, body: bytes) -> PacketRecord:
        """Append a packet; ``number`` counts without end since the session began. Returns what was written.

        Raises:
            CaptureError: the disk is full or failed; everything before is safe.
        """
        assert self.session >= 0, "a packet before the first session"
        time_us = self.now_us()
        self._append(encode_record(PACKET, time_us, encode_packet(self.session, number, device_time_ms, body)))
        self.packets += 1
        self.last_signal_us = time_us
        return PacketRecord(time_us, self.session, number, device_time_ms, body)

    def gap(self, reason: str, seconds: float, packets: int | None = None, detail: str = "") -> GapRecord:
        """Append a GAP; ``reason`` is one of :data:`GAP_REASONS`. Returns what was written.

        Raises:
            CaptureError: as :meth:`packet`.
        """
        assert reason in GAP_REASONS, reason
        values = {"reason": reason, "seconds": round(seconds, 6), "packets": packets, "detail": detail}
        self._write(GAP, to_json({k: v for k, v in values.items() if v not in (None, "")}))
        session = self.session + (reason not in WITHIN_SESSION)
        return GapRecord(self.now_us(), session, reason, round(seconds, 6), packets, detail)

    def note(self, **values: Any) -> None:
        """Append a note.

        Raises:
            CaptureError: as :meth:`packet`.
        """
        self._write(NOTE, to_json(values))

    def counters(self, **values: Any) -> None:
        """Append what was counted so far.

        Raises:
            CaptureError: as :meth:`packet`.
        """
        self._write(COUNTERS, to_json(values))

    def end(self, why: str, **values: Any) -> None:
        """Append the closing record.

        Raises:
            CaptureError: as :meth:`packet`.
        """
        self._write(END, to_json({"why": why, **values}))

    def close(self) -> None:
        """Flush to the disk and close; may be called twice."""
        if self._descriptor >= 0:
            # Nothing can be done about a failure here; a reader finds how far the file got.
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, kind: int, payload: bytes) -> None:
        self._append(encode_record(kind, self.now_us(), payload))

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
        # Where even this fails the torn record stays; readers leave it out.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._end)
            os.lseek(self._descriptor, self._end, os.SEEK_SET)


def _exists(path: Path) -> CaptureError:
    return CaptureError(f"{path} exists already", "choose another --out, or add --append: captures are kept")


def _publish(temporary: str, path: Path) -> None:
    """Give the file its name, which must be free.

    Raises:
        CaptureError: it is taken.
        OSError: the folder cannot be written.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:
        # A file system without hard links; what is left is a moment in which another capture could take the name.
        if path.exists():
            raise _exists(path) from None
        os.rename(temporary, path)


def _lock(descriptor: int, path: Path) -> None:
    """Keep a second writer out, where the system can.

    Raises:
        CaptureError: another process writes the file.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CaptureError(
            f"{path} is being written by another capture", "end that one, or choose another --out"
        ) from None
    except OSError:
        return


def _microseconds_since(started: str) -> int:
    """Wall clock time since an ISO date with offset; 0 where it cannot be read."""
    try:
        begun = datetime.datetime.fromisoformat(started)
        return int((datetime.datetime.now().astimezone() - begun).total_seconds() * 1e6)
    except (ValueError, TypeError):
        return 0
