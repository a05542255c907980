"""What a decoder reads: frames in order, what is missing between them, and when they were taken.

A capture is one line of time, counted in samples: its sessions, each a run of frames without a break in the device's
counting, and between two sessions a pause whose length the host's clock knows. Both sources, capture files and files of
bare packets, give the same events, in constant memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kit.errors import CaptureError
from kit.host.capture_file import (
    WITHIN_SESSION,
    CaptureHeader,
    CaptureReader,
    GapRecord,
    NoteRecord,
    PacketRecord,
    SessionRecord,
)
from kit.wire.packet import PacketLayout

CLOCK_MODULUS_MS = 1 << 16


@dataclass(frozen=True, slots=True)
class Session:
    """A session begins, ``pause_samples`` behind the last frame of the one before."""

    number: int
    pause_samples: int = 0
    reason: str = ""
    started: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """So many frames never came."""

    frames: int
    reason: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame's body.

    Attributes:
        body: side information and packed indices.
        host_time_s: arrival of its packet since the capture began, NaN where nobody noted it.
        device_time_s: arrival of its last sample by the device's clock, on the capture's line of time; NaN likewise.
    """

    body: bytes
    host_time_s: float
    device_time_s: float


Event = Session | Missing | Frame


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What is known before anything is read.

    Attributes:
        layout: of a packet's body.
        sample_rate_hz: of the device's sample clock, nominal.
        build_hash: build of the packets.
        started: wall clock of the host at the start, ISO 8601 with offset; empty where not known.
        target: what the device called itself.
        mode: ``realtime`` or ``fast``.
    """

    layout: PacketLayout
    sample_rate_hz: float
    build_hash: str
    started: str = ""
    target: str = ""
    mode: str = "realtime"


@dataclass(slots=True)
class SourceNotes:
    """What is known when everything was read."""

    duplicates: int = 0
    left_out_bytes: int = 0
    notes: list[dict[str, Any]] = field(default_factory=list)


class Source(Protocol):
    """Frames of one build."""

    @property
    def facts(self) -> SourceFacts:
        """Known before anything is read."""

    def events(self, notes: SourceNotes) -> Iterator[Event]:
        """Everything in order; ``notes`` is filled in on the way. May be called again, for another pass.

        Raises:
            CaptureError: the file cannot be read.
        """


class DeviceClock:
    """Unwraps the device's 16-bit milliseconds within a session."""

    def __init__(self, realtime: bool, packet_seconds: float) -> None:
        """Args: in real time the sample clock says how often the clock went around; else the host's clock does."""
        self._realtime = realtime
        self._packet_ms = packet_seconds * 1000.0
        self._last: tuple[int, int, float] | None = None
        self._first = 0.0
        self._anchor_s = 0.0

    def begin(self) -> None:
        """A session begins, and the device's clock may have begun anew."""
        self._last = None

    def push(self, number: int, time_us: int, device_ms: int, nominal_s: float) -> float:
        """Time of a packet's last sample.

        Args:
            number: of the packet in its session.
            time_us: host time of its arrival.
            device_ms: what the packet says, modulo 65536.
            nominal_s: time by the sample clock; the first packet of a session is set to it.
        """
        if self._last is None:
            self._first, self._anchor_s = float(device_ms), nominal_s
            self._last = (number, time_us, float(device_ms))
            return nominal_s
        last_number, last_us, last_ms = self._last
        ahead = (number - last_number) * self._packet_ms if self._realtime else (time_us - last_us) / 1000.0
        guess = last_ms + ahead
        half = CLOCK_MODULUS_MS / 2
        now = guess + (device_ms - guess + half) % CLOCK_MODULUS_MS - half
        self._last = (number, time_us, now)
        return self._anchor_s + (now - self._first) / 1000.0


class CaptureSource:
    """A capture file as a source."""

    def __init__(self, path: Path) -> None:
        """Read the header of ``path``.

        Raises:
            CaptureError: missing, or not a capture.
        """
        self.path = path
        with CaptureReader(path) as reader:
            self.header: CaptureHeader = reader.header
        hello = self.header.hello
        self._facts = SourceFacts(
            layout=self.header.layout,
            sample_rate_hz=hello.sample_rate_mhz / 1000.0,
            build_hash=self.header.build_hash,
            started=self.header.started,
            target=hello.target,
            mode=self.header.mode,
        )

    @property
    def facts(self) -> SourceFacts:
        """See :class:`Source`."""
        return self._facts

    def events(self, notes: SourceNotes) -> Iterator[Event]:
        """See :class:`Source`."""
        with CaptureReader(self.path) as reader:
            walker = _Walker(self._facts)
            for record in reader:
                if isinstance(record, NoteRecord):
                    notes.notes.append(record.values)
                elif isinstance(record, GapRecord):
                    walker.gap(record)
                elif isinstance(record, SessionRecord):
                    yield walker.session(record)
                elif isinstance(record, PacketRecord):
                    yield from walker.packet(record, self.header.frames(record.body))
                notes.left_out_bytes = reader.left_out_bytes
                notes.duplicates = reader.duplicates
            notes.left_out_bytes = reader.left_out_bytes
            notes.duplicates = reader.duplicates


