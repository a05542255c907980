"""Bulk runs of compiled firmware: as a process of this machine, or in QEMU with semihosted files."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import RunnerError
from kit.host.boards import NATIVE, find_board
from kit.host.firmware import Firmware
from kit.host.runner_files import RunnerOutput, input_bytes, parse_output
from kit.host.runners import Layers, Progress, RunResult, check_frames, firmware_taps, result_from_packets
from kit.host.toolchain import require_tool
from kit.parallel import map_blocks

START_SECONDS = 60.0
NATIVE_SECONDS_PER_FRAME = 2.0
QEMU_SECONDS_PER_FRAME = 20.0
"""Far above what an emulated Cortex-M0 needs for a large encoder on a busy machine: only a hang gets there."""
NATIVE_CHUNK_FRAMES, QEMU_CHUNK_FRAMES = 512, 32
"""Frames per process: bounds the file sizes, paces the progress bar, and keeps every core of the host busy."""


class ImageRunner:
    """Runs the ``runner`` image of a build, natively or on an emulated board."""

    def __init__(self, firmware: Firmware, board: str = NATIVE, layers: bool = False) -> None:
        """Check that the target can exist here; nothing is compiled yet.

        Args:
            firmware: the build.
            board: where it runs.
            layers: take an image with taps, which gives every layer's output too.

        Raises:
            ToolchainError: QEMU is not installed.
            RunnerError: unknown or not emulated board.
        """
        self._firmware = firmware
        self._board = board
        self._taps = firmware_taps(firmware) if layers else ()
        if board != NATIVE:
            require_tool(find_board(board).emulate(Path())[0])

    @property
    def name(self) -> str:
        """``native`` or ``qemu:BOARD``."""
        return NATIVE if self._board == NATIVE else f"qemu:{self._board}"

    def run(self, frames: NDArray[Any], progress: Progress | None = None) -> RunResult:
        """See :class:`kit.host.runners.Runner`; compiles the image first where needed."""
        firmware = self._firmware
        layout = firmware.layout
        data = check_frames(frames, layout)
        image = firmware.build("runner", self._board, taps=bool(self._taps))
        chunk = NATIVE_CHUNK_FRAMES if self._board == NATIVE else QEMU_CHUNK_FRAMES
        parts: list[RunnerOutput] = []
        blocks = [data[start : start + chunk] for start in range(0, len(data), chunk)]
        for part in map_blocks(lambda block: self._run_chunk(image, block), blocks):
            parts.append(part)
            if progress is not None:
                progress(min(len(parts) * chunk, len(data)), len(data))
        hashes = {part.build_hash for part in parts}
        if len(hashes) != 1:
            raise RunnerError(f"{self.name} reports several build hashes: {', '.join(sorted(hashes))}")
        positions, channels = firmware.config.latent_positions, firmware.config.latent_channels
        latents = np.concatenate([part.latents for part in parts]).reshape(-1, positions, channels)
        packets = np.concatenate([part.packets for part in parts])
        result = result_from_packets(hashes.pop(), layout, packets, latents, layers=self._layers(parts))
        return replace(result, double=firmware.runs_double(self._board))

    def _layers(self, parts: Sequence[RunnerOutput]) -> Layers | None:
        """Every tap's columns of all frames; None of an image without taps."""
        if not self._taps:
            return None
        found = []
        for tap in self._taps:
            columns = [part.layers.get(tap.number) for part in parts]
            shapes = {None if each is None else each.shape[1:] for each in columns}
            shape = shapes.pop()
            if shapes or shape is None or shape[1] != tap.channels or not tap.read <= shape[0] <= tap.columns:
                raise RunnerError(
                    f"{self.name}: the taps of {tap.name} give {shape}, the model has {(tap.columns, tap.channels)}",
                    "rebuild the firmware",
                )
            found.append(np.concatenate([each for each in columns if each is not None]))
        return tuple(found)

    def _run_chunk(self, image: Path, frames: NDArray[Any]) -> RunnerOutput:
        layout = self._firmware.layout
        with tempfile.TemporaryDirectory(prefix="kit-run-") as name:
            folder = Path(name)
            (folder / "in").write_bytes(input_bytes(frames, layout.sample_bytes))
            self._execute(self._command(image), folder, len(frames))
            out = folder / "out"
            if not out.is_file():
                raise RunnerError(f"{self.name}: the runner wrote no output", "rebuild the firmware")
            sizes = (len(frames), self._firmware.latent_bytes, layout.row_bytes)
            return parse_output(out.read_bytes(), *sizes, taps=bool(self._taps))

    def _command(self, image: Path) -> list[str]:
        """Command line; it runs in the folder of its files, because device and QEMU options limit names."""
        if self._board == NATIVE:
            return [str(image.resolve()), "in", "out"]
        return [
            *find_board(self._board).emulate(image.resolve()),
            *("-serial", "null"),
            *("-semihosting-config", "enable=on,target=native,arg=kit_runner,arg=in,arg=out"),
        ]

    def _execute(self, command: list[str], folder: Path, frames: int) -> None:
        per_frame = NATIVE_SECONDS_PER_FRAME if self._board == NATIVE else QEMU_SECONDS_PER_FRAME
        limit = START_SECONDS + frames * per_frame
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            raise RunnerError(f"{self.name}: {frames} frames not done after {limit:g} s; it hangs") from None
        except OSError as error:
            raise RunnerError(f"{self.name}: cannot start {command[0]}: {error.strerror}") from None
        if done.returncode:
            text = (done.stderr + done.stdout).decode("utf-8", "replace").strip().splitlines()
            reason = f": {text[-1]}" if text else ""
            raise RunnerError(f"{self.name}: the runner ended with code {done.returncode}{reason}")
