"""graph.json and weights.npz: what a load refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.errors import ArtifactError
from kit.graph.ir import Encoder
from kit.graph.reader import read_tflite
from kit.graph.store import GRAPH_FILE, WEIGHTS_FILE, load, save
from tests.models import random_encoder_tflite, with_operator
from tests.support import seed


@pytest.fixture
def encoder() -> Encoder:
    return read_tflite(random_encoder_tflite(np.random.default_rng(seed()), stages=3))


def test_opaque_graph_round_trips(tmp_path: Path) -> None:
    model = random_encoder_tflite(np.random.default_rng(seed()))
    opaque = read_tflite(with_operator(model, 0, "ADD"), engine="tflm")
    save(opaque, tmp_path)
    assert load(tmp_path) == opaque


def _set(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(graph: dict[str, Any]) -> None:
        node: Any = graph
        for key in keys[:-1]:
            node = node[key]
        if value is None:
            del node[keys[-1]]
        else:
            node[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_set("schema", value=2), "schema version 2, expected 1"),
        (_set("schema", value=None), "schema version None"),
        (_set("nodes", 0, "stride", value=None), r"Conv does not match its schema \(stride\)"),
        (_set("nodes", 0, "extra", value=1), r"\(extra\)"),
        (_set("nodes", 0, "stride", value="2"), "Conv.stride is '2', expected int"),
        (_set("nodes", 0, "stride", value=0), "stride 0"),
        (_set("nodes", 0, "stride", value=3), "columns"),
        (_set("nodes", 0, "pad_left", value=7), "pads 7"),
        (_set("nodes", 0, "act_min", value=-129), "clamps to -129"),
        (_set("nodes", 1, "input", value=0), "does not read the output"),
        (_set("nodes", 1, "name", value="conv0"), "one name for two nodes"),
        (_set("nodes", 0, "requant", "rounding", value="triple"), "'triple'"),
        (_set("nodes", 0, "requant", "shift", 0, value=31), "shift 31"),
        (_set("nodes", 0, "requant", "multiplier", 0, value=1.5), "expected integers"),
        (_set("nodes", 0, "weights", value="other"), "lacks its array other"),
        (_set("nodes", 0, "requant", "shift", value=[0]), "multipliers for 4 channels"),
        (_set("nodes", value=3), "expected a list"),
        (_set("output", value=99), "no tensor"),
        (_set("tensors", 0, "scale", value=0.03), "input has scale"),
    ],
)
def test_changed_graph_is_refused(
    encoder: Encoder, tmp_path: Path, change: Callable[[dict[str, Any]], None], text: str
) -> None:
    save(encoder, tmp_path)
    graph = json.loads((tmp_path / GRAPH_FILE).read_text())
    change(graph)
    (tmp_path / GRAPH_FILE).write_text(json.dumps(graph))
    with pytest.raises(ArtifactError, match=text):
        load(tmp_path)


@pytest.mark.parametrize(
    ("key", "array", "text"),
    [
        ("conv0_weights", np.zeros((4, 7, 2), np.int8), r"int8\[4, 7, 2\], expected int8\[4, 7, 1\]"),
        ("conv0_bias", np.zeros(4, np.int64), r"int64\[4\], expected int32\[4\]"),
        ("stray", np.zeros(1), r"do not belong together \(stray\)"),
        ("conv0_bias", np.full(4, 2**31 - 1, np.int32), "accumulator of channel"),
    ],
)
def test_changed_weights_are_refused(
    encoder: Encoder, tmp_path: Path, key: str, array: np.ndarray[Any, Any], text: str
) -> None:
    save(encoder, tmp_path)
    np.savez(tmp_path / WEIGHTS_FILE, **{**encoder.weights, key: array})
    with pytest.raises(ArtifactError, match=text):
        load(tmp_path)


def test_missing_files_are_named(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=GRAPH_FILE):
        load(tmp_path)
    save(encoder, tmp_path)
    (tmp_path / WEIGHTS_FILE).unlink()
    with pytest.raises(ArtifactError, match=WEIGHTS_FILE):
        load(tmp_path)
