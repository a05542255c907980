"""What happens around the training steps: quantizer care, checkpoints, history and the progress display."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kit.errors import TrainingError
from kit.files import atomic_write_text, read_json, write_json
from kit.model.rvq import FloatArray, entropy_bits, initial_codebook, perplexity

BEST_WEIGHTS, STATE = "best.weights.h5", "state.json"
STATE_WEIGHTS = ("state0.weights.h5", "state1.weights.h5")
"""Weights after an even and after an odd number of epochs: those that the state file means outlive the next ones."""

Logs = dict[str, Any]


def judged_error(logs: Logs) -> float:
    """What epochs are compared by: ``val_mse``; where the price of a bit is steered, ``val_mse_at_rate``.

    While prices move, an early epoch has a small error for the bits that it takes too much. ``val_mse_at_rate`` is the
    error at the bits that are wanted, by the slope of fine quantization: a factor of four for a bit in every channel.
    """
    return float(logs["val_mse_at_rate"] if "val_mse_at_rate" in logs else logs["val_mse"])


class Quantizer(keras.callbacks.Callback):  # type: ignore[misc]
    """Starts the codebooks, revives unused entries and reports how the codebooks are used.

    Args:
        probe: float32 [n, T], training frames whose latents stand for all others.
        start_step: step at which the codebooks are set by k-means and quantization begins.
        last_revival: epochs from this one on are left alone, so that the codebooks settle.
        seed: of every random choice; each epoch has its own stream, which a resumed training repeats.
    """

    def __init__(self, probe: FloatArray, start_step: int, last_revival: int, seed: int) -> None:
        super().__init__()
        self.probe, self.start_step, self.last_revival, self.seed = probe, start_step, last_revival, seed
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """A new count of chosen entries."""
        self.epoch = epoch
        self.model.rvq.reset_usage()

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """The start, once."""
        rvq = self.model.rvq
        if not float(rvq.active) and int(self.model.optimizer.iterations) >= self.start_step:
            rvq.start(initial_codebook(self._latents(), rvq.levels, rvq.entries, self.seed))

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Stop at once where the loss is not a number."""
        if logs and not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss is {logs['loss']} at step {int(self.model.optimizer.iterations)}",
                "lower train.learning_rate",
            )

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """A new count of the entries that validation frames choose."""
        self.model.rvq.reset_choices()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Usage, perplexity and entropy into the history; unused entries back to life."""
        rvq = self.model.rvq
        usage = np.asarray(rvq.usage)
        if logs is not None:
            logs["quantized"] = int(rvq.active)
            logs["val_prd"] = 100.0 * math.sqrt(logs["val_mse"])
            for level, value in enumerate(perplexity(usage)):
                logs[f"perplexity_{level}"] = float(value)
                logs[f"entries_used_{level}"] = int(np.count_nonzero(usage[level]))
            for level, bits in enumerate(entropy_bits(np.asarray(rvq.choices))):
                logs[f"val_entropy_{level}"] = float(bits)
            if rvq.rate_bits:
                surplus = sum(logs[f"val_entropy_{level}"] for level in range(rvq.levels)) - rvq.rate_bits
                logs["val_mse_at_rate"] = logs["val_mse"] * 4.0 ** (surplus / rvq.channels)
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        if float(rvq.active) and epoch < self.last_revival:
            generator = np.random.default_rng((self.seed, epoch))
            rvq.revive(self._latents(), generator)

    def _latents(self) -> FloatArray:
        latents = self.model.encoder.predict(self.probe[:, None, :, None], batch_size=64, verbose=0)
        return np.asarray(latents, np.float32).reshape(-1, latents.shape[-1])


class Checkpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: history.csv, the best weights (:func:`judged_error`), and what a later call continues from.

    Args:
        folder: where weights and state go.
        history: path of history.csv.
        fingerprint: identifies the settings; another one cannot be continued.
    """

    def __init__(self, folder: Path, history: Path, fingerprint: str) -> None:
        super().__init__()
        self.folder, self.history, self.fingerprint = folder, history, fingerprint
        self.rows: list[Logs] = []
        self.best_epoch, self.best_val_mse, self.least_error, self.seconds_before = -1, math.inf, math.inf, 0.0
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time so far, over all calls."""
        return self.seconds_before + time.monotonic() - self.started

    def restore(self, model: Any) -> int:
        """Load the last complete epoch, if there is one, and return the number of epochs done.

        Raises:
            TrainingError: the checkpoint belongs to other settings or is damaged.
        """
        if not (self.folder / STATE).is_file():
            return 0
        state = read_json(self.folder / STATE)
        fix = f"delete {self.folder} or train from the start with --no-resume"
        if state.get("fingerprint") != self.fingerprint:
            raise TrainingError(f"the checkpoint in {self.folder} belongs to other settings", fix)
        try:
            model.load_weights(self.folder / _state_weights(state["rows"]))
        except Exception as error:
            raise TrainingError(f"the checkpoint in {self.folder} is damaged ({type(error).__name__})", fix) from None
        self.rows = state["rows"]
        self.best_epoch, self.best_val_mse = state["best_epoch"], state["best_val_mse"]
        self.least_error = state.get("least_error", self.best_val_mse)
        self.seconds_before = state["seconds"]
        return len(self.rows)

    def load_best(self, model: Any) -> None:
        """Weights of the best epoch into ``model``."""
        model.load_weights(self.folder / BEST_WEIGHTS)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write everything; the state file comes last and makes the epoch count."""
        logs = logs or {}
        self.rows.append({"epoch": epoch, **{key: logs[key] for key in sorted(logs)}})
        if logs["quantized"] and judged_error(logs) < self.least_error:
            self.best_epoch, self.best_val_mse = epoch, float(logs["val_mse"])
            self.least_error = judged_error(logs)
            self._save(BEST_WEIGHTS)
        self._save(_state_weights(self.rows))
        self._write_history()
        write_json(
            self.folder / STATE,
            {
                "best_epoch": self.best_epoch,
                "best_val_mse": self.best_val_mse,
                "fingerprint": self.fingerprint,
                "least_error": self.least_error,
                "rows": self.rows,
                "seconds": self.seconds,
            },
        )

    def _save(self, name: str) -> None:
        # Keras insists on the ending .weights.h5, which kit.files.atomic_path does not keep.
        temporary = self.folder / f".new.{name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.model.save_weights(temporary, overwrite=True)
            os.replace(temporary, self.folder / name)
        except OSError as error:
            reason = error.strerror or str(error)
            raise TrainingError(f"cannot write {self.folder / name}: {reason}", "free some space") from None

    def _write_history(self) -> None:
        text = io.StringIO()
        columns = ["epoch", *sorted(self.rows[0].keys() - {"epoch"})]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        atomic_write_text(self.history, text.getvalue())


