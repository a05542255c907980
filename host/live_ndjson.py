"""Decoded samples as newline-delimited JSON, for whatever reads a pipe."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any, TextIO

from kit.host.capture import CaptureState
from kit.host.capture_file import GapRecord
from kit.host.live_feed import LivePacket


class NdjsonOutput:
    """One object per line: ``start``, then ``samples`` per packet and ``gap``, at last ``end`` (docs/serial.md)."""

    needs_signal = True

    def __init__(self, stream: TextIO, gone: Callable[[], None]) -> None:
        """Args: where to write; ``gone`` is called when nobody reads any more."""
        self._stream = stream
        self._gone = gone
        self._open = True
        self._begun = 0.0
        self._packets = 0

    def begin(self, state: CaptureState) -> None:
        """See :class:`kit.host.live_feed.LiveOutput`."""
        header, hello = state.header, state.hello
        self._begun = datetime.datetime.fromisoformat(header.started).timestamp()
        self._line(
            event="start",
            started=header.started,
            target=hello.target,
            build_hash=header.build_hash,
            label=header.label,
            sample_rate_hz=hello.sample_rate_mhz / 1000,
            units="ADC codes" if header.layout.side_information else "frame scales",
        )

    def packet(self, packet: LivePacket) -> None:
        """See :class:`kit.host.live_feed.LiveOutput`."""
        assert packet.samples is not None
        self._packets += 1
        self._line(
            event="samples",
            session=packet.record.session,
            packet=packet.record.number,
            t=round(packet.start_s, 6),
            unix=round(self._begun + packet.start_s, 6),
            values=[round(value, 3) for value in packet.samples.tolist()],
        )

    def gap(self, gap: GapRecord) -> None:
        """See :class:`kit.host.live_feed.LiveOutput`."""
        self._line(
            event="gap", t=gap.time_us / 1e6, reason=gap.reason, seconds=round(gap.seconds, 3), packets=gap.packets
        )

    def end(self) -> None:
        """See :class:`kit.host.live_feed.LiveOutput`."""
        self._line(event="end", packets=self._packets)

    def _line(self, **values: Any) -> None:
        if not self._open:
            return
        try:
            self._stream.write(json.dumps(values) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._open = False
            self._gone()
