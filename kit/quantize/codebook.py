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
) -> IntegerCodebook:
    """Integer codebook with the finest residual that provably cannot overflow.

    F is the largest of 8..0 for which every residual fits int16 and every distance int32. Per level, E is the shift
    that makes the mean squared error of the entries smallest: the smallest shift without saturation or, where a few
    outliers would cost all other entries a bit, one below it. With ``usage`` every entry counts as often as it is
    chosen: those far out, which are rarely, no longer make the others coarse.

    Args:
        books: float32[M, K, D] in real latent units.
        latent_scale: real value of one latent LSB.
        latent_zero_point: of the encoder's output, -128..127.
        bits: width of an entry.
        usage: how often each entry is chosen, [M, K]; all alike without.

    Raises:
        ShapeError: ``books`` of another shape, or not finite.
        ArtifactError: entries so far outside the latents' range that no F fits.
    """
    if books.ndim != 3 or not np.isfinite(books).all():
        raise ShapeError(f"codebooks are {books.dtype}{list(books.shape)}, not finite float32[M, K, D]")
    if usage is not None and (usage.shape != books.shape[:2] or (usage < 0).any()):
        raise ShapeError(f"usage has shape {list(usage.shape)}, expected counts {list(books.shape[:2])}")
    floats = np.ascontiguousarray(books, np.float32)
    weights = np.ones(books.shape[:2]) if usage is None else np.asarray(usage, np.float64)
    scale = float(np.float32(latent_scale))
    for frac_bits in range(FRAC_BITS_MAX, -1, -1):
        integer, shift = _quantize_levels(floats.astype(np.float64) * (2.0**frac_bits / scale), bits, weights)
        if search_bounds(integer, shift, frac_bits, latent_zero_point).fits:
            return IntegerCodebook(integer, shift, frac_bits, scale, latent_zero_point, floats)
    reach = float(np.abs(floats).max()) / scale
    raise ArtifactError(
        f"codebook entries reach {reach:.0f} latent steps: their distances do not fit 32 bits",
        "train again: codebooks and latents have drifted apart",
    )


def _quantize_levels(
    target: NDArray[np.float64], bits: int, weights: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Entries and shifts for ``target`` float64[M, K, D] in residual units, weights [M, K]."""
    top = (1 << (bits - 1)) - 1
    shifts = np.zeros(target.shape[0], np.int32)
    levels = []
    for level, wanted in enumerate(target):
        choices = range(ENTRY_SHIFT_MAX + 1) if bits == 8 else range(1)
        candidates = [np.clip(np.rint(wanted / 2.0**e), -top, top) for e in choices]
        pairs = zip(choices, candidates, strict=True)
        squares = [np.square(found * 2.0**e - wanted).mean(axis=1) for e, found in pairs]
        errors = [float((square * weights[level]).mean()) for square in squares]
        shifts[level] = int(np.argmin(errors))
        levels.append(candidates[int(shifts[level])])
    return np.stack(levels).astype(np.int8 if bits == 8 else np.int16), shifts
