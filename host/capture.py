"""Captures what a device streams: crash-safe, through unplugging and resets, every missing packet accounted for."""

from __future__ import annotations

import datetime
import math
import time
from pathlib import Path

from kit.errors import CaptureError, KitError, LinkError
from kit.host.builds import find_build
from kit.host.capture_file import SUFFIX, CaptureHeader, CaptureWriter, Record
from kit.host.capture_state import POLL_SECONDS, CaptureOptions, CaptureState, Interrupted, Observer, Update
from kit.host.capture_stream import Stream
from kit.host.connect import RECONNECT_ATTEMPTS, PortIdentity, connect
from kit.host.link import OtherProtocolError, Trace
from kit.server.bundle import Bundle
from kit.wire.messages import Hello

__all__ = ["CaptureOptions", "CaptureState", "Observer", "Update", "capture", "default_path"]

RETURN_POLL_SECONDS = 0.25
"""Between two looks for a port that vanished."""


def default_path(target: str, started: datetime.datetime) -> Path:
    """A file name that does not exist yet: ``captures/TARGET-DATE-TIME.kitcap``."""
    stem = f"{target or 'device'}-{started:%Y%m%d-%H%M%S}"
    path = Path("captures") / f"{stem}{SUFFIX}"
    number = 2
    while path.exists():
        path = path.with_name(f"{stem}-{number}{SUFFIX}")
        number += 1
    return path


def capture(
    options: CaptureOptions, update: Update | None = None, trace: Trace | None = None, observer: Observer | None = None
) -> CaptureState:
    """Capture until a limit, the end of the stream, or ``options.stop``.

    Args:
        options: what and how long.
        update: called at least five times a second while the device streams or is awaited.
        trace: called with a line of text per message.
        observer: sees every stored packet.

    Returns:
        the final state; its ``ended`` says why it ended.

    Raises:
        LinkError: port missing or busy, a build that is not known, or, without ``reconnect``, a device that is
            unplugged or falls silent. When packets were stored before, the message names the file.
        CaptureError: the file cannot be written; everything before is safe.
        ArtifactError: the build's bundle is damaged.
    """
    return _Capture(options, update, trace, observer).run()