class _Walker:
    """Turns the records of a capture into events."""

    def __init__(self, facts: SourceFacts) -> None:
        layout = facts.layout
        self._rate = facts.sample_rate_hz
        self._frame_samples = layout.frame_samples
        self._per_packet = layout.frames_per_packet
        self._frame_s = layout.frame_samples / facts.sample_rate_hz
        self._clock = DeviceClock(facts.mode == "realtime", self._per_packet * self._frame_s)
        self._gaps: list[GapRecord] = []
        self._reason = ""
        self._samples = 0
        self._next_number = 0
        self._last_us: int | None = None

    def gap(self, record: GapRecord) -> None:
        """Remember a gap for what follows it."""
        if record.reason in WITHIN_SESSION:
            self._reason = record.reason
        else:
            # More than a few between two packets tell nothing new, and a file may hold any number.
            self._gaps = [*self._gaps[-3:], record]

    def session(self, record: SessionRecord) -> Session:
        """A session begins."""
        pause_s, reason = 0.0, ""
        if self._last_us is not None or self._gaps:
            # One gap says its length itself; several without a packet between overlap, and the host's clock decides.
            pause_s = self._gaps[0].seconds if len(self._gaps) == 1 else (record.time_us - (self._last_us or 0)) / 1e6
            reason = self._gaps[-1].reason if self._gaps else "unknown"
        pause_s = pause_s if math.isfinite(pause_s) and pause_s > 0 else 0.0
        pause = round(pause_s * self._rate)
        self._samples += pause
        self._gaps.clear()
        self._reason = ""
        self._next_number = 0
        self._clock.begin()
        started = record.values.get("started", "")
        return Session(record.session, pause, reason, started if isinstance(started, str) else "")

    def packet(self, record: PacketRecord, bodies: list[bytes]) -> Iterator[Event]:
        """The frames of a packet, and before them those that never came."""
        missing = (record.number - self._next_number) * self._per_packet
        if missing > 0:
            self._samples += missing * self._frame_samples
            yield Missing(missing, self._reason or "lost")
        self._reason = ""
        self._gaps.clear()
        self._next_number = record.number + 1
        self._samples += len(bodies) * self._frame_samples
        self._last_us = record.time_us
        nominal_s = (self._samples - 1) / self._rate
        last_s = self._clock.push(record.number, record.time_us, record.device_time_ms, nominal_s)
        for position, body in enumerate(bodies, 1):
            yield Frame(body, record.time_us / 1e6, last_s - (len(bodies) - position) * self._frame_s)


@dataclass(slots=True)
class Extent:
    """How much there is in a source: what a first pass finds, in constant memory.

    Attributes:
        frames: rows of frames, missing ones included.
        received: frames that came.
        missing: frames that never came.
        sessions: runs of frames.
        pauses: pauses between sessions that are longer than nothing.
        gaps: runs of missing frames and pauses.
        samples: length of the line of time.
        pause_samples_max: longest pause.
        clock_s: time between the first and the last frame of the longest session, by the device's clock.
        clock_samples: the same by the sample clock.
        notes: see :class:`SourceNotes`.
    """

    frames: int = 0
    received: int = 0
    missing: int = 0
    sessions: int = 0
    pauses: int = 0
    gaps: int = 0
    samples: int = 0
    pause_samples_max: int = 0
    clock_s: float = 0.0
    clock_samples: int = 0
    notes: SourceNotes = field(default_factory=SourceNotes)

    @property
    def measured_rate_hz(self) -> float | None:
        """Samples per second by the device's clock, None where it cannot be told."""
        return self.clock_samples / self.clock_s if self.clock_s > 0 else None


def measure(source: Source) -> Extent:
    """Read a source once and sum it up.

    Raises:
        CaptureError: it cannot be read, or holds no frame.
    """
    extent = Extent()
    samples_of_frame = source.facts.layout.frame_samples
    first: tuple[int, float] | None = None
    for event in source.events(extent.notes):
        if isinstance(event, Session):
            extent.sessions += 1
            extent.pauses += event.pause_samples > 0
            extent.gaps += event.pause_samples > 0
            extent.samples += event.pause_samples
            extent.pause_samples_max = max(extent.pause_samples_max, event.pause_samples)
            first = None
            continue
        count = event.frames if isinstance(event, Missing) else 1
        extent.frames += count
        extent.samples += count * samples_of_frame
        if isinstance(event, Missing):
            extent.missing += count
            extent.gaps += 1
            continue
        extent.received += 1
        first = first or (extent.samples, event.device_time_s)
        if extent.samples - first[0] > extent.clock_samples:
            extent.clock_samples = extent.samples - first[0]
            extent.clock_s = event.device_time_s - first[1]
    if extent.received == 0:
        raise CaptureError("the capture holds no packet", "capture again")
    return extent
