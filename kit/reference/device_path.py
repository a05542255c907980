"""Everything that the device does to a frame, from raw samples to packet body: the truth that targets must equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.errors import ArtifactError, ShapeError
from kit.graph.codebook import IntegerCodebook
from kit.graph.ir import Encoder
from kit.parallel import map_blocks
from kit.reference.encoder import encode
from kit.reference.normalise import encoder_input, lsb_bits
from kit.reference.rvq import search
from kit.wire.coding import CodingModel
from kit.wire.packet import PacketLayout

BATCH_FRAMES = 32
"""Frames worked on at a time: bounds memory, and keeps the intermediate arrays in cache."""

EncodeFunction = Callable[[NDArray[np.int8]], NDArray[np.int8]]

_FIX = "rebuild with kit build-firmware"


@dataclass(frozen=True, slots=True, eq=False)
class DeviceResult:
    """What the device holds and sends for n frames.

    Attributes:
        y: int8[n, T] or [n, T, 2], normalised frames (:class:`kit.reference.normalise.Normalised`).
        mean: int32[n], ADC codes.
        scale_code: uint8[n].
        latents: int8[n, P, C * D].
        indices: uint16[n, P, M].
        packets: uint8[n, row bytes] (:mod:`kit.wire.packet`).
    """

    y: NDArray[np.int8]
    mean: NDArray[np.int32]
    scale_code: NDArray[np.uint8]
    latents: NDArray[np.int8]
    indices: NDArray[np.uint16]
    packets: NDArray[np.uint8]


class DevicePath:
    """Normalise, encode, search and pack, with parts that are checked to belong together.

    Args:
        encoder: integer graph.
        codebook: integer codebook of the same latents.
        config: resolved configuration.
        coding: model of range-coded indices, where ``packet.coding`` asks for it.
        encode: replaces the reference encoder, int8[n, T] or [n, T, 2] -> int8[n, P, C * D]; an opaque graph needs one
            (``functools.partial(kit.golden.golden_latents, model)``).

    Raises:
        ArtifactError: encoder, codebook and configuration do not fit; names what was expected and found.
    """

    def __init__(
        self, encoder: Encoder, codebook: IntegerCodebook, config: Config, encode: EncodeFunction | None = None,
        coding: CodingModel | None = None,
    ) -> None:  # fmt: skip
        self.encoder, self.codebook, self.config = encoder, codebook, config
        self.layout = PacketLayout.from_config(config, coding)
        self.lsb_bits = lsb_bits(config.quantize.input_clip)
        self._encode = encode
        self._check()

    def _check(self) -> None:
        graph, config = self.encoder.graph, self.config
        first, last = graph.input_tensor, graph.output_tensor
        pairs = (
            ("frame_samples", config.signal.frame_samples, first.length),
            ("input channels", config.quantize.input_channels, first.channels),
            ("latent positions", config.latent_positions, last.length),
            ("latent channels", config.latent_channels, last.channels),
            ("LSB per unit", 1 << self.lsb_bits, 1 << graph.lsb_bits),
        )
        for name, expected, found in pairs:
            if expected != found:
                raise ArtifactError(f"encoder has {name} {found}, the configuration {expected}", _FIX)
        if graph.opaque and self._encode is None:
            raise ArtifactError("this encoder needs TensorFlow Lite Micro to run", "install the tflite-micro package")
        model, book = config.model, self.codebook
        book.expect(num_levels=model.num_levels, num_entries=model.latent_width, dims=model.embedding_dim)
        copies = config.quantize.latent_copies
        if book.copies != copies:
            raise ArtifactError(f"codebook has {book.copies} copies of a latent, the configuration {copies}", _FIX)
        found_latent = (np.float32(book.latent_scale), book.latent_zero_point)
        if found_latent != (np.float32(last.scale), last.zero_point):
            raise ArtifactError(
                f"codebook is for latents of scale {book.latent_scale:.9g} and zero point {book.latent_zero_point}, "
                f"the encoder's have {last.scale:.9g} and {last.zero_point}",
                _FIX,
            )

    def run(self, frames: NDArray[Any], progress: Callable[[int, int], None] | None = None) -> DeviceResult:
        """Packets of raw frames.

        Args:
            frames: [n, T] of the configuration's container, int16 or int32.
            progress: called with (frames done, frames in all) after each batch.

        Raises:
            ShapeError: other shape or dtype.
        """
        container = np.dtype(f"int{self.config.signal.container_bits}")
        samples = self.config.signal.frame_samples
        if frames.ndim != 2 or frames.shape[1] != samples or frames.dtype != container:
            raise ShapeError(f"frames are {frames.dtype}{list(frames.shape)}, expected {container}[n, {samples}]")
        parts: list[DeviceResult] = []
        starts = range(0, max(1, len(frames)), BATCH_FRAMES)
        # An encoder from outside (the wheel's interpreter) makes no promise about threads.
        mapped = map_blocks if self._encode is None else map
        for part in mapped(lambda start: self._batch(frames[start : start + BATCH_FRAMES]), starts):
            parts.append(part)
            if progress is not None:
                progress(min(len(parts) * BATCH_FRAMES, len(frames)), len(frames))
        names = DeviceResult.__dataclass_fields__
        return DeviceResult(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def _batch(self, frames: NDArray[Any]) -> DeviceResult:
        normalised = encoder_input(frames, self.config.quantize)
        latents = encode(self.encoder, normalised.y) if self._encode is None else self._encode(normalised.y)
        indices = search(latents, self.codebook)
        packets = self.layout.pack_batch(indices, normalised.mean, normalised.scale_code)
        return DeviceResult(normalised.y, normalised.mean, normalised.scale_code, latents, indices, packets)
