"""What is evaluated: a run or an entry of the zoo, and the target that computes its packets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.errors import ArtifactError, MismatchError
from kit.evaluate.sizes import FrameSizes, packet_sizes
from kit.golden import golden_latents
from kit.graph.codebook import IntegerCodebook
from kit.graph.fingerprint import build_hash
from kit.graph.ir import Encoder
from kit.graph.reader import read_tflite
from kit.host.firmware import Firmware
from kit.host.targets import make_runner, parse_targets
from kit.reference.device_path import DevicePath
from kit.reference.normalise import lsb_bits, normalise
from kit.server.bundle import Bundle
from kit.wire.packet import PacketLayout

Progress = Callable[[int, int], None]
PYTHON_TARGETS = {"reference": ("reference", "python"), "golden": ("tflite-micro wheel", "python")}
"""Targets without a firmware folder: engine and target as reports call them."""


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """What came back for n frames, and what it cost.

    Attributes:
        decoded: float32[n, T], ADC codes, from packet bytes.
        sizes: bytes of each frame.
        latents: int8[n, P, C * D]; None where the target does not show them.
        indices: uint16[n, P, M].
    """

    decoded: NDArray[np.float32]
    sizes: FrameSizes
    latents: NDArray[np.int8] | None
    indices: NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One codec to be judged.

    Attributes:
        name: shown in tables.
        folder: run or zoo entry.
        weights: where the weights come from, for example ``zoo/08x_ds8_l2``.
        bundle: its server side.
        target: golden, reference, native, qemu:BOARD, ...
    """

    name: str
    folder: Path
    weights: str
    bundle: Bundle
    target: str

    @property
    def config(self) -> Config:
        """Of the build."""
        return self.bundle.config

    @cached_property
    def layout(self) -> PacketLayout:
        """Of its packets."""
        return self.bundle.layout

    @property
    def labels(self) -> tuple[str, str]:
        """Engine and target."""
        return PYTHON_TARGETS.get(self.target, (self.config.firmware.engine, self.target))

    @cached_property
    def codebook(self) -> IntegerCodebook:
        """What the device searches."""
        return self.bundle.codebook

    @cached_property
    def encoder(self) -> Encoder:
        """The integer graph; checked to be what the bundle belongs to.

        Raises:
            MismatchError: the folder's parts are of different builds.
        """
        encoder = read_tflite(self.folder / "encoder.tflite", engine=self.config.firmware.engine)
        coding = self.bundle.coding
        found = build_hash(self.config, encoder, self.codebook, None if coding is None else coding.arrays())
        if found != self.bundle.build_hash:
            raise MismatchError(
                f"{self.folder}: encoder and codebook are of build {found}, the decoder of {self.bundle.build_hash}",
                "rebuild with kit build-firmware",
            )
        return encoder

    def check(self) -> None:
        """Everything that can be known to be wrong before frames are loaded.

        Raises:
            ArtifactError: the folder lacks something.
            RunnerError: no such target.
        """
        parse_targets(self.target)
        if not (self.folder / "encoder.tflite").is_file():
            raise ArtifactError(f"{self.folder} has no encoder.tflite", "build it with kit build-firmware")
        _ = self.encoder
        if self.target not in PYTHON_TARGETS and not (self.folder / "firmware" / "generated").is_dir():
            raise ArtifactError(
                f"--target {self.target} needs a rendered firmware, and {self.folder} has none",
                f"build it with kit build-firmware --config {self.config.name}, or use --target reference",
            )

    def reconstruct(self, frames: NDArray[Any], progress: Progress | None = None) -> Reconstruction:
        """Frames through the device path of the target, packed, unpacked and decoded.

        Args:
            frames: int16 or int32 [n, T].
            progress: called with (frames done, frames in all).
        """
        latents: NDArray[np.int8] | None
        if self.target in PYTHON_TARGETS:
            result = self.device_path().run(frames, progress)
            packets, latents = result.packets, result.latents
        else:
            ran = make_runner(self.target, Firmware(self.folder / "firmware")).run(frames, progress)
            if ran.build_hash != self.bundle.build_hash:
                raise MismatchError(
                    f"{self.target} runs build {ran.build_hash}, the decoder is of {self.bundle.build_hash}",
                    "rebuild with kit build-firmware",
                )
            packets, latents = ran.packets, ran.latents
        fields = self.layout.unpack_batch(packets)
        mean, scale = fields.mean, fields.scale_code
        if mean is None or scale is None:
            # Packets without side information: the device's own mean and scale stand in, so that shape is judged.
            side = normalise(frames, lsb_bits(self.config.quantize.input_clip))
            mean, scale = side.mean, side.scale_code
        decoded = self.bundle.decode(fields.indices, mean, scale)
        return Reconstruction(decoded, packet_sizes(self.layout, self.layout.bodies(packets)), latents, fields.indices)

    def device_path(self) -> DevicePath:
        """The integer device path; its encoder is the golden where the target or an opaque graph asks for it."""
        encode = None
        if self.target == "golden" or self.encoder.graph.opaque:
            encode = partial(golden_latents, (self.folder / "encoder.tflite").read_bytes())
        return DevicePath(self.encoder, self.codebook, self.config, encode, self.bundle.coding)
