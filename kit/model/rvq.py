"""Residual vector quantizer with trainable codebooks.

After SoundStream (Zeghidour et al., 2021) and VQ-VAE (van den Oord et al., 2017): each level quantizes what the levels
before it left over and gradients pass straight through. Codebooks follow the gradient of the codebook loss, or are
moving averages of the latents they stand for (van den Oord et al., appendix A). Levels can be left out at random, so
that the first ones carry as much as they can (SoundStream's quantizer dropout), and rare entries can be priced by the
bits that an entropy coder would spend on them (entropy-constrained vector quantization: Chou et al., 1989). The search
takes the nearest entry level by level, or keeps several choices and decides behind the last level (NUMERICS.md 4.8).
"""

from __future__ import annotations

from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.reference.rvq import beam_indices

FloatArray = NDArray[np.float32]

REVIVAL_SHARE = 0.05
"""An entry chosen less often than this share of the even share counts as unused."""

SMOOTHING = 1e-5
"""Laplace smoothing of the moving averages' counts, in latents per step."""

RARE_SHARE = 0.01
"""Least share, of the even share, that the price of an entry is reckoned with: none becomes unaffordable for good."""

FIRST_PRICE = 0.05
"""A price that is steered begins at this, in mean distortions."""

STEERING_GAIN, STEERING_MAX = 1e-3, 2.0
"""What a bit too much adds to the logarithm of the price in a step of training, and how many bits count at most."""

SETTLING_ROUNDS, STEERED_ROUNDS = 6, 40
"""Repetitions until prices settle on given latents; until they are steered there."""


def steered(price: float, surplus: float) -> float:
    """The next price of a bit on given latents whose indices take ``surplus`` bits too many."""
    return price * float(np.exp(np.clip(0.15 * surplus, -0.3, 0.3)))


