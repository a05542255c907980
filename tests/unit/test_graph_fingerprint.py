"""The build hash changes with every ingredient, and with nothing else."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from kit.config import Config
from kit.graph import fingerprint
from kit.graph.codebook import IntegerCodebook
from kit.graph.fingerprint import build_hash, packet_fields
from kit.graph.ir import Encoder
from kit.graph.reader import read_tflite
from kit.wire.packet import PacketLayout
from tests.models import encoder_for, random_codebook, tiny_config
from tests.support import ROOT


def parts() -> tuple[Config, Encoder, IntegerCodebook]:
    rng, config = np.random.default_rng(5), tiny_config()
    encoder = read_tflite(encoder_for(config, rng))
    return config, encoder, random_codebook(rng, encoder)


def test_is_sixteen_hex_digits_whatever_the_hash_seed() -> None:
    code = "from tests.unit.test_graph_fingerprint import *; print(build_hash(*parts()))"
    found = {build_hash(*parts())}
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        found.add(done.stdout.strip())
    assert len(found) == 1
    assert len(bytes.fromhex(found.pop())) == 8


@pytest.mark.parametrize(
    "overrides",
    [
        {"signal": {"sample_rate_hz": 100}},
        {"signal": {"sample_bits": 18}},
        {"signal": {"kind": "ecg"}},
        {"model": {"beta": 0.5}},
        {"packet": {"side_information": False}},
        {"packet": {"frames_per_packet": 2}},
        {"quantize": {"input_clip": 8}},
        {"quantize": {"input_shaping": "first"}},
        {"quantize": {"input_remainder_bits": 3}},
    ],
    ids=str,
)
def test_changes_with_settings(overrides: dict[str, Any]) -> None:
    config, encoder, codebook = parts()
    assert build_hash(tiny_config(**overrides), encoder, codebook) != build_hash(config, encoder, codebook)


@pytest.mark.parametrize(
    "overrides",
    [
        {"name": "other"},
        {"model": {"decoder_block_norm": "layer", "decoder_head_norm": "none"}},
        {"train": {"seed": 2}},
        {"quantize": {"refit_steps": 1}},
        {"quantize": {"refit_codebook": False}},
        {"firmware": {"engine": "tflm"}},
    ],
    ids=str,
)
def test_ignores_decoder_training_and_rendering(overrides: dict[str, Any]) -> None:
    config, encoder, codebook = parts()
    assert build_hash(tiny_config(**overrides), encoder, codebook) == build_hash(config, encoder, codebook)


def test_changes_with_graph_weights_and_codebook(monkeypatch: pytest.MonkeyPatch) -> None:
    config, encoder, codebook = parts()
    base = build_hash(config, encoder, codebook)
    node = dataclasses.replace(encoder.graph.nodes[0], act_min=-127)
    graph = dataclasses.replace(encoder.graph, nodes=(node, *encoder.graph.nodes[1:]))
    weights = {**encoder.weights, "conv0_bias": encoder.weights["conv0_bias"] + np.int32(1)}
    others = [
        build_hash(config, dataclasses.replace(encoder, graph=graph), codebook),
        build_hash(config, dataclasses.replace(encoder, weights=weights), codebook),
    ]
    integer, shift = codebook.integer.copy(), codebook.entry_shift.copy()
    integer[0, 0, 0] ^= 1
    shift[0] ^= 1
    changes: list[dict[str, Any]] = [
        {"integer": integer},
        {"entry_shift": shift},
        {"residual_frac_bits": codebook.residual_frac_bits - 1},
        {"latent_scale": codebook.latent_scale * 2},
        {"latent_zero_point": codebook.latent_zero_point // 2},
        {"beam": 2},
        {"copies": 2},
    ]
    others += [build_hash(config, encoder, dataclasses.replace(codebook, **change)) for change in changes]
    monkeypatch.setattr(fingerprint, "NUMERICS_VERSION", 2)
    others.append(build_hash(config, encoder, codebook))
    assert len({base, *others}) == len(others) + 1


def test_ignores_the_floats_behind_the_codebook() -> None:
    config, encoder, codebook = parts()
    other = dataclasses.replace(codebook, float=codebook.float + np.float32(1))
    assert build_hash(config, encoder, other) == build_hash(config, encoder, codebook)


@pytest.mark.parametrize("bits", [12, 16, 17, 24])
@pytest.mark.parametrize("side", [True, False])
def test_fields_are_those_of_the_packet(bits: int, side: bool) -> None:
    config = tiny_config(signal={"sample_bits": bits}, packet={"side_information": side})
    layout = PacketLayout.from_config(config)
    fields = {name: width * count for name, width, count in packet_fields(config)}
    assert fields.pop("indices") == layout.payload_bits
    assert sum(fields.values()) == 8 * layout.side_bytes
    assert fields.get("mean", 0) == 8 * layout.mean_bytes
