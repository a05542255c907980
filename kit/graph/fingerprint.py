"""The build hash: sixteen hex digits that name what a device computes and sends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.graph.codebook import IntegerCodebook
from kit.graph.ir import Encoder
from kit.graph.store import to_json

NUMERICS_VERSION = 1
"""Version of firmware/NUMERICS.md; any change of a result for any input raises it."""

HASH_DIGITS = 16

_DECODER_NORMS = frozenset({"decoder_block_norm", "decoder_head_norm"})


def packet_fields(config: Config) -> list[list[Any]]:
    """Fields of a packet body in order: name, bits of one, how many (NUMERICS.md section 5)."""
    side: list[list[Any]] = [["mean", 16 if config.signal.sample_bits <= 16 else 24, 1], ["scale_code", 8, 1]]
    indices = ["indices", config.model.index_bits, config.latent_positions * config.model.num_levels]
    return [*(side if config.packet.side_information else []), indices]


def _packet_settings(config: Config) -> dict[str, Any]:
    """Packet settings; a key that came later counts only where it is not at its default, so that hashes stay."""
    settings = config.packet.model_dump(mode="json")
    if config.packet.frames_per_packet == 1:
        del settings["frames_per_packet"]
    if config.packet.coding == "fixed":
        del settings["coding"]
    if config.packet.context == "classes":
        del settings["context"]
    return settings


def build_hash(
    config: Config, encoder: Encoder, codebook: IntegerCodebook, coding: Mapping[str, NDArray[Any]] | None = None
) -> str:
    """Hash of everything that decides the bytes of a packet; the decoder is no part of it.

    Args:
        config: resolved configuration, of which signal, model and packet settings and those of the INT8 input count.
        encoder: graph and weights.
        codebook: of which the integers count, not the floats behind them.
        coding: arrays of the model of range-coded indices; None where they have a fixed width.

    Returns:
        16 hex digits: the first of SHA-256 over canonical JSON, then every array by name.
    """
    settings: dict[str, Any] = {
        "numerics": NUMERICS_VERSION,
        "signal": config.signal.model_dump(mode="json"),
        "model": config.model.model_dump(mode="json", exclude=set(_DECODER_NORMS | config.model.keys_off_device)),
        "packet": _packet_settings(config),
        "packet_fields": packet_fields(config),
        "lsb_per_unit": 128 // config.quantize.input_clip,
        "graph": to_json(encoder.graph),
        "codebook": {
            "residual_frac_bits": codebook.residual_frac_bits,
            "latent_zero_point": codebook.latent_zero_point,
            "latent_scale": float(codebook.latent_scale).hex(),
        },
    }
    if codebook.beam > 1:
        settings["codebook"]["beam"] = codebook.beam
    if codebook.copies > 1:
        settings["codebook"]["copies"] = codebook.copies
    if config.quantize.input_shaping != "none":
        settings["input_shaping"] = config.quantize.input_shaping
    if config.quantize.input_remainder_bits:
        settings["input_remainder_bits"] = config.quantize.input_remainder_bits
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())
    arrays = {f"weights/{key}": array for key, array in encoder.weights.items()}
    arrays["codebook/integer"], arrays["codebook/entry_shift"] = codebook.integer, codebook.entry_shift
    if coding is not None:
        arrays.update({f"coding/{name}": array for name, array in coding.items()})
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        little = array.astype(array.dtype.newbyteorder("<"))
        digest.update(f"{name} {little.dtype.str} {list(little.shape)}\n".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()[:HASH_DIGITS]
