"""Bodies of frames and packets (firmware/NUMERICS.md section 5).

A frame's body is mean and scale code, if configured, and then the packed indices; a packet's body is the bodies of
``frames_per_packet`` frames, oldest first. Everything here that says ``frame`` or nothing is about one frame's body.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.errors import ShapeError
from kit.wire.bits import pack_indices, packed_bytes, unpack_indices
from kit.wire.registry import BY_NAME, COBS_BLOCK

DELIMITER_BYTES = 1
FRAMES_PER_PACKET_MAX = 16


def cobs_bytes_max(count: int) -> int:
    """Longest COBS coding of ``count`` bytes, delimiter excluded."""
    return count + max(1, -(-count // COBS_BLOCK))


def line_bytes(name: str, tail_bytes: int = 0) -> int:
    """Bytes that a message occupies on the line: type, fields, tail, CRC, COBS (worst case) and delimiter."""
    message = BY_NAME[name]
    return cobs_bytes_max(message.fixed_bytes + tail_bytes + message.crc_bytes) + DELIMITER_BYTES


@dataclass(frozen=True, slots=True)
class Packets:
    """Unpacked bodies of n frames; mean and scale code are None where the layout sends no side information."""

    indices: NDArray[np.uint16]
    """uint16[n, P, M]."""
    mean: NDArray[np.int32] | None
    """int32[n], ADC codes."""
    scale_code: NDArray[np.uint8] | None
    """uint8[n]; 0 marks a flat frame."""


@dataclass(frozen=True, slots=True)
class PacketLayout:
    """Where everything stands in a packet body; all sizes follow from these fields.

    Raises:
        ShapeError: a field outside what the protocol can carry.
    """

    frame_samples: int
    sample_bits: int
    latent_positions: int
    num_levels: int
    index_bits: int
    side_information: bool
    frames_per_packet: int = 1

    def __post_init__(self) -> None:
        bounds = {
            "frame_samples": (1, 0xFFFF),
            "sample_bits": (8, 24),
            "latent_positions": (1, 0xFFFF),
            "num_levels": (1, 0xFF),
            "index_bits": (1, 10),
            "frames_per_packet": (1, FRAMES_PER_PACKET_MAX),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ShapeError(f"packet layout: {name} = {value!r} is outside {low}..{high}")
        if not isinstance(self.side_information, bool):
            raise ShapeError(f"packet layout: side_information = {self.side_information!r} is neither true nor false")
        if self.body_bytes > 0xFFFF:
            raise ShapeError(f"packet layout: a body of {self.body_bytes} bytes exceeds 65535")

    @classmethod
    def from_config(cls, config: Config) -> PacketLayout:
        """Layout of a build."""
        return cls(
            frame_samples=config.signal.frame_samples,
            sample_bits=config.signal.sample_bits,
            latent_positions=config.latent_positions,
            num_levels=config.model.num_levels,
            index_bits=config.model.index_bits,
            side_information=config.packet.side_information,
            frames_per_packet=config.packet.frames_per_packet,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PacketLayout:
        """Inverse of :meth:`to_dict`.

        Raises:
            ShapeError: a key is missing, unknown or out of range.
        """
        try:
            return cls(**values)
        except TypeError:
            raise ShapeError(f"packet layout has keys {sorted(values)}, want {sorted(cls.__slots__)}") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @property
    def sample_bytes(self) -> int:
        """Bytes of one raw sample in ENCODE_FRAME: 2 or 4."""
        return 2 if self.sample_bits <= 16 else 4

    @property
    def mean_bytes(self) -> int:
        """Bytes of the mean: 2 (int16), 3 (int24, more than 16 sample bits) or 0 without side information."""
        if not self.side_information:
            return 0
        return 2 if self.sample_bits <= 16 else 3

    @property
    def side_bytes(self) -> int:
        """Bytes of mean and scale code."""
        return self.mean_bytes + 1 if self.side_information else 0

    @property
    def index_count(self) -> int:
        """Indices of a frame: P * M."""
        return self.latent_positions * self.num_levels

    @property
    def index_bytes(self) -> int:
        """Bytes of the packed indices."""
        return packed_bytes(self.index_count, self.index_bits)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame's body."""
        return self.side_bytes + self.index_bytes

    @property
    def body_bytes(self) -> int:
        """Bytes of a packet's body: all its frames."""
        return self.frames_per_packet * self.frame_bytes

    @property
    def payload_bits(self) -> int:
        """Bits of the indices alone: P * M * B."""
        return self.index_count * self.index_bits

    @property
    def raw_bits(self) -> int:
        """Bits of the frame before compression: T * sample_bits."""
        return self.frame_samples * self.sample_bits

    @property
    def wire_bytes(self) -> int:
        """Bytes on the line per PACKET: type, header, body, CRC, COBS (worst case) and delimiter."""
        return line_bytes("PACKET", self.body_bytes)

    @property
    def payload_ratio(self) -> float:
        """Compression by index bits alone."""
        return self.raw_bits / self.payload_bits

    @property
    def wire_bytes_per_frame(self) -> float:
        """Share of a frame in :attr:`wire_bytes`."""
        return self.wire_bytes / self.frames_per_packet

    @property
    def wire_ratio(self) -> float:
        """Compression by everything that is sent."""
        return self.raw_bits / (8 * self.wire_bytes_per_frame)

    def pack(self, indices: NDArray[np.uint16], mean: int = 0, scale_code: int = 0) -> bytes:
        """One frame's body.

        Args:
            indices: uint16[P, M], each below 2**index_bits.
            mean: ADC codes, int16 or int24; not sent without side information.
            scale_code: 0..255; not sent without side information.

        Raises:
            ShapeError: wrong shape, or a value that does not fit.
        """
        bodies = self.pack_batch(np.asarray(indices)[None], np.array([mean]), np.array([scale_code]))
        return bytes(bodies[0].tobytes())

    def pack_batch(
        self, indices: NDArray[np.uint16], mean: NDArray[Any] | None = None, scale_code: NDArray[Any] | None = None
    ) -> NDArray[np.uint8]:
        """Bodies of n frames: indices uint16[n, P, M], mean and scale_code integer[n] -> uint8[n, frame_bytes].

        Raises:
            ShapeError: wrong shape, or a value that does not fit.
        """
        values = np.asarray(indices)
        want = (self.latent_positions, self.num_levels)
        if values.ndim != 3 or values.shape[1:] != want:
            raise ShapeError(f"indices have shape {list(values.shape)}, want [n, {want[0]}, {want[1]}]")
        packed = pack_indices(values.reshape(len(values), self.index_count), self.index_bits)
        if not self.side_information:
            return packed
        half = 1 << (8 * self.mean_bytes - 1)
        means = self._side("mean", mean, len(values), -half, half - 1)
        scales = self._side("scale_code", scale_code, len(values), 0, 255).astype(np.uint8)
        mean_columns = means.astype("<i4").view(np.uint8).reshape(-1, 4)[:, : self.mean_bytes]
        return np.concatenate([mean_columns, scales[:, None], packed], axis=1)

    @staticmethod
    def _side(name: str, values: NDArray[Any] | None, count: int, low: int, high: int) -> NDArray[np.int64]:
        if values is None:
            raise ShapeError(f"the layout sends side information, but {name} is missing")
        array = np.asarray(values)
        if array.shape != (count,) or array.dtype.kind not in "ui":
            raise ShapeError(f"{name} is {array.dtype}{list(array.shape)}, want integers [{count}]")
        if count and (int(array.min()) < low or int(array.max()) > high):
            raise ShapeError(f"{name} is outside {low}..{high}")
        return array.astype(np.int64)

    def unpack(self, body: bytes) -> Packets:
        """One frame's body, as a batch of one.

        Raises:
            ShapeError: wrong length, or padding bits that are not 0.
        """
        return self.unpack_batch(np.frombuffer(body, np.uint8)[None])

    def frames(self, body: bytes) -> NDArray[np.uint8]:
        """The frame bodies in a packet's body: uint8[frames_per_packet, frame_bytes], oldest first.

        Raises:
            ShapeError: wrong length.
        """
        if len(body) != self.body_bytes:
            raise ShapeError(f"packet body has {len(body)} bytes, want {self.body_bytes}")
        return np.frombuffer(body, np.uint8).reshape(self.frames_per_packet, self.frame_bytes)

    def unpack_packet(self, body: bytes) -> Packets:
        """The frames of one packet's body, as a batch of ``frames_per_packet``.

        Raises:
            ShapeError: wrong length, or padding bits that are not 0.
        """
        return self.unpack_batch(self.frames(body))

    def unpack_batch(self, bodies: NDArray[np.uint8]) -> Packets:
        """Inverse of :meth:`pack_batch`: uint8[n, frame_bytes] -> :class:`Packets`.

        Raises:
            ShapeError: wrong shape, or padding bits that are not 0.
        """
        data = np.asarray(bodies)
        if data.ndim != 2 or data.dtype != np.uint8 or data.shape[1] != self.frame_bytes:
            got = data.shape[-1] if data.ndim else 0
            raise ShapeError(f"frame body has {got} bytes, want {self.frame_bytes}")
        flat = unpack_indices(np.ascontiguousarray(data[:, self.side_bytes :]), self.index_count, self.index_bits)
        indices = flat.reshape(len(data), self.latent_positions, self.num_levels)
        if not self.side_information:
            return Packets(indices, None, None)
        mean = np.zeros(len(data), np.int32)
        for at in range(self.mean_bytes):
            mean |= data[:, at].astype(np.int32) << (8 * at)
        sign = np.int32(1 << (8 * self.mean_bytes - 1))
        return Packets(indices, (mean ^ sign) - sign, data[:, self.mean_bytes].copy())
