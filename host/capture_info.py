"""What a capture file holds, without decoding it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kit.host.capture_file import (
    WITHIN_SESSION,
    CaptureHeader,
    CaptureReader,
    CountersRecord,
    EndRecord,
    GapRecord,
    NoteRecord,
    PacketRecord,
    Record,
    SessionRecord,
)


@dataclass(frozen=True, slots=True)
class CaptureInfo:
    """Facts of a capture file.

    Attributes:
        path: the file.
        file_bytes: its size.
        header: what was captured.
        config_name: ``name`` of the build's configuration, empty where the build was not known.
        format: version of the file.
        packets: stored, without duplicates.
        lost: missing from each stream's beginning to its end, as far as the device could still tell that.
        duplicates: stored more than once.
        sessions: streams: 1, and one more for every interruption.
        gaps: interruptions between streams, in order.
        duration_s: from the beginning of the capture to its last whole record, by the host's clock.
        signal_s: length of the signal in the stored packets, by the device's sample clock.
        left_out_bytes: torn or damaged.
        torn_bytes: of these behind the last whole record.
        damaged_places: where in the middle records are damaged.
        ended: why the capture ended, empty where it was killed or still runs.
        counters: what the capture counted last.
        notes: what the capture wrote about itself, in order.
    """

    path: Path
    file_bytes: int
    header: CaptureHeader
    format: int
    config_name: str
    packets: int
    lost: int
    duplicates: int
    sessions: int
    gaps: tuple[GapRecord, ...]
    duration_s: float
    signal_s: float
    left_out_bytes: int
    torn_bytes: int
    damaged_places: int
    ended: str
    counters: dict[str, Any]
    notes: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; empty texts of facts that are not known become None."""
        header, hello = self.header, self.header.hello
        return {
            "file": str(self.path),
            "file_bytes": self.file_bytes,
            "format": self.format,
            "started": header.started,
            "port": header.port,
            "mode": header.mode,
            "target": hello.target,
            "engine": hello.engine,
            "protocol": hello.protocol,
            "build_hash": header.build_hash,
            "config": self.config_name or None,
            "label": header.label or None,
            "sample_rate_hz": hello.sample_rate_mhz / 1000,
            "frame_samples": hello.frame_samples,
            "packet_bytes": hello.packet_bytes,
            "frames_per_packet": header.layout.frames_per_packet,
            "side_information": header.layout.side_information,
            "packets": self.packets,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "sessions": self.sessions,
            "gaps": [
                {"time_s": gap.time_us / 1e6, "reason": gap.reason, "seconds": gap.seconds, "packets": gap.packets}
                for gap in self.gaps
            ],
            "duration_s": self.duration_s,
            "signal_s": self.signal_s,
            "left_out_bytes": self.left_out_bytes,
            "torn_bytes": self.torn_bytes,
            "damaged_places": self.damaged_places,
            "ended": self.ended or None,
            "counters": self.counters or None,
            "notes": list(self.notes),
        }


def _config_name(text: str) -> str:
    """``name`` of a configuration, which may be one of another kit version."""
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError):
        return ""
    name = values.get("name") if isinstance(values, dict) else None
    return name if isinstance(name, str) else ""


@dataclass(slots=True)
class _Sums:
    """Summed up over the records of a file; notes and gaps are few."""

    packets: int = 0
    lost: int = 0
    sessions: int = 0
    last_us: int = 0
    ended: str = ""
    next_number: int = 0
    counters: dict[str, Any] = field(default_factory=dict)
    notes: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[GapRecord] = field(default_factory=list)

    missing: int = 0
    """Packets of a gap whose next packet has not come: at the end of a stream there is none to show it."""

    def add(self, record: Record) -> None:
        self.last_us = max(self.last_us, record.time_us)
        if isinstance(record, PacketRecord):
            self.missing = 0
            self.packets += 1
            self.lost += record.number - self.next_number
            self.next_number = record.number + 1
        elif isinstance(record, SessionRecord):
            self.sessions += 1
            self.settle()
            self.next_number = 0
            self.ended = ""
        elif isinstance(record, GapRecord):
            if record.reason in WITHIN_SESSION:
                self.missing = record.packets or 0
            else:
                self.gaps.append(record)
        elif isinstance(record, NoteRecord):
            self.notes.append(record.values)
        elif isinstance(record, EndRecord):
            self.ended = str(record.values.get("why", ""))
            self.counters = {key: value for key, value in record.values.items() if key != "why"}
        elif isinstance(record, CountersRecord):
            self.counters = record.values

    def settle(self) -> None:
        """A stream is over."""
        self.lost += self.missing
        self.missing = 0


def inspect_capture(path: Path) -> CaptureInfo:
    """Read a capture file through once, whatever its size, and sum it up.

    Raises:
        CaptureError: missing, not a capture, of another version, without a whole header, or unreadable.
    """
    sums = _Sums()
    with CaptureReader(path) as reader:
        for record in reader:
            sums.add(record)
        sums.settle()
        header = reader.header
        return CaptureInfo(
            path=path,
            file_bytes=reader.whole_bytes + reader.torn_bytes,
            header=header,
            format=reader.version,
            config_name=_config_name(header.config),
            packets=sums.packets,
            lost=sums.lost,
            duplicates=reader.duplicates,
            sessions=sums.sessions,
            gaps=tuple(sums.gaps),
            duration_s=sums.last_us / 1e6,
            signal_s=sums.packets * header.hello.packet_seconds if sums.packets else 0.0,
            left_out_bytes=reader.left_out_bytes,
            torn_bytes=reader.torn_bytes,
            damaged_places=reader.damaged_places,
            ended=sums.ended,
            counters=sums.counters,
            notes=tuple(sums.notes),
        )