@keras.saving.register_keras_serializable(package="kit")
class ResidualVectorQuantizer(keras.layers.Layer):  # type: ignore[misc]
    """Nearest entry per level on the residual, or the choice of an M-best search.

    Input and output are float32 [B, 1, P, D]. ``codebook`` is float32 [M, K, D]; ``usage`` float32 [M, K] counts how
    often an entry was chosen in training since :meth:`reset_usage`, ``choices`` the same outside of training. While
    ``active`` is 0 (only at the start of a training) latents pass unquantized and without loss.

    Adds ``codebook loss + beta * commitment loss``, averaged over levels, positions and channels, to the layer's
    losses; the codebook loss only where codebooks follow the gradient.

    Args:
        levels: M.
        entries: K.
        channels: D.
        beta: weight of the commitment loss.
        update: ``gradient``, or ``ema``: ``ema_count`` float32 [M, K] and ``ema_sum`` float32 [M, K, D] are moving
            averages of how many latents an entry got per step and of their sum; the entry is their quotient.
        decay: what a training step leaves of a moving average, 0 .. 1.
        level_dropout: probability that a training frame passes the first m < M levels only, m uniform in 1 .. M - 1.
        rate_weight: price of a bit in mean distortions of the level, of the last one with a beam; above 0, ``share``
            float32 [M, K] and ``distortion`` float32 [M] are the moving averages that prices come from.
        rate_bits: in the place of rate_weight, bits of a position (entropy of its indices, all levels together): the
            price of a bit, ``bit_price`` float32 in squared latent units, is steered until they are reached.
        beam: choices that a level leaves to the next; 1: the nearest entry alone.
        seed: of the level dropout, whose stream ``draws`` (saved with the weights) continues after a resume.
    """

    def __init__(
        self,
        levels: int,
        entries: int,
        channels: int,
        beta: float,
        *,
        update: Literal["gradient", "ema"] = "gradient",
        decay: float = 0.99,
        level_dropout: float = 0.0,
        rate_weight: float = 0.0,
        rate_bits: float | None = None,
        beam: int = 1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.levels, self.entries, self.channels, self.beta = levels, entries, channels, beta
        self.update, self.decay, self.level_dropout = update, decay, level_dropout
        self.rate_weight, self.rate_bits, self.beam, self.seed = rate_weight, rate_bits, beam, seed
        self.codebook = self.add_weight(
            shape=(levels, entries, channels),
            initializer=keras.initializers.RandomUniform(-1.0 / entries, 1.0 / entries),
            trainable=update == "gradient",
            name="codebook",
        )
        self.usage = self._state("usage", (levels, entries), "zeros")
        self.active = self._state("active", (), "ones")
        # A plain variable: counts of an evaluation are no part of a saved model.
        self.choices = tf.Variable(tf.zeros((levels, entries)), trainable=False)
        if update == "ema":
            self.ema_count = self._state("ema_count", (levels, entries), "ones")
            self.ema_sum = self._state("ema_sum", (levels, entries, channels), "zeros")
            self.ema_sum.assign(self.codebook)
        if self.priced:
            self.share = self._state("share", (levels, entries), keras.initializers.Constant(1.0 / entries))
            self.distortion = self._state("distortion", (levels,), "zeros")
        if rate_bits:
            self.bit_price = self._state("bit_price", (), "zeros")
        if level_dropout:
            self.draws = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="draws")

    @property
    def priced(self) -> bool:
        """Whether bits have a price."""
        return bool(self.rate_weight or self.rate_bits)

    def _state(self, name: str, shape: tuple[int, ...], initializer: Any) -> Any:
        return self.add_weight(shape=shape, initializer=initializer, trainable=False, name=name)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        names = (
            "levels", "entries", "channels", "beta", "update", "decay", "level_dropout", "rate_weight", "rate_bits",
            "beam", "seed",
        )  # fmt: skip
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The output has the shape of the input."""
        return input_shape

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Quantized latents; gradients reach ``inputs`` unchanged."""
        ops = keras.ops
        flat = ops.reshape(inputs, (-1, self.channels))
        kept = self._kept_levels(inputs) if training and self.level_dropout else None
        bias = self._prices() if self.priced else None
        best = self._best(flat, bias) if self.beam > 1 else None
        residual, loss = flat, 0.0
        counts, sums, distortions = [], [], []
        for level in range(self.levels):
            entries, here = self.codebook[level], ops.stop_gradient(residual)
            if best is None:
                index = _nearest(here, ops.stop_gradient(entries), None if bias is None else bias[level])
            else:
                index = best[level]
            chosen = ops.one_hot(index, self.entries)
            mask = None if kept is None else ops.cast(level < kept, "float32")
            if mask is not None:
                chosen *= mask
            picked = ops.matmul(chosen, entries)
            fixed = ops.stop_gradient(picked)
            if self.update == "gradient":
                loss += _mean_square(here - picked, mask)
            loss += self.beta * _mean_square(residual - fixed, mask)
            residual = residual - fixed
            counts.append(ops.sum(chosen, axis=0))
            if training and self.update == "ema":
                sums.append(ops.matmul(ops.transpose(chosen), here))
            if training and self.priced:
                distortions.append(self.channels * _mean_square(ops.stop_gradient(residual), mask))
        self.add_loss(self.active * loss / self.levels)
        self._record(bool(training), ops.stack(counts), sums, distortions)
        # Straight through: the value is the quantized latent, the gradient that of the latent itself.
        return inputs - self.active * ops.reshape(ops.stop_gradient(residual), ops.shape(inputs))

    def _best(self, latents: Any, bias: Any) -> list[Any]:
        ops = keras.ops
        return _best_indices(ops.stop_gradient(latents), ops.stop_gradient(self.codebook), bias, self.beam)

    def _kept_levels(self, inputs: Any) -> Any:
        """How many levels each latent passes, int32 [B * P, 1]: equal within a frame."""
        frames, _, positions, _ = keras.ops.shape(inputs)
        self.draws.assign_add(1)
        seeds = tf.stack([tf.constant(self.seed & 0x7FFFFFFF, tf.int32), tf.convert_to_tensor(self.draws)])
        which, where = tf.unstack(tf.random.stateless_uniform((2, frames), seeds))
        fewer = 1 + tf.cast(where * float(self.levels - 1), tf.int32)
        kept = tf.where(which < self.level_dropout, fewer, self.levels)
        return tf.repeat(kept, positions)[:, None]

    def _prices(self) -> Any:
        """What an entry costs beyond the cheapest of its level, float32 [M, K] in squared latent units.

        A search that decides level by level weighs a bit against what its level leaves over; an M-best search decides
        by what all levels leave over, and so do its prices. A price that is steered is the same for all levels.
        """
        ops = keras.ops
        share = self.share / ops.sum(self.share, axis=1, keepdims=True) + RARE_SHARE / self.entries
        bits = -ops.log2(share)
        bits = bits - ops.min(bits, axis=1, keepdims=True)
        if self.rate_bits:
            return self.bit_price * bits
        distortion = ops.expand_dims(self.distortion if self.beam == 1 else self.distortion[-1:], 1)
        return self.rate_weight * distortion * bits

    def _record(self, training: bool, counts: Any, sums: list[Any], distortions: list[Any]) -> None:
        """Counts and moving averages after a batch; the latter rest while latents pass unquantized."""
        ops = keras.ops
        if not training:
            self.choices.assign_add(self.active * counts)
            return
        self.usage.assign_add(self.active * counts)
        gain = self.active * (1.0 - self.decay)
        if self.update == "ema":
            self.ema_count.assign_add(gain * (counts - self.ema_count))
            self.ema_sum.assign_add(gain * (ops.stack(sums) - self.ema_sum))
            total = ops.sum(self.ema_count, axis=1, keepdims=True)
            smooth = (self.ema_count + SMOOTHING) * total / (total + self.entries * SMOOTHING)
            moved = self.ema_sum / ops.expand_dims(smooth, -1)
            self.codebook.assign(ops.where(self.active > 0.0, moved, self.codebook))
        if self.priced:
            total = ops.sum(counts, axis=1, keepdims=True)
            share = ops.where(total > 0.0, counts / ops.maximum(total, 1.0), self.share)
            self.share.assign_add(gain * (share - self.share))
            self.distortion.assign_add(gain * (ops.stack(distortions) - self.distortion))
        if self.rate_bits:
            self._steer()

    def _steer(self) -> None:
        """Move the price of a bit towards where indices take ``rate_bits``; slower than shares follow it."""
        ops = keras.ops
        share = self.share / ops.sum(self.share, axis=1, keepdims=True)
        bits = -ops.sum(share * ops.log2(ops.maximum(share, 1e-12)))
        factor = ops.exp(STEERING_GAIN * ops.clip(bits - self.rate_bits, -STEERING_MAX, STEERING_MAX))
        first = FIRST_PRICE * self.distortion[-1]
        self.bit_price.assign(self.active * ops.where(self.bit_price > 0.0, self.bit_price * factor, first))

    def reset_usage(self) -> None:
        """Start a new count of the entries chosen in training."""
        self.usage.assign(np.zeros((self.levels, self.entries), np.float32))

    def reset_choices(self) -> None:
        """Start a new count of the entries chosen outside of training."""
        self.choices.assign(np.zeros((self.levels, self.entries), np.float32))

    def start(self, codebook: FloatArray) -> None:
        """Set the codebooks, float32 [M, K, D], and quantize from now on."""
        self.codebook.assign(codebook)
        if self.update == "ema":
            self.ema_count.assign(np.ones((self.levels, self.entries), np.float32))
            self.ema_sum.assign(codebook)
        self.active.assign(1.0)

    def revive(self, latents: FloatArray, generator: np.random.Generator) -> None:
        """Move entries that ``usage`` shows unused to where latents are; see :func:`revived`.

        Their moving averages start over: as heavy as the level's mean entry, and chosen as often.
        """
        usage = np.asarray(self.usage)
        books = revived(np.asarray(self.codebook), usage, latents, generator)
        fresh = unused(usage)
        self.codebook.assign(books)
        if self.update == "ema":
            count, total = np.asarray(self.ema_count), np.asarray(self.ema_sum)
            count = np.where(fresh, count.mean(axis=1, keepdims=True), count)
            self.ema_count.assign(count)
            self.ema_sum.assign(np.where(fresh[..., None], count[..., None] * books, total))
        if self.priced:
            self.share.assign(np.where(fresh, np.float32(1.0 / self.entries), np.asarray(self.share)))

    def change_basis(self, matrix: NDArray[np.float64]) -> None:
        """Take the codebooks along when latents become ``latents @ matrix`` [D, D]; only a rotation keeps distances."""
        for weight in (self.codebook, self.ema_sum) if self.update == "ema" else (self.codebook,):
            weight.assign(np.asarray(weight, np.float64) @ matrix)

    def settle(self, latents: FloatArray) -> None:
        """Usage and distortions that prices come from, as they are for ``latents`` float32 [n, D] by now.

        For codebooks that were changed from outside: choice, usage, distortion and a steered price settle by
        repetition.
        """
        books = np.asarray(self.codebook)
        for _ in range(STEERED_ROUNDS if self.rate_bits else SETTLING_ROUNDS):
            chosen = nearest_indices(latents, books, self.bias(), self.beam)[0]
            counts = [np.bincount(index, minlength=self.entries) for index in chosen.T]
            residual, distortions = latents, []
            for level, book in enumerate(books):
                residual = residual - book[chosen[:, level]]
                distortions.append(np.square(residual).sum(axis=1).mean())
            self.share.assign(np.stack(counts) / len(latents))
            self.distortion.assign(np.array(distortions))
            if self.rate_bits:
                bits = sum(float(entropy_bits(count[None])[0]) for count in counts)
                price = float(self.bit_price) or FIRST_PRICE * distortions[-1]
                self.bit_price.assign(steered(price, bits - self.rate_bits))

    def bias(self) -> FloatArray:
        """Price of each entry, float32 [M, K] in squared latent units, least 0 per level; all 0 where bits have none.

        The choice of a level is the entry of the least squared distance plus price.
        """
        if not self.priced:
            return np.zeros((self.levels, self.entries), np.float32)
        return np.asarray(self._prices(), np.float32)

    def indices(self, latents: FloatArray) -> NDArray[np.uint16]:
        """Chosen entries. latents: float32 [n, 1, P, D] or [n, P, D] -> uint16 [n, P, M]; ties take the lowest."""
        return nearest_indices(np.asarray(latents, np.float32), np.asarray(self.codebook), self.bias(), self.beam)


