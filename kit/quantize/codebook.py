"""Float codebooks to the integers that the device searches (NUMERICS.md section 4)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError, ShapeError
from kit.graph.codebook import ENTRY_SHIFT_MAX, FRAC_BITS_MAX, IntegerCodebook, search_bounds

REFINE_ROUNDS = 4
REFINE_VECTORS = 250_000
"""Latent positions that a refinement looks at: about a thousand per entry of 256."""

_CHUNK = 1 << 14


def quantize_codebook(
    books: NDArray[np.float32], latent_scale: float, latent_zero_point: int, bits: Literal[8, 16] = 8
) -> IntegerCodebook:
    """Integer codebook with the finest residual that provably cannot overflow.

    F is the largest of 8..0 for which every residual fits int16 and every distance int32. Per level, E is the shift
    that makes the mean squared error of the entries smallest: the smallest shift without saturation or, where a few
    outliers would cost all other entries a bit, one below it.

    Args:
        books: float32[M, K, D] in real latent units.
        latent_scale: real value of one latent LSB.
        latent_zero_point: of the encoder's output, -128..127.
        bits: width of an entry.

    Raises:
        ShapeError: ``books`` of another shape, or not finite.
        ArtifactError: entries so far outside the latents' range that no F fits.
    """
    if books.ndim != 3 or not np.isfinite(books).all():
        raise ShapeError(f"codebooks are {books.dtype}{list(books.shape)}, not finite float32[M, K, D]")
    floats = np.ascontiguousarray(books, np.float32)
    scale = float(np.float32(latent_scale))
    for frac_bits in range(FRAC_BITS_MAX, -1, -1):
        integer, shift = _quantize_levels(floats.astype(np.float64) * (2.0**frac_bits / scale), bits)
        if search_bounds(integer, shift, frac_bits, latent_zero_point).fits:
            return IntegerCodebook(integer, shift, frac_bits, scale, latent_zero_point, floats)
    reach = float(np.abs(floats).max()) / scale
    raise ArtifactError(
        f"codebook entries reach {reach:.0f} latent steps: their distances do not fit 32 bits",
        "train again: codebooks and latents have drifted apart",
    )


def _quantize_levels(target: NDArray[np.float64], bits: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Entries and shifts for ``target`` float64[M, K, D] in residual units."""
    top = (1 << (bits - 1)) - 1
    shifts = np.zeros(target.shape[0], np.int32)
    levels = []
    for level, wanted in enumerate(target):
        choices = range(ENTRY_SHIFT_MAX + 1) if bits == 8 else range(1)
        candidates = [np.clip(np.rint(wanted / 2.0**e), -top, top) for e in choices]
        errors = [
            float(np.square(found * 2.0**e - wanted).mean()) for e, found in zip(choices, candidates, strict=True)
        ]
        shifts[level] = int(np.argmin(errors))
        levels.append(candidates[int(shifts[level])])
    return np.stack(levels).astype(np.int8 if bits == 8 else np.int16), shifts


def refine_codebook(
    books: NDArray[np.float32],
    latents: NDArray[np.int8],
    latent_scale: float,
    latent_zero_point: int,
    *,
    rounds: int = REFINE_ROUNDS,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Codebooks moved to the centres of what the INT8 encoder really gives, level by level.

    A few rounds of Lloyd's algorithm that start from the trained entries: the encoder stays as it is, an entry that
    nothing chooses too.

    Args:
        books: float32[M, K, D] in real latent units.
        latents: int8[n, P, D] of training frames; above ``REFINE_VECTORS`` positions a sample of them is used.
        latent_scale: real value of one latent LSB.
        latent_zero_point: of the encoder's output.
        rounds: of assignment and averaging per level.
        seed: of the sample.

    Returns:
        float32[M, K, D].

    Raises:
        ShapeError: latents of another dtype or number of channels.
    """
    if latents.dtype != np.int8 or latents.ndim != 3 or latents.shape[2] != books.shape[2]:
        raise ShapeError(f"latents are {latents.dtype}{list(latents.shape)}, not int8[n, P, {books.shape[2]}]")
    vectors = latents.reshape(-1, latents.shape[2])
    if len(vectors) > REFINE_VECTORS:
        vectors = vectors[np.random.default_rng(seed).permutation(len(vectors))[:REFINE_VECTORS]]
    residual = (vectors.astype(np.float32) - np.float32(latent_zero_point)) * np.float32(latent_scale)
    refined = []
    for book in books.astype(np.float32):
        for _ in range(rounds):
            chosen = _nearest(residual, book)
            counts = np.bincount(chosen, minlength=len(book))
            sums = np.stack([np.bincount(chosen, residual[:, d], len(book)) for d in range(book.shape[1])], axis=1)
            book = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], book).astype(np.float32)
        refined.append(book)
        residual = residual - book[_nearest(residual, book)]
    return np.stack(refined)


def _nearest(vectors: NDArray[np.float32], book: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index of the nearest entry: float32[n, D], float32[K, D] -> int64[n]."""
    found = np.empty(len(vectors), np.int64)
    norm = np.square(book).sum(axis=1)
    for start in range(0, len(vectors), _CHUNK):
        part = vectors[start : start + _CHUNK]
        found[start : start + _CHUNK] = np.argmin(norm - 2.0 * part @ book.T, axis=1)
    return found
