"""The search tables: what the search on the device relies on, and that a table which breaks it is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kit.errors import RenderError
from kit.render.search import AXES, AXIS_NORM, BLOCK, SearchTables, _check, principal_axes, search_tables
from tests.search_cases import KINDS, make_case
from tests.support import seed


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 2, 1), (2, 4, 3), (3, 64, 16), (1, 1024, 9), (2, 4096, 5)], ids=str)
def test_tables_describe_the_codebook(shape: tuple[int, int, int], kind: str, bits: int) -> None:
    codebook = make_case(np.random.default_rng(seed()), kind, shape, bits).codebook
    tables = search_tables(codebook)  # checks itself
    assert tables.rows.dtype == codebook.integer.dtype
    assert tables.rows.shape[2] % 8 == 0
    assert tables.order.dtype == (np.uint8 if shape[1] <= 256 else np.uint16)
    assert tables.order.shape == (shape[0], max(shape[1], BLOCK))
    assert int(tables.axis_shift.max()) < 31


@pytest.mark.parametrize(("levels", "dims", "stride"), [(2, 14, 16), (8, 15, 16), (2, 16, 24), (8, 64, 72)])
def test_prices_are_a_coordinate_of_a_row(levels: int, dims: int, stride: int) -> None:
    codebook = make_case(np.random.default_rng(seed()), "uniform", (levels, 32, dims), 8, priced=True).codebook
    rows = search_tables(codebook).rows[:, AXES:]
    assert rows.shape[2] == stride
    assert rows[..., dims].any(axis=1).all() and not rows[..., dims + 1 :].any()


def test_axes_are_the_directions_of_most_spread() -> None:
    rng = np.random.default_rng(seed())
    directions = np.linalg.qr(rng.normal(0, 1, (16, 16)))[0]
    spread = np.array([900.0, 300, 100, 10, *([3] * 12)])
    entries = np.round(rng.normal(0, 1, (256, 16)) * spread @ directions.T).astype(np.int64)
    axes = principal_axes(entries)
    assert np.abs(np.sqrt((axes**2).sum(axis=1)) - AXIS_NORM).max() < 0.05 * AXIS_NORM
    centred = (entries - entries.mean(axis=0)).astype(float)
    strongest = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :3]
    alignment = np.abs((axes @ strongest).diagonal()) / np.sqrt((axes**2).sum(axis=1))
    assert alignment.min() > 0.995


def test_entries_without_spread_have_no_axes() -> None:
    assert not principal_axes(np.full((8, 5), 7)).any()
    one = principal_axes(np.array([[-100, 0], [100, 0]]))
    assert one.tolist() == [[64, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("name", [name for name in SearchTables.__slots__])
def test_a_wrong_table_is_refused(name: str) -> None:
    codebook = make_case(np.random.default_rng(seed()), "flat", (2, 64, 6), 8).codebook
    tables = search_tables(codebook)
    values = getattr(tables, name).copy()
    values.reshape(-1)[-1] += 1
    with pytest.raises(RenderError, match="search tables of codebook level 1"):
        _check(replace(tables, **{name: values}), codebook)
