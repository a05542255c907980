"""A run folder that ``kit evaluate`` accepts, made without training: random encoder, decoder fitted in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kit.config import Config, dump_config, parse_config
from kit.data.synthetic import generate_ppg
from kit.files import atomic_write_bytes, atomic_write_text, write_json
from kit.graph.fingerprint import build_hash
from kit.graph.random_graph import encoder_for
from kit.graph.reader import read_tflite
from kit.reference.device_path import DevicePath
from kit.reference.random_inputs import random_codebook
from kit.server.bundle import write_bundle
from kit.server.spec import DecoderSpec, Layer


def scorecard_config(name: str = "small", **signal: object) -> Config:
    """Small frames, six synthetic subjects."""
    return parse_config(
        {
            "name": name,
            "signal": {"kind": "ppg", "sample_rate_hz": 32, "frame_samples": 64, "sample_bits": 12, **signal},
            "model": {
                "embedding_dim": 8, "latent_width": 64, "num_levels": 2, "num_stages": 2, "base_filters": 8,
                "encoder_block_norm": "none", "decoder_head_norm": "none",
            },
            "data": {
                "sources": [{"type": "synthetic", "subjects": 8, "seconds_per_subject": 64, "seed": 3}],
                "split": {"train": 0.5, "val": 0.125, "test": 0.375},
            },
            "firmware": {"symbol_prefix": "small", "ring_margin_samples": 8},
        }
    )  # fmt: skip


def write_run(folder: Path, config: Config) -> Path:
    """The run in ``folder``; the same bytes every time."""
    rng = np.random.default_rng(7)
    model = encoder_for(config, rng)
    encoder = read_tflite(model)
    codebook = random_codebook(rng, encoder, config.model.num_levels, config.model.latent_width)
    path = DevicePath(encoder, codebook, config)
    samples, step = config.signal.frame_samples, config.model.downsampling
    whole = generate_ppg(seed=9, subject=0, seconds=400, sample_rate_hz=32, sample_bits=12)
    frames = whole[: len(whole) // samples * samples].reshape(-1, samples).astype(np.int16)
    result = path.run(frames)
    latents = codebook.dequantize(result.indices)
    # One linear map from the latent vector of a position to its samples, by least squares.
    inputs = np.concatenate([latents, np.ones((*latents.shape[:2], 1))], axis=2).reshape(-1, latents.shape[2] + 1)
    wanted = (result.y / (1 << path.lsb_bits)).reshape(-1, step)
    solved = np.linalg.lstsq(inputs, wanted, rcond=None)[0].mean(axis=1, keepdims=True).astype(np.float32)
    layers = (Layer("up", "upsample", (0,), step), Layer("head", "conv", (1,)))
    weights = {"head.kernel": np.ascontiguousarray(solved[None, :-1]), "head.bias": np.ascontiguousarray(solved[-1])}
    decoder = DecoderSpec(config.latent_positions, config.model.embedding_dim, samples, layers, weights)
    digest = build_hash(config, encoder, codebook)
    atomic_write_text(folder / "config.yaml", dump_config(config))
    atomic_write_bytes(folder / "encoder.tflite", model)
    codebook.save(folder / "codebook.npz")
    write_bundle(folder / "server", config, codebook, decoder, digest, "synthetic")
    facts = {"build_hash": digest, "weights": "random"}
    write_json(folder / "manifest.json", {"format": 1, "facts": facts, "artifacts": {}, "stages": {}})
    return folder