def _nearest(residual: Any, entries: Any, bias: Any = None) -> Any:
    ops = keras.ops
    distance = ops.sum(ops.square(entries), axis=1) - 2.0 * ops.matmul(residual, ops.transpose(entries))
    return ops.argmin(distance if bias is None else distance + bias, axis=1)


def _best_indices(latents: Any, books: Any, bias: Any, beam: int) -> list[Any]:
    """Indices of the M-best search, int32 [n] per level: latents [n, D], books [M, K, D], bias [M, K] or None.

    The less of ``|r|^2 - 2 (r e - |e|^2 / 2)`` and what was paid, the better; the score in brackets is one product.
    """
    levels, entries, _ = books.shape
    residual, paid = latents[:, None], tf.zeros_like(latents[:, :1])
    chosen: list[Any] = []
    for level in range(levels):
        book, extra = books[level], tf.zeros(entries) if bias is None else bias[level]
        offset = -0.5 * (tf.reduce_sum(tf.square(book), axis=1) + extra)
        rows = tf.concat([residual, tf.ones_like(residual[..., :1])], axis=2)
        flat = tf.reshape(rows, (-1, rows.shape[2]))  # one large product, not one for each latent
        score = tf.matmul(flat, tf.concat([book, offset[:, None]], axis=1), transpose_b=True)
        score = tf.reshape(score, (-1, rows.shape[1], entries))
        base = 0.5 * (paid + tf.reduce_sum(tf.square(residual), axis=2))
        path, index = _lead(score, base, 1 if level + 1 == levels else beam)
        paid = tf.gather(paid, path, batch_dims=1) + tf.gather(extra, index)
        residual = tf.gather(residual, path, batch_dims=1) - tf.gather(book, index)
        chosen = [*(tf.gather(before, path, batch_dims=1) for before in chosen), index]
    return [index[:, 0] for index in chosen]


