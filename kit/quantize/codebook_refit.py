"""Codebooks fitted to the latents that the INT8 encoder really gives.

Trained codebooks stand where the float latents of training were. Here their entries move to the means of what the
device's encoder puts into their cells: all vectors are searched, then level after level every entry becomes the mean of
its vectors less what the *other* levels contribute (not only those before it), and the search is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError

FloatBooks = NDArray[np.float32]

COUNT_MIN = 4
"""An entry of fewer vectors stays where it is."""

BLOCK_ROWS = 16384


@dataclass(frozen=True, slots=True)
class CodebookRefit:
    """How it went: root mean square error of the quantized validation latents, in units of the latents."""

    before: float
    after: float
    best_round: int


def refit_codebook(
    books: FloatBooks, train: NDArray[np.float32], validation: NDArray[np.float32], rounds: int
) -> tuple[FloatBooks, CodebookRefit]:
    """Codebooks of smaller error on the given latents; never worse on the validation latents than those that came in.

    Args:
        books: float32[M, K, D].
        train: float32[n, D], latents of training frames in real units, n >= 1.
        validation: float32[m, D], latents of validation frames; they decide which round is kept.
        rounds: of search and re-estimation.

    Raises:
        ShapeError: arrays of other shapes.
    """
    if books.ndim != 3 or any(z.ndim != 2 or z.shape[1] != books.shape[2] or not len(z) for z in (train, validation)):
        raise ShapeError(f"codebook {list(books.shape)}, latents {list(train.shape)} and {list(validation.shape)}")
    before = best = quantization_error(books, validation)
    kept, best_round, current = books, 0, books.astype(np.float64)
    for number in range(1, rounds + 1):
        current = _reestimated(current, train)
        error = quantization_error(current.astype(np.float32), validation)
        if error < best:
            best, best_round, kept = error, number, current.astype(np.float32)
    return kept, CodebookRefit(before, best, best_round)


def quantization_error(books: FloatBooks, latents: NDArray[np.float32]) -> float:
    """Root mean square of what all levels leave over."""
    chosen = _searched(books.astype(np.float64), latents)
    total = sum(books[level][chosen[:, level]].astype(np.float64) for level in range(len(books)))
    return float(np.sqrt(np.square(latents - total).mean()))


def entry_usage(books: FloatBooks, latents: NDArray[np.float32]) -> NDArray[np.int64]:
    """How often each entry is chosen for latents float32[n, D]: int64[M, K]."""
    chosen = _searched(books.astype(np.float64), latents)
    return np.stack([np.bincount(index, minlength=books.shape[1]) for index in chosen.T])


def _searched(books: NDArray[np.float64], latents: NDArray[np.float32]) -> NDArray[np.int64]:
    """Nearest entry per level on the residual: int64[n, M]."""
    found = np.empty((len(latents), len(books)), np.int64)
    for start in range(0, len(latents), BLOCK_ROWS):
        residual = latents[start : start + BLOCK_ROWS].astype(np.float64)
        for level, book in enumerate(books):
            index = np.argmin(np.square(book).sum(axis=1) - 2.0 * residual @ book.T, axis=1)
            found[start : start + BLOCK_ROWS, level] = index
            residual = residual - book[index]
    return found


def _reestimated(books: NDArray[np.float64], latents: NDArray[np.float32]) -> NDArray[np.float64]:
    """Every entry at the mean of its vectors less the other levels' entries; the levels in turn."""
    chosen = _searched(books, latents)
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
