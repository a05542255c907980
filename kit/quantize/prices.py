"""Prices of codebook entries, settled on given latents.

An entry's price is what its bits cost: ``rate_weight`` mean distortions per bit, its bits being -log2 of how often it
is chosen (entropy-constrained vector quantization, Chou et al., 1989). A search that decides level by level weighs them
against the distortion of that level; an M-best search decides by what all levels leave over, and so do its prices:
at those of the levels, bits of the first would cost it ten times too much. Choice, usage and distortion depend on each
other; here they settle by repetition. The device pays the same prices (NUMERICS.md section 4.7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.model.rvq import FIRST_PRICE, RARE_SHARE, SETTLING_ROUNDS, STEERED_ROUNDS, steered
from kit.reference.rvq import beam_indices

Books = NDArray[np.float64]
Prices = NDArray[np.float64]

BLOCK_ROWS = 16384
"""Latents worked on at a time, at most."""

BLOCK_COSTS = 1 << 24
"""Costs that are compared at a time: latents and entries multiplied."""

STEERED_ROWS = 40960
"""Latents that a price is steered on: of more, every so many."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What bits cost: ``weight`` mean distortions each, or what it takes that a position's indices have ``bits``."""

    weight: float = 0.0
    bits: float | None = None

    def settled(
        self, books: Books, latents: NDArray[np.float32], start: Prices | None = None, rounds: int = 0, beam: int = 1
    ) -> Prices | None:
        """Prices that follow from the choices made at these prices; see the functions that it calls."""
        if self.bits is not None:
            return steered_prices(books, latents, self.bits, beam, start)
        return settled_prices(books, latents, self.weight, start, rounds or SETTLING_ROUNDS, beam)


FREE = Rate()
"""Bits cost nothing."""


def level_search(
    books: Books, latents: NDArray[np.float32], price: Prices | None = None, beam: int = 1
) -> NDArray[np.int64]:
    """Entry of the least squared distance plus price, level by level on the residual; or the M-best search's choice.

    Args:
        books: float64[M, K, D].
        latents: float32[n, D].
        price: float64[M, K] in squared latent units, or None.
        beam: choices that a level leaves to the next (NUMERICS.md section 4.8).

    Returns:
        int64[n, M].
    """
    rows, found = latents.astype(np.float64), []
    if beam > 1:
        return beam_indices(rows, books, price, beam)
    step = max(1, min(BLOCK_ROWS, BLOCK_COSTS // books.shape[1]))
    for start in range(0, len(latents), step):
        residual, chosen = rows[start : start + step], []
        for level, book in enumerate(books):
            cost = np.square(book).sum(axis=1) if price is None else np.square(book).sum(axis=1) + price[level]
            chosen.append(np.argmin(cost - 2.0 * residual @ book.T, axis=1))
            residual = residual - book[chosen[-1]]
        found.append(np.stack(chosen, axis=1))
    return np.concatenate(found)


def settled_prices(
    books: Books,
    latents: NDArray[np.float32],
    rate_weight: float,
    start: Prices | None = None,
    rounds: int = SETTLING_ROUNDS,
    beam: int = 1,
) -> Prices | None:
    """Prices that follow from the choices made at these prices.

    Args:
        books: float64[M, K, D].
        latents: float32[n, D].
        rate_weight: price of a bit in mean distortions of its level, of the last level with a beam; 0 gives None.
        start: prices of the first choice; none without.
        rounds: repetitions; one is enough where ``start`` had settled and the codebooks have hardly moved.
        beam: of the search.

    Returns:
        float64[M, K] in squared latent units, the least of each level 0; or None.
    """
    if not rate_weight:
        return None
    price = start
    for _ in range(rounds):
        chosen = level_search(books, latents, price, beam)
        residual = latents.astype(np.float64)
        distortions = []
        for level, book in enumerate(books):
            residual = residual - book[chosen[:, level]]
            distortions.append(np.square(residual).sum(axis=1).mean())
        weights = rate_weight * np.array(distortions if beam == 1 else distortions[-1:])
        price = weights[:, None] * _extra_bits(chosen, books.shape[1])
    return price


def steered_prices(
    books: Books, latents: NDArray[np.float32], bits: float, beam: int = 1, start: Prices | None = None
) -> Prices:
    """Prices at which the indices of a position take so many bits, by their order-0 entropy.

    A bit costs the same at every level. Where even free choice takes fewer bits, hardly anything is left of the price.

    Args:
        books: float64[M, K, D].
        latents: float32[n, D].
        bits: of a position's indices, all levels together.
        beam: of the search.
        start: prices that were steered there for codebooks that have hardly moved since: a few repetitions are enough.

    Returns:
        float64[M, K] in squared latent units, the least of each level 0.
    """
    rows = latents[:: max(1, len(latents) // STEERED_ROWS)]
    price, bit_price = np.zeros(books.shape[:2]) if start is None else start.copy(), 0.0
    for _ in range(STEERED_ROUNDS if start is None else SETTLING_ROUNDS):
        chosen = level_search(books, rows, price, beam)
        extra = _extra_bits(chosen, books.shape[1])
        if not bit_price and start is None:
            bit_price = _first_price(books, rows, chosen)
        elif not bit_price:  # what a bit cost at the start
            bit_price = float(np.vdot(price, extra)) / max(float(np.square(extra).sum()), 1e-12)
        bit_price = steered(bit_price, mean_bits(chosen, books.shape[1]) - bits)
        price = bit_price * extra
    return price


def _first_price(books: Books, rows: NDArray[np.float32], chosen: NDArray[np.int64]) -> float:
    total = sum(book[chosen[:, level]] for level, book in enumerate(books))
    return FIRST_PRICE * float(np.square(rows - total).sum(axis=1).mean())


def _extra_bits(chosen: NDArray[np.int64], entries: int) -> Prices:
    """What each entry takes more than the most frequent one of its level, float64[M, K] in bits."""
    counts = np.stack([np.bincount(index, minlength=entries) for index in chosen.T])
    bits = -np.log2(counts / len(chosen) + RARE_SHARE / entries)
    least: Prices = bits.min(axis=1, keepdims=True)
    return bits - least


def mean_bits(chosen: NDArray[np.int64], entries: int) -> float:
    """Order-0 entropy of the indices int64[n, M] of a position, all levels together, in bits."""
    total = 0.0
    for index in chosen.T:
        share = np.bincount(index, minlength=entries) / len(index)
        share = share[share > 0]
        total -= float((share * np.log2(share)).sum())
    return total
