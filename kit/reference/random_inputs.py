"""Random frames and codebooks: inputs that recordings rarely hold, and tables that no training made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.graph.codebook import IntegerCodebook, search_bounds
from kit.graph.ir import Encoder
from kit.reference.encoder import encode
from kit.reference.normalise import normalise

FRAME_KINDS = (
    "ppg", "noise", "flat", "zero", "railed", "high_rail", "low_rail", "step", "alternating", "impulse", "lsb", "ramp",
)  # fmt: skip
"""What :func:`random_frames` can make; all but ``ppg`` and ``noise`` are extremes."""

DIFFERENCES_MAX = 1 << 22
"""Differences between latents and entries of a random codebook that are worked on at a time."""

REMAINDER_BITS = 3
"""Of the frames whose latents make a codebook, where the encoder reads remainders; the graph does not know its own."""

UNUSUAL_KINDS = (*FRAME_KINDS[1:], "faint", "loud")
"""What recordings rarely hold: white noise over the full range, silence, rails, steps, impulses, nearly constant
frames, and noise of any strength anywhere in the range."""


def random_codebook(
    rng: np.random.Generator, encoder: Encoder, M: int = 2, K: int = 16, bits: int = 8,  # noqa: N803
    run: Callable[[NDArray[np.int8]], NDArray[np.int8]] | None = None, priced: bool = False, beam: int = 1,
    copies: int = 1,
) -> IntegerCodebook:  # fmt: skip
    """A codebook of 8- or 16-bit entries with the largest F; its levels are latents of frames, then residuals.

    With prices, an entry costs up to several times the mean distortion of its level. ``run`` replaces the reference
    encoder, int8[n, T] -> int8[n, P, C * D]; an opaque encoder needs one. ``beam``: of the M-best search.
    ``copies``: values of the encoder that a latent is the sum of.
    """
    latent = encoder.graph.output_tensor
    frames = random_frames(rng, 64, encoder.graph.input_tensor.length, ("ppg", "ppg", "noise"))
    remainder_bits = REMAINDER_BITS if encoder.graph.input_tensor.channels == 2 else 0
    y = normalise(frames, encoder.graph.lsb_bits, remainder_bits=remainder_bits).y
    latents, dims = encode(encoder, y) if run is None else run(y), latent.channels // copies
    residual = latents.reshape(-1, copies, dims).sum(axis=1, dtype=np.float64) - copies * latent.zero_point
    levels, prices = [], np.zeros((M, K, int(priced)))
    for level in range(M):
        entries = residual[rng.integers(0, len(residual), K)] + rng.normal(0, 0.5, (K, dims))
        parts = np.array_split(residual, -(-residual.size * K // DIFFERENCES_MAX))
        nearest = [((part[:, None] - entries[None, :]) ** 2).sum(axis=2).argmin(axis=1) for part in parts]
        residual = residual - entries[np.concatenate(nearest)]
        levels.append(entries)
        if priced:
            distortion = float((residual**2).sum(axis=1).mean())
            prices[level, :, 0] = np.sqrt(distortion * rng.choice([0.0, 0.1, 1.0], K) * rng.exponential(1.0, K))
    real = np.clip(np.concatenate([np.stack(levels), prices], axis=2), -255 * copies, 255 * copies)
    for frac_bits in range(8, -1, -1):
        entries = np.round(real * 2.0**frac_bits).astype(np.int64)
        shift = np.zeros(M, np.int32)
        if bits == 8:
            peaks = np.abs(entries).max(axis=(1, 2))
            shift = np.array([max(0, int(peak).bit_length() - 7) for peak in peaks], np.int32)
            entries = np.clip(np.round(entries / 2.0 ** shift[:, None, None]), -127, 127).astype(np.int64)
        fits = search_bounds(entries, shift, frac_bits, latent.zero_point, prices.shape[2], beam, copies).fits
        if fits and np.abs(entries).max() < 1 << (bits - 1):
            break
    return IntegerCodebook(
        integer=entries.astype(np.int8 if bits == 8 else np.int16),
        entry_shift=shift,
        residual_frac_bits=frac_bits,
        latent_scale=latent.scale,
        latent_zero_point=latent.zero_point,
        float=(real[..., :dims] * (latent.scale / copies)).astype(np.float32),
        price_dims=prices.shape[2],
        beam=beam,
        copies=copies,
    )


def _frame(rng: np.random.Generator, kind: str, samples: int, low: int, high: int) -> NDArray[Any]:
    t, middle = np.arange(samples), (low + high) / 2
    at = int(rng.integers(0, samples))
    if kind == "ppg":
        phase = 2 * np.pi * (t / 64 * rng.uniform(0.8, 2.5) + rng.uniform())
        beat = np.sin(phase) + 0.4 * np.sin(2 * phase + 1) + 0.1 * np.sin(3 * phase)
        amplitude = 10 ** rng.uniform(1, 3.5) * (high - low) / 65535
        return middle + rng.uniform(-0.3, 0.3) * (high - low) + amplitude * (beat + rng.normal(0, 0.02, samples))
    if kind == "noise":
        return rng.uniform(low, high + 1, samples) // 1
    if kind == "flat":
        return np.full(samples, rng.integers(low, high + 1))
    if kind == "railed":
        return np.clip(middle + rng.uniform(0.6, 3) * (high - low) * np.sin(t / 5), low, high)
    if kind == "step":
        return np.where(t < at, low, high) if rng.random() < 0.5 else np.where(t < at, high, low)
    if kind == "impulse":
        return np.where(t == at, high, low) if rng.random() < 0.5 else np.where(t == at, low, high)
    if kind == "lsb":
        return rng.integers(low + 1, high) + np.where(t == at, rng.choice([-1, 1]), 0)
    if kind == "faint":
        return rng.integers(low + 8, high - 8) + rng.integers(-3, 4, samples)
    if kind == "loud":
        strength = 2.0 ** rng.uniform(0, np.log2(high))
        return np.asarray(rng.uniform(low, high) + strength * rng.standard_normal(samples))
    fixed = {
        "zero": np.zeros(samples),
        "high_rail": np.full(samples, high),
        "low_rail": np.full(samples, low),
        "alternating": np.where(t % 2 == 0, low, high),
        "ramp": low + (high - low) * (t / max(1, samples - 1)),
    }
    return fixed[kind]


def random_frames(
    rng: np.random.Generator, n: int, T: int, kinds: Sequence[str] = FRAME_KINDS, sample_bits: int = 16,  # noqa: N803
) -> NDArray[Any]:  # fmt: skip
    """Raw frames: int16[n, T], or int32[n, T] for more than 16 bits, of the given kinds in turn."""
    low, high = -(1 << (sample_bits - 1)), (1 << (sample_bits - 1)) - 1
    dtype = np.int16 if sample_bits <= 16 else np.int32
    rows = [np.clip(np.round(_frame(rng, kinds[i % len(kinds)], T, low, high)), low, high) for i in range(n)]
    return np.array(rows, np.float64).reshape(n, T).astype(dtype)
