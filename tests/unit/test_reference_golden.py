"""The golden refuses what it cannot run, without taking the process along."""

from __future__ import annotations

import numpy as np
import pytest

from kit.errors import GraphError, KitError, ShapeError, ToolchainError
from kit.golden import available, golden_latents, golden_layers, interpreter
from tests.models import random_encoder_tflite, with_operator
from tests.support import missing, seed


@pytest.fixture(autouse=True)
def _needed() -> None:
    reason = available()
    if reason is not None:
        missing("tflite-micro", reason)


@pytest.fixture(scope="module")
def model() -> bytes:
    return random_encoder_tflite(np.random.default_rng(seed()), T=48)


def test_shapes_and_progress(model: bytes) -> None:
    seen: list[tuple[int, int]] = []
    latents = golden_latents(model, np.zeros((3, 48), np.int8), lambda done, total: seen.append((done, total)))
    assert (latents.shape, latents.dtype, seen) == ((3, 12, 4), np.int8, [(1, 3), (2, 3), (3, 3)])
    assert [layer.shape for layer in golden_layers(model, np.zeros(48, np.int8)).values()] == [
        (24, 4),
        (12, 4),
        (12, 4),
    ]


def test_long_frames_fit_the_arena() -> None:
    """Ten bytes of arena per byte of model, the package's own guess, would crash here."""
    model = random_encoder_tflite(np.random.default_rng(1), T=4096, stages=1, filters=32, D=1)
    assert golden_latents(model, np.zeros((1, 4096), np.int8)).shape == (1, 2048, 1)
    assert len(golden_layers(model, np.zeros(4096, np.int8))) == 2


def test_wrong_input_is_refused(model: bytes) -> None:
    with pytest.raises(ShapeError, match=r"expected int8\[n, 48\]"):
        golden_latents(model, np.zeros((1, 47), np.int8))
    with pytest.raises(ShapeError):
        golden_latents(model, np.zeros((1, 48), np.int16))  # type: ignore[arg-type]


def test_damaged_models_are_errors_not_crashes(model: bytes) -> None:
    frame = np.zeros((1, 48), np.int8)
    for length in (0, 7, 8, 100, len(model) // 2, len(model) - 4):
        with pytest.raises(KitError):
            golden_latents(model[:length], frame)


@pytest.mark.parametrize("op", ["SVDF", "WHILE", "CUSTOM", "HASHTABLE", "RSQRT"])
def test_operators_that_do_not_run_are_errors_not_crashes(model: bytes, op: str) -> None:
    with pytest.raises(GraphError, match=r"TensorFlow Lite Micro cannot run model [0-9a-f]{16}: .+"):
        golden_latents(with_operator(model, 1, op), np.zeros((1, 48), np.int8))


def test_missing_package_is_named(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "PACKAGE", "no_such_package")
    assert "not installed" in str(available())
    with pytest.raises(ToolchainError, match=r"no golden: .*x86-64"):
        golden_latents(model, np.zeros((1, 48), np.int8))
