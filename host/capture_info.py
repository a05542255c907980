"""What a capture file holds, without decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kit.errors import CaptureError
from kit.host.capture_file import CaptureHeader, CaptureReader, NoteRecord
from kit.host.sequence import SequenceTracker


@dataclass(frozen=True, slots=True)
class CaptureInfo:
    """Facts of a capture file.

    Attributes:
        path: the file.
        file_bytes: its size.
        header: what was captured.
        config_name: ``name`` of the build's configuration, empty where the build was not known.
        packets: stored, without duplicates.
        lost: missing between the stream's beginning and the last packet.
        duplicates: stored more than once.
        duration_s: from the beginning of the capture to its last whole record, by the host's clock.
        signal_s: length of the signal in the stored packets, by the device's sample clock.
        left_out_bytes: behind the last whole record: cut off or damaged.
        notes: what the capture wrote about itself, in order.
    """

    path: Path
    file_bytes: int
    header: CaptureHeader
    config_name: str
    packets: int
    lost: int
    duplicates: int
    duration_s: float
    signal_s: float
    left_out_bytes: int
    notes: tuple[dict[str, Any], ...]

    @property
    def ended(self) -> str:
        """Why the capture ended, empty where it was killed or still runs."""
        reasons = [str(note.get("why", "")) for note in self.notes if note.get("event") == "end"]
        return reasons[-1] if reasons else ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; empty texts of facts that are not known become None."""
        header, hello = self.header, self.header.hello
        return {
            "file": str(self.path),
            "file_bytes": self.file_bytes,
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
            "side_information": header.layout.side_information,
            "packets": self.packets,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "duration_s": self.duration_s,
            "signal_s": self.signal_s,
            "left_out_bytes": self.left_out_bytes,
            "ended": self.ended or None,
            "notes": list(self.notes),
        }


def _config_name(text: str) -> str:
    """``name`` of a configuration, which may be one of another kit version."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return ""
    name = values.get("name") if isinstance(values, dict) else None
    return name if isinstance(name, str) else ""


def inspect_capture(path: Path) -> CaptureInfo:
    """Read a capture file through once, whatever its size, and sum it up.

    Raises:
        CaptureError: missing, not a capture, of another version, without a whole header, or unreadable.
    """
    tracker = SequenceTracker()
    notes: list[dict[str, Any]] = []
    last_us = 0
    with CaptureReader(path) as reader:
        header = reader.header
        try:
            for record in reader:
                last_us = max(last_us, record.time_us)
                if isinstance(record, NoteRecord):
                    notes.append(record.values)
                else:
                    tracker.push(record.seq)
            file_bytes = path.stat().st_size
        except OSError as error:
            raise CaptureError(f"cannot read {path} to its end: {error.strerror}", "check the disk") from None
        return CaptureInfo(
            path=path,
            file_bytes=file_bytes,
            header=header,
            config_name=_config_name(header.config),
            packets=tracker.received,
            lost=tracker.lost,
            duplicates=tracker.duplicates,
            duration_s=last_us / 1e6,
            signal_s=tracker.received * header.hello.frame_seconds if tracker.received else 0.0,
            left_out_bytes=reader.left_out_bytes,
            notes=tuple(notes),
        )
