"""Counts of images with probes, run in QEMU with ``-icount``: what each stage of the codec takes per frame."""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import RunnerError
from kit.host.boards import NATIVE
from kit.host.firmware import Firmware, Probes
from kit.host.image_runner import QEMU_CHUNK_FRAMES, ImageRunner
from kit.host.probes import icount_shift, stage_numbers, unit_name
from kit.host.runner_files import input_bytes
from kit.host.runners import Progress, check_frames

_HEADER = struct.Struct("<4sI8sIIIII")


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What n frames took.

    Attributes:
        unit: ``instructions`` or ``cycles``.
        count: int64[n, stages], with what the probes themselves take already off.
        visits: int64[n, stages], how often each stage was entered.
        packets: uint8[n, row_bytes].
    """

    unit: str
    count: NDArray[np.int64]
    visits: NDArray[np.int64]
    packets: NDArray[np.uint8]

    @property
    def total(self) -> NDArray[np.int64]:
        """int64[n]: all stages of a frame together."""
        total: NDArray[np.int64] = self.count[:, 1:].sum(axis=1)
        return total


def parse_counts(data: bytes, frames: int, latent_bytes: int, packet_bytes: int) -> Counts:
    """Content of the file that a runner with probes writes (host/runner/runner.h).

    Raises:
        RunnerError: truncated, of other sizes, or of a counter that counts nothing reliable.
    """
    if len(data) < _HEADER.size or data[:4] != b"KITP":
        raise RunnerError(f"the runner with probes wrote {data[:4]!r}, {len(data)} bytes, want b'KITP'")
    _, version, _, got_frames, got_latent, got_packet, unit, stages = _HEADER.unpack_from(data)
    got = (version, got_frames, got_latent, got_packet, stages)
    want = (1, frames, latent_bytes, packet_bytes, stage_numbers().count)
    row = latent_bytes + packet_bytes + 8 * want[4]
    if got != want or len(data) != _HEADER.size + frames * row:
        raise RunnerError(
            f"the runner with probes wrote (version, frames, latent bytes, packet bytes, stages) {got} in "
            f"{len(data)} bytes, want {want} in {_HEADER.size + frames * row}"
        )
    if not unit_name(unit):
        raise RunnerError(
            "the target's counter counts neither cycles nor instructions",
            f"an emulator needs -icount shift={icount_shift()}",
        )
    table = np.frombuffer(data, np.uint8, offset=_HEADER.size).reshape(frames, row)
    packets = np.ascontiguousarray(table[:, latent_bytes : latent_bytes + packet_bytes])
    counts = np.ascontiguousarray(table[:, latent_bytes + packet_bytes :]).view("<u4").astype(np.int64)
    counts = counts.reshape(frames, stages, 2)
    return Counts(unit_name(unit), counts[:, :, 0], counts[:, :, 1], packets)


class ProfileRunner(ImageRunner):
    """Runs the ``runner`` image with probes on an emulated board."""

    def __init__(self, firmware: Firmware, board: str) -> None:
        """As :class:`kit.host.image_runner.ImageRunner`.

        Raises:
            RunnerError: the host process, whose instructions nothing counts; else as there.
        """
        if board == NATIVE:
            raise RunnerError("nothing counts the instructions of target native", "use --native, which measures time")
        super().__init__(firmware, board)

    def profile(self, frames: NDArray[Any], probes: Probes, progress: Progress | None = None) -> Counts:
        """Counts of every frame; compiles the image first where needed.

        Args:
            frames: int16 or int32 [n, T].
            probes: ``1`` for stages, ``frame`` for whole frames, which then are all in ``rest`` and ``input``.
            progress: called after each run of the emulator.

        Raises:
            KitError: a tool is missing, or the run fails.
        """
        data = check_frames(frames, self._firmware.layout)
        image = self._firmware.build("runner", self._board, probes)
        parts = []
        for start in range(0, len(data), QEMU_CHUNK_FRAMES):
            parts.append(self._profile_chunk(image, data[start : start + QEMU_CHUNK_FRAMES]))
            if progress is not None:
                progress(min(start + QEMU_CHUNK_FRAMES, len(data)), len(data))
        units = {part.unit for part in parts}
        if len(units) != 1:
            raise RunnerError(f"{self.name} counts {' and '.join(sorted(units))} in turn")
        return Counts(
            units.pop(),
            np.concatenate([part.count for part in parts]),
            np.concatenate([part.visits for part in parts]),
            np.concatenate([part.packets for part in parts]),
        )

    def _profile_chunk(self, image: Path, frames: NDArray[Any]) -> Counts:
        layout = self._firmware.layout
        with tempfile.TemporaryDirectory(prefix="kit-bench-") as name:
            folder = Path(name)
            (folder / "in").write_bytes(input_bytes(frames, layout.sample_bytes))
            self._execute([*self._command(image), "-icount", f"shift={icount_shift()}"], folder, len(frames))
            out = folder / "out"
            if not out.is_file():
                raise RunnerError(f"{self.name}: the runner wrote no output", "rebuild the firmware")
            return parse_counts(out.read_bytes(), len(frames), self._firmware.latent_bytes, layout.row_bytes)
