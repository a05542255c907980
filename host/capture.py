"""Receives what a device streams: checks it, counts what is missing, and stores it crash-safely."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import KitError, LinkError, LinkTimeout, ShapeError
from kit.host.builds import KnownBuild, find_build
from kit.host.capture_file import SUFFIX, CaptureHeader, CaptureWriter
from kit.host.link import Link, Trace
from kit.host.sequence import SequenceTracker
from kit.server.bundle import Bundle
from kit.wire.messages import Decoded, Hello
from kit.wire.registry import STREAM_STATES

POLL_SECONDS = 0.2
SILENCE_SECONDS_MIN = 20.0
SILENCE_FRAMES = 4
"""A device is given up when it is silent for so many frames, but not before the time above."""


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
        silence_s: give up after so long without a packet; None = from the frame length.
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


@dataclass(slots=True)
class CaptureState:
    """Where a capture stands; what the status line and the summary show."""

    path: Path
    hello: Hello
    build: KnownBuild | None
    tracker: SequenceTracker = field(default_factory=SequenceTracker)
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
        return ", ".join(parts)


Update = Callable[[CaptureState], None]


def default_path(target: str, started: datetime.datetime) -> Path:
    """A file name that does not exist yet: ``captures/TARGET-DATE-TIME.kitcap``."""
    stem = f"{target or 'device'}-{started:%Y%m%d-%H%M%S}"
    path = Path("captures") / f"{stem}{SUFFIX}"
    number = 2
    while path.exists():
        path = path.with_name(f"{stem}-{number}{SUFFIX}")
        number += 1
    return path


def _identify(hello: Hello, options: CaptureOptions) -> tuple[KnownBuild | None, str, str]:
    """The device's build with its configuration and label; None and empty texts for an unknown one that is allowed."""
    try:
        build = find_build(hello.build_hash, options.run, options.server)
    except LinkError:
        if not options.any_build:
            raise
        return None, "", ""
    if build.server is None:
        return build, "", ""
    label = Bundle.load(build.server, hello.build_hash).label
    return build, (build.server / "config.yaml").read_text(encoding="utf-8"), label


def capture(options: CaptureOptions, update: Update | None = None, trace: Trace | None = None) -> CaptureState:
    """Capture a stream until a limit, the end of the stream, or ``options.stop``.

    Args:
        options: what and how long.
        update: called after every packet and at least five times a second.
        trace: called with a line of text per message.

    Returns:
        the final state; its ``ended`` says why it ended.

    Raises:
        LinkError: port missing, busy or unplugged, silent device, or a build that is not known. When packets were
            stored before, the message names the file.
        CaptureError: the file cannot be written; everything before is safe.
        ArtifactError: the build's bundle is damaged.
    """
    with Link.open(options.port, trace) as link:
        hello = link.hello(cancelled=options.stop.is_set)
        build, config, label = _identify(hello, options)
        started = datetime.datetime.now().astimezone()
        path = options.out or default_path(hello.target, started)
        header = CaptureHeader(
            hello=hello,
            layout=hello.layout,
            started=started.isoformat(timespec="seconds"),
            port=options.port,
            mode=options.mode,
            config=config,
            label=label,
        )
        with CaptureWriter(path, header) as writer:
            session = _Session(link, writer, options, CaptureState(path, hello, build), update)
            try:
                session.run()
            except LinkError as error:
                session.note_end(error.what)
                stored = f"; {writer.packets} packets are safe in {path}" if writer.packets else ""
                raise type(error)(f"{error.what}{stored}", error.fix) from None
            finally:
                session.refresh()
        return session.state


