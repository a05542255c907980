"""What a frame costs: payload and wire bytes of real packet bodies, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.wire.packet import PacketLayout, line_bytes

Bodies = Sequence[bytes] | NDArray[np.uint8]
"""Bodies of frames: bytes of any length each, or uint8[n, length]."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameSizes:
    """Bytes of each frame.

    Attributes:
        payload: float64[n], indices only.
        wire: float64[n], everything: side information, message type, sequence number, time, CRC, COBS (worst case)
            and delimiter; where several frames share a packet, each carries its part.
    """

    payload: NDArray[np.float64]
    wire: NDArray[np.float64]


def packet_sizes(layout: PacketLayout, bodies: Bodies) -> FrameSizes:
    """Sizes of frames whose bodies (side information and indices) are given; they may differ in length."""
    lengths = np.array([len(body) for body in bodies], np.int64)
    return FrameSizes((lengths - layout.side_bytes).astype(np.float64), _wire(layout, lengths))


def coded_sizes(layout: PacketLayout, payload_bits: NDArray[Any]) -> FrameSizes:
    """Sizes of frames of another codec, sent in the same packets with the same side information."""
    whole = np.ceil(payload_bits / 8).astype(np.int64) + layout.side_bytes
    return FrameSizes(np.asarray(payload_bits, np.float64) / 8, _wire(layout, whole))


def lossless_sizes(layout: PacketLayout, payload_bits: NDArray[Any]) -> FrameSizes:
    """Sizes of frames of a lossless codec: the same packets, without side information."""
    whole = np.ceil(payload_bits / 8).astype(np.int64)
    return FrameSizes(np.asarray(payload_bits, np.float64) / 8, _wire(layout, whole))


def _wire(layout: PacketLayout, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each frame in its packet's line bytes; an incomplete last packet counts as it would be sent."""
    together = layout.frames_per_packet
    wire = np.zeros(len(lengths))
    for first in range(0, len(lengths), together):
        part = lengths[first : first + together]
        wire[first : first + together] = line_bytes("PACKET", int(part.sum())) / len(part)
    return wire