class _Capture:
    """One file, filled by one stream after another."""

    def __init__(
        self, options: CaptureOptions, update: Update | None, trace: Trace | None, observer: Observer | None
    ) -> None:
        self.options = options
        self._update = update
        self._trace = trace
        self._observer = observer
        self._begun: float | None = None
        self._shown = 0.0

    def run(self) -> CaptureState:
        options = self.options
        self._link = connect(options.port, options.baud, self._trace, options.stop.is_set)
        try:
            self._identity = PortIdentity.of(options.port)
            self.state = self._identify(self._link.device)
            with self._open_file() as self.writer:
                try:
                    self._stream()
                    self._end_record(self.state.ended)
                except LinkError as error:
                    self._end_record(error.what)
                    raise self._with_file(error) from None
                finally:
                    self.state.file_bytes = self.writer.bytes_written
        finally:
            self._link.close()
        return self.state

    def _identify(self, hello: Hello) -> CaptureState:
        """The device's build with its configuration and decoder, as far as they are known."""
        options, build, bundle, config = self.options, None, None, ""
        try:
            build = find_build(hello.build_hash, options.run, options.server)
        except LinkError:
            if not options.any_build:
                raise
        if build is not None and build.server is not None:
            bundle = Bundle.load(build.server, hello.build_hash)
            config = (build.server / "config.yaml").read_text(encoding="utf-8")
        started = datetime.datetime.now().astimezone()
        header = CaptureHeader(
            hello=hello,
            layout=hello.layout,
            started=started.isoformat(timespec="milliseconds"),
            port=options.port,
            mode=options.mode,
            config=config,
            label=bundle.label if bundle else "",
            decoder=str(build.server) if build and build.server else "",
        )
        path = options.out or default_path(hello.target, started)
        return CaptureState(path, options.port, hello, build, bundle, header)

    def _open_file(self) -> CaptureWriter:
        """The file to write; a new one only when the observer has a use for this device."""
        if not self.options.append:
            self._begin()
            return CaptureWriter(self.state.path, self.state.header)
        writer = CaptureWriter.append(self.state.path, self.state.hello)
        try:
            # Times in the file count from its own start.
            self.state.header = writer.header
            self._begin()
        except BaseException:
            writer.close()
            raise
        return writer

    def _begin(self) -> None:
        if self._observer is not None:
            self._observer.begin(self.state)

    def _stream(self) -> None:
        """One stream after another until something ends the capture."""
        reason, detail = "stopped", ""
        while not self.state.ended:
            try:
                Stream(self, self._link).run(reason, detail)
            except Interrupted as interrupted:
                if not self.options.reconnect or self._begun is None:
                    raise interrupted.error from None
                reason, detail = interrupted.reason, interrupted.error.what
                self.writer.note(event="interrupted", reason=reason, what=detail)
                self._reconnect(reason)

    def _reconnect(self, reason: str) -> None:
        """Wait until the device answers again, or the capture ends.

        Raises:
            LinkError: another build or another protocol answers.
        """
        self._link.close()
        self.options.stop.wait(RETURN_POLL_SECONDS)
        while not self.check_limits():
            port = self._identity.find()
            self.state.waiting = f"{reason}; waiting for {self._identity.given}"
            if port is not None:
                try:
                    self._greet(port)
                    return
                except _OtherBuildError as error:
                    raise LinkError(error.what, error.fix) from None
                except OtherProtocolError:
                    raise
                except LinkError as error:
                    # Being set up by the system, probed by another program, booting: all of that passes.
                    self.state.waiting = f"{reason}; {error.what}"
            self.show()
            self.options.stop.wait(RETURN_POLL_SECONDS)

    def _greet(self, port: str) -> None:
        self._link = connect(port, self.options.baud, self._trace, self.check_limits, RECONNECT_ATTEMPTS)
        hello = self._link.device
        if hello.build_hash != self.state.hello.build_hash:
            raise _OtherBuildError(
                f"{port}: the device that returned runs build {hello.build_hash}, this capture is of build "
                f"{self.state.hello.build_hash}",
                "start another capture for it",
            )
        self.state.hello, self.state.port, self.state.waiting = hello, port, ""

    def started(self) -> None:
        """A stream has begun."""
        if self._begun is None:
            self._begun = time.monotonic()

    def stored(self, record: Record) -> None:
        """Something was written that observers want to see."""
        if self._observer is not None:
            self._observer.record(record)

    def check_limits(self) -> bool:
        """Whether the user or a limit ends the capture now."""
        options, state = self.options, self.state
        if not state.ended:
            if options.stop.is_set():
                state.ended = "stopped by the user"
            elif options.duration_s is not None and time.monotonic() - (self._begun or math.inf) >= options.duration_s:
                state.ended = "time limit reached"
        return bool(state.ended)

    def show(self) -> None:
        """Tell the caller how things stand, at most five times a second."""
        if time.monotonic() - self._shown >= POLL_SECONDS:
            self._shown = time.monotonic()
            self.refresh()
            if self._update is not None:
                self._update(self.state)

    def refresh(self) -> None:
        """Bring the figures of the state up to date."""
        self.state.file_bytes = self.writer.bytes_written
        if self._begun is not None:
            self.state.seconds = time.monotonic() - self._begun

    def _end_record(self, why: str) -> None:
        """Write the closing record; a file that cannot take it stays readable without."""
        self.refresh()
        self.state.waiting = ""
        try:
            self.writer.end(why, **self.state.counters())
        except CaptureError:
            return

    def _with_file(self, error: LinkError) -> LinkError:
        stored = f"; {self.writer.packets} packets are safe in {self.state.path}" if self.writer.packets else ""
        return type(error)(f"{error.what}{stored}", error.fix)


class _OtherBuildError(KitError):
    """The port returned with another build on it."""
