"""Bodies of frames and packets (firmware/NUMERICS.md section 5).

A frame's body is mean and scale code, if configured, and then the packed indices; a packet's body is the bodies of
``frames_per_packet`` frames, oldest first. Everything here that says ``frame`` or nothing is about one frame's body.

With range-coded indices (section 7) bodies have lengths of their own, up to those of fixed width. Arrays then hold a
frame as a *row*: its length, the body, and zeros up to the longest. With fixed width a row is a body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.config import INDEX_BITS_MAX, Config
from kit.errors import ShapeError
from kit.wire.bits import pack_indices, packed_bytes, unpack_indices
from kit.wire.coding import CodingModel
from kit.wire.range_coder import check_indices, decode, encode
from kit.wire.registry import BY_NAME, COBS_BLOCK

DELIMITER_BYTES = 1
FRAMES_PER_PACKET_MAX = 16
ROW_LENGTH_BYTES = 2
"""Length in front of a row of variable length."""

Coding = Literal["fixed", "range"]


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
class MeanSizes:
    """What a frame comes to in the mean over some frames, in bytes: its indices, its body, its share of the wire."""

    index_bytes: float
    body_bytes: float
    wire_bytes: float


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
    coding: Coding = "fixed"
    model: CodingModel | None = field(default=None, compare=False, repr=False)
    """What range-coded indices were coded with; no part of the layout, but nothing can be packed or read without."""

    def __post_init__(self) -> None:
        bounds = {
            "frame_samples": (1, 0xFFFF),
            "sample_bits": (8, 24),
            "latent_positions": (1, 0xFFFF),
            "num_levels": (1, 0xFF),
            "index_bits": (1, INDEX_BITS_MAX),
            "frames_per_packet": (1, FRAMES_PER_PACKET_MAX),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ShapeError(f"packet layout: {name} = {value!r} is outside {low}..{high}")
        if not isinstance(self.side_information, bool):
            raise ShapeError(f"packet layout: side_information = {self.side_information!r} is neither true nor false")
        if self.coding not in ("fixed", "range"):
            raise ShapeError(f"packet layout: coding = {self.coding!r} is neither fixed nor range")
        if self.model is not None and (self.index_bits, self.num_levels) != (
            self.model.index_bits, len(self.model.levels)
        ):  # fmt: skip
            raise ShapeError("packet layout: the coding model is of other levels or index bits")
        if self.body_bytes > 0xFFFF:
            raise ShapeError(f"packet layout: a body of {self.body_bytes} bytes exceeds 65535")

    @classmethod
    def from_config(cls, config: Config, model: CodingModel | None = None) -> PacketLayout:
        """Layout of a build; with its coding model, packets can be packed and read where they are range-coded."""
        return cls(
            frame_samples=config.signal.frame_samples,
            sample_bits=config.signal.sample_bits,
            latent_positions=config.latent_positions,
            num_levels=config.model.num_levels,
            index_bits=config.model.index_bits,
            side_information=config.packet.side_information,
            frames_per_packet=config.packet.frames_per_packet,
            coding=config.packet.coding,
            model=model if config.packet.coding == "range" else None,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PacketLayout:
        """Inverse of :meth:`to_dict`.

        Raises:
            ShapeError: a key is missing, unknown or out of range.
        """
        try:
            if "model" in values:
                raise TypeError
            return cls(**values)
        except TypeError:
            raise ShapeError(f"packet layout has keys {sorted(values)}, want {sorted(cls.__slots__)}") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, without the coding model; ``coding`` only where it is not fixed."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "model"}
        if self.coding == "fixed":
            del values["coding"]
        return values

    def with_model(self, model: CodingModel | None) -> PacketLayout:
        """The same layout, with what it needs to pack and read range-coded indices."""
        return self if self.coding == "fixed" else replace(self, model=model)

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
    def variable(self) -> bool:
        """Bodies have lengths of their own."""
        return self.coding == "range"

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame's body, the most of them with range coding."""
        return self.side_bytes + self.index_bytes

    @property
    def frame_bytes_min(self) -> int:
        """The fewest bytes of one frame's body."""
        return self.side_bytes if self.variable else self.frame_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of a frame in arrays: its body, with range coding behind its length and with zeros behind it."""
        return self.frame_bytes + ROW_LENGTH_BYTES if self.variable else self.frame_bytes

    @property
    def length_bytes(self) -> int:
        """Bytes of the length in front of every frame of a packet but the last: 0 with fixed width."""
        if not self.variable or self.frames_per_packet == 1:
            return 0
        return 1 if self.frame_bytes <= 0xFF else 2

    @property
    def body_bytes(self) -> int:
        """Bytes of a packet's body: all its frames; the most of them with range coding."""
        return self.frames_per_packet * self.frame_bytes + (self.frames_per_packet - 1) * self.length_bytes

    @property
    def body_bytes_min(self) -> int:
        """The fewest bytes of a packet's body."""
        return self.frames_per_packet * self.frame_bytes_min + (self.frames_per_packet - 1) * self.length_bytes

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
        rows = self.pack_batch(np.asarray(indices)[None], np.array([mean]), np.array([scale_code]))
        return self.bodies(rows)[0]

    def pack_batch(
        self, indices: NDArray[np.uint16], mean: NDArray[Any] | None = None, scale_code: NDArray[Any] | None = None
    ) -> NDArray[np.uint8]:
        """Rows of n frames: indices uint16[n, P, M], mean and scale_code integer[n] -> uint8[n, row_bytes].

        Raises:
            ShapeError: wrong shape, a value that does not fit, or no coding model where one is needed.
        """
        values = np.asarray(indices)
        want = (self.latent_positions, self.num_levels)
        if values.ndim != 3 or values.shape[1:] != want:
            raise ShapeError(f"indices have shape {list(values.shape)}, want [n, {want[0]}, {want[1]}]")
        packed = pack_indices(values.reshape(len(values), self.index_count), self.index_bits)
        lengths = np.full(len(values), self.frame_bytes)
        if self.variable:
            lengths -= self._shorten(values, packed)
        if not self.side_information:
            return self._row(packed, lengths)
        half = 1 << (8 * self.mean_bytes - 1)
        means = self._side("mean", mean, len(values), -half, half - 1)
        scales = self._side("scale_code", scale_code, len(values), 0, 255).astype(np.uint8)
        mean_columns = means.astype("<i4").view(np.uint8).reshape(-1, 4)[:, : self.mean_bytes]
        return self._row(np.concatenate([mean_columns, scales[:, None], packed], axis=1), lengths)

    def _row(self, bodies: NDArray[np.uint8], lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Bodies uint8[n, frame_bytes], zero behind their end, as rows."""
        if not self.variable:
            return bodies
        head = lengths.astype("<u2").view(np.uint8).reshape(-1, ROW_LENGTH_BYTES)
        return np.concatenate([head, bodies], axis=1)

    def _shorten(self, indices: NDArray[np.uint16], packed: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Put range codes in the place of packed indices where they are shorter; returns the bytes saved, int64[n]."""
        model = self._model()
        check_indices(indices, model)
        codes = encode(indices.astype(np.uint16), model)
        shorter = codes.written < self.index_bytes
        width = min(self.index_bytes, codes.data.shape[1])
        packed[shorter] = 0
        packed[shorter, :width] = codes.data[shorter, :width]
        return np.where(shorter, self.index_bytes - codes.lengths, 0)

    def _model(self) -> CodingModel:
        if self.model is None:
            raise ShapeError("the indices are range-coded, and the coding model of the build is not at hand")
        return self.model

    def rows(self, bodies: Sequence[bytes]) -> NDArray[np.uint8]:
        """Bodies of frames as uint8[n, row_bytes].

        Raises:
            ShapeError: a body is longer or shorter than any of this layout.
        """
        rows = np.zeros((len(bodies), self.row_bytes), np.uint8)
        head = self.row_bytes - self.frame_bytes
        for row, body in zip(rows, bodies, strict=True):
            self._check_length("frame body", len(body), self.frame_bytes_min, self.frame_bytes)
            row[:head] = np.frombuffer(len(body).to_bytes(head, "little") if head else b"", np.uint8)
            row[head : head + len(body)] = np.frombuffer(body, np.uint8)
        return rows

    def bodies(self, rows: NDArray[np.uint8]) -> list[bytes]:
        """Inverse of :meth:`rows`.

        Raises:
            ShapeError: rows of another layout, or whose length is none of this layout.
        """
        lengths = self._lengths(rows)
        head = self.row_bytes - self.frame_bytes
        return [row[head : head + length].tobytes() for row, length in zip(rows, lengths, strict=True)]

    def mean_sizes(self, rows: NDArray[np.uint8]) -> MeanSizes:
        """Mean sizes of the frames in rows; packets are made of those that follow each other.

        Raises:
            ShapeError: no row, or rows of another layout.
        """
        lengths = self._lengths(rows)
        if not len(lengths):
            raise ShapeError("no frame to measure")
        count = self.frames_per_packet
        whole = lengths[: len(lengths) // count * count].reshape(-1, count).sum(axis=1)
        if not whole.size:
            whole = np.array([round(count * float(lengths.mean()))])
        packets = whole + (count - 1) * self.length_bytes
        wire = np.mean([line_bytes("PACKET", int(size)) for size in packets]) / count
        mean = float(lengths.mean())
        return MeanSizes(mean - self.side_bytes, mean, float(wire))

    def _lengths(self, rows: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Lengths of the bodies in rows, int64[n]."""
        data = np.asarray(rows)
        if data.ndim != 2 or data.dtype != np.uint8 or data.shape[1] != self.row_bytes:
            got = data.shape[-1] if data.ndim else 0
            raise ShapeError(f"frame body has {got} bytes, want {self.row_bytes}")
        if not self.variable:
            return np.full(len(data), self.frame_bytes)
        lengths = data[:, 0].astype(np.int64) | data[:, 1].astype(np.int64) << 8
        if len(data) and not self.frame_bytes_min <= int(lengths.min()) <= int(lengths.max()) <= self.frame_bytes:
            raise ShapeError(f"a frame body is not of {self.frame_bytes_min} to {self.frame_bytes} bytes")
        return lengths

    @staticmethod
    def _check_length(what: str, length: int, low: int, high: int) -> None:
        if not low <= length <= high:
            want = f"{low}" if low == high else f"{low} to {high}"
            raise ShapeError(f"{what} has {length} bytes, want {want}")

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
            ShapeError: as :meth:`unpack_batch`.
        """
        return self.unpack_batch(self.rows([body]))

    def join(self, frames: Sequence[bytes]) -> bytes:
        """A packet's body of the bodies of its frames, oldest first.

        Raises:
            ShapeError: another number of frames, or a body of no length of this layout.
        """
        self._check_length("packet", len(frames), self.frames_per_packet, self.frames_per_packet)
        parts = []
        for number, frame in enumerate(frames, 1):
            self._check_length("frame body", len(frame), self.frame_bytes_min, self.frame_bytes)
            if number < len(frames) and self.length_bytes:
                parts.append(len(frame).to_bytes(self.length_bytes, "little"))
            parts.append(frame)
        return b"".join(parts)

    def split(self, body: bytes) -> list[bytes]:
        """The frame bodies in a packet's body, oldest first; needs no coding model.

        Raises:
            ShapeError: wrong length.
        """
        self._check_length("packet body", len(body), self.body_bytes_min, self.body_bytes)
        if not self.variable:
            return [body[at : at + self.frame_bytes] for at in range(0, len(body), self.frame_bytes)]
        found, at = [], 0
        for number in range(1, self.frames_per_packet + 1):
            end = len(body)
            if number < self.frames_per_packet:
                end = at + self.length_bytes + int.from_bytes(body[at : at + self.length_bytes], "little")
                at += self.length_bytes
            self._check_length("frame body", min(end, len(body)) - at, self.frame_bytes_min, self.frame_bytes)
            found.append(body[at:end])
            at = end
        return found

    def frames(self, body: bytes) -> NDArray[np.uint8]:
        """The frame bodies in a packet's body: uint8[frames_per_packet, row_bytes], oldest first.

        Raises:
            ShapeError: wrong length.
        """
        return self.rows(self.split(body))

    def unpack_packet(self, body: bytes) -> Packets:
        """The frames of one packet's body, as a batch of ``frames_per_packet``.

        Raises:
            ShapeError: as :meth:`unpack_batch`.
        """
        return self.unpack_batch(self.frames(body))

    def check(self, body: bytes) -> None:
        """Check a packet's body as far as that is possible: without its coding model, only its lengths.

        Raises:
            ShapeError: no body of this layout.
        """
        if self.variable and self.model is None:
            self.split(body)
        else:
            self.unpack_packet(body)

    def unpack_batch(self, rows: NDArray[np.uint8]) -> Packets:
        """Inverse of :meth:`pack_batch`: uint8[n, row_bytes] -> :class:`Packets`; what is accepted packs to it again.

        Raises:
            ShapeError: wrong shape, padding bits that are not 0, no code of any indices or not the one of its indices,
                or no coding model where one is needed.
        """
        lengths = self._lengths(rows)
        head = self.row_bytes - self.frame_bytes
        data = np.asarray(rows)[:, head:]
        packed = np.ascontiguousarray(data[:, self.side_bytes :])
        indices = self._indices(packed, lengths - self.side_bytes) if self.variable else self._unpacked(packed)
        if not self.side_information:
            return Packets(indices, None, None)
        mean = np.zeros(len(data), np.int32)
        for at in range(self.mean_bytes):
            mean |= data[:, at].astype(np.int32) << (8 * at)
        sign = np.int32(1 << (8 * self.mean_bytes - 1))
        return Packets(indices, (mean ^ sign) - sign, data[:, self.mean_bytes].copy())

    def _unpacked(self, packed: NDArray[np.uint8]) -> NDArray[np.uint16]:
        flat = unpack_indices(packed, self.index_count, self.index_bits)
        return flat.reshape(len(packed), self.latent_positions, self.num_levels)

    def _indices(self, packed: NDArray[np.uint8], lengths: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Indices of rows that are range codes, or, as long as they can be, packed; uint16[n, P, M]."""
        model = self._model()
        coded = lengths < self.index_bytes
        indices = np.zeros((len(packed), self.latent_positions, self.num_levels), np.uint16)
        indices[~coded] = self._unpacked(packed[~coded])
        indices[coded] = decode(packed[coded], self.latent_positions, model)
        again = pack_indices(indices.reshape(len(indices), self.index_count), self.index_bits)
        saved = self._shorten(indices, again)
        if not (np.array_equal(again, packed) and np.array_equal(self.index_bytes - saved, lengths)):
            raise ShapeError("a frame body is not the range code of any indices")
        return indices
