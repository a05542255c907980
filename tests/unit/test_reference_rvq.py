"""The search against brute force in exact integers."""

from __future__ import annotations

import numpy as np
import pytest

from kit.errors import ShapeError
from kit.graph.codebook import IntegerCodebook
from kit.graph.reader import read_tflite
from kit.reference import rvq
from kit.reference.rvq import search
from tests.models import random_codebook, random_encoder_tflite
from tests.support import seed


def plain_search(latent: list[int], codebook: IntegerCodebook) -> tuple[list[int], int, int]:
    """Indices of one position, largest residual and largest distance met on the way."""
    residual = [(q - codebook.latent_zero_point) << codebook.residual_frac_bits for q in latent]
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
def test_equals_brute_force_within_the_proven_bounds(
    bits: int, levels: int, priced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rvq, "BLOCK_ROWS", 7)
    rng = np.random.default_rng(seed())
    encoder = read_tflite(random_encoder_tflite(rng, D=5))
    codebook = random_codebook(rng, encoder, M=levels, K=16, bits=bits, priced=priced)
    latents = rng.integers(-128, 128, (4, 6, 5)).astype(np.int8)
    latents[0, 0], latents[0, 1] = -128, 127
    bounds, got = codebook.distance_bound(), search(latents, codebook)
    assert got.dtype == np.uint16
    for at in np.ndindex(4, 6):
        indices, residual, distance = plain_search(latents[at].tolist(), codebook)
        assert got[at].tolist() == indices
        assert residual <= max(bounds.residual)
        assert distance <= max(bounds.distance)


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
