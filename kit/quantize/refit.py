"""The decoder learns what the device really sends.

Encoder and codebook are final; the INT8 encoder and the integer search emit somewhat other indices than their float
originals. The decoder's weights continue training on those indices, so that what is lost in quantization is regained
where it costs the device nothing. With them trains a codebook of the server's own: the device's entries are rounded to
few bits and chosen for its search, but what an index stands for on the server may be any float32 value.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError, TrainingError
from kit.graph.codebook import IntegerCodebook
from kit.server.executor import sum_entries

PEAK_RATE = 2e-3
FINAL_RATE = 1e-5
RAMP_STEPS = 50
VALIDATIONS = 10
"""How often the validation frames decide whether the weights are the best so far."""

VALIDATION_BATCH = 256

Progress = Callable[[int, int], None]
Latents = Callable[[NDArray[Any]], NDArray[np.float32]]
"""Latents float32[n, P, D] of indices [n, P, M]."""


@dataclass(frozen=True, slots=True, eq=False)
class RefitFrames:
    """Frames as the device sends them, and what the decoder should make of them.

    Attributes:
        indices: uint16[n, P, M] of the integer search.
        y: float32[n, T] in units of the frame's scale, neither rounded nor clamped; flat frames are left out.
    """

    indices: NDArray[np.uint16]
    y: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.indices.ndim != 3 or self.y.ndim != 2 or len(self.indices) != len(self.y):
            raise ShapeError(f"refit frames: indices {list(self.indices.shape)} do not match y {list(self.y.shape)}")


@dataclass(frozen=True, slots=True, eq=False)
class RefitResult:
    """How a refit went; PRD in percent, pooled over the validation frames.

    ``codebook`` is what goes with the decoder's best weights: float32[M, K, D], what each index of each level adds to
    the latents; None: the device's entries.
    """

    prd_before: float
    prd_after: float
    best_step: int
    steps: int
    train_frames: int
    validation_frames: int
    seconds: float
    codebook: NDArray[np.float32] | None


def refit_decoder(
    decoder: Any,
    codebook: IntegerCodebook,
    train: RefitFrames,
    validation: RefitFrames,
    *,
    steps: int,
    seed: int,
    batch: int = 64,
    with_codebook: bool = True,
    progress: Progress | None = None,
) -> RefitResult:
    """Train ``decoder`` in place; afterwards it holds the weights that did best on the validation frames.

    The loss is the mean squared error of frames of unit variance, so that it is the pooled PRD that falls. The weights
    that came in, on the device's entries, count as a candidate: the result is never worse than they are.

    Args:
        decoder: Keras model [B, 1, P, D] -> [B, 1, T, 1].
        codebook: the device's.
        train: training subjects' frames, n >= 1.
        validation: validation subjects' frames, n >= 1.
        steps: optimizer steps; 0 only measures.
        seed: of the order of frames.
        batch: frames of a step.
        with_codebook: train what each index stands for too, from the device's entries.
        progress: called with (steps done, steps in all).

    Raises:
        TrainingError: no frames, or an error that is not a number.
    """
    if not len(train.y) or not len(validation.y):
        raise TrainingError("there are no frames to refit the decoder on", "check data.sources and data.gates")
    started = time.monotonic()
    forward = _forward_function(decoder)
    before = _validation_prd(forward, codebook.dequantize, validation)
    best, best_step, best_weights, best_entries = before, 0, decoder.get_weights(), None
    if not math.isfinite(before):
        raise TrainingError("the decoder gives values that are not numbers", "train the autoencoder again")
    entries = _Entries(codebook) if with_codebook else None
    step_function = _step_function(decoder, entries)
    pause = max(1, steps // VALIDATIONS)
    for step, chosen in enumerate(frame_batches(len(train.y), steps, seed, batch), start=1):
        indices = train.indices[chosen]
        sent = codebook.dequantize(indices)[:, None] if entries is None else indices.astype(np.int32)
        rate = np.float32(cosine_rate(step - 1, steps, PEAK_RATE, FINAL_RATE))
        step_function(sent, train.y[chosen], rate)
        if step % pause == 0 or step == steps:
            now = None if entries is None else entries.values()
            prd = _validation_prd(forward, _latents(codebook, now), validation)
            if prd < best:
                best, best_step, best_weights, best_entries = prd, step, decoder.get_weights(), now
        if progress is not None:
            progress(step, steps)
    decoder.set_weights(best_weights)
    seconds = time.monotonic() - started
    return RefitResult(before, best, best_step, steps, len(train.y), len(validation.y), seconds, best_entries)


def validation_prd(
    decoder: Any, codebook: IntegerCodebook, frames: RefitFrames, entries: NDArray[np.float32] | None = None
) -> float:
    """Pooled PRD in percent of the Keras decoder on the device's indices; infinite without a frame.

    ``entries`` are those of :attr:`RefitResult.codebook`, ``codebook`` the device's.
    """
    return _validation_prd(_forward_function(decoder), _latents(codebook, entries), frames)


def _latents(codebook: IntegerCodebook, entries: NDArray[np.float32] | None) -> Latents:
    """Latents of indices as the server makes them of ``entries``, or else of the device's codebook."""
    return codebook.dequantize if entries is None else partial(sum_entries, entries)


