"""A whole firmware folder of a small random build, for tests that compile and run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kit.config import dump_config
from kit.files import atomic_write_bytes, atomic_write_text, write_npz
from kit.graph.fingerprint import build_hash
from kit.graph.reader import read_tflite
from kit.graph.store import save
from kit.host.firmware import Firmware
from kit.reference.device_path import DevicePath
from kit.render import Vectors, copy_runtime, render_firmware
from tests.models import encoder_for, random_codebook, random_frames, tiny_config
from tests.support import seed

FRAMES = 14


def make_firmware(folder: Path, **overrides: Any) -> Firmware:
    """Random weights for a tiny configuration, rendered with their artifacts; see ``tests.models.tiny_config``."""
    config = tiny_config(**overrides)
    rng = np.random.default_rng(seed())
    model = encoder_for(config, rng)
    encoder = read_tflite(model)
    codebook = random_codebook(
        rng, encoder, config.model.num_levels, config.model.latent_width, config.quantize.codebook_bits
    )
    frames = random_frames(rng, FRAMES, config.signal.frame_samples, sample_bits=config.signal.sample_bits)
    result = DevicePath(encoder, codebook, config).run(frames)
    source = folder / "artifacts"
    atomic_write_text(source / "config.yaml", dump_config(config))
    atomic_write_bytes(source / "encoder.tflite", model)
    codebook.save(source / "codebook.npz")
    save(encoder, source)
    write_npz(
        source / "vectors.npz",
        frames=frames, latents=result.latents, indices=result.indices, packets=result.packets, source="random",
    )  # fmt: skip
    vectors = Vectors(frames, result.packets, "random")
    files = render_firmware(config, encoder, codebook, vectors, model, build_hash(config, encoder, codebook))
    copy_runtime(folder / "firmware", files, {path.name: path for path in sorted(source.iterdir())})
    return Firmware(folder / "firmware")
