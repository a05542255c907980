"""Residual vector quantization: the best entries level by level, in exact integers (NUMERICS.md section 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.graph.codebook import IntegerCodebook

BLOCK_ROWS = 512
"""Latent positions worked on at a time, at most."""

BLOCK_COSTS = 1 << 19
"""Costs that are compared at a time, so that they stay in cache: rows, paths and entries multiplied."""


def search(latents: NDArray[np.int8], codebook: IntegerCodebook) -> NDArray[np.uint16]:
    """Index of the nearest entry per position and level; ties take the lowest index. With ``codebook.beam`` above 1:
    the indices that the M-best search ends with.

    ``sum (r - e)^2`` is compared without its constant ``sum r^2`` and halved. What remains, ``sum e^2 / 2 - sum r e``,
    is a multiple of 1/2 below 2^52 for every codebook, so that float64 arithmetic is exact in any order of the terms
    and a tie of distances is a tie here.

    Args:
        latents: int8[n, P, C * D].
        codebook: of the same C and D.

    Returns:
        uint16[n, P, M].

    Raises:
        ShapeError: other shape or dtype.
    """
    if latents.ndim != 3 or latents.shape[2] != codebook.latent_channels or latents.dtype != np.int8:
        expected = f"int8[n, P, {codebook.latent_channels}]"
        raise ShapeError(f"latents are {latents.dtype}{list(latents.shape)}, expected {expected}")
    frames, positions, _ = latents.shape
    rows = codebook.summed(latents).reshape(-1, codebook.dims) << codebook.residual_frac_bits
    if codebook.beam > 1:
        found = _beam_rows(rows, codebook)
    else:
        step = max(1, min(BLOCK_ROWS, BLOCK_COSTS // codebook.num_entries))
        starts = range(0, max(1, len(rows)), step)
        found = np.concatenate([_search_rows(rows[at : at + step], codebook) for at in starts])
    return found.reshape(frames, positions, codebook.num_levels)


def _search_rows(start: NDArray[np.int32], codebook: IntegerCodebook) -> NDArray[np.uint16]:
    """Indices uint16[rows, M] of first residuals int32[rows, D]."""
    entries = codebook.shifted()
    residual = np.pad(start, ((0, 0), (0, codebook.price_dims)))
    indices = np.empty((len(start), codebook.num_levels), np.uint16)
    for level in range(codebook.num_levels):
        table = entries[level].astype(np.float64)
        cost = residual.astype(np.float64) @ -table.T
        cost += 0.5 * (table * table).sum(axis=1)
        indices[:, level] = cost.argmin(axis=1)
        residual = residual - entries[level][indices[:, level]]
        residual[:, codebook.dims :] = 0  # a price counts in its own level alone (section 4.7)
    return indices


def _beam_rows(start: NDArray[np.int32], codebook: IntegerCodebook) -> NDArray[np.uint16]:
    """Indices uint16[rows, M] of the M-best search (section 4.8) for first residuals int32[rows, D].

    Costs are sums of integers below 2^31, and their parts below 2^52: exact in float64.
    """
    entries, dims = codebook.shifted().astype(np.float64), codebook.dims
    prices = np.square(entries[..., dims:]).sum(axis=2)
    return beam_indices(start.astype(np.float64), entries[..., :dims], prices, codebook.beam).astype(np.uint16)


def beam_indices(
    latents: NDArray[Any], books: NDArray[Any], prices: NDArray[Any] | None, beam: int
) -> NDArray[np.int64]:
    """Indices of the M-best search (section 4.8) in the arithmetic of the arguments.

    Args:
        latents: float [n, D].
        books: float [M, K, D].
        prices: float [M, K], what an entry costs besides its squared distance, or None.
        beam: choices that a level leaves to the next.

    Returns:
        int64[n, M].
    """
    extra = np.zeros(books.shape[:2], books.dtype) if prices is None else prices
    step = max(1, BLOCK_COSTS // (beam * books.shape[1]))
    starts = range(0, max(1, len(latents)), step)
    return np.concatenate([_beam_block(latents[at : at + step], books, extra, beam) for at in starts])


def _beam_block(
    latents: NDArray[Any], books: NDArray[Any], prices: NDArray[Any], beam: int
) -> NDArray[np.int64]:
    residual, paid = latents[:, None], np.zeros((len(latents), 1), books.dtype)
    chosen = np.zeros((len(latents), 1, 0), np.int64)
    for level, (book, price) in enumerate(zip(books, prices, strict=True)):
        # One large product: NumPy would make a small one of each position's paths.
        cost = (residual.reshape(-1, residual.shape[2]) @ (-2.0 * book.T)).reshape(*residual.shape[:2], -1)
        cost += (np.square(residual).sum(axis=2) + paid)[..., None]
        cost += np.square(book).sum(axis=1) + price
        kept = _lowest_places(cost.reshape(len(latents), -1), beam if level + 1 < len(books) else 1)
        path, index = np.divmod(kept, len(book))
        paid = np.take_along_axis(paid, path, 1) + price[index]
        residual = np.take_along_axis(residual, path[..., None], 1) - book[index]
        chosen = np.concatenate([np.take_along_axis(chosen, path[..., None], 1), index[..., None]], axis=2)
    return chosen[:, 0]


def _lowest_places(cost: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Places of the ``count`` lowest values of each row, or of all, the lowest first; ties in the order of places.

    ``cost`` [n, m] is used up.
    """
    places = [cost.argmin(axis=1)]
    for _ in range(1, min(count, cost.shape[1])):
        cost[np.arange(len(cost)), places[-1]] = np.inf
        places.append(cost.argmin(axis=1))
    return np.stack(places, axis=1)
