"""Runners: one interface that takes raw frames through a target and returns what it computed.

The Python ones are here (golden, reference); images are run by :mod:`kit.host.image_runner`, devices on a serial link
by :mod:`kit.host.link_runner`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kit import golden
from kit.errors import RunnerError, ToolchainError
from kit.graph.container import open_model
from kit.graph.taps import Tap, graph_taps, model_taps
from kit.host.firmware import Firmware
from kit.parallel import map_blocks
from kit.reference.device_path import BATCH_FRAMES, DevicePath, EncodeFunction
from kit.reference.encoder import encode_layers
from kit.wire.packet import PacketLayout

Layers = tuple[NDArray[np.int8], ...]
"""Output of every layer that has a tap (:mod:`kit.graph.taps`), int8[n, W, C] each."""

TapFunction = Callable[[NDArray[np.int8]], Layers]
"""Normalised frames, int8[n, T], to every layer's output."""

Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""


@dataclass(frozen=True, slots=True, eq=False)
class LinkFigures:
    """How a target at a serial link did.

    Attributes:
        timing: :meth:`kit.host.pipeline.EncodedFrames.as_dict` and the device's counters.
        profile: where the device's time went, from a firmware with probes; else None.
    """

    timing: dict[str, Any]
    profile: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """What a target computed for n frames.

    Attributes:
        build_hash: 16 hex digits the target reports.
        latents: int8[n, P, C * D]; None where the target does not show them (serial).
        indices: uint16[n, P, M].
        mean: int32[n]; None without side information.
        scale_code: uint8[n]; None without side information.
        packets: uint8[n, row_bytes] (:mod:`kit.wire.packet`).
        time_us: float64[n], encoding time the device measured; None where it measures none.
        link: figures of the serial link; None where there was none.
        layers: output of every layer that has a tap, int8[n, W, C] each; None where they were not asked for or do not
            show. Columns at the end that nothing reads may be missing.
        double: what ran the encoder is the API double of the tests, not TensorFlow Lite Micro.
    """

    build_hash: str
    latents: NDArray[np.int8] | None
    indices: NDArray[np.uint16]
    mean: NDArray[np.int32] | None
    scale_code: NDArray[np.uint8] | None
    packets: NDArray[np.uint8]
    time_us: NDArray[np.float64] | None = None
    link: LinkFigures | None = None
    layers: Layers | None = None
    double: bool = False

    def head(self, count: int) -> RunResult:
        """The same for the first ``count`` frames."""

        def cut(values: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if values is None else values[:count]

        return RunResult(
            self.build_hash, cut(self.latents), self.indices[:count], cut(self.mean), cut(self.scale_code),
            self.packets[:count], cut(self.time_us), None,
            None if self.layers is None else tuple(layer[:count] for layer in self.layers), self.double,
        )  # fmt: skip


class Runner(Protocol):
    """Drives one target."""

    @property
    def name(self) -> str:
        """Target, as reports call it."""

    def run(self, frames: NDArray[Any], progress: Progress | None = None) -> RunResult:
        """Take frames, int16 or int32 [n, T] with n >= 1, through the target.

        Raises:
            KitError: the target is absent, fails, or answers nonsense.
        """


def check_frames(frames: NDArray[Any], layout: PacketLayout) -> NDArray[Any]:
    """Frames in the build's container type.

    Raises:
        RunnerError: no frames, other length, or samples that do not fit.
    """
    want = layout.frame_samples
    if frames.ndim != 2 or frames.shape[1] != want or frames.dtype.kind not in "iu":
        raise RunnerError(f"frames are {frames.dtype}{list(frames.shape)}, the build takes integers [n, {want}]")
    if len(frames) == 0:
        raise RunnerError("no frames to run", "give at least one")
    container: np.dtype[Any] = np.dtype(np.int16 if layout.sample_bytes == 2 else np.int32)
    limits = np.iinfo(container)
    if int(frames.min()) < limits.min or int(frames.max()) > limits.max:
        raise RunnerError(f"samples reach from {frames.min()} to {frames.max()}, the build's samples are {container}")
    return frames.astype(container)


def result_from_packets(
    build_hash: str,
    layout: PacketLayout,
    packets: NDArray[np.uint8],
    latents: NDArray[np.int8] | None,
    time_us: NDArray[np.float64] | None = None,
    link: LinkFigures | None = None,
    layers: Layers | None = None,
) -> RunResult:
    """A result whose indices and side information are those in its packets.

    Raises:
        ShapeError: the packets do not have the layout.
    """
    fields = layout.unpack_batch(packets)
    side = (fields.mean, fields.scale_code)
    return RunResult(build_hash, latents, fields.indices, *side, packets, time_us, link, layers)


def firmware_taps(firmware: Firmware) -> tuple[Tap, ...]:
    """The layers whose output a run can show.

    Raises:
        ArtifactError: the .tflite of an opaque encoder is missing.
    """
    graph = firmware.encoder.graph
    return model_taps(open_model(firmware.model_bytes())) if graph.opaque else graph_taps(graph)


class _PythonRunner:
    """A device path computed in this process."""

    def __init__(self, name: str, firmware: Firmware, encode: EncodeFunction | None, taps: TapFunction | None) -> None:
        self._name = name
        self._firmware = firmware
        self._taps = taps
        self._path = DevicePath(
            firmware.encoder, firmware.codebook, firmware.config, encode=encode, coding=firmware.coding
        )

    @property
    def name(self) -> str:
        """Target."""
        return self._name

    def run(self, frames: NDArray[Any], progress: Progress | None = None) -> RunResult:
        """See :class:`Runner`."""
        firmware = self._firmware
        result = self._path.run(check_frames(frames, firmware.layout), progress)
        side = firmware.layout.side_information
        return RunResult(
            build_hash=firmware.build_hash,
            latents=result.latents,
            indices=result.indices,
            mean=result.mean if side else None,
            scale_code=result.scale_code if side else None,
            packets=result.packets,
            layers=None if self._taps is None else self._taps(result.y),
        )


def golden_runner(firmware: Firmware, layers: bool = False) -> Runner:
    """The golden: TensorFlow Lite Micro's arithmetic for the encoder, the reference for the rest.

    Args:
        firmware: the build.
        layers: give every layer's output too.

    Raises:
        ToolchainError: the tflite-micro wheel is not installed here.
    """
    reason = golden.available()
    if reason is not None:
        raise ToolchainError(f"no golden: {reason}", "validate against target reference instead")
    model = firmware.model_bytes()
    taps = functools.partial(golden.golden_taps, model) if layers else None
    return _PythonRunner("golden", firmware, functools.partial(golden.golden_latents, model), taps)


def reference_runner(firmware: Firmware, layers: bool = False) -> Runner:
    """The NumPy integer executor of the whole device path; arguments as for :func:`golden_runner`.

    Raises:
        ArtifactError: the encoder has operators that only TensorFlow Lite Micro runs.
    """
    return _PythonRunner("reference", firmware, None, functools.partial(_reference_taps, firmware) if layers else None)


def _reference_taps(firmware: Firmware, inputs: NDArray[np.int8]) -> Layers:
    """Every layer's output, int8[n, W, C] each, a batch at a time."""
    batches = [inputs[start : start + BATCH_FRAMES] for start in range(0, len(inputs), BATCH_FRAMES)]
    parts = list(map_blocks(lambda batch: tuple(encode_layers(firmware.encoder, batch).values()), batches))
    return tuple(np.concatenate(layer) for layer in zip(*parts, strict=True))
