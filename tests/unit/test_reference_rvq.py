"""The search against brute force in exact integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kit.errors import ShapeError
from kit.graph.codebook import IntegerCodebook
from kit.graph.reader import read_tflite
from kit.quantize.prices import level_search
from kit.reference import rvq
from kit.reference.rvq import search
from tests.models import random_codebook, random_encoder_tflite
from tests.search_cases import make_case
from tests.support import seed


def first_residual(latent: list[int], codebook: IntegerCodebook) -> list[int]:
    """NUMERICS.md 4.1, one value after the other."""
    copies, dims = codebook.copies, codebook.dims
    sums = [sum(latent[copy * dims + d] for copy in range(copies)) for d in range(dims)]
    return [(total - copies * codebook.latent_zero_point) * 2**codebook.residual_frac_bits for total in sums]


def plain_search(latent: list[int], codebook: IntegerCodebook) -> tuple[list[int], int, int]:
    """Indices of one position, largest residual and largest distance met on the way."""
    residual = first_residual(latent, codebook)
    residual += [0] * codebook.price_dims
    indices, residual_max, distance_max = [], 0, 0
    for level in range(codebook.num_levels):
        residual_max = max(residual_max, *map(abs, residual))
        shift = int(codebook.entry_shift[level])
        entries = [[int(e) << shift for e in entry] for entry in codebook.integer[level]]
        distances = [sum((r - e) ** 2 for r, e in zip(residual, entry, strict=True)) for entry in entries]
        index = distances.index(min(distances))
        distance_max = max(distance_max, *distances)
        residual = [r - e for r, e in zip(residual, entries[index], strict=True)]
        residual[codebook.dims :] = [0] * codebook.price_dims
        indices.append(index)
    return indices, residual_max, distance_max


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("priced", [False, True])
@pytest.mark.parametrize("copies", [1, 3])
def test_equals_brute_force_within_the_proven_bounds(
    bits: int, levels: int, priced: bool, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rvq, "BLOCK_ROWS", 7)
    rng = np.random.default_rng(seed())
    encoder = read_tflite(random_encoder_tflite(rng, D=5 * copies))
    codebook = random_codebook(rng, encoder, M=levels, K=16, bits=bits, priced=priced, copies=copies)
    latents = rng.integers(-128, 128, (4, 6, 5 * copies)).astype(np.int8)
    latents[0, 0], latents[0, 1] = -128, 127
    bounds, got = codebook.distance_bound(), search(latents, codebook)
    assert got.dtype == np.uint16
    for at in np.ndindex(4, 6):
        indices, residual, distance = plain_search(latents[at].tolist(), codebook)
        assert got[at].tolist() == indices
        assert residual <= max(bounds.residual)
        assert distance <= max(bounds.distance)
    monkeypatch.setattr(rvq, "BLOCK_COSTS", 3 * 16)
    assert np.array_equal(search(latents, codebook), got)


def plain_beam(latent: list[int], codebook: IntegerCodebook) -> tuple[list[int], int]:
    """Indices of the M-best search of one position, and the largest cost met on the way."""
    dims, cost_max = codebook.dims, 0
    residual = first_residual(latent, codebook)
    paths: list[tuple[int, list[int], list[int]]] = [(0, residual, [])]
    for level, entries in enumerate(codebook.shifted().tolist()):
        candidates = []
        for rank, (paid, residual, chosen) in enumerate(paths):
            for k, entry in enumerate(entries):
                price = sum(e * e for e in entry[dims:])
                left = [r - e for r, e in zip(residual, entry[:dims], strict=True)]
                cost = paid + sum(r * r for r in left) + price
                candidates.append((cost, rank, k, (paid + price, left, [*chosen, k])))
        cost_max = max(cost_max, *(candidate[0] for candidate in candidates))
        width = codebook.beam if level + 1 < codebook.num_levels else 1
        paths = [candidate[3] for candidate in sorted(candidates, key=lambda c: c[:3])[:width]]
    return paths[0][2], cost_max


@pytest.mark.parametrize("beam", [2, 4, 8])
@pytest.mark.parametrize("entries", [2, 16])
@pytest.mark.parametrize("priced", [False, True])
def test_m_best_search_equals_brute_force(
    beam: int, entries: int, priced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rvq, "BLOCK_COSTS", 7 * beam * entries)
    rng = np.random.default_rng(seed() + beam)
    case = make_case(rng, "ties", (3, entries, 5), 8, count=24, priced=priced, beam=beam, copies=1 + beam % 3)
    got, bound = search(case.latents, case.codebook), max(case.codebook.distance_bound().distance)
    for latent, found in zip(case.latents[:, 0].tolist(), got[:, 0].tolist(), strict=True):
        indices, cost = plain_beam(latent, case.codebook)
        assert found == indices
        assert cost <= bound


def test_m_best_search_of_two_levels_is_never_worse_and_often_better() -> None:
    case = make_case(np.random.default_rng(seed()), "flat", (2, 64, 6), 8, count=400)
    errors = []
    for beam in (1, 4):
        codebook = replace(case.codebook, beam=beam)
        left = codebook.dequantize(search(case.latents, codebook)) / 0.5 + codebook.latent_zero_point - case.latents
        errors.append(np.square(left).sum(axis=2)[:, 0])
    assert (errors[1] <= errors[0]).all()  # of two levels, the path of the nearest entry is one of those kept
    assert (errors[1] < errors[0]).mean() > 0.1


def test_ties_take_the_lowest_index() -> None:
    entries = np.array([[[9, 9], [4, 0], [-4, 0], [0, 4], [4, 0]], [[7, 7], [1, 0], [0, 1], [1, 0], [0, -1]]], np.int8)
    integer = np.concatenate([entries, np.full((2, 3, 2), 100, np.int8)], axis=1)
    codebook = IntegerCodebook(integer, np.zeros(2, np.int32), 0, 0.5, 0, integer.astype(np.float32))
    # At 0 four entries are 16 away: 1 wins; from (-4, 0) then 1 and 3 are nearer than none, and 2 equals 4.
    assert search(np.array([[[0, 0], [4, 0]]], np.int8), codebook).tolist() == [[[1, 2], [1, 1]]]


def test_wrong_latents_are_refused() -> None:
    integer = np.ones((1, 2, 3), np.int8)
    codebook = IntegerCodebook(integer, np.zeros(1, np.int32), 0, 0.5, 0, integer.astype(np.float32))
    for bad in (np.zeros((1, 2, 4), np.int8), np.zeros((1, 2, 3), np.int16), np.zeros((2, 3), np.int8)):
        with pytest.raises(ShapeError, match=r"expected int8\[n, P, 3\]"):
            search(bad, codebook)
    assert search(np.zeros((0, 2, 3), np.int8), codebook).shape == (0, 2, 1)


@pytest.mark.parametrize("beam", [1, 2, 8])
@pytest.mark.parametrize("priced", [False, True])
def test_the_float_search_of_the_quantizer_chooses_alike(beam: int, priced: bool) -> None:
    rng = np.random.default_rng(seed() + beam)
    case = make_case(rng, "flat", (3, 32, 6), 8, count=300, priced=priced, beam=beam)
    codebook, dims = case.codebook, case.codebook.dims
    rows = (case.latents[:, 0].astype(np.int64) - codebook.latent_zero_point) << codebook.residual_frac_bits
    shifted = codebook.shifted().astype(np.float64)
    price = np.square(shifted[..., dims:]).sum(axis=2) if priced else None
    found = level_search(shifted[..., :dims], rows.astype(np.float32), price, beam)
    assert np.array_equal(found, search(case.latents, codebook)[:, 0])
