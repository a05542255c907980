"""What to capture, how it stands, and who watches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kit.errors import LinkError
from kit.host.builds import KnownBuild
from kit.host.capture_file import CaptureHeader, CaptureWriter, Record
from kit.host.sequence import SequenceTracker
from kit.server.bundle import Bundle
from kit.wire.messages import Hello

POLL_SECONDS = 0.2
SILENCE_SECONDS_MIN = 20.0
SILENCE_PACKETS = 4
"""A device is given up when it is silent for so many packets, but not before the time above."""


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """What to capture.

    Attributes:
        port: serial port or pyserial URL.
        out: file to write; a new name below ``captures/`` when None.
        mode: ``realtime`` or ``fast``.
        packets: stop after so many; None = no limit.
        duration_s: stop after so many seconds; None = no limit.
        run: run folder of the device's build, None to search the known ones.
        server: server folder instead of ``run``.
        any_build: store the packets of an unknown build too, undecoded.
        stop: set from anywhere (a signal handler) to end the capture cleanly.
        silence_s: give up after so long without a packet; None = from the packet length.
        baud: speed of the port; None finds it.
        reconnect: go on when the port returns or the device starts anew; otherwise such an end is an error.
        append: continue the file ``out``, which must exist.
    """

    port: str
    out: Path | None = None
    mode: str = "realtime"
    packets: int | None = None
    duration_s: float | None = None
    run: Path | None = None
    server: Path | None = None
    any_build: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    silence_s: float | None = None
    baud: int | None = None
    reconnect: bool = True
    append: bool = False


@dataclass(slots=True)
class CaptureState:
    """Where a capture stands; what the status line and the summary show.

    Attributes:
        path: capture file.
        port: where the device is now.
        hello: what it said last.
        build: of the device, None where not known.
        bundle: its decoder, None where there is none.
        header: of the capture file.
        tracker: packets of all sessions.
        sessions: streams begun.
        gaps: lengths of the interruptions between them in seconds.
        waiting: why there is no stream right now, empty while there is one.
        damaged: messages thrown away for their check value, coding, length or type.
        malformed: packets of impossible content.
        dropped_by_device: packets that the device itself left out.
        line_bytes: received.
        file_bytes: length of the file.
        seconds: since the first stream began.
        ended: why the capture ended, empty before.
    """

    path: Path
    port: str
    hello: Hello
    build: KnownBuild | None
    bundle: Bundle | None
    header: CaptureHeader
    tracker: SequenceTracker = field(default_factory=SequenceTracker)
    sessions: int = 0
    gaps: list[float] = field(default_factory=list)
    waiting: str = ""
    damaged: int = 0
    malformed: int = 0
    dropped_by_device: int = 0
    line_bytes: int = 0
    file_bytes: int = 0
    seconds: float = 0.0
    ended: str = ""

    @property
    def seconds_of_signal(self) -> float:
        """Length of the stored signal."""
        return self.tracker.received * self.hello.packet_seconds

    @property
    def text(self) -> str:
        """One line: what came, what is missing."""
        parts = [f"{self.tracker.received} packets ({self.seconds_of_signal:.0f} s of signal)"]
        parts.append(f"{self.tracker.lost} lost")
        if self.dropped_by_device:
            parts.append(f"{self.dropped_by_device} of them dropped by the device")
        if self.tracker.duplicates:
            parts.append(f"{self.tracker.duplicates} duplicate")
        if self.damaged + self.malformed:
            parts.append(f"{self.damaged + self.malformed} damaged messages")
        if self.gaps:
            parts.append(f"{len(self.gaps)} interruptions of {sum(self.gaps):.1f} s in all")
        return ", ".join(parts)

    def counters(self) -> dict[str, int | float]:
        """The figures, for COUNTERS and END records and for scripts."""
        return {
            "packets": self.tracker.received,
            "lost": self.tracker.lost,
            "duplicates": self.tracker.duplicates,
            "damaged": self.damaged + self.malformed,
            "dropped_by_device": self.dropped_by_device,
            "sessions": self.sessions,
            "gap_seconds": round(sum(self.gaps), 6),
            "line_bytes": self.line_bytes,
        }


Update = Callable[[CaptureState], None]


class Observer(Protocol):
    """Sees what is stored while it is stored; must return at once."""

    def begin(self, state: CaptureState) -> None:
        """The device is known; the file is about to be opened.

        Raises:
            KitError: the capture is of no use to the observer.
        """

    def record(self, record: Record) -> None:
        """A session began, a packet was stored, or signal is missing."""


class Recording(Protocol):
    """What a stream needs of the capture that it belongs to."""

    options: CaptureOptions
    state: CaptureState
    writer: CaptureWriter

    def started(self) -> None:
        """A stream has begun."""

    def stored(self, record: Record) -> None:
        """Something was written that observers want to see."""

    def check_limits(self) -> bool:
        """Whether the user or a limit ends the capture now."""

    def show(self) -> None:
        """Tell whoever asked for it how things stand."""


class Interrupted(Exception):
    """The stream broke off, but another may follow."""

    def __init__(self, reason: str, error: LinkError) -> None:
        self.reason = reason
        self.error = error
        super().__init__(error.what)
