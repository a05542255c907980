"""Training: it learns, it can be interrupted, and it refuses what cannot work."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import need_package

tf = need_package("tensorflow")

import keras
from rich.console import Console

from kit.config import Config, parse_config
from kit.data import build_dataset
from kit.data.batches import training_batches, validation_batches
from kit.errors import TrainingError
from kit.model.autoencoder import codebooks, load_autoencoder
from kit.model.callbacks import Checkpoint, ProgressDisplay, stalled
from kit.model.training import fingerprint, train

FRAME = 64


def tiny(**changes: object) -> Config:
    settings = {"batch_size": 16, "epochs": 4, "steps_per_epoch": 12, "learning_rate": 1e-2, **changes}
    return parse_config(
        {
            "name": "tiny",
            "signal": {"frame_samples": FRAME},
            "model": {"embedding_dim": 4, "latent_width": 16, "num_stages": 2, "base_filters": 4},
            "train": settings,
        }
    )


def sines(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cycles, phase = rng.uniform(1.0, 3.0, (count, 1)), rng.uniform(0.0, 2 * math.pi, (count, 1))
    frames = np.sin(2 * math.pi * cycles * np.arange(FRAME) / FRAME + phase)
    frames -= frames.mean(axis=1, keepdims=True)
    return (frames / frames.std(axis=1, keepdims=True)).astype(np.float32)


def batches(count: int, seed: int) -> Any:
    x = sines(count, seed)
    return tf.data.Dataset.from_tensor_slices((x, x)).batch(16)


def endless(data: Any) -> Callable[[int], Any]:
    return lambda step: data.repeat().skip(step)


def run(config: Config, folder: Path, validation: Any = None, **options: Any) -> Any:
    return train(config, endless(batches(160, 1)), validation or batches(40, 2), folder, **options)


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(newline="") as stream:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]


PLAIN_VAL_MSE = [0.342186, 0.142249, 0.112934, 0.105284]
"""History of the run below before there was any option of quantizer or decoder; other machines round otherwise."""


def test_learns_and_leaves_a_complete_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(tiny(), tmp_path)
    history = rows(tmp_path)
    assert [row["epoch"] for row in history] == [0, 1, 2, 3] and result.epochs == 4
    assert [row["quantized"] for row in history] == [1, 1, 1, 1]
    assert history[-1]["val_mse"] < 0.7 * history[0]["val_mse"]
    assert [row["val_mse"] for row in history] == pytest.approx(PLAIN_VAL_MSE, rel=0.05)
    columns = {"loss", "mse", "rvq_loss", "val_loss", "val_mse", "val_prd", "quantized", "learning_rate"}
    columns |= {f"{kind}_{level}" for kind in ("perplexity", "entries_used", "val_entropy") for level in (0, 1)}
    assert columns <= set(history[0])
    assert 1.0 < history[-1]["perplexity_0"] <= 16.0 and 0.0 < history[-1]["val_entropy_1"] <= 4.0
    assert history[-1]["learning_rate"] < history[1]["learning_rate"]
    assert result.steps == 48 and result.steps_per_second == pytest.approx(48 / result.seconds)
    assert result.best_val_mse == pytest.approx(min(row["val_mse"] for row in history))
    assert history[result.best_epoch]["val_prd"] == pytest.approx(result.best_val_prd)
    assert not (tmp_path / "checkpoint").exists() and any((tmp_path / "logs").rglob("events*"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"epoch {i}/4" for i in (1, 2, 3, 4)]

    autoencoder = load_autoencoder(tmp_path / "autoencoder.keras")
    assert codebooks(autoencoder).shape == (2, 16, 4)
    x = sines(40, 2)
    mse = np.mean((autoencoder.predict(x, verbose=0) - x) ** 2)
    assert mse == pytest.approx(result.best_val_mse, rel=1e-3)
    encoder = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(
        encoder.predict(x[:, None, :, None], verbose=0), autoencoder.encoder.predict(x[:, None, :, None], verbose=0)
    )


class StopAfter(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == self.step:
            raise KeyboardInterrupt


def interrupt(monkeypatch: pytest.MonkeyPatch, config: Config, folder: Path, step: int, validation: Any = None) -> None:
    fit = keras.Model.fit

    def interrupted(self: Any, *args: Any, callbacks: Any, **options: Any) -> Any:
        return fit(self, *args, callbacks=[*callbacks, StopAfter(step)], **options)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(config, folder, validation)


def test_resume_continues_at_the_right_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, tiny(), tmp_path, step=30)
    before = rows(tmp_path)
    assert len(before) == 2 and (tmp_path / "checkpoint").is_dir()
    rate = before[1]["learning_rate"]
    result = run(tiny(), tmp_path)
    history = rows(tmp_path)
    assert [row["epoch"] for row in history] == [0, 1, 2, 3] and history[:2] == before
    assert result.epochs == 4 and history[2]["learning_rate"] < rate
    assert history[3]["val_mse"] < before[0]["val_mse"]
    assert not (tmp_path / "checkpoint").exists()


def test_checkpoint_of_other_settings_is_refused_or_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, tiny(epochs=2, steps_per_epoch=6), tmp_path, step=7)
    other = tiny(epochs=2, steps_per_epoch=6, learning_rate=5e-3)
    with pytest.raises(TrainingError, match="other settings"):
        run(other, tmp_path)
    assert run(other, tmp_path, resume=False).epochs == 2


def test_damaged_checkpoint_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, tiny(epochs=2, steps_per_epoch=6), tmp_path, step=7)
    (tmp_path / "checkpoint" / "state1.weights.h5").write_bytes(b"no weights")
    with pytest.raises(TrainingError, match="damaged"):
        run(tiny(epochs=2, steps_per_epoch=6), tmp_path)


def test_same_seed_same_weights(tmp_path: Path) -> None:
    config = tiny(epochs=1, steps_per_epoch=6)
    run(config, tmp_path / "a")
    run(config, tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b")


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "history.csv").read_bytes() == (other / "history.csv").read_bytes()
    first, second = (load_autoencoder(folder / "autoencoder.keras") for folder in (one, other))
    for left, right in zip(first.weights, second.weights, strict=True):
        assert np.asarray(left).tobytes() == np.asarray(right).tobytes(), left.path


@pytest.mark.parametrize(
    "options", [{}, {"codebook": "ema", "level_dropout": 0.4, "rate_weight": 0.05}, {"rate_bits": 5.0}], ids=str
)
def test_interrupted_and_resumed_is_the_uninterrupted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    # Quantization begins with epoch 1, entries are revived up to epoch 6.
    config = tiny(epochs=10, steps_per_epoch=4, **options)
    run(config, tmp_path / "a")
    for step in (5, 15):
        interrupt(monkeypatch, config, tmp_path / "b", step)
    write_history = Checkpoint._write_history

    def interrupted(self: Checkpoint) -> None:
        write_history(self)
        if len(self.rows) == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "_write_history", interrupted)
        run(config, tmp_path / "b")
    run(config, tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_resume_with_augmentation_and_batches_computed_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    augment = {"time_warp": 0.2, "beat_scale": 0.3, "baseline_wander": 0.5, "motion": 0.5}
    raw = tiny(epochs=3, steps_per_epoch=4, codebook="ema").model_dump(mode="json")
    source = {"type": "synthetic", "subjects": 4, "seconds_per_subject": 20}
    config = parse_config({**raw, "data": {"sources": [source]}, "preprocess": {"augment": augment}})
    dataset = build_dataset(config)

    def go(folder: Path) -> None:
        train(config, partial(training_batches, dataset, config), validation_batches(dataset, config), folder)

    go(tmp_path / "a")
    fit = keras.Model.fit

    def interrupted(self: Any, *args: Any, callbacks: Any, **options: Any) -> Any:
        return fit(self, *args, callbacks=[*callbacks, StopAfter(6)], **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(keras.Model, "fit", interrupted)
        go(tmp_path / "b")
    go(tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b")


def worsening() -> Any:
    x = sines(16, 2)
    return tf.data.Dataset.from_tensor_slices((x, -x)).batch(16)


def test_stops_early_and_counts_the_epochs_before_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(epochs=8, steps_per_epoch=4, early_stopping_epochs=2)
    result = run(config, tmp_path / "a", worsening())
    assert 2 < result.epochs < 8 and result.best_epoch == result.epochs - 3
    interrupt(monkeypatch, config, tmp_path / "b", 4 * result.epochs - 2, worsening())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "load_best", stop_here)
        run(config, tmp_path / "b", worsening())
    run(config, tmp_path / "b", worsening())
    assert_same_run(tmp_path / "a", tmp_path / "b")


def stop_here(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("errors", "expected"),
    [([], False), ([5, 4], False), ([1, 1, 4, 3, 4], False), ([1, 1, 3, 4, 3], True), ([1, 1, 3, 2, 2, 2], True)],
)
def test_stalled(errors: list[int], expected: bool) -> None:
    assert stalled([{"val_mse": error} for error in errors], first=2, patience=2) is expected


def test_stalled_counts_the_error_at_the_bits_asked_for() -> None:
    dear = {"val_mse": 1.0, "val_mse_at_rate": 4.0}
    assert not stalled([dear, {"val_mse": 2.0, "val_mse_at_rate": 2.0}], first=0, patience=1)
    assert stalled([dear, {"val_mse": 2.0, "val_mse_at_rate": 5.0}], first=0, patience=1)


def test_best_epoch_is_that_of_the_least_error_at_the_bits_asked_for(tmp_path: Path) -> None:
    result = run(tiny(rate_bits=3.0), tmp_path)
    history = rows(tmp_path)
    for row in history:
        surplus = row["val_entropy_0"] + row["val_entropy_1"] - 3.0
        assert row["val_mse_at_rate"] == pytest.approx(row["val_mse"] * 4.0 ** (surplus / 4))
    errors = [row["val_mse_at_rate"] for row in history]
    assert errors[result.best_epoch] == min(errors)
    assert result.best_val_mse == pytest.approx(history[result.best_epoch]["val_mse"])


def test_refuses_no_frames_and_wrong_frames(tmp_path: Path) -> None:
    empty = batches(16, 1).take(0)
    with pytest.raises(TrainingError, match="no training frames"):
        train(tiny(), endless(empty), batches(16, 2), tmp_path)
    with pytest.raises(TrainingError, match="no validation frames"):
        train(tiny(), endless(batches(16, 1)), empty, tmp_path)
    short = tf.data.Dataset.from_tensor_slices((np.ones((16, 32), np.float32),) * 2).batch(16)
    with pytest.raises(TrainingError, match="shape"):
        train(tiny(), endless(short), batches(16, 2), tmp_path)


def test_a_loss_that_is_not_a_number_stops_training(tmp_path: Path) -> None:
    x = np.concatenate([sines(128, 1), np.full((32, FRAME), np.nan, np.float32)])
    bad = tf.data.Dataset.from_tensor_slices((x, x)).batch(16)
    with pytest.raises(TrainingError, match="loss is nan"):
        train(tiny(), endless(bad), batches(16, 2), tmp_path)


def test_progress_bar_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    display = ProgressDisplay(epochs=2, steps_per_epoch=2, done=1, console=console)
    display.on_train_begin()
    display.on_epoch_begin(1)
    display.on_train_batch_end(0, {"loss": 0.5})
    display.on_epoch_end(1, {"loss": 0.5, "val_mse": 0.25, "val_prd": 50.0})
    display.on_train_batch_end(1, {"loss": 0.5})
    display.close()
    display.close()
    drawn = console.file.getvalue()
    assert "val_mse 0.250000" in drawn and "4/4" in drawn and "steps/s" in drawn


def test_fingerprint_covers_the_settings_but_not_the_place() -> None:
    config = tiny()
    moved = config.model_copy(update={"data": config.data.model_copy(update={"root": "elsewhere"})})
    assert fingerprint(moved) == fingerprint(config) != fingerprint(tiny(seed=2))


def test_fingerprint_knows_how_an_input_that_training_sees_is_rounded() -> None:
    def with_shaping(shaping: str, rounded: bool, remainder_bits: int = 0) -> str:
        config = tiny()
        settings = {"input_shaping": shaping, "input_remainder_bits": remainder_bits}
        quantize = config.quantize.model_copy(update=settings)
        preprocess = config.preprocess.model_copy(update={"rounded_input": rounded})
        return fingerprint(config.model_copy(update={"quantize": quantize, "preprocess": preprocess}))

    assert with_shaping("none", False) == with_shaping("first", False) == with_shaping("none", False, 2)
    assert len({with_shaping("none", True), with_shaping("first", True), with_shaping("none", False)}) == 3
    assert len({with_shaping("first", True, bits) for bits in (0, 2, 3)}) == 3
