"""Codebooks and latents that try the search: random, low-rank, full of ties, and at the limits of the proof."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.graph.codebook import IntegerCodebook, search_bounds
from kit.render.search import search_tables

KINDS = ("uniform", "flat", "ties", "equal", "peaks", "shifted")


@dataclass(frozen=True)
class Case:
    """A codebook, and latents int8[n, 1, C * D] to search it for."""

    name: str
    codebook: IntegerCodebook
    latents: NDArray[np.int8]

    def encode(self) -> bytes:
        """The case as tests/c/search_main.c reads it."""
        codebook, tables = self.codebook, search_tables(self.codebook)
        levels, stored = tables.order.shape
        stride = tables.rows.shape[2]
        fields = [codebook.dims, codebook.price_dims, stride, stored, levels]
        fields += [8 * tables.rows.itemsize, 8 * tables.order.itemsize, codebook.residual_frac_bits]
        fields += [codebook.latent_zero_point, codebook.beam, codebook.copies, len(self.latents)]
        arrays: tuple[NDArray[Any], ...] = (
            np.array(fields, np.int32), tables.rows, tables.order, tables.keys, tables.sides, tables.axis_base,
            tables.axis_shift, codebook.entry_shift.astype(np.uint8), self.latents,
        )  # fmt: skip
        return b"".join(_padded(array.tobytes()) for array in arrays)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def make_case(
    rng: np.random.Generator, kind: str, shape: tuple[int, int, int], bits: int, count: int = 24, priced: bool = False,
    beam: int = 1, copies: int = 1,
) -> Case:  # fmt: skip
    """A case of one kind; ``shape`` is [M, K, D]. Its F is the largest that fits."""
    levels, entries, dims = shape
    price_dims = int(priced)
    zero_point = int(rng.choice([-128, 127, int(rng.integers(-128, 128))]))
    top = 127 if bits == 8 else max(1, min(32767, int(30000 / np.sqrt(dims + price_dims) / levels)))
    shift = rng.integers(0, 4 if kind == "shifted" else 2, levels) if bits == 8 else np.zeros(levels, np.int64)
    integer = _entries(rng, kind, (levels, entries, dims + price_dims), top)
    integer[..., dims:] = np.abs(integer[..., dims:])
    while not search_bounds(integer, shift, 0, zero_point, price_dims, beam, copies).fits:  # too large for any F
        integer, shift = integer // 2, np.maximum(shift - 1, 0)
    frac = max(f for f in range(9) if search_bounds(integer, shift, f, zero_point, price_dims, beam, copies).fits)
    stored = integer.astype(np.int8 if bits == 8 else np.int16)
    codebook = IntegerCodebook(
        stored, shift.astype(np.int32), frac, 0.5, zero_point, stored[..., :dims].astype(np.float32), price_dims, beam,
        copies,
    )  # fmt: skip
    latents = rng.integers(-128, 128, (count, copies * dims))
    latents[:4] = np.array([-128, 127, zero_point, 0])[: min(4, count), None]
    latents[4] = np.where(np.arange(copies * dims) % 2, 127, -128)
    # Half of them are near entries: there the search has most to pass over.
    chosen = np.tile(codebook.shifted()[0, rng.integers(0, entries, count), :dims] / 2.0**frac / copies, copies)
    near = np.round(chosen + zero_point + rng.normal(0, 1, chosen.shape) * rng.choice([0, 1, 8], (count, 1)))
    latents[6::2] = near[6::2]
    name = f"{kind} M={levels} K={entries} D={dims}+{price_dims} bits={bits} F={frac} beam={beam} C={copies}"
    return Case(name, codebook, np.clip(latents, -128, 127).astype(np.int8)[:, None, :])


def _entries(rng: np.random.Generator, kind: str, shape: tuple[int, int, int], top: int) -> NDArray[np.int64]:
    """Entries int64[M, K, D] within ``top``."""
    levels, entries, dims = shape
    if kind == "ties":  # few distinct values, and every entry at least twice
        values = rng.integers(-2, 3, shape)
        values[:, entries // 2 :] = values[:, : entries - entries // 2]
        return values
    if kind == "equal":
        return np.broadcast_to(rng.integers(-top, top + 1, (levels, 1, dims)), shape).copy()
    if kind == "peaks":  # every value at the end of its range
        return rng.choice([-top, top], shape)
    if kind == "flat":  # most of the spread in three directions, as trained codebooks have it, and a few outliers
        directions = rng.normal(0, 1, (levels, 3, dims))
        weights = rng.normal(0, 1, (levels, entries, 3)) * np.array([4.0, 2.0, 1.0])
        values = weights @ directions + rng.normal(0, 0.1, shape)
        values[:, :: max(1, entries // 8)] *= 3
        return np.asarray(np.round(values / np.abs(values).max() * top), np.int64)
    return rng.integers(-top, top + 1, shape)


def random_cases(seed: int, count: int, values_max: int, beams: Sequence[int] = (1,)) -> list[Case]:
    """Cases of every kind and many shapes, each codebook of at most ``values_max`` values; beams in turn."""
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        while True:
            levels, index_bits = int(rng.integers(1, 9)), int(rng.integers(1, 13))
            dims = int(rng.choice([1, 2, 3, 6, 7, 8, 9, 14, 15, 16, 16, 17, 24, 31, 64]))
            if levels * (dims + 1) << index_bits <= values_max:
                break
        shape, bits = (levels, 1 << index_bits, dims), 8 + 8 * (number % 5 == 0)
        beam = beams[number % len(beams)]
        copies, kind = (1, 1, 3, 8)[number % 4], KINDS[number % len(KINDS)]
        cases.append(make_case(rng, kind, shape, bits, priced=number % 7 < 3, beam=beam, copies=copies))
    return cases


def encode(cases: Iterable[Case]) -> bytes:
    """All cases, one behind the other."""
    return b"".join(case.encode() for case in cases)
