"""Float training of the autoencoder: schedule, early stopping, resume and the files of a finished run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kit.config import Config
from kit.errors import TrainingError
from kit.model.autoencoder import RVQAutoencoder, build_autoencoder, save_model
from kit.model.basis import spread_latents
from kit.model.callbacks import Checkpoint, EarlyStopping, ProgressDisplay, Quantizer, stalled
from kit.model.rvq import FloatArray

RAMP_STEPS = 100
"""Steps over which the learning rate rises to its peak."""

START_STEPS = 400
"""Steps before quantization begins: the codebooks then start from latents that already carry the signal."""

REVIVAL_SHARE = 0.7
"""Share of the epochs after which unused entries are revived; the codebooks settle in the rest."""

CLIP_NORM = 1.0
"""Largest norm of the gradient over all variables: a rare bad batch at the peak learning rate does no harm."""

PROBE_BATCHES = 8
"""Training batches whose latents serve to start the codebooks and to revive entries."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a training went. ``best_epoch`` counts from 0; ``seconds`` include the calls before a resume."""

    best_epoch: int
    best_val_mse: float
    seconds: float
    epochs: int
    steps: int

    @property
    def best_val_prd(self) -> float:
        """Pooled PRD in percent of the best epoch on the validation frames."""
        return float(100.0 * np.sqrt(self.best_val_mse))

    @property
    def steps_per_second(self) -> float:
        """Training steps per second of the whole training, validation included."""
        return self.steps / max(self.seconds, 1e-9)


def checkpoint_folder(run_dir: Path) -> Path:
    """Where an unfinished training keeps its state."""
    return Path(run_dir) / "checkpoint"


def fingerprint(config: Config) -> str:
    """16 hex digits over everything that shapes a training, wherever the recordings are."""
    sections = config.model_dump(mode="json", include={"signal", "model", "data", "preprocess", "train"})
    sections["data"].pop("root")
    sections.update(config.training_input)
    return hashlib.sha256(json.dumps(sections, sort_keys=True).encode()).hexdigest()[:16]


def train(
    config: Config,
    train_batches: Callable[[int], Any],
    val_batches: Any,
    run_dir: Path,
    *,
    resume: bool = True,
) -> TrainResult:
    """Train and write ``autoencoder.keras``, ``encoder.keras``, ``history.csv`` and ``logs/`` into ``run_dir``.

    An interrupted training leaves ``checkpoint/`` behind; a second call continues after the last complete epoch and
    ends, on the same machine, with the very weights and history of an uninterrupted one.

    Args:
        config: sections signal, model and train are used.
        train_batches: function from step ``s`` to the endless tf.data.Dataset of the batches ``s``, ``s + 1``, ...:
            (input, target), float32 [B, T] each, in units of the frame's scale.
        val_batches: finite tf.data.Dataset of the same.
        run_dir: folder of the run.
        resume: False starts over and discards a checkpoint.

    Raises:
        TrainingError: no frames, a loss that is not a number, or a checkpoint of other settings.
    """
    run_dir = Path(run_dir)
    folder = checkpoint_folder(run_dir)
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    keras.utils.set_random_seed(config.train.seed)
    # Always the batches from step 0: a resumed training revives entries and turns the latents by the same frames.
    probe = _probe(config, train_batches(0), val_batches)
    autoencoder = build_autoencoder(config)
    autoencoder.compile(optimizer=_optimizer(config), jit_compile=False)
    autoencoder.optimizer.build(autoencoder.trainable_variables)
    autoencoder.rvq.active.assign(0.0)

    checkpoint = Checkpoint(folder, run_dir / "history.csv", fingerprint(config))
    done = checkpoint.restore(autoencoder)
    if not stalled(checkpoint.rows, _settled_epoch(config), config.train.early_stopping_epochs):
        batches = train_batches(done * config.train.steps_per_epoch)
        _fit(config, autoencoder, batches, val_batches, checkpoint, probe, done)

    if checkpoint.best_epoch < 0:
        raise TrainingError("no epoch reached a finite validation error", "lower train.learning_rate")
    checkpoint.load_best(autoencoder)
    spread_latents(autoencoder, probe)
    save_model(autoencoder, run_dir / "autoencoder.keras")
    save_model(autoencoder.encoder, run_dir / "encoder.keras")
    shutil.rmtree(folder, ignore_errors=True)
    epochs = len(checkpoint.rows)
    steps = epochs * config.train.steps_per_epoch
    return TrainResult(checkpoint.best_epoch, checkpoint.best_val_mse, checkpoint.seconds, epochs, steps)


def _optimizer(config: Config) -> Any:
    """Adam; the learning rate rises over a short ramp, then follows a cosine down to its final value."""
    steps = config.train.epochs * config.train.steps_per_epoch
    ramp = min(RAMP_STEPS, steps // 10)
    peak, final = config.train.learning_rate, config.train.final_learning_rate
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / (ramp + 1),
        decay_steps=steps - ramp,
        alpha=final / peak,
        warmup_target=peak,
        warmup_steps=ramp,
    )
    return keras.optimizers.Adam(schedule, global_clipnorm=CLIP_NORM)


def _probe(config: Config, train_batches: Any, val_batches: Any) -> FloatArray:
    """Clean training frames float32 [n, T] from the first batches; refuses data that cannot be trained on."""
    batches = [np.asarray(clean, np.float32) for _, clean in train_batches.take(PROBE_BATCHES)]
    fix = "check data.sources and data.gates"
    if not sum(len(batch) for batch in batches):
        raise TrainingError("there are no training frames", fix)
    if not any(len(clean) for _, clean in val_batches.take(1)):
        raise TrainingError("there are no validation frames", fix)
    probe = np.concatenate(batches)
    expected = config.signal.frame_samples
    if probe.ndim != 2 or probe.shape[1] != expected:
        raise TrainingError(f"training frames have shape {probe.shape[1:]}, not ({expected},)", fix)
    if not np.isfinite(probe).all():
        raise TrainingError("training frames hold values that are not finite", fix)
    return probe


def _start_step(config: Config) -> int:
    """Step at which quantization begins; early in a short training."""
    return min(START_STEPS, config.train.epochs * config.train.steps_per_epoch // 10)


def _settled_epoch(config: Config) -> int:
    """First epoch that quantizes from its first step: validation errors before it are not comparable."""
    return -(-_start_step(config) // config.train.steps_per_epoch)


def _fit(
    config: Config,
    autoencoder: RVQAutoencoder,
    train_batches: Any,
    val_batches: Any,
    checkpoint: Checkpoint,
    probe: FloatArray,
    done: int,
) -> None:
    """Run the remaining epochs."""
    settings = config.train
    display = ProgressDisplay(settings.epochs, settings.steps_per_epoch, done)
    callbacks = [
        Quantizer(probe, _start_step(config), int(REVIVAL_SHARE * settings.epochs), settings.seed),
        checkpoint,
        display,
        keras.callbacks.TensorBoard(str(checkpoint.history.parent / "logs"), write_graph=False),
        EarlyStopping(checkpoint.rows, _settled_epoch(config), settings.early_stopping_epochs),
    ]
    try:
        autoencoder.fit(
            train_batches,
            steps_per_epoch=settings.steps_per_epoch,
            epochs=settings.epochs,
            initial_epoch=done,
            validation_data=val_batches,
            shuffle=False,
            callbacks=callbacks,
            verbose=0,
        )
    finally:
        display.close()
