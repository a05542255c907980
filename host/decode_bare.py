"""Files of bare packets, one behind the other, as a source: what a BLE central or a radio gateway may have stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kit.errors import CaptureError, ShapeError
from kit.host.decode_source import DeviceClock, Event, Frame, Missing, Session, SourceFacts, SourceNotes
from kit.host.sequence import SequenceTracker
from kit.server.bundle import Bundle
from kit.wire.bare import HEADER_BYTES, bare_bytes, read_bare


class BareSource:
    """One stream of bare packets. Nothing in the file says which build sent them: the bundle decides."""

    def __init__(self, path: Path, bundle: Bundle) -> None:
        """Check that ``path`` can be read and holds whole packets.

        Raises:
            CaptureError: it cannot, or does not.
        """
        self.path = path
        layout = bundle.layout
        self._facts = SourceFacts(layout, float(bundle.config.signal.sample_rate_hz), bundle.build_hash)
        try:
            length = path.stat().st_size
        except OSError as error:
            raise CaptureError(f"cannot read {path}: {error.strerror}", "give a file of bare packets") from None
        if not layout.variable and length % bare_bytes(layout):
            raise CaptureError(
                f"{path}: {length} bytes are no whole number of bare packets of {bare_bytes(layout)} bytes",
                "give the bundle of the build that sent them, or cut off what stands behind the last whole packet",
            )

    @property
    def facts(self) -> SourceFacts:
        """See :class:`~kit.host.decode_source.Source`."""
        return self._facts

    def events(self, notes: SourceNotes) -> Iterator[Event]:
        """See :class:`~kit.host.decode_source.Source`."""
        layout, rate = self._facts.layout, self._facts.sample_rate_hz
        frame_s = layout.frame_samples / rate
        per_packet = layout.frames_per_packet
        clock = DeviceClock(realtime=True, packet_seconds=per_packet * frame_s)
        tracker = SequenceTracker()
        yield Session(0)
        clock.begin()
        for data in self._packets():
            before = tracker.next_number
            number = tracker.push(int.from_bytes(data[:2], "little"))
            if number is None:
                notes.duplicates = tracker.duplicates
                continue
            if number > before:
                yield Missing((number - before) * per_packet, "lost")
            end = (number + 1) * per_packet * layout.frame_samples
            last_s = clock.push(number, 0, int.from_bytes(data[2:4], "little"), (end - 1) / rate)
            for position, body in enumerate(layout.split(data[HEADER_BYTES:]), 1):
                yield Frame(body, float("nan"), last_s - (per_packet - position) * frame_s)

    def _packets(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as stream:
                yield from read_bare(stream, self._facts.layout)
        except ShapeError as error:
            raise CaptureError(
                f"{self.path}: {error.what}",
                "give the bundle of the build that sent them, or cut off what stands behind the last whole packet",
            ) from None
        except OSError as error:
            raise CaptureError(f"cannot read {self.path} to its end: {error.strerror}", "check the disk") from None
