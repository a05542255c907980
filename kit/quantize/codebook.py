"""Float codebooks to the integers that the device searches (NUMERICS.md section 4)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError, ShapeError
from kit.graph.codebook import ENTRY_SHIFT_MAX, FRAC_BITS_MAX, IntegerCodebook, search_bounds


def quantize_codebook(
    books: NDArray[np.float32],
    latent_scale: float,
    latent_zero_point: int,
    bits: Literal[8, 16] = 8,
    usage: NDArray[Any] | None = None,
    price: NDArray[np.float32] | None = None,
    beam: int = 1,
    copies: int = 1,
) -> IntegerCodebook:
    """Integer codebook with the finest residual that provably cannot overflow.

    F is the largest of 8..0 for which every residual fits int16 and every distance int32. Per level, E is the shift
    that makes the mean squared error of the entries smallest: the smallest shift without saturation or, where a few
    outliers would cost all other entries a bit, one below it. With ``usage`` every entry counts as often as it is
    chosen: those far out, which are rarely, no longer make the others coarse. A price never saturates.

    Args:
        books: float32[M, K, D] in real latent units.
        latent_scale: real value of one LSB of the encoder's output.
        latent_zero_point: of the encoder's output, -128..127.
        bits: width of an entry.
        usage: how often each entry is chosen, [M, K]; all alike without.
        price: float32[M, K] >= 0 in squared latent units, what choosing an entry costs besides its squared distance;
            only differences within a level count. Prices become a coordinate of the entries (NUMERICS.md section 4.7),
            rounded as the others are; without any difference there is none.
        beam: choices that a level leaves to the next (section 4.8).
        copies: INT8 values that a latent is the sum of (section 4.1).

    Raises:
        ShapeError: ``books`` or ``price`` of another shape, not finite, or a price below 0.
        ArtifactError: entries or prices so far outside the latents' range that no F fits.
    """
    if books.ndim != 3 or not np.isfinite(books).all():
        raise ShapeError(f"codebooks are {books.dtype}{list(books.shape)}, not finite float32[M, K, D]")
    if usage is not None and (usage.shape != books.shape[:2] or (usage < 0).any()):
        raise ShapeError(f"usage has shape {list(usage.shape)}, expected counts {list(books.shape[:2])}")
    floats = np.ascontiguousarray(books, np.float32)
    weights = np.ones(books.shape[:2]) if usage is None else np.asarray(usage, np.float64)
    scale = float(np.float32(latent_scale))
    step = scale / copies
    coordinate = _price_coordinate(price, books.shape)
    price_dims = coordinate.shape[2]
    wanted = np.concatenate([floats.astype(np.float64), coordinate], axis=2)
    for frac_bits in range(FRAC_BITS_MAX, -1, -1):
        found = _quantize_levels(wanted * (2.0**frac_bits / step), bits, weights, price_dims)
        if found is None:
            continue
        if search_bounds(*found, frac_bits, latent_zero_point, price_dims, beam, copies).fits:
            return IntegerCodebook(*found, frac_bits, scale, latent_zero_point, floats, price_dims, beam, copies)
    reach = float(np.abs(wanted).max()) / step
    raise ArtifactError(
        f"codebook entries reach {reach:.0f} latent steps: their distances do not fit 32 bits",
        "train again: codebooks and latents have drifted apart",
    )


def _price_coordinate(price: NDArray[np.float32] | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The roots of prices, float64[M, K, 1] in real latent units; [M, K, 0] without any difference between prices.

    The least price of a level is made 0: roots near 0 are rounded to the finest prices.
    """
    levels, entries = shape[:2]
    none = np.zeros((levels, entries, 0))
    if price is None:
        return none
    if price.shape != (levels, entries) or not (np.isfinite(price).all() and (price >= 0).all()):
        raise ShapeError(
            f"prices are {price.dtype}{list(price.shape)}, not finite float32[{levels}, {entries}] from 0 upwards"
        )
    extra = price.astype(np.float64) - price.min(axis=1, keepdims=True)
    return np.sqrt(extra)[..., None] if extra.any() else none


def _quantize_levels(
    target: NDArray[np.float64], bits: int, weights: NDArray[np.float64], price_dims: int
) -> tuple[NDArray[Any], NDArray[np.int32]] | None:
    """Entries and shifts for ``target`` float64[M, K, D + price_dims] in residual units, weights [M, K].

    None if a price saturates.
    """
    top = (1 << (bits - 1)) - 1
    shifts = np.zeros(target.shape[0], np.int32)
    levels = []
    for level, wanted in enumerate(target):
        dearest = wanted[:, wanted.shape[1] - price_dims :].max(initial=0.0)
        choices = [e for e in range(ENTRY_SHIFT_MAX + 1 if bits == 8 else 1) if np.rint(dearest / 2.0**e) <= top]
        if not choices:
            return None
        candidates = [np.clip(np.rint(wanted / 2.0**e), -top, top) for e in choices]
        pairs = zip(choices, candidates, strict=True)
        squares = [np.square(found * 2.0**e - wanted).mean(axis=1) for e, found in pairs]
        errors = [float((square * weights[level]).mean()) for square in squares]
        best = int(np.argmin(errors))
        shifts[level] = choices[best]
        levels.append(candidates[best])
    return np.stack(levels).astype(np.int8 if bits == 8 else np.int16), shifts
