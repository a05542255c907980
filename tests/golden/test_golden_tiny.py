"""A committed build stays what it was: rendered text, build hash, and every value of the device path."""

from __future__ import annotations

import numpy as np

from kit.config import load_config
from kit.files import read_npz
from kit.golden import golden_latents
from kit.graph.codebook import IntegerCodebook
from kit.graph.reader import read_tflite
from kit.graph.store import load
from kit.reference.device_path import DevicePath
from tests.golden.update import INPUTS, RENDERED, render
from tests.support import need_golden

ADVICE = "if that is meant: python -m tests.golden.update, and read the difference"


def test_rendered_text_is_the_committed_one() -> None:
    files = render()
    assert sorted(files) == sorted(path.name for path in RENDERED.iterdir()), ADVICE
    for name, text in files.items():
        assert text == (RENDERED / name).read_text(encoding="utf-8"), f"{name}; {ADVICE}"


def test_reading_the_tflite_gives_the_committed_graph() -> None:
    assert read_tflite(INPUTS / "encoder.tflite") == load(INPUTS)


def test_reference_computes_the_committed_vectors() -> None:
    vectors = read_npz(INPUTS / "vectors.npz")
    codebook = IntegerCodebook.load(INPUTS / "codebook.npz")
    result = DevicePath(load(INPUTS), codebook, load_config(INPUTS / "config.yaml")).run(vectors["frames"])
    assert len(vectors["frames"]) > 0
    for name in ("latents", "indices", "packets"):
        assert np.array_equal(getattr(result, name), vectors[name]), name


def test_golden_computes_the_committed_latents() -> None:
    need_golden()
    vectors = read_npz(INPUTS / "vectors.npz")
    codebook = IntegerCodebook.load(INPUTS / "codebook.npz")
    normalised = DevicePath(load(INPUTS), codebook, load_config(INPUTS / "config.yaml")).run(vectors["frames"]).y
    model = (INPUTS / "encoder.tflite").read_bytes()
    assert np.array_equal(golden_latents(model, normalised), vectors["latents"])