class _Session:
    """One stream into one file."""

    def __init__(
        self, link: Link, writer: CaptureWriter, options: CaptureOptions, state: CaptureState, update: Update | None
    ) -> None:
        self.state = state
        self._link = link
        self._writer = writer
        self._options = options
        self._update = update
        self._begun = time.monotonic()
        self._last_packet = self._begun
        self._shown = 0.0
        self._request = -1
        self._damaged_before = link.counters.damaged
        frame_s = state.hello.packet_seconds
        self._silence_s = options.silence_s or max(SILENCE_SECONDS_MIN, SILENCE_FRAMES * frame_s)

    def run(self) -> None:
        """Stream until something ends it; the device is told to stop, and the file says how it ended."""
        options = self._options
        self._request = self._link.stream_start(options.mode, options.packets or 0)
        self._begun = self._last_packet = time.monotonic()
        self._writer.begin_session(self.state.hello, options.port)
        try:
            while not self.state.ended:
                message = self._link.receive(POLL_SECONDS)
                if message is not None:
                    self._take(message)
                self._check_limits()
                self._show()
        except KitError:
            # The device may still listen when only our side failed; a full disk must not leave it streaming.
            self._tell_stop()
            raise
        if self.state.ended != "finished by the device":
            self._take(self._link.stream_stop(self._take))
        self.note_end(self.state.ended)

    def _take(self, message: Decoded) -> None:
        """Store a packet, or note what the device says about the stream."""
        if message.name == "STREAM_STATE":
            self.state.dropped_by_device = message.integer("dropped")
            finished = message.integer("state") == STREAM_STATES["finished"]
            if finished and message.integer("request") == self._request:
                self._end("finished by the device")
        elif message.name == "PACKET":
            self._store(message)
        elif message.name == "ERROR" and message.integer("request") == self._request:
            raise LinkError(f"{self._link.name}: the device failed while streaming", "reset it")

    def _store(self, message: Decoded) -> None:
        options, state = self._options, self.state
        if options.packets is not None and state.tracker.received >= options.packets:
            return
        body = message.data("body")
        try:
            state.hello.layout.unpack_packet(body)
        except ShapeError:
            # A right check value over impossible content: damage that a CRC of 16 bits lets through once in 65536.
            state.malformed += 1
            return
        self._last_packet = time.monotonic()
        number = state.tracker.push(message.integer("seq"))
        if number is not None:
            self._writer.packet(number, message.integer("time_ms"), body)
        if options.packets is not None and state.tracker.received >= options.packets:
            self._end("packet limit reached")

    def _check_limits(self) -> None:
        now, options = time.monotonic(), self._options
        if options.stop.is_set():
            self._end("stopped by the user")
        elif options.duration_s is not None and now - self._begun >= options.duration_s:
            self._end("time limit reached")
        elif now - self._last_packet >= self._silence_s:
            raise LinkTimeout(
                f"{self._link.name}: the device sent no packet for {self._silence_s:g} s", "reset the device"
            )

    def _end(self, why: str) -> None:
        if not self.state.ended:
            self.state.ended = why

    def _tell_stop(self) -> None:
        try:
            self._link.send("STREAM_STOP", request=0)
        except KitError:
            # The line is gone, which is what the caller is about to report.
            return

    def note_end(self, why: str) -> None:
        """Write the closing note; a file that cannot take it stays readable without."""
        self.refresh()
        state = self.state
        try:
            self._writer.end(
                why,
                packets=state.tracker.received,
                lost=state.tracker.lost,
                duplicates=state.tracker.duplicates,
                damaged=state.damaged + state.malformed,
                dropped_by_device=state.dropped_by_device,
            )
        except KitError:
            return

    def refresh(self) -> None:
        """Bring the figures of the state up to date."""
        state, counters = self.state, self._link.counters
        state.damaged = counters.damaged - self._damaged_before
        state.line_bytes = counters.line_bytes
        state.file_bytes = self._writer.bytes_written
        state.seconds = time.monotonic() - self._begun

    def _show(self) -> None:
        if self._update is not None and time.monotonic() - self._shown >= POLL_SECONDS:
            self._shown = time.monotonic()
            self.refresh()
            self._update(self.state)
