"""The device's range coder against the Python one, on random models and on the zoo's, with sanitizers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.wire.bits import packed_bytes
from kit.wire.coding import CodingModel
from kit.wire.range_coder import bytes_max, encode
from tests.c_support import C_TESTS, COMPILERS, RUNTIME, compile_c, run_c
from tests.coding_cases import header_text, likely_indices, random_model, write_header
from tests.support import ROOT, seed

SIZES = [(8, 1), (8, 2), (10, 2), (1, 3), (2, 8), (9, 1), (5, 2), (6, 4)]
"""Bits of an index and levels."""


def compare(
    model: CodingModel, indices: NDArray[np.uint16], compiler: str, folder: Path, capacity: int | None = None
) -> float:
    """Every code of the C coder is that of Python, or given up where Python's is too long; share of those coded.
    ``capacity`` stands in for the bytes of the packed indices."""
    write_header(model, folder)
    sources = [RUNTIME / "kit_coding.c", C_TESTS / "coding_main.c"]
    program = compile_c(compiler, sources, (RUNTIME, folder), folder / "coding")
    _, positions, levels = indices.shape
    capacity = capacity or packed_bytes(positions * levels, model.index_bits)
    output = run_c(program, positions, levels, model.index_bits, capacity, stdin=indices.astype("<u2").tobytes())
    rows = np.frombuffer(output, np.uint8).reshape(len(indices), 2 + capacity)
    codes = encode(indices, model)
    fits = codes.written < capacity
    lengths = np.where(fits, codes.lengths, capacity)
    assert np.array_equal(rows[:, :2].copy().view("<u2")[:, 0], lengths)
    for row, data, length in zip(rows[fits, 2:], codes.data[fits], lengths[fits], strict=True):
        assert row[:length].tobytes() == data[:length].tobytes()
        assert not data[length:].any() and (row[length:] == 0xEE).all()
    return float(fits.mean())


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("index_bits", "levels"), SIZES)
def test_random_models(index_bits: int, levels: int, compiler: str, tmp_path: Path) -> None:
    rng = np.random.default_rng([seed(), index_bits, levels])
    model = random_model(rng, levels, index_bits)
    share = compare(model, likely_indices(rng, model, 600, 23), compiler, tmp_path)
    assert share < 1.0, "frames that are given up are part of the test"


@pytest.mark.parametrize("network", [False, True], ids=["classes", "network"])
@pytest.mark.parametrize(("index_bits", "levels"), [(11, 2), (12, 1), (12, 3)])
def test_many_entries_are_coded_in_their_places(index_bits: int, levels: int, network: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng([seed(), index_bits, levels])
    model = random_model(rng, levels, index_bits, network)
    assert not model.levels[0].uniform and "slot" not in header_text(model).split("static const kit_coding_level_t")[0]
    indices = likely_indices(rng, model, 300, 23)
    indices[0] = (1 << index_bits) - 1
    assert compare(model, indices, COMPILERS[levels % 2], tmp_path, bytes_max(23, model)) == 1.0


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("round_", range(4))
def test_random_networks(round_: int, compiler: str, tmp_path: Path) -> None:
    rng = np.random.default_rng([seed(), round_])
    model = random_model(rng, 2, 8, network=True)
    compare(model, likely_indices(rng, model, 600, 23), compiler, tmp_path)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_model_of_the_zoo(compiler: str, tmp_path: Path) -> None:
    model = CodingModel.load(ROOT / "zoo" / "08x_ds8_l2" / "coding.npz")
    rng = np.random.default_rng(seed())
    compare(model, likely_indices(rng, model, 2000, 40), compiler, tmp_path)