def _validation_prd(forward: Callable[[Any], Any], latents_of: Latents, frames: RefitFrames) -> float:
    total, count = 0.0, 0
    for start in range(0, len(frames.y), VALIDATION_BATCH):
        y = frames.y[start : start + VALIDATION_BATCH].astype(np.float64)
        latents = latents_of(frames.indices[start : start + VALIDATION_BATCH])
        found = np.asarray(forward(latents[:, None]))
        variance = y.var(axis=1)
        kept = variance > 0
        total += float((np.square(found - y).mean(axis=1)[kept] / variance[kept]).sum())
        count += int(kept.sum())
    return 100.0 * math.sqrt(total / count) if count else math.inf


def _forward_function(decoder: Any) -> Callable[[Any], Any]:
    """Latents float32[B, 1, P, D] to frames float32[B, T], as one compiled graph."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def forward(latents: Any) -> Any:
        return decoder(latents, training=False)[:, 0, :, 0]

    return forward  # type: ignore[no-any-return]


class _Entries:
    """The server's entries while they train: a variable float32[M, K, D] that begins at those of the device."""

    def __init__(self, codebook: IntegerCodebook) -> None:
        import keras

        self.variable = keras.Variable(codebook.entry_values(), dtype="float32", name="codebook")

    def latents(self, indices: Any) -> Any:
        """int32[B, P, M] -> float32[B, 1, P, D], summed in the order of :func:`kit.server.executor.sum_entries`."""
        import tensorflow as tf

        books = tf.unstack(tf.convert_to_tensor(self.variable))
        total = tf.gather(books[0], indices[..., 0])
        for level, book in enumerate(books[1:], start=1):
            total += tf.gather(book, indices[..., level])
        return total[:, None]

    def values(self) -> NDArray[np.float32]:
        """A copy of the entries as they are now."""
        return np.asarray(self.variable, np.float32).copy()


def _step_function(decoder: Any, entries: _Entries | None) -> Callable[[Any, Any, Any], Any]:
    """One optimizer step on (what was sent, frames float32[B, T], learning rate).

    What was sent is latents float32[B, 1, P, D], or indices int32[B, P, M] where ``entries`` train too.
    """
    import keras
    import tensorflow as tf

    from kit.model.autoencoder import unit_variance_mse

    variables = [*decoder.trainable_variables, *([] if entries is None else [entries.variable])]
    optimizer = keras.optimizers.Adam(PEAK_RATE)
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(sent: Any, y: Any, rate: Any) -> Any:
        optimizer.learning_rate.assign(rate)
        with tf.GradientTape() as tape:
            latents = sent if entries is None else entries.latents(sent)
            found = decoder(latents, training=True)[:, 0, :, 0]
            loss = unit_variance_mse(y, found)
        # Dense, also of a gather: the moments of entries that no frame of the batch chose decay like all others.
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]
        optimizer.apply(gradients, variables)
        return loss

    return step  # type: ignore[no-any-return]


def cosine_rate(step: int, steps: int, peak: float, final: float) -> float:
    """Learning rate of a step: a short rise to ``peak``, then a cosine down to ``final``."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * step / steps))
    return (final + (peak - final) * cosine) * min(1.0, (step + 1) / RAMP_STEPS)


def frame_batches(count: int, steps: int, seed: int, batch: int) -> Iterator[NDArray[np.int64]]:
    """``steps`` batches of ``batch`` frame numbers each; every frame once before any is repeated."""
    random = np.random.default_rng(seed)
    order = np.empty(0, np.int64)
    for _ in range(steps):
        while len(order) < batch:
            order = np.concatenate([order, random.permutation(count)])
        yield order[:batch]
        order = order[batch:]
