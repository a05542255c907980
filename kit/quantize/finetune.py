"""Quantization-aware fine-tuning: encoder, codebooks and decoder train through the integers of the device.

The encoder computes what the device will (:class:`~kit.quantize.fake_quant.FakeQuantEncoder`), with gradients that pass
its roundings by. Batch normalisation is folded in beforehand and scales stay as calibrated, so that the integers of the
trained encoder are what was trained, not a rounding of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError, TrainingError
from kit.quantize.chain import QuantChain
from kit.quantize.fake_quant import FakeQuantEncoder
from kit.quantize.refit import cosine_rate, frame_batches

FINAL_RATE = 1e-6
CLIP_NORM = 1.0
VALIDATIONS = 8
BATCH = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class TuneFrames:
    """Frames as the device's encoder reads them, and what they are of.

    Attributes:
        y: float32[n, T] in units of the frame's scale, neither rounded nor clamped.
        frames: int8[n, T] or [n, T, 2], normalised by the device.
    """

    y: NDArray[np.float32]
    frames: NDArray[np.int8]

    def __post_init__(self) -> None:
        shape = self.frames.shape[: self.y.ndim]
        if self.y.shape != shape or self.y.ndim != 2 or self.frames.ndim > 3 or self.frames.dtype != np.int8:
            raise ShapeError(f"y {list(self.y.shape)} does not match frames {self.frames.dtype}{self.frames.shape}")


@dataclass(frozen=True, slots=True)
class TuneResult:
    """How a fine-tuning went; PRD in percent, pooled over the validation frames, float search."""

    prd_before: float
    prd_after: float
    best_step: int
    steps: int


def finetune(
    chain: QuantChain,
    rvq: Any,
    decoder: Any,
    train: TuneFrames,
    validation: TuneFrames,
    *,
    steps: int,
    seed: int,
    peak_rate: float = 5e-4,
    batch: int = 64,
    progress: Progress | None = None,
) -> tuple[QuantChain, TuneResult]:
    """Train a quantized encoder with its codebooks and decoder.

    Args:
        chain: the calibrated encoder.
        rvq: :class:`~kit.model.rvq.ResidualVectorQuantizer` in the latents' basis; trained in place, as in the float
            training.
        decoder: Keras model of the same latents; trained in place.
        train: training subjects' frames.
        validation: validation subjects' frames; they decide which weights are kept, the first ones included.
        steps: optimizer steps.
        seed: of the order of frames.
        peak_rate: largest learning rate.
        batch: frames of a step.
        progress: called with (steps done, steps in all).

    Returns:
        the trained chain; ``rvq`` and ``decoder`` hold the weights that go with it.

    Raises:
        TrainingError: no frames, or values that are not numbers.
    """
    if not len(train.y) or not len(validation.y):
        raise TrainingError("there are no frames to fine-tune on", "check data.sources and data.gates")
    encoder = FakeQuantEncoder(chain)
    parts = (encoder, rvq, decoder)
    step_function, forward = _functions(encoder, rvq, decoder, chain.input_scale)
    before = _prd(forward, validation)
    if not math.isfinite(before):
        raise TrainingError("the autoencoder gives values that are not numbers", "train the autoencoder again")
    best, best_step, kept = before, 0, [part.get_weights() for part in parts]
    pause = max(1, steps // VALIDATIONS)
    for step, chosen in enumerate(frame_batches(len(train.y), steps, seed, batch), start=1):
        rate = np.float32(cosine_rate(step - 1, steps, peak_rate, FINAL_RATE))
        step_function(train.frames[chosen].astype(np.float32), train.y[chosen], rate)
        if step % pause == 0 or step == steps:
            prd = _prd(forward, validation)
            if prd < best:
                best, best_step, kept = prd, step, [part.get_weights() for part in parts]
        if progress is not None:
            progress(step, steps)
    for part, weights in zip(parts, kept, strict=True):
        part.set_weights(weights)
    return encoder.quantized(), TuneResult(before, best, best_step, steps)


def _functions(encoder: Any, rvq: Any, decoder: Any, scale: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(one optimizer step, reconstruction), both on INT8 frames as float32[B, T] or [B, T, 2], as compiled graphs."""
    import keras
    import tensorflow as tf

    from kit.model.autoencoder import unit_variance_mse

    variables = [*encoder.trainable_variables, *rvq.trainable_variables, *decoder.trainable_variables]
    optimizer = keras.optimizers.Adam(FINAL_RATE, global_clipnorm=CLIP_NORM)
    optimizer.build(variables)

    def reconstruct(frames: Any, training: bool) -> Any:
        latents = rvq(encoder(frames * np.float32(scale)), training=training)
        return decoder(latents, training=training)[:, 0, :, 0]

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(frames: Any, y: Any, rate: Any) -> Any:
        optimizer.learning_rate.assign(rate)
        with tf.GradientTape() as tape:
            loss = unit_variance_mse(y, reconstruct(frames, True)) + sum(rvq.losses)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def forward(frames: Any) -> Any:
        return reconstruct(frames, False)

    return step, forward


def _prd(forward: Callable[..., Any], validation: TuneFrames) -> float:
    """Pooled PRD in percent."""
    total, count = 0.0, 0
    for start in range(0, len(validation.y), BATCH):
        y = validation.y[start : start + BATCH].astype(np.float64)
        found = np.asarray(forward(validation.frames[start : start + BATCH].astype(np.float32)))
        variance = y.var(axis=1)
        moving = variance > 0
        total += float((np.square(found - y).mean(axis=1)[moving] / variance[moving]).sum())
        count += int(moving.sum())
    return 100.0 * math.sqrt(total / count) if count else math.inf
