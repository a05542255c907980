"""One stream of a capture: from STREAM_START to its end, or to whatever interrupts it."""

from __future__ import annotations

import time

from kit.errors import KitError, LinkError, LinkTimeout, ShapeError
from kit.host.capture_file import SessionRecord
from kit.host.capture_state import POLL_SECONDS, SILENCE_PACKETS, SILENCE_SECONDS_MIN, Interrupted, Recording
from kit.host.link import Link
from kit.wire.messages import Decoded
from kit.wire.registry import STREAM_STATES

QUIET_PACKETS = 1.5
QUIET_SECONDS_MIN = 2.0
"""After so long without a packet the device is asked whether it still streams: one behind a USB bridge can be reset
without the port noticing."""
ASK_SECONDS = 2.0
ASKS_MAX = 3
COUNTERS_SECONDS = 60.0
"""Between two COUNTERS records."""


class Stream:
    """Runs one stream into the file of a capture."""

    def __init__(self, capture: Recording, link: Link) -> None:
        self._capture = capture
        self._writer = capture.writer
        self._state = capture.state
        self._options = capture.options
        bundle = capture.state.bundle
        self._layout = capture.state.header.layout.with_model(None if bundle is None else bundle.coding)
        self._link = link
        self._request = -1
        # What the hello met is not part of the stream.
        self._damaged_base = self._state.damaged - link.counters.damaged
        self._line_base = self._state.line_bytes
        self._damaged_seen = link.counters.damaged + self._state.malformed
        self._received_base = self._state.tracker.received
        self._sent_by_device = 0
        self._dropped_base = self._state.dropped_by_device
        self._asked = 0
        self._asked_at = 0.0
        self._last_packet = self._counted_at = time.monotonic()
        seconds = self._state.hello.packet_seconds
        self._silence_s = self._options.silence_s or max(SILENCE_SECONDS_MIN, SILENCE_PACKETS * seconds)
        self._quiet_s = max(QUIET_SECONDS_MIN, QUIET_PACKETS * seconds)

    def run(self, reason: str, detail: str) -> None:
        """Stream until something ends the capture; the device is told to stop.

        Args:
            reason: why the stream before broke off; there may be none.
            detail: a sentence about it.

        Raises:
            Interrupted: the line is gone, the device fell silent or started anew.
            LinkError: the device refuses or fails.
            CaptureError: the file cannot be written.
        """
        try:
            self._start(reason, detail)
            while not self._state.ended:
                message = self._link.receive(POLL_SECONDS)
                if message is not None:
                    self._take(message)
                if not self._capture.check_limits():
                    self._watch()
                self._refresh()
                self._capture.show()
            if self._state.ended != "finished by the device":
                self._stop()
        except LinkError as error:
            self._tell_stop()
            if isinstance(error, _DeviceFailed):
                raise LinkError(error.what, error.fix) from None
            silent = "silent" if isinstance(error, LinkTimeout) else "unplugged"
            reason = error.reason if isinstance(error, _Broken) else silent
            plain = LinkTimeout if reason == "silent" else LinkError
            raise Interrupted(reason, plain(error.what, error.fix)) from None
        except KitError:
            # The device may still listen when only our side failed; a full disk must not leave it streaming.
            self._tell_stop()
            raise
        finally:
            self._refresh()

    def _start(self, reason: str, detail: str) -> None:
        options, state, writer = self._options, self._state, self._writer
        left = 0 if options.packets is None else max(1, options.packets - state.tracker.received)
        self._request = self._link.stream_start(options.mode, left)
        self._capture.started()
        state.tracker.restart()
        if writer.last_signal_us is not None:
            seconds = (writer.now_us() - writer.last_signal_us) / 1e6
            self._capture.stored(writer.gap(reason, seconds, detail=detail))
            state.gaps.append(seconds)
        session = writer.begin_session(state.hello, state.port)
        assert writer.last_signal_us is not None
        self._capture.stored(SessionRecord(writer.last_signal_us, session, {}))
        state.sessions += 1
        self._last_packet = self._counted_at = time.monotonic()

    def _take(self, message: Decoded) -> None:
        """Store a packet, or note what the device says about the stream."""
        if message.name == "STREAM_STATE":
            finished = message.integer("state") == STREAM_STATES["finished"]
            if finished and message.integer("request") == self._request:
                self._settle(message)
                self._end("finished by the device")
        elif message.name == "PACKET":
            self._store(message)
        elif message.name == "COUNTERS":
            self._take_counters(message)
        elif message.name == "ERROR" and message.integer("request") == self._request:
            raise _DeviceFailed(f"{self._link.name}: the device failed while streaming", "reset it")

    def _store(self, message: Decoded) -> None:
        options, state, tracker = self._options, self._state, self._state.tracker
        if options.packets is not None and tracker.received >= options.packets:
            return
        body = message.data("body")
        try:
            self._layout.check(body)
        except ShapeError:
            # A right check value over impossible content: damage that a CRC of 16 bits lets through once in 65536.
            state.malformed += 1
            return
        self._last_packet = time.monotonic()
        self._asked = 0
        expected = tracker.next_number
        number = tracker.push(message.integer("seq"))
        if number is not None:
            if number > expected:
                self._note_missing(number - expected)
            self._capture.stored(self._writer.packet(number, message.integer("time_ms"), body))
        if options.packets is not None and tracker.received >= options.packets:
            self._end("packet limit reached")

    def _settle(self, message: Decoded) -> None:
        """The device says how many packets the stream had: those missing at its end show in nothing else."""
        dropped = message.integer("dropped")
        self._state.dropped_by_device = self._dropped_base + dropped
        if self._options.packets is None or self._state.tracker.received < self._options.packets:
            missing = self._state.tracker.finish(message.integer("packets") + dropped)
            if missing:
                self._note_missing(missing)

    def _note_missing(self, packets: int) -> None:
        """Write a gap within the stream; bytes that came damaged since the last packet are its likely cause."""
        damaged = self._link.counters.damaged + self._state.malformed
        reason = "damaged" if damaged > self._damaged_seen else "lost"
        self._damaged_seen = damaged
        seconds = packets * self._state.hello.packet_seconds
        self._capture.stored(self._writer.gap(reason, seconds, packets))

    def _take_counters(self, message: Decoded) -> None:
        values = {name: value for name, value in message.values.items() if name != "request"}
        sent = message.integer("tx_packets")
        if sent < max(self._sent_by_device, self._state.tracker.received - self._received_base):
            raise _Broken("reset", f"{self._link.name}: the device was reset", "see its power supply and its watchdog")
        self._sent_by_device = sent
        self._asked = 0
        self._refresh()
        self._writer.counters(**self._state.counters(), device=values)

    def _watch(self) -> None:
        """Ask a device that is quiet whether it still streams; give up one that stays silent."""
        now = time.monotonic()
        quiet = now - self._last_packet
        if quiet >= self._silence_s:
            raise _Broken(
                "silent", f"{self._link.name}: the device sent no packet for {self._silence_s:g} s", "reset the device"
            )
        if now - self._asked_at < ASK_SECONDS:
            return
        if quiet >= self._quiet_s:
            if self._asked >= ASKS_MAX and self._options.reconnect:
                raise _Broken("silent", f"{self._link.name}: the device does not answer any more", "reset the device")
            self._ask_counters(now)
            self._asked += 1
        elif now - self._counted_at >= COUNTERS_SECONDS:
            self._ask_counters(now)

    def _ask_counters(self, now: float) -> None:
        self._asked_at = self._counted_at = now
        self._link.ask("COUNTERS_REQUEST")

    def _end(self, why: str) -> None:
        if not self._state.ended:
            self._state.ended = why

    def _stop(self) -> None:
        """End the stream on the device; one that is gone by then changes nothing about why the capture ended."""
        try:
            self._settle(self._link.stream_stop(self._take))
        except LinkError as error:
            self._writer.note(event="not stopped", what=error.what)

    def _tell_stop(self) -> None:
        try:
            self._link.send("STREAM_STOP", request=0)
        except KitError:
            # The line is gone, which is what the caller is about to report.
            return

    def _refresh(self) -> None:
        state, counters = self._state, self._link.counters
        state.damaged = self._damaged_base + counters.damaged
        state.line_bytes = self._line_base + counters.line_bytes


class _Broken(LinkError):
    """The stream is over, but the line may not be; ``reason`` is that of a GAP record."""

    def __init__(self, reason: str, what: str, fix: str) -> None:
        self.reason = reason
        super().__init__(what, fix)


class _DeviceFailed(LinkError):
    """The device said so itself; another attempt would meet the same."""
