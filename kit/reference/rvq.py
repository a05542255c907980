"""Residual vector quantization: the best entries level by level, in exact integers (NUMERICS.md section 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.graph.codebook import IntegerCodebook

BLOCK_ROWS = 512
"""Latent positions worked on at a time, so that their distances stay in cache."""


def search(latents: NDArray[np.int8], codebook: IntegerCodebook) -> NDArray[np.uint16]:
    """Index of the nearest entry per position and level; ties take the lowest index. With ``codebook.beam`` above 1:
    the indices that the M-best search ends with.

    ``sum (r - e)^2`` is compared without its constant ``sum r^2`` and halved. What remains, ``sum e^2 / 2 - sum r e``,
    is a multiple of 1/2 below 2^52 for every codebook, so that float64 arithmetic is exact in any order of the terms
    and a tie of distances is a tie here.

    Args:
        latents: int8[n, P, D].
        codebook: of the same D.

    Returns:
        uint16[n, P, M].

    Raises:
        ShapeError: other shape or dtype.
    """
    if latents.ndim != 3 or latents.shape[2] != codebook.dims or latents.dtype != np.int8:
        raise ShapeError(f"latents are {latents.dtype}{list(latents.shape)}, expected int8[n, P, {codebook.dims}]")
    frames, positions, dims = latents.shape
    rows = latents.reshape(-1, dims)
    one_block = _search_rows if codebook.beam == 1 else _beam_rows
    step = max(1, BLOCK_ROWS // codebook.beam)
    blocks = [one_block(rows[at : at + step], codebook) for at in range(0, max(1, len(rows)), step)]
    return np.concatenate(blocks).reshape(frames, positions, codebook.num_levels)


def _search_rows(latents: NDArray[np.int8], codebook: IntegerCodebook) -> NDArray[np.uint16]:
    """Indices uint16[rows, M] of latents int8[rows, D]."""
    entries = codebook.shifted()
    start = (latents.astype(np.int32) - codebook.latent_zero_point) << codebook.residual_frac_bits
    residual = np.pad(start, ((0, 0), (0, codebook.price_dims)))
    indices = np.empty((len(latents), codebook.num_levels), np.uint16)
    for level in range(codebook.num_levels):
        table = entries[level].astype(np.float64)
        cost = residual.astype(np.float64) @ -table.T
        cost += 0.5 * (table * table).sum(axis=1)
        indices[:, level] = cost.argmin(axis=1)
        residual = residual - entries[level][indices[:, level]]
        residual[:, codebook.dims :] = 0  # a price counts in its own level alone (section 4.7)
    return indices


def _beam_rows(latents: NDArray[np.int8], codebook: IntegerCodebook) -> NDArray[np.uint16]:
    """Indices uint16[rows, M] of the M-best search (section 4.8).

    Costs are sums of integers below 2^31, and their parts below 2^52: exact in float64.
    """
    entries, dims, rows = codebook.shifted().astype(np.float64), codebook.dims, len(latents)
    start = (latents.astype(np.int32) - codebook.latent_zero_point) << codebook.residual_frac_bits
    residual = np.pad(start, ((0, 0), (0, codebook.price_dims))).astype(np.float64)[:, None]
    paid, chosen = np.zeros((rows, 1)), np.zeros((rows, 1, 0), np.uint16)
    for level, table in enumerate(entries):
        # |e|^2 - 2 r.e of every path and entry as one product; what is the same for all entries of a path comes later.
        one = np.ones((residual.size // residual.shape[2], 1))
        score = np.concatenate([residual.reshape(len(one), -1), one], axis=1) @ _columns(table)
        base = np.square(residual).sum(axis=2) + paid
        last = level + 1 == len(entries)
        path, index = _first(score, base) if last else _lead(score, base, codebook.beam)
        paid = np.take_along_axis(paid, path, 1) + np.square(table[index][..., dims:]).sum(axis=2)
        residual = np.take_along_axis(residual, path[..., None], 1) - table[index]
        residual[..., dims:] = 0
        before = np.take_along_axis(chosen, path[..., None], 1)
        chosen = np.concatenate([before, index[..., None].astype(np.uint16)], axis=2)
    return chosen[:, 0]


def _columns(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entries [K, D] as columns that score a residual and a 1 behind it."""
    return np.concatenate([-2.0 * table, np.square(table).sum(axis=1)[:, None]], axis=1).T


def _first(score: NDArray[np.float64], base: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(path, entry) of the lowest cost, int64[rows, 1] each: score [rows * W, K], base [rows, W]."""
    best = score.argmin(axis=1)
    cost = score[np.arange(len(score)), best].reshape(base.shape) + base
    path = cost.argmin(axis=1)[:, None]
    return path, np.take_along_axis(best.reshape(base.shape), path, 1)


def _lead(
    score: NDArray[np.float64], base: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(path, entry) of the ``count`` lowest costs, int64[rows, up to count] each."""
    entries = score.shape[1]
    cost = score.reshape(*base.shape, entries)
    cost += base[..., None]
    path, index = np.divmod(lowest_places(cost.reshape(len(base), -1), count), entries)
    return path, index


def lowest_places(cost: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Places of the ``count`` lowest values of each row, or of all, the lowest first; ties in the order of places.

    ``cost`` [n, m] is used up.
    """
    places = [cost.argmin(axis=1)]
    for _ in range(1, min(count, cost.shape[1])):
        cost[np.arange(len(cost)), places[-1]] = np.inf
        places.append(cost.argmin(axis=1))
    return np.stack(places, axis=1)
