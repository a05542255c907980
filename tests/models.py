"""Random encoders, codebooks, frames and configurations, made without TensorFlow."""

from __future__ import annotations

from typing import Any

from kit.config import Config, parse_config
from kit.graph.random_graph import calibrate, encoder_for, random_encoder, random_encoder_tflite
from kit.reference.random_inputs import FRAME_KINDS, random_codebook, random_frames
from tests.tflite_writer import Layer, Model, with_operator, with_schema_version, with_tensor_type, write_tflite

__all__ = [
    "FRAME_KINDS", "Layer", "Model", "calibrate", "encoder_for", "random_codebook", "random_encoder",
    "random_encoder_tflite", "random_frames", "tiny_config", "with_operator", "with_schema_version",
    "with_tensor_type", "write_tflite",
]  # fmt: skip


def tiny_config(**overrides: Any) -> Config:
    """A small valid configuration; keyword = section or ``name``, dictionaries are merged over the small defaults."""
    raw: dict[str, Any] = {
        "name": "tiny",
        "signal": {"frame_samples": 64},
        "model": {
            "embedding_dim": 4, "latent_width": 16, "num_levels": 2, "num_stages": 2, "base_filters": 4,
        },
        "firmware": {"embedded_frames": 2, "symbol_prefix": "tiny", "ring_margin_samples": 8},
    }  # fmt: skip
    for key, value in overrides.items():
        raw[key] = {**raw.get(key, {}), **value} if isinstance(value, dict) else value
    return parse_config(raw)
