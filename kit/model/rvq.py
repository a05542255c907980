"""Residual vector quantizer with trainable codebooks.

After SoundStream (Zeghidour et al., 2021) and VQ-VAE (van den Oord et al., 2017): each level quantizes what the levels
before it left over, gradients pass straight through, and the codebooks follow the gradient of the codebook loss.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError

FloatArray = NDArray[np.float32]

REVIVAL_SHARE = 0.05
"""An entry chosen less often than this share of the even share counts as unused."""


@keras.saving.register_keras_serializable(package="kit")
class ResidualVectorQuantizer(keras.layers.Layer):  # type: ignore[misc]
    """Nearest entry per level on the residual.

    Input and output are float32 [B, 1, P, D]. Adds ``codebook loss + beta * commitment loss``, averaged over levels,
    positions and channels, to the layer's losses. ``codebook`` is float32 [M, K, D]; ``usage`` float32 [M, K] counts
    how often an entry was chosen since :meth:`reset_usage`. While ``active`` is 0 (only at the start of a training)
    latents pass unquantized and without loss.
    """

    def __init__(self, levels: int, entries: int, channels: int, beta: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.levels, self.entries, self.channels, self.beta = levels, entries, channels, beta
        self.codebook = self.add_weight(
            shape=(levels, entries, channels),
            initializer=keras.initializers.RandomUniform(-1.0 / entries, 1.0 / entries),
            name="codebook",
        )
        self.usage = self.add_weight(shape=(levels, entries), initializer="zeros", trainable=False, name="usage")
        self.active = self.add_weight(shape=(), initializer="ones", trainable=False, name="active")

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        own = {"levels": self.levels, "entries": self.entries, "channels": self.channels, "beta": self.beta}
        return {**super().get_config(), **own}

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The output has the shape of the input."""
        return input_shape

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Quantized latents; gradients reach ``inputs`` unchanged."""
        ops = keras.ops
        flat = ops.reshape(inputs, (-1, self.channels))
        residual, loss = flat, 0.0
        counts = []
        for level in range(self.levels):
            entries = self.codebook[level]
            chosen = ops.one_hot(_nearest(ops.stop_gradient(residual), ops.stop_gradient(entries)), self.entries)
            picked = ops.matmul(chosen, entries)
            fixed = ops.stop_gradient(picked)
            loss += ops.mean(ops.square(ops.stop_gradient(residual) - picked))
            loss += self.beta * ops.mean(ops.square(residual - fixed))
            residual = residual - fixed
            counts.append(ops.sum(chosen, axis=0))
        self.add_loss(self.active * loss / self.levels)
        if training:
            self.usage.assign_add(self.active * ops.stack(counts))
        # Straight through: the value is the quantized latent, the gradient that of the latent itself.
        return inputs - self.active * ops.reshape(ops.stop_gradient(residual), ops.shape(inputs))

    def reset_usage(self) -> None:
        """Start a new count of chosen entries."""
        self.usage.assign(np.zeros((self.levels, self.entries), np.float32))

    def start(self, codebook: FloatArray) -> None:
        """Set the codebooks, float32 [M, K, D], and quantize from now on."""
        self.codebook.assign(codebook)
        self.active.assign(1.0)

    def indices(self, latents: FloatArray) -> NDArray[np.uint16]:
        """Chosen entries. latents: float32 [n, 1, P, D] or [n, P, D] -> uint16 [n, P, M]; ties take the lowest."""
        return nearest_indices(np.asarray(latents, np.float32), np.asarray(self.codebook))


def _nearest(residual: Any, entries: Any) -> Any:
    ops = keras.ops
    distance = ops.sum(ops.square(entries), axis=1) - 2.0 * ops.matmul(residual, ops.transpose(entries))
    return ops.argmin(distance, axis=1)


def nearest_indices(latents: FloatArray, codebook: FloatArray) -> NDArray[np.uint16]:
    """Residual search in float. latents: [..., P, D], n frames; codebook: [M, K, D] -> uint16 [n, P, M].

    Raises:
        ShapeError: the channels of latents and codebook differ.
    """
    if latents.shape[-1] != codebook.shape[-1]:
        raise ShapeError(
            f"latents have {latents.shape[-1]} channels, the codebook {codebook.shape[-1]}", "use files of one build"
        )
    positions = latents.shape[-2]
    residual = latents.reshape(-1, latents.shape[-1])
    found = []
    for entries in codebook:
        index = np.argmin(_distances(residual, entries), axis=1)
        residual = residual - entries[index]
        found.append(index.reshape(-1, positions))
    return np.stack(found, axis=-1).astype(np.uint16)


def perplexity(usage: NDArray[Any]) -> NDArray[np.float64]:
    """Effective number of entries, exp of the entropy of the choice. usage: counts [M, K] -> float64 [M], 1..K."""
    counts = np.asarray(usage, np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    entropy = -np.sum(share * np.log(np.where(share > 0.0, share, 1.0)), axis=1)
    return np.asarray(np.exp(entropy))


def initial_codebook(latents: FloatArray, levels: int, entries: int, seed: int) -> FloatArray:
    """Codebooks by k-means on the residuals, level by level.

    Args:
        latents: float32 [n, D], n >= 1; fewer vectors than entries are repeated with a small jitter.
        levels: M.
        entries: K.
        seed: of the choice of starting vectors.

    Returns:
        float32 [M, K, D].
    """
    generator = np.random.default_rng(seed)
    residual = latents.astype(np.float32)
    books = []
    for _ in range(levels):
        book = _kmeans(residual, entries, generator)
        books.append(book)
        residual = residual - book[np.argmin(_distances(residual, book), axis=1)]
    return np.stack(books)


def revived(
    codebook: FloatArray, usage: NDArray[Any], latents: FloatArray, generator: np.random.Generator
) -> FloatArray:
    """Codebooks whose hardly used entries are moved to where residuals are.

    Args:
        codebook: float32 [M, K, D].
        usage: how often each entry was chosen, [M, K]; those below ``REVIVAL_SHARE / K`` of their level are replaced.
        latents: float32 [n, D], from which (level 0) or from whose residuals (later levels) the new entries are drawn.
        generator: source of the draw.

    Returns:
        float32 [M, K, D]; the argument is unchanged.
    """
    books, residual = codebook.copy(), latents
    for book, counts in zip(books, np.asarray(usage), strict=True):
        unused = np.flatnonzero(counts < REVIVAL_SHARE / len(book) * counts.sum())
        book[unused] = residual[generator.choice(len(residual), len(unused))]
        residual = residual - book[np.argmin(_distances(residual, book), axis=1)]
    return books


def _distances(points: FloatArray, book: FloatArray) -> FloatArray:
    return np.asarray(np.sum(book**2, axis=1) - 2.0 * points @ book.T)


def _kmeans(points: FloatArray, entries: int, generator: np.random.Generator, rounds: int = 10) -> FloatArray:
    """Lloyd's algorithm from sampled points; an empty cell takes a random point."""
    spread = float(points.std()) + 1e-6
    pick = generator.choice(len(points), entries, replace=len(points) < entries)
    book = points[pick] + generator.normal(0.0, 1e-3 * spread, (entries, points.shape[1])).astype(np.float32)
    for _ in range(rounds):
        nearest = np.argmin(_distances(points, book), axis=1)
        count = np.bincount(nearest, minlength=entries)
        total = np.zeros_like(book)
        np.add.at(total, nearest, points)
        empty = count == 0
        total[empty] = points[generator.choice(len(points), int(empty.sum()))]
        book = (total / np.maximum(count, 1)[:, None]).astype(np.float32)
    return book
