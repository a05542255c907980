"""Captures in memory, for tests: their packets, and what the decoder makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.host.capture_file import CaptureHeader, CaptureReader, PacketRecord
from kit.host.decode import decode_capture


@dataclass(frozen=True)
class StoredPackets:
    """Packets of a capture; ``numbers`` and the rest have one entry a frame."""

    header: CaptureHeader
    numbers: NDArray[np.int64]
    device_time_ms: NDArray[np.uint16]
    bodies: NDArray[np.uint8]
    left_out_bytes: int


def read_packets(path: Path) -> StoredPackets:
    """Every frame of a capture of one session."""
    numbers, times, bodies = [], [], []
    with CaptureReader(path) as reader:
        for record in reader:
            if isinstance(record, PacketRecord):
                for position, frame in enumerate(reader.header.frames(record.body)):
                    numbers.append(record.number * reader.header.layout.frames_per_packet + position)
                    times.append(record.device_time_ms)
                    bodies.append(np.frombuffer(frame, np.uint8))
        return StoredPackets(
            reader.header,
            np.array(numbers, np.int64),
            np.array(times, np.uint16),
            np.array(bodies, np.uint8).reshape(-1, reader.header.layout.frame_bytes),
            reader.left_out_bytes,
        )


def decode(path: Path, server: Path, conceal: bool = False) -> dict[str, NDArray[Any]]:
    """The arrays of a capture decoded to .npz."""
    out = path.with_suffix(".decoded.npz")
    decode_capture(path, server, out, conceal=conceal)
    with np.load(out) as arrays:
        return dict(arrays)