def _lead(score: Any, base: Any, count: int) -> tuple[Any, Any]:
    """(path, entry), int32 [n, up to count] each, of the highest ``score - base``: score [n, W, K], base [n, W]."""
    width, entries = score.shape[1:]
    if count == 1:
        path = tf.argmax(tf.reduce_max(score, axis=2) - base, axis=1, output_type=tf.int32)[:, None]
        return path, tf.argmax(tf.gather(score, path, batch_dims=1), axis=2, output_type=tf.int32)
    flat = tf.reshape(score if width == 1 else score - base[..., None], (-1, width * entries))
    place = tf.math.top_k(flat, min(count, width * entries)).indices
    return place // entries, place % entries


def _mean_square(difference: Any, mask: Any) -> Any:
    """Mean of the squares over rows and columns; with a mask [n, 1], rows of mask 0 count as 0."""
    square = keras.ops.square(difference)
    return keras.ops.mean(square if mask is None else mask * square)


def nearest_indices(
    latents: FloatArray, codebook: FloatArray, bias: FloatArray | None = None, beam: int = 1
) -> NDArray[np.uint16]:
    """Residual search in float. latents: [..., P, D], n frames; codebook: [M, K, D] -> uint16 [n, P, M].

    ``bias`` [M, K] is added to the squared distances; without it the nearest entry is chosen. ``beam`` above 1: the
    M-best search.

    Raises:
        ShapeError: the channels of latents and codebook differ.
    """
    if latents.shape[-1] != codebook.shape[-1]:
        raise ShapeError(
            f"latents have {latents.shape[-1]} channels, the codebook {codebook.shape[-1]}", "use files of one build"
        )
    positions = latents.shape[-2]
    residual = latents.reshape(-1, latents.shape[-1])
    if beam > 1:
        return beam_indices(residual, codebook, bias, beam).reshape(-1, positions, len(codebook)).astype(np.uint16)
    found = []
    for level, entries in enumerate(codebook):
        distances = _distances(residual, entries)
        index = np.argmin(distances if bias is None else distances + bias[level], axis=1)
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


def entropy_bits(usage: NDArray[Any]) -> NDArray[np.float64]:
    """Order-0 entropy of the choice in bits per index. usage: counts [M, K] -> float64 [M], 0 .. log2 K."""
    return np.asarray(np.log2(perplexity(usage)))


def unused(usage: NDArray[Any]) -> NDArray[np.bool_]:
    """Entries chosen less often than ``REVIVAL_SHARE / K`` of their level. usage: counts [M, K] -> bool [M, K]."""
    counts = np.asarray(usage)
    return np.asarray(counts < REVIVAL_SHARE / counts.shape[1] * counts.sum(axis=1, keepdims=True))


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
    for book, idle in zip(books, unused(usage), strict=True):
        book[idle] = residual[generator.choice(len(residual), int(idle.sum()))]
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