def _state_weights(rows: list[Logs]) -> str:
    return STATE_WEIGHTS[len(rows) % 2]


def stalled(rows: list[Logs], first: int, patience: int) -> bool:
    """Whether the last ``patience`` epochs or more brought no smaller error (:func:`judged_error`).

    Args:
        rows: the history from epoch 0 on.
        first: epochs before this one do not count.
        patience: at least 1.
    """
    errors = [judged_error(row) for row in rows[first:]]
    return bool(errors) and len(errors) - 1 - errors.index(min(errors)) >= patience


class EarlyStopping(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a training that has stalled; unlike Keras' own, it counts the epochs before a resume.

    Args:
        rows: the history, which a :class:`Checkpoint` called before this one extends.
        first: see :func:`stalled`.
        patience: see :func:`stalled`.
    """

    def __init__(self, rows: list[Logs], first: int, patience: int) -> None:
        super().__init__()
        self.rows, self.first, self.patience = rows, first, patience

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Stop or go on."""
        if stalled(self.rows, self.first, self.patience):
            self.model.stop_training = True


class ProgressDisplay(keras.callbacks.Callback):  # type: ignore[misc]
    """A rich progress bar on a terminal, one plain line per epoch elsewhere.

    Args:
        epochs: of the whole training.
        steps_per_epoch: training steps per epoch.
        done: epochs that an earlier call has behind it.
        console: where to draw; standard output without it.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, done: int, console: Console | None = None) -> None:
        super().__init__()
        self.epochs, self.steps, self.done = epochs, steps_per_epoch, done
        self.console = console or Console(file=sys.stdout)
        self.progress: Progress | None = None
        self.task: Any = None
        self.val_text = ""
        self.epoch_began = 0.0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Show the bar."""
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self.progress = Progress(*columns, console=self.console)
            self.progress.start()
            total = self.epochs * self.steps
            self.task = self.progress.add_task("training", total=total, completed=self.done * self.steps)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Take the time."""
        self.epoch_began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Move the bar."""
        if self.progress is not None and logs:
            rate = (batch + 1) / max(time.monotonic() - self.epoch_began, 1e-9)
            text = f"epoch loss {logs['loss']:.5f} {self.val_text} {rate:.1f} steps/s"
            self.progress.update(self.task, advance=1, description=text)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Say how the epoch went."""
        logs = logs or {}
        rate = self.steps / max(time.monotonic() - self.epoch_began, 1e-9)
        self.val_text = f"val_mse {logs['val_mse']:.6f}"
        if self.progress is None:
            print(
                f"epoch {epoch + 1}/{self.epochs}  loss {logs['loss']:.5f}  {self.val_text}  "
                f"val PRD {logs['val_prd']:.2f} %  {rate:.1f} steps/s",
                flush=True,
            )

    def close(self) -> None:
        """Release the terminal; safe to call twice."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
