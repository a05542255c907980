"""The INT8 ladder: what each step from float to packets costs.

float: the autoencoder as trained. INT8 input: the same on what the device's encoder reads. INT8 latents: the
device's encoder, float search, and from here on the decoder that was refit on what the device sends. Integer search:
the device's own indices. Packet: packet bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError
from kit.evaluate.evalset import EvaluationSet
from kit.evaluate.metrics import frame_errors, score
from kit.reference.device_path import DevicePath
from kit.server.spec import DecoderSpec

RUNGS = ("float", "INT8 input", "INT8 latents", "integer search", "packet")
BATCH = 256

Progress = Callable[[int, int], None]


def require_float(folder: Path) -> None:
    """Fail now rather than after minutes.

    Raises:
        ArtifactError: the run has no float autoencoder.
        ToolchainError: TensorFlow is not installed.
    """
    if not (folder / "autoencoder.keras").is_file():
        raise ArtifactError(
            f"--ladder: {folder} has no autoencoder.keras, which starts the ladder",
            "give a run that was trained here (kit build-firmware --train); the zoo keeps only what devices need",
        )
    from kit.model.backend import load_tensorflow

    load_tensorflow()


def ladder(
    folder: Path,
    frames: EvaluationSet,
    path: DevicePath,
    decoder: DecoderSpec,
    packet: NDArray[np.float32],
    progress: Progress | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """PRD at each rung by dataset, and its ratio to the first rung.

    Args:
        folder: run with ``autoencoder.keras``.
        frames: the set.
        path: the device path that was made of that autoencoder.
        decoder: the final decoder, of the device's indices.
        packet: float32[n, T], ADC codes, decoded from packet bytes.
        progress: called with (frames done, frames in all).
    """
    from kit.model.autoencoder import load_autoencoder
    from kit.quantize import ladder as steps

    autoencoder = load_autoencoder(folder / "autoencoder.keras")
    units = [np.empty_like(frames.y) for _ in RUNGS[:-1]]
    for start in range(0, len(frames.y), BATCH):
        part = slice(start, start + BATCH)
        for unit, rung in zip(units, steps.ladder(autoencoder, path, decoder, frames.frames[part]), strict=True):
            unit[part] = rung.y
        if progress is not None:
            progress(min(start + BATCH, len(frames.y)), len(frames.y))
    every = np.ones(len(frames.y), np.bool_)
    decoded = [*(frames.to_codes(unit, every) for unit in units), packet]
    return {name: _rungs(frames, decoded, chosen) for name, chosen in frames.members.items()}


def _rungs(
    frames: EvaluationSet, decoded: list[NDArray[np.float32]], chosen: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    flat = frames.config.data.gates.flat_std_codes
    scores = [score(frame_errors(frames.frames[chosen], rung[chosen], flat)) for rung in decoded]
    first = scores[0].prd
    return [
        {"rung": name, "frames": found.frames, "prd": found.prd, "ratio": found.prd / first if first > 0 else None}
        for name, found in zip(RUNGS, scores, strict=True)
    ]
