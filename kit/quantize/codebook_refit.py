"""Codebooks fitted to the latents that the INT8 encoder really gives.

Trained codebooks stand where the float latents of training were. Here their entries move to the means of what the
device's encoder puts into their cells: all vectors are searched, then level after level every entry becomes the mean of
its vectors less what the *other* levels contribute (not only those before it), and the search is repeated. Where bits
have a price (entropy-constrained vector quantization, Chou et al., 1989), the prices are settled anew in every round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.quantize.prices import FREE, Rate, level_search, mean_bits

FloatBooks = NDArray[np.float32]

STEERED_WEIGHT = 0.3
"""Worth of a bit in distortions where the price is steered: validation latents take a little more or less."""

COUNT_MIN = 4
"""An entry of fewer vectors stays where it is."""


@dataclass(frozen=True, slots=True)
class CodebookRefit:
    """How it went, on the validation latents.

    Attributes:
        before: root mean square error of the quantized latents before, in units of the latents.
        after: the same afterwards.
        bits_before: order-0 entropy of a position's indices before, in bits; 0 where bits have no price.
        bits_after: the same afterwards.
        best_round: round that was kept; 0 is what came in.
    """

    before: float
    after: float
    bits_before: float
    bits_after: float
    best_round: int


def refit_codebook(
    books: FloatBooks,
    train: NDArray[np.float32],
    validation: NDArray[np.float32],
    rounds: int,
    rate: Rate = FREE,
    beam: int = 1,
) -> tuple[FloatBooks, CodebookRefit]:
    """Codebooks of smaller error on the given latents; never worse on the validation latents than those that came in.

    Args:
        books: float32[M, K, D].
        train: float32[n, D], latents of training frames in real units, n >= 1.
        validation: float32[m, D], latents of validation frames; they decide which round is kept.
        rounds: of search and re-estimation.
        rate: of the bits; what is made small is the distortion plus their price, at the distortion that came in.
        beam: of the device's search (NUMERICS.md section 4.8).

    Raises:
        ShapeError: arrays of other shapes.
    """
    if books.ndim != 3 or any(z.ndim != 2 or z.shape[1] != books.shape[2] or not len(z) for z in (train, validation)):
        raise ShapeError(f"codebook {list(books.shape)}, latents {list(train.shape)} and {list(validation.shape)}")
    current = books.astype(np.float64)
    weight = rate.weight if rate.bits is None else STEERED_WEIGHT
    price = rate.settled(current, train, beam=beam)
    before, bits_before = _judged(current, validation, price, beam)
    best = _cost(before, bits_before, before, weight)
    after, bits_after, kept, best_round = before, bits_before, books, 0
    for number in range(1, rounds + 1):
        current = _reestimated(current, train, price, beam)
        price = rate.settled(current, train, price, rounds=1, beam=beam)
        error, bits = _judged(current.astype(np.float32).astype(np.float64), validation, price, beam)
        cost = _cost(error, bits, before, weight)
        if cost < best:
            best, best_round, kept = cost, number, current.astype(np.float32)
            after, bits_after = error, bits
    return kept, CodebookRefit(before, after, bits_before, bits_after, best_round)


def quantization_error(books: FloatBooks, latents: NDArray[np.float32]) -> float:
    """Root mean square of what all levels leave over, each choosing the nearest entry."""
    return _judged(books.astype(np.float64), latents, None, 1)[0]


def _judged(
    books: NDArray[np.float64], latents: NDArray[np.float32], price: NDArray[np.float64] | None, beam: int
) -> tuple[float, float]:
    """(root mean square error, bits of a position's indices; 0 without prices)."""
    chosen = level_search(books, latents, price, beam)
    total = sum(books[level][chosen[:, level]] for level in range(len(books)))
    error = float(np.sqrt(np.square(latents - total).mean()))
    return error, 0.0 if price is None else mean_bits(chosen, books.shape[1])


def _cost(error: float, bits: float, reference: float, rate_weight: float) -> float:
    """Mean square error plus price of the bits, in mean square errors of the reference."""
    return (error / reference) ** 2 + rate_weight * bits if reference > 0 else error


def entry_usage(
    books: FloatBooks, latents: NDArray[np.float32], price: NDArray[np.float64] | None = None, beam: int = 1
) -> NDArray[np.int64]:
    """How often each entry is chosen for latents float32[n, D]: int64[M, K]."""
    chosen = level_search(books.astype(np.float64), latents, price, beam)
    return np.stack([np.bincount(index, minlength=books.shape[1]) for index in chosen.T])


def _reestimated(
    books: NDArray[np.float64], latents: NDArray[np.float32], price: NDArray[np.float64] | None, beam: int
) -> NDArray[np.float64]:
    """Every entry at the mean of its vectors less the other levels' entries; the levels in turn."""
    chosen = level_search(books, latents, price, beam)
    result = books.copy()
    total = sum(result[level][chosen[:, level]] for level in range(len(books)))
    for level in range(len(books)):
        index = chosen[:, level]
        others = total - result[level][index]
        wanted = latents - others
        counts = np.bincount(index, minlength=books.shape[1])
        sums = np.stack([np.bincount(index, column, books.shape[1]) for column in wanted.T], axis=1)
        means = sums / np.maximum(counts, 1)[:, None]
        result[level] = np.where((counts >= COUNT_MIN)[:, None], means, result[level])
        total = others + result[level][index]
    return result
