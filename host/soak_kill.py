"""``kit soak kill``: captures killed at random moments; each file must open and hold every reported packet."""

from __future__ import annotations

import random
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kit.errors import CaptureError, RunnerError
from kit.host.capture import CaptureOptions, CaptureState, capture
from kit.host.capture_file import CaptureReader, PacketRecord, Record
from kit.host.emulator import start
from kit.host.firmware import Firmware

MOMENT_SECONDS_MAX = 0.6
"""A kill falls into so long after the capture looks for its device: greeting, creation of the file, packets."""
START_SECONDS = 60.0
APPEND_SHARE = 0.5
"""Of the captures that continue the file which the kill before left."""
_REPORT = struct.Struct("<HI")
_READY = _REPORT.pack(0xFFFF, 0)


@dataclass(slots=True)
class KillSoak:
    """What a run showed.

    Attributes:
        seed: of the random moments.
        kills: captures killed.
        before_file: of these, before there was a file.
        appended: captures that continued an existing file.
        torn: files with a torn record at their end.
        unreadable: files that did not open.
        reported: packets that a capture reported as stored before it was killed.
        stored: packets found in the files.
        lost: reported, but not found.
        errors: captures that ended by themselves.
    """

    seed: int
    kills: int = 0
    before_file: int = 0
    appended: int = 0
    torn: int = 0
    unreadable: int = 0
    reported: int = 0
    stored: int = 0
    lost: int = 0
    errors: int = 0

    @property
    def failures(self) -> list[str]:
        """What misses its bar, empty when all is well."""
        found = [
            f"{getattr(self, name)} {text}"
            for name, text in (
                ("unreadable", "files do not open"),
                ("lost", "reported packets are lost"),
                ("errors", "captures ended by themselves"),
            )
            if getattr(self, name)
        ]
        if self.reported == 0:
            found.append("no packet was reported at all")
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "failures": self.failures}


class _Reporter:
    """Tells the parent, through standard output, of every packet as soon as it is stored."""

    def begin(self, state: CaptureState) -> None:
        """Nothing is stored yet."""

    def record(self, record: Record) -> None:
        if isinstance(record, PacketRecord):
            sys.stdout.buffer.write(_REPORT.pack(record.session, record.number))
            sys.stdout.buffer.flush()


def report_capture(port: str, out: str) -> None:
    """The process that is killed: captures without end, and continues ``out`` where it exists."""
    sys.stdout.buffer.write(_READY)
    sys.stdout.buffer.flush()
    path = Path(out)
    options = CaptureOptions(port, path, "fast", any_build=True, reconnect=False, append=path.exists())
    capture(options, observer=_Reporter())


def soak_kill(
    firmware: Firmware, times: int, seed: int = 1, progress: Callable[[KillSoak], None] | None = None
) -> KillSoak:
    """Kill that many captures of a native device.

    Raises:
        ToolchainError, RunnerError: the device or a capture does not start.
    """
    result, chance = KillSoak(seed), random.Random(seed)
    with TemporaryDirectory(prefix="kit-soak-") as folder, start(firmware, "native") as emulator:
        path = Path(folder) / "0.kitcap"
        known: set[tuple[int, int]] = set()
        for number in range(times):
            if not path.exists() or chance.random() >= APPEND_SHARE:
                path, known = Path(folder) / f"{number}.kitcap", set()
            else:
                result.appended += 1
            reported, ended = _kill_one(emulator.port, path, chance.uniform(0, MOMENT_SECONDS_MAX))
            result.kills += 1
            result.errors += ended
            result.reported += len(reported)
            known |= reported
            _judge(path, known, reported, result)
            if progress is not None:
                progress(result)
    return result


def _kill_one(port: str, path: Path, after_s: float) -> tuple[set[tuple[int, int]], bool]:
    """Packets that a capture reported before it was killed, and whether it had ended before that.

    Raises:
        RunnerError: it does not start.
    """
    code = "import sys; from kit.host.soak_kill import report_capture; report_capture(*sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, port, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        first = process.stdout.read(_REPORT.size) if readable else b""
        if first != _READY:
            raise RunnerError("a capture process does not start", "run kit doctor")
        reader = _Drain(process)
        time.sleep(after_s)
        ended = process.poll() is not None
    finally:
        process.kill()
        process.wait()
    data = reader.finish()
    whole = len(data) - len(data) % _REPORT.size
    return {(session, number) for session, number in _REPORT.iter_unpack(data[:whole])}, ended


class _Drain:
    """Reads what a process reports while it lives, so that it never waits for the pipe."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        import threading

        self._data = b""
        self._process = process
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._data = self._process.stdout.read()

    def finish(self) -> bytes:
        self._thread.join(START_SECONDS)
        return self._data


def _judge(path: Path, known: set[tuple[int, int]], reported: set[tuple[int, int]], result: KillSoak) -> None:
    """Look for every packet that captures into this file have reported so far."""
    if not path.exists():
        result.before_file += 1
        result.lost += len(known)
        return
    try:
        with CaptureReader(path) as reader:
            found = {(record.session, record.number) for record in reader if isinstance(record, PacketRecord)}
            result.torn += reader.torn_bytes > 0
            result.unreadable += reader.damaged_places > 0
    except CaptureError:
        result.unreadable += 1
        return
    result.lost += len(known - found)
    newest = max((session for session, _ in reported), default=None)
    result.stored += sum(session == newest for session, _ in found)
