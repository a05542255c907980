"""Float codebooks to integers: the finest steps that cannot overflow."""

from __future__ import annotations

import numpy as np
import pytest

from kit.errors import ArtifactError, ShapeError
from kit.graph.codebook import FRAC_BITS_MAX, search_bounds
from kit.quantize.codebook import quantize_codebook
from tests.support import seed

SCALE = 0.03125


def books(levels: int = 2, entries: int = 16, dims: int = 4, spread: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed())
    shrink = spread * 0.2 ** np.arange(levels)[:, None, None]
    return (random.normal(size=(levels, entries, dims)) * shrink).astype(np.float32)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("zero_point", [-128, -3, 100])
def test_entries_are_within_half_a_step(bits: int, zero_point: int) -> None:
    floats = books()
    made = quantize_codebook(floats, SCALE, zero_point, bits)  # type: ignore[arg-type]
    step = SCALE * 2.0**-made.residual_frac_bits
    error = np.abs(made.shifted() * step - floats).max(axis=(1, 2))
    assert (error <= 0.5 * step * (1 << made.entry_shift) * (1 + 1e-6)).all()
    assert made.integer.dtype == (np.int8 if bits == 8 else np.int16)
    if bits == 16:
        assert not made.entry_shift.any()


def test_a_finer_residual_would_overflow() -> None:
    made = quantize_codebook(books(dims=16), SCALE, 0, 8)
    assert made.distance_bound().fits and made.residual_frac_bits < FRAC_BITS_MAX
    finer = search_bounds(made.integer, made.entry_shift + 1, made.residual_frac_bits + 1, 0)
    assert not finer.fits


def test_small_codebooks_get_all_fractional_bits() -> None:
    assert quantize_codebook(books(levels=1, dims=1, spread=0.01), 1.0, 0, 8).residual_frac_bits >= 6


def test_levels_have_their_own_shift() -> None:
    made = quantize_codebook(books(), SCALE, 0, 8)
    assert made.entry_shift[0] > made.entry_shift[1]
    assert np.abs(made.integer[1].astype(int)).max() > 40


def test_one_outlier_does_not_cost_the_others_a_bit() -> None:
    floats = np.full((1, 256, 4), 0.9, np.float32) * np.linspace(-1, 1, 256, dtype=np.float32)[None, :, None]
    plain = quantize_codebook(floats, SCALE, 0, 8)
    floats[0, 0, 0] = -1.0
    assert quantize_codebook(floats, SCALE, 0, 8).entry_shift[0] == plain.entry_shift[0]


def test_entries_far_outside_the_latents_are_refused() -> None:
    with pytest.raises(ArtifactError, match="do not fit 32 bits"):
        quantize_codebook(books(dims=64) * 1e4, SCALE, 0, 16)


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ShapeError):
        quantize_codebook(books()[0], SCALE, 0)
    bad = books()
    bad[0, 0, 0] = np.nan
    with pytest.raises(ShapeError, match="finite"):
        quantize_codebook(bad, SCALE, 0)


def test_entries_that_are_hardly_chosen_do_not_make_the_others_coarse() -> None:
    random = np.random.default_rng(1)
    books = random.normal(0, 0.2, (1, 32, 4)).astype(np.float32)
    books[0, 5] = 9.0
    usage = np.full((1, 32), 100)
    usage[0, 5] = 0
    plain, weighted = (quantize_codebook(books, 0.05, 0, 8, counts) for counts in (None, usage))
    assert weighted.entry_shift[0] < plain.entry_shift[0]
    assert np.array_equal(quantize_codebook(books, 0.05, 0, 8, np.ones((1, 32))).integer, plain.integer)
    with pytest.raises(ShapeError, match="usage"):
        quantize_codebook(books, 0.05, 0, 8, usage[:, :3])
