"""A firmware folder with random weights: for configurations that have no trained ones, and for any encoder at all."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config, dump_config
from kit.files import atomic_write_bytes, atomic_write_text, write_npz
from kit.golden import golden_latents
from kit.graph.fingerprint import build_hash
from kit.graph.random_graph import encoder_for
from kit.graph.reader import read_tflite
from kit.graph.store import save
from kit.host.firmware import Firmware
from kit.quantize.coding import fit_coding
from kit.reference.device_path import DevicePath
from kit.reference.random_inputs import random_codebook, random_frames
from kit.render import Vectors, copy_runtime, render_firmware
from kit.render.tflm import Arena
from kit.wire.coding import CODING_FILE, PLACES_MAX, CodingModel

FRAMES = 14
"""Frames of its vectors."""


def _fixed(config: Config) -> Config:
    """The same with indices of fixed width."""
    return config.model_copy(update={"packet": config.packet.model_copy(update={"coding": "fixed"})})


def _coding(config: Config, indices: NDArray[np.uint16]) -> CodingModel | None:
    """A coding model fitted to the very frames it will code; None where indices have a fixed width. The codebook is in
    no order; of more entries than there are places for, the model is that of indices in their own places."""
    if config.packet.coding == "fixed":
        return None
    return fit_coding(
        indices,
        indices,
        config.model.index_bits,
        network=config.packet.context == "network",
        in_place=config.model.latent_width > PLACES_MAX,
    )


def random_firmware(
    folder: Path,
    config: Config,
    rng: np.random.Generator,
    model: bytes | None = None,
    frames: NDArray[Any] | None = None,
    source: str = "random",
    arena: Arena | None = None,
) -> Firmware:
    """Render a firmware with its artifacts into ``folder``.

    Args:
        folder: receives ``artifacts/`` and ``firmware/``.
        config: what to render; the codebook has prices where ``train.rate_weight`` is not 0.
        rng: source of everything random.
        model: a full-integer .tflite of the configuration's sizes; None makes one.
        frames: int16 or int32 [n, T] of its vectors; None makes :data:`FRAMES` of every kind.
        source: label of the frames.
        arena: renders it for TensorFlow Lite Micro too, or for the engine of that name alone.
    """
    model = encoder_for(config, rng) if model is None else model
    encoder = read_tflite(model, engine=config.firmware.engine)
    run = partial(golden_latents, model) if encoder.graph.opaque else None
    codebook = random_codebook(
        rng, encoder, config.model.num_levels, config.model.latent_width, config.quantize.codebook_bits, run,
        priced=config.train.rate_weight > 0, beam=config.quantize.beam,
        copies=config.quantize.latent_copies,
    )  # fmt: skip
    if frames is None:
        frames = random_frames(rng, FRAMES, config.signal.frame_samples, sample_bits=config.signal.sample_bits)
    coding = _coding(config, DevicePath(encoder, codebook, _fixed(config), run).run(frames).indices)
    result = DevicePath(encoder, codebook, config, run, coding).run(frames)
    artifacts = folder / "artifacts"
    atomic_write_text(artifacts / "config.yaml", dump_config(config))
    atomic_write_bytes(artifacts / "encoder.tflite", model)
    codebook.save(artifacts / "codebook.npz")
    save(encoder, artifacts)
    if coding is not None:
        coding.save(artifacts / CODING_FILE)
    write_npz(
        artifacts / "vectors.npz",
        frames=frames, latents=result.latents, indices=result.indices, packets=result.packets, source=source,
    )  # fmt: skip
    vectors = Vectors(frames, result.packets, source)
    arrays = None if coding is None else coding.arrays()
    named = build_hash(config, encoder, codebook, arrays)
    files = render_firmware(config, encoder, codebook, vectors, model, named, coding, arena)
    copy_runtime(folder / "firmware", files, {path.name: path for path in sorted(artifacts.iterdir())})
    return Firmware(folder / "firmware")
