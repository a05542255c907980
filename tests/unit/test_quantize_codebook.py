"""Float codebooks to integers: the finest steps that cannot overflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kit.errors import ArtifactError, ShapeError
from kit.graph.codebook import FRAC_BITS_MAX, search_bounds
from kit.quantize.codebook import quantize_codebook
from kit.reference.rvq import search
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


def prices(levels: int, entries: int, unit: float) -> np.ndarray:
    """Prices as training makes them: proportional to the bits of a skewed usage, the cheapest entry at 0."""
    share = np.random.default_rng(seed() + 1).dirichlet(np.full(entries, 0.5), levels) + 0.01 / entries
    bits = -np.log2(share / share.sum(axis=1, keepdims=True))
    return ((bits - bits.min(axis=1, keepdims=True)) * unit * 0.04 ** np.arange(levels)[:, None]).astype(np.float32)


def priced_choice(latents: np.ndarray, floats: np.ndarray, price: np.ndarray) -> np.ndarray:
    """What rate-aware training chooses: the least squared distance plus price. float64 [n, D] -> int64 [n, M]."""
    residual, indices = latents, []
    for entries, extra in zip(floats.astype(np.float64), price, strict=True):
        distance = ((residual[:, None, :] - entries[None]) ** 2).sum(axis=2)
        indices.append((distance + extra).argmin(axis=1))
        residual = residual - entries[indices[-1]]
    return np.stack(indices, axis=1)


def priced_cost(latents: np.ndarray, floats: np.ndarray, price: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Mean distortion plus price of every level, for choices uint16 [n, M] of latents [n, D]: float64 [M]."""
    residual, cost = latents.astype(np.float64), []
    for level in range(len(floats)):
        residual = residual - floats[level][indices[:, level]]
        cost.append(((residual**2).sum(axis=1) + price[level][indices[:, level]]).mean())
    return np.array(cost)


@pytest.mark.parametrize(("bits", "equal"), [(8, 0.94), (16, 0.99)])
def test_prices_steer_the_device_as_they_do_training(bits: int, equal: float) -> None:
    floats = books(levels=2, entries=64, dims=6)
    price = prices(2, 64, unit=0.4)
    made = quantize_codebook(floats, SCALE, 5, bits, price=price)  # type: ignore[arg-type]
    assert (made.dims, made.price_dims, made.integer.shape) == (6, 1, (2, 64, 7))
    random = np.random.default_rng(seed() + 2)
    latents = np.clip(np.round(random.normal(0, 1 / SCALE, (1, 4000, 6))), -128, 127).astype(np.int8)
    real = (latents[0].astype(np.float64) - 5) * SCALE
    got, want = search(latents, made)[0], priced_choice(real, floats, price)
    free = search(latents, quantize_codebook(floats, SCALE, 5, bits))[0]  # type: ignore[arg-type]
    assert (got == want).mean() > equal
    costs = [priced_cost(real, floats, price, indices) for indices in (got, want, free)]
    assert (costs[0] <= 1.003 * costs[1]).all()
    assert costs[2][0] >= 1.05 * costs[1][0]
    assert (free == want).mean() < 0.75


@pytest.mark.parametrize("bits", [8, 16])
def test_prices_are_squares_of_a_coordinate_and_never_saturate(bits: int) -> None:
    floats, price = books(), prices(2, 16, unit=0.01)
    price[0, 3] += 300.0  # far beyond the entries themselves
    made = quantize_codebook(floats, SCALE, 0, bits, price=price + np.float32(0.5))  # type: ignore[arg-type]
    step = SCALE * 2.0**-made.residual_frac_bits
    roots = np.sqrt(price.astype(np.float64))
    for level in range(2):
        half = 0.5 * step * (1 << made.entry_shift[level])
        assert np.abs(made.shifted()[level, :, 4] * step - roots[level]).max() <= half * 1.001
    assert made.distance_bound().fits
    assert np.abs(np.sqrt(made.price()) - roots).max() <= 0.5 * step * (1 << int(made.entry_shift.max())) * 1.001


def test_prices_without_differences_change_nothing(tmp_path: Path) -> None:
    plain, level = quantize_codebook(books(), SCALE, 0), np.full((2, 16), 0.25, np.float32)
    for name, made in (("a", plain), ("b", quantize_codebook(books(), SCALE, 0, 8, price=level))):
        made.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "price", [np.zeros((2, 8)), np.full((2, 16), -0.1), np.full((2, 16), np.inf), np.zeros(16)], ids=str
)
def test_wrong_prices_are_refused(price: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"prices are float32.*not finite float32\[2, 16\] from 0 upwards"):
        quantize_codebook(books(), SCALE, 0, 8, price=price.astype(np.float32))
