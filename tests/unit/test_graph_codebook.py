"""The integer codebook: validation, bounds, storage, dequantization."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.errors import ArtifactError
from kit.graph.codebook import IntegerCodebook, search_bounds
from kit.graph.reader import read_tflite
from tests.models import random_codebook, random_encoder_tflite
from tests.support import seed


@pytest.fixture(scope="module", params=[8, 16])
def codebook(request: pytest.FixtureRequest) -> IntegerCodebook:
    rng = np.random.default_rng(seed())
    return random_codebook(rng, read_tflite(random_encoder_tflite(rng)), M=3, K=8, bits=request.param)


def test_round_trip_and_equal_bytes(codebook: IntegerCodebook, tmp_path: Path) -> None:
    codebook.save(tmp_path / "a.npz")
    loaded = IntegerCodebook.load(tmp_path / "a.npz")
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    for field in dataclasses.fields(codebook):
        a, b = getattr(codebook, field.name), getattr(loaded, field.name)
        assert np.array_equal(a, b), field.name
        assert np.asarray(a).dtype == np.asarray(b).dtype, field.name


def test_sizes_and_dequantize(codebook: IntegerCodebook) -> None:
    assert (codebook.num_levels, codebook.num_entries, codebook.dims, codebook.index_bits) == (3, 8, 4, 3)
    indices = np.random.default_rng(1).integers(0, 8, (2, 5, 3)).astype(np.uint16)
    got = codebook.dequantize(indices)
    assert got.dtype == np.float32
    total = sum(int(codebook.integer[m, indices[1, 2, m], 0]) << int(codebook.entry_shift[m]) for m in range(3))
    assert got[1, 2, 0] == np.float32(total * codebook.latent_scale / 2**codebook.residual_frac_bits)
    with pytest.raises(ArtifactError, match="index 15 is outside"):
        codebook.dequantize(np.full_like(indices, 15))
    with pytest.raises(ArtifactError, match=r"expected \[n, P, 3\]"):
        codebook.dequantize(indices[..., :2])


@pytest.mark.parametrize("priced", [False, True])
def test_values_of_entries_add_up_to_the_latents(priced: bool, codebook: IntegerCodebook) -> None:
    if priced:
        integer = np.concatenate([codebook.integer, np.abs(codebook.integer[..., :1] // 2)], axis=2)
        codebook = dataclasses.replace(codebook, integer=integer, price_dims=1)
    values = codebook.entry_values()
    assert values.shape == (3, 8, 4) and values.dtype == np.float32
    indices = np.random.default_rng(2).integers(0, 8, (9, 5, 3)).astype(np.uint16)
    chosen = np.stack([values[level][indices[..., level]] for level in range(3)])
    atol = 4e-7 * np.abs(chosen).sum(axis=0).max()
    np.testing.assert_allclose(chosen.sum(axis=0), codebook.dequantize(indices), rtol=0, atol=atol)


def test_wrong_shape_names_expected_and_found(codebook: IntegerCodebook) -> None:
    codebook.expect(num_levels=3, num_entries=8, dims=4)
    with pytest.raises(ArtifactError, match=r"shape \[3, 8, 4\], expected \[2, 256, 16\]"):
        codebook.expect(num_levels=2, num_entries=256, dims=16)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"integer": np.zeros((2, 8), np.int8)}, r"shape \[2, 8\]"),
        ({"integer": np.zeros((2, 8, 3), np.int32)}, "int32, expected int8 or int16"),
        ({"integer": np.zeros((2, 6, 3), np.int8)}, "K = 6"),
        ({"entry_shift": np.zeros(3, np.int32)}, r"int32\[3\], expected int32\[2\]"),
        ({"entry_shift": np.zeros(2, np.int64)}, "int64"),
        ({"entry_shift": np.array([0, 16], np.int32)}, r"expected 0\.\.15"),
        ({"entry_shift": np.array([-1, 0], np.int32)}, r"expected 0\.\.15"),
        ({"float": np.zeros((2, 8, 4), np.float32)}, r"float32\[2, 8, 4\], expected float32\[2, 8, 3\]"),
        ({"float": np.full((2, 8, 3), np.nan, np.float32)}, "not all finite"),
        ({"residual_frac_bits": 9}, "residual_frac_bits is 9"),
        ({"latent_zero_point": 128}, "latent_zero_point is 128"),
        ({"latent_scale": 0.0}, "latent_scale is 0"),
        ({"copies": 0}, r"copies is 0, expected 1\.\.8"),
        ({"copies": 9}, r"copies is 9, expected 1\.\.8"),
    ],
)
def test_invalid_codebooks_are_refused(change: dict[str, Any], text: str) -> None:
    valid: dict[str, Any] = {
        "integer": np.ones((2, 8, 3), np.int8),
        "entry_shift": np.zeros(2, np.int32),
        "residual_frac_bits": 2,
        "latent_scale": 0.1,
        "latent_zero_point": 3,
        "float": np.ones((2, 8, 3), np.float32),
    }
    IntegerCodebook(**valid)
    with pytest.raises(ArtifactError, match=text):
        IntegerCodebook(**{**valid, **change})


def test_bounds_hold_for_the_worst_case_and_are_enforced() -> None:
    integer = np.zeros((2, 2, 4), np.int8)
    integer[0, 1], integer[1, 1] = -128, 127
    shift = np.array([5, 3], np.int32)
    bounds = search_bounds(integer, shift, 4, -128)
    first, second = 255 << 4, (255 << 4) + (128 << 5)
    assert bounds.residual == (first, second)
    assert bounds.entry == (128 << 5, 127 << 3)
    assert bounds.distance == (4 * second**2, 4 * (second + (127 << 3)) ** 2)
    assert bounds.fits
    wide = np.full((1, 2, 64), 127, np.int8)
    with pytest.raises(ArtifactError, match=r"overflows.*fewer residual_frac_bits"):
        IntegerCodebook(wide, np.array([7], np.int32), 7, 0.1, -128, wide.astype(np.float32))


def test_copies_are_stored_and_summed(tmp_path: Path) -> None:
    made = priced(copies=3)
    made.save(tmp_path / "codebook.npz")
    loaded = IntegerCodebook.load(tmp_path / "codebook.npz")
    assert (loaded.copies, loaded.latent_channels) == (3, 9)
    latents = np.arange(18, dtype=np.int8).reshape(2, 9)
    assert loaded.summed(latents).tolist() == [[0, 3, 6], [27, 30, 33]]  # three of 3, 4 and 5 less 3 * 3, and so on
    assert np.allclose(loaded.real(latents)[1], [0.9, 1.0, 1.1])
    once = priced()
    assert loaded.distance_bound().residual[0] == 3 * once.distance_bound().residual[0]
    assert np.allclose(3 * loaded.entry_values(), once.entry_values())
    assert np.allclose(9 * loaded.price(), once.price())


def priced(**change: Any) -> IntegerCodebook:
    integer = np.ones((2, 8, 4), np.int8)
    integer[1, :, 3] = 5
    valid: dict[str, Any] = {
        "integer": integer, "entry_shift": np.array([1, 0], np.int32), "residual_frac_bits": 2, "latent_scale": 0.1,
        "latent_zero_point": 3, "float": np.ones((2, 8, 3), np.float32), "price_dims": 1,
    }  # fmt: skip
    return IntegerCodebook(**{**valid, **change})


def test_prices_are_stored_and_restore_nothing(codebook: IntegerCodebook, tmp_path: Path) -> None:
    made = priced()
    made.save(tmp_path / "codebook.npz")
    loaded = IntegerCodebook.load(tmp_path / "codebook.npz")
    assert (loaded.dims, loaded.price_dims, loaded.integer.shape) == (3, 1, (2, 8, 4))
    made.expect(num_levels=2, num_entries=8, dims=3)
    latents = loaded.dequantize(np.zeros((1, 4, 2), np.uint16))
    assert latents.shape == (1, 4, 3) and (latents == np.float32(3 * 0.1 / 4)).all()
    start, bounds = 131 << 2, loaded.distance_bound()
    assert (bounds.residual, bounds.entry) == ((start, start + 2), (2, 5))
    assert bounds.distance == (3 * (start + 2) ** 2 + 2**2, 3 * (start + 3) ** 2 + 5**2)
    codebook.save(tmp_path / "plain.npz")
    with np.load(tmp_path / "plain.npz") as archive:
        assert "price_dims" not in archive.files


def test_the_beam_is_stored_and_counts_what_was_paid_before(codebook: IntegerCodebook, tmp_path: Path) -> None:
    made = priced(beam=4)
    made.save(tmp_path / "codebook.npz")
    assert IntegerCodebook.load(tmp_path / "codebook.npz").beam == 4
    plain, counted = priced().distance_bound().distance, made.distance_bound().distance
    assert (counted[0] - plain[0], counted[1] - plain[1]) == (0, 2**2)
    codebook.save(tmp_path / "plain.npz")
    assert IntegerCodebook.load(tmp_path / "plain.npz").beam == 1
    with np.load(tmp_path / "plain.npz") as archive:
        assert "beam" not in archive.files
    for wrong in (0, 9):
        with pytest.raises(ArtifactError, match=rf"beam is {wrong}, expected 1\.\.8"):
            priced(beam=wrong)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"price_dims": 2}, r"price_dims 2, expected 0 or 1"),
        ({"price_dims": -1}, r"price_dims -1, expected 0 or 1"),
        ({"price_dims": 0}, r"float32\[2, 8, 3\], expected float32\[2, 8, 4\]"),
        ({"integer": np.ones((2, 8, 1), np.int8)}, "fewer than there are coordinates"),
        ({"integer": np.full((2, 8, 4), [0, 0, 0, -1], np.int8)}, "root of its price below 0"),
    ],
)
def test_invalid_prices_are_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ArtifactError, match=text):
        priced(**change)


@pytest.mark.parametrize("damage", ["truncate", "drop", "vector"])
def test_damaged_files_are_refused(codebook: IntegerCodebook, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "codebook.npz"
    codebook.save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "drop":
        del arrays["entry_shift"]
        np.savez(path, **arrays)
    else:
        arrays["latent_scale"] = np.ones(2, np.float32)
        np.savez(path, **arrays)
    with pytest.raises(ArtifactError, match=r"cannot read|damaged|lacks entry_shift|expected a scalar"):
        IntegerCodebook.load(path)
