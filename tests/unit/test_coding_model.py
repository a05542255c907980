"""The coding model: what is refused, what a fit saves, and what a build and its bundle need of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.build.zoo import entries
from kit.errors import ArtifactError, ConfigError, RenderError, ShapeError
from kit.quantize.coding import candidate_shapes, coding_order, fit_coding, mean_bits
from kit.quantize.grouping import stretches
from kit.render.coding import coding_view
from kit.wire.coding import TABLE_BYTES_MAX, TOTAL, CodingModel, LevelModel
from kit.wire.context import ContextNetwork
from kit.wire.packet import PacketLayout
from kit.wire.range_coder import decode, encode
from tests.coding_cases import random_model
from tests.models import tiny_config
from tests.support import seed


def walk(rng: np.random.Generator, frames: int, entries: int) -> NDArray[np.uint16]:
    """Indices with memory: a walk on the first level, and a second level that depends on the first."""
    steps = rng.integers(-2, 3, (frames, 40)).cumsum(axis=1) + rng.integers(0, entries, (frames, 1))
    first = steps % entries
    second = (first * 7 + rng.integers(0, entries // 4, first.shape)) % entries
    return np.stack([first, second], axis=2).astype(np.uint16)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_fit_finds_what_depends_on_what(bits: int) -> None:
    rng = np.random.default_rng(seed())
    train, validation, test = (walk(rng, n, 1 << bits) for n in (600, 200, 200))
    plain = fit_coding(train, validation, bits, contexts=False)
    model = fit_coding(train, validation, bits)
    assert model.table_bytes <= TABLE_BYTES_MAX
    for number in range(2):
        levels = list(model.levels[: number + 1])
        assert mean_bits(test, number, levels) < bits - 0.8, "the memory is found"
    lengths, order0 = encode(test, model), encode(test, plain)
    assert lengths.lengths.mean() < 0.9 * order0.lengths.mean()
    bits_a_frame = 40 * sum(mean_bits(test, n, list(model.levels[: n + 1])) for n in range(2))
    assert 0 <= 8 * lengths.lengths.mean() - bits_a_frame < 8, "the end of a code costs less than a byte"


def test_equal_indices_give_equal_models(tmp_path: Path) -> None:
    train = walk(np.random.default_rng(3), 300, 16)
    for name in ("a", "b"):
        fit_coding(train, train[:100], 4).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = CodingModel.load(tmp_path / "a")
    for name, array in fit_coding(train, train[:100], 4).arrays().items():
        assert np.array_equal(again.arrays()[name], array)


def test_what_cannot_be_saved_is_left_uniform() -> None:
    noise = np.random.default_rng(seed()).integers(0, 256, (200, 10, 2)).astype(np.uint16)
    model = fit_coding(noise, noise[:50][::-1].copy() ^ np.uint16(85), 8)
    layout = PacketLayout(64, 16, 10, 2, 8, False, coding="range", model=model)
    assert (layout._lengths(layout.pack_batch(noise)) <= layout.frame_bytes).all()
    with pytest.raises(ShapeError, match="more than 4 bits"):
        fit_coding(noise, noise, 4)


def test_two_levels_of_1024_entries_both_get_a_model() -> None:
    """Half of the flash has room for their places and weights, if all slots share one class."""
    rng = np.random.default_rng(seed())
    skewed = np.minimum(rng.geometric(0.01, (400, 20, 2)), 1024) - 1
    train, validation = skewed[:300].astype(np.uint16), skewed[300:].astype(np.uint16)
    model = fit_coding(train, validation, 10, contexts=False)
    assert model.table_bytes <= TABLE_BYTES_MAX and not any(level.uniform for level in model.levels)
    assert all(mean_bits(validation, number, list(model.levels[: number + 1])) < 8.7 for number in range(2))
    assert any(shape.near > 1 for shape in candidate_shapes(1024, True, TABLE_BYTES_MAX // 2))


@pytest.mark.parametrize("entries_", [2, 16, 256, 1024, 2048, 4096])
def test_shapes_fit_their_budget(entries_: int) -> None:
    for budget, in_place in itertools.product((0, 700, 2048, 4096), (False, True)):
        for shape in candidate_shapes(entries_, True, budget, in_place=in_place):
            assert shape.table_bytes(entries_) <= budget and shape.groups <= entries_


@pytest.mark.parametrize(("entries_", "budgets"), [(2048, (2048, 2662, 4096)), (4096, (2662, 4096))])
def test_many_entries_have_shapes_in_their_places_only(entries_: int, budgets: tuple[int, ...]) -> None:
    for budget, network in itertools.product(budgets, (False, True)):
        found = candidate_shapes(entries_, True, budget, in_place=True, network=network)
        assert any(shape.near > 1 for shape in found) and all((shape.network is not None) == network for shape in found)
        assert any(shape.near > 1 for shape in candidate_shapes(entries_, False, budget, in_place=True))
        assert not candidate_shapes(entries_, True, budget, network=network)


@pytest.mark.parametrize(("bits", "uniform"), [(11, [False, False]), (12, [True, False])])
def test_many_entries_are_coded_in_their_places_or_uniformly(bits: int, uniform: list[bool], tmp_path: Path) -> None:
    rng = np.random.default_rng(seed())
    skewed = np.minimum(rng.geometric(0.01, (150, 20, 2)), 1 << bits) - 1
    skewed[0, 0] = (1 << bits) - 1
    indices = skewed.astype(np.uint16)
    model = fit_coding(indices, indices, bits, contexts=False, in_place=True)
    assert [level.uniform for level in model.levels] == uniform and model.table_bytes <= TABLE_BYTES_MAX
    model.save(tmp_path / "coding.npz")
    elsewhere = fit_coding(indices, indices, bits, contexts=False)
    assert elsewhere.table_bytes == 0
    for each in (model, CodingModel.load(tmp_path / "coding.npz"), elsewhere):
        layout = PacketLayout(64, 16, 20, 2, bits, True, coding="range", model=each)
        rows = layout.pack_batch(indices, np.zeros(150, np.int16), np.zeros(150, np.uint8))
        assert np.array_equal(layout.unpack_batch(rows).indices, indices)
        saved = layout.frame_bytes - layout._lengths(rows).mean()
        assert saved > 0.1 * layout.index_bytes if each is not elsewhere else saved < 1


@pytest.mark.parametrize("bits", [10, 11, 12])
def test_no_device_has_a_table_of_places_for_many_entries(bits: int, tmp_path: Path) -> None:
    entries_ = 1 << bits
    arrays: dict[str, Any] = {
        "first": np.array([0, entries_], np.uint16),
        "members": np.ones(entries_, np.uint8),
        "member_scale": np.array([1], np.uint16),
        "context": np.zeros(1, np.uint8),
        "rows": np.ones((2, 1), np.uint8),
        "row_scale": np.ones(2, np.uint16),
        "shift": bits,
    }
    own = np.arange(entries_, dtype=np.uint16)
    CodingModel(bits, (LevelModel(slot=own, **arrays),)).save(tmp_path / "coding.npz")
    moved = LevelModel(slot=own[::-1].copy(), **arrays)  # as long as a codebook is brought into order
    if bits == 10:
        assert coding_view(CodingModel(bits, (moved,)), "ppg") is not None
        return
    with pytest.raises(ArtifactError, match=f"level 0 moves its {entries_} entries .* tables for 1024 at most"):
        CodingModel(bits, (moved,))
    files = dict(np.load(tmp_path / "coding.npz"))
    np.savez(tmp_path / "other.npz", **{**files, "level0_slot": moved.slot})
    with pytest.raises(ArtifactError, match=f"level 0 moves its {entries_} entries"):
        CodingModel.load(tmp_path / "other.npz")
    with pytest.raises(ArtifactError, match="1 groups of 8192 entries"):
        replace(moved, slot=np.arange(8192, dtype=np.uint16))
    with pytest.raises(ArtifactError, match="far 1, shift 13"):
        replace(moved, shift=13)
    with pytest.raises(ArtifactError, match="13 bits an index"):
        CodingModel(13, (LevelModel.without_model(),))


def test_table_bytes_are_those_rendered() -> None:
    rng = np.random.default_rng(seed())
    for bits in (1, 4, 8, 10, 11, 12):
        model = random_model(rng, 3, bits)
        view = coding_view(model, "ppg")
        assert view is not None and view.bytes == model.table_bytes
        for level in model.levels:
            if not level.uniform and level.network is None:
                assert (np.diff(level.row_cumulative) >= 1).all() and level.row_cumulative.max() <= TOTAL
    assert coding_view(None, "ppg") is None


def level_with(**changes: Any) -> LevelModel:
    values: dict[str, Any] = {
        "slot": np.array([2, 0, 1, 3], np.uint16),
        "first": np.array([0, 1, 4], np.uint16),
        "members": np.array([15, 13, 15, 12], np.uint8),
        "member_scale": np.array([43690, 23828], np.uint16),
        "context": np.array([0, 65, 0, 1], np.uint8),
        "rows": np.array([[15, 13], [9, 15], [13, 15], [15, 15], [15, 9]], np.uint8),
        "row_scale": np.array([29125, 38833, 29125, 21843, 38833], np.uint16),
        "far": 2,
    }
    return LevelModel(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slot": np.array([0, 0, 1, 3], np.uint16)}, "no permutation"),
        ({"first": np.array([0, 0, 4], np.uint16)}, "do not follow"),
        ({"context": np.array([0, 65, 0, 2], np.uint8)}, "without a row"),
        ({"context": np.array([0, 193, 0, 1], np.uint8)}, "without a row"),
        ({"context": np.array([0], np.uint8)}, "context classes"),
        ({"far": 5}, "far 5"),
        ({"rows": np.full((5, 2), 16, np.uint8)}, "out of range"),
        ({"row_scale": np.full(5, 60000, np.uint16)}, "sum to more"),
        ({"member_scale": np.full(2, 60000, np.uint16)}, "sum to more"),
        ({"members": np.zeros(4, np.int8)}, "members is int8"),
    ],
)
def test_defective_models_are_refused(changes: dict[str, Any], words: str) -> None:
    assert level_with().groups == 2
    with pytest.raises(ArtifactError, match=words):
        level_with(**changes)


def test_models_of_other_sizes_are_refused(tmp_path: Path) -> None:
    model = CodingModel(2, (level_with(),))
    with pytest.raises(ArtifactError, match="1 levels of 2-bit indices, the configuration has 2 of 4 bits"):
        model.expect(num_levels=2, index_bits=4)
    with pytest.raises(ArtifactError, match="level 1 has 2 far classes"):
        CodingModel(2, (level_with(), level_with()))
    with pytest.raises(ShapeError, match="coding model is of other levels"):
        PacketLayout(64, 16, 4, 2, 4, True, coding="range", model=model)
    (tmp_path / "x.npz").write_bytes(b"nothing")
    with pytest.raises(ArtifactError):
        CodingModel.load(tmp_path / "x.npz")


def test_fixed_width_is_the_default_and_unknown_codings_are_named() -> None:
    assert tiny_config().packet.coding == "fixed"
    with pytest.raises(ConfigError, match=r"packet\.coding = 'ranged'.*nearest valid: range"):
        tiny_config(packet={"coding": "ranged"})
    layout = PacketLayout.from_config(tiny_config())
    assert layout.row_bytes == layout.frame_bytes and "coding" not in layout.to_dict()
    ranged = PacketLayout.from_config(tiny_config(packet={"coding": "range"}))
    assert PacketLayout.from_dict(ranged.to_dict()) == ranged != layout
    with pytest.raises(ShapeError, match="not at hand"):
        ranged.pack(np.zeros((16, 2), np.uint16))


def test_rendering_needs_the_model_that_the_configuration_asks_for() -> None:
    from kit.render.firmware import _check_coding

    with pytest.raises(RenderError, match="there is no coding model"):
        _check_coding(tiny_config(packet={"coding": "range"}), None)
    with pytest.raises(RenderError, match="there is a coding model"):
        _check_coding(tiny_config(), CodingModel(2, (level_with(),)))


def test_every_coding_model_of_the_zoo_fits_its_weights() -> None:
    found = [entry for entry in entries() if entry.has_coding]
    assert found
    for entry in found:
        entry.check()
        model = CodingModel.load(entry.folder / "coding.npz")
        model.expect(num_levels=entry.config.model.num_levels, index_bits=entry.config.model.index_bits)


def repeated(rng: np.random.Generator, frames: int, entries: int) -> NDArray[np.uint16]:
    """Indices that repeat a pattern of three positions of each frame's own, loosely: two before tell nothing."""
    quarter = np.tile(rng.integers(0, 4, (frames, 3)), (1, 8))
    first = quarter * (entries // 4) + rng.integers(0, entries // 4, quarter.shape)
    second = (first * 3 + rng.integers(0, 3, quarter.shape)) % entries
    return np.stack([first, second], axis=2).astype(np.uint16)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_network_knows_more_than_two_positions(in_place: bool) -> None:
    rng = np.random.default_rng(seed())
    train, validation, test = (repeated(rng, n, 64) for n in (500, 100, 100))
    if in_place:
        rank = np.argsort(coding_order(train, 6), axis=1)
        train, validation, test = (
            np.stack([rank[level][part[:, :, level]] for level in range(2)], axis=2).astype(np.uint16)
            for part in (train, validation, test)
        )
    classes = fit_coding(train, validation, 6, in_place=in_place)
    model = fit_coding(train, validation, 6, network=True, in_place=in_place)
    network = model.levels[0].network
    assert network is not None and network.units >= 8 and model.table_bytes <= TABLE_BYTES_MAX
    assert all(level.in_place == in_place for level in model.levels)
    assert mean_bits(test, 0, list(model.levels)) < 5.0, "classes of two positions find nothing"
    assert classes.levels[0].uniform or mean_bits(test, 0, list(classes.levels)) > 5.8
    codes = encode(test, model)
    assert np.array_equal(decode(codes.data, test.shape[1], model), test)
    bits_a_frame = 24 * sum(mean_bits(test, n, list(model.levels[: n + 1])) for n in range(2))
    assert 0 <= 8 * codes.lengths.mean() - bits_a_frame < 8


def test_order_is_a_permutation_that_saves_the_tables_of_places(tmp_path: Path) -> None:
    train = repeated(np.random.default_rng(seed()), 300, 16)
    order = coding_order(train, 4)
    assert order.shape == (2, 16) and np.array_equal(np.sort(order, axis=1), np.tile(np.arange(16), (2, 1)))
    rank = np.argsort(order, axis=1)
    sorted_ = np.stack([rank[level][train[:, :, level]] for level in range(2)], axis=2).astype(np.uint16)
    model = fit_coding(sorted_, sorted_[:100], 4, network=True, in_place=True)
    view = coding_view(model, "ppg")
    assert view is not None and view.bytes == model.table_bytes
    assert not any("slot" in each.name for each in view.tables) and dict(view.levels[0])["slot"] == "NULL"
    model.save(tmp_path / "coding.npz")
    again = CodingModel.load(tmp_path / "coding.npz")
    assert all(np.array_equal(again.arrays()[name], array) for name, array in model.arrays().items())
    fit_coding(sorted_, sorted_[:100], 4, network=True, in_place=True).save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "coding.npz").read_bytes()


def test_stretches_join_neighbours_that_lose_least() -> None:
    rows = np.array([[9, 1], [8, 2], [1, 9], [2, 8], [9, 1], [0, 0]], np.float64)
    assert stretches(rows, 3).tolist() == [0, 0, 1, 1, 2, 2]
    assert stretches(rows, 6).tolist() == list(range(6)) and stretches(rows, 1).tolist() == [0] * 6


def network_with(**changes: Any) -> ContextNetwork:
    values: dict[str, Any] = {
        "embedding": np.array([[40], [-30], [0]], np.int8),
        "recurrent": np.array([[64, 40, -20], [-20, 30, 50]], np.int8),
        "unit_bias": np.array([100, 32], np.int16),
        "output": np.array([[90, -10], [-5, 30]], np.int8),
        "output_bias": np.array([0, 64], np.int16),
    }
    return ContextNetwork(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embedding": np.zeros((2, 1), np.int8)}, "network of"),
        ({"recurrent": np.zeros((2, 3), np.int16)}, "network recurrent is int16"),
        ({"unit_bias": np.zeros(3, np.int16)}, "network of"),
        ({"output_bias": np.zeros(0, np.int16)}, "network output_bias is"),
        ({"recurrent": np.zeros((2, 2), np.int8)}, "network of"),
        ({"recurrent": np.zeros((2, 11), np.int8), "embedding": np.zeros((3, 9), np.int8)}, "9 coordinates, 2 units"),
        ({"embedding": np.zeros((3, 3), np.int8)}, "network of"),
    ],
)
def test_defective_networks_are_refused(changes: dict[str, Any], words: str) -> None:
    assert (network_with().width, network_with().units) == (1, 2)
    with pytest.raises(ArtifactError, match=words):
        network_with(**changes)


def test_a_network_stands_alone_on_the_first_level(tmp_path: Path) -> None:
    none = {"context": np.zeros(0, np.uint8), "rows": np.zeros((0, 0), np.uint8), "row_scale": np.zeros(0, np.uint16)}
    good = level_with(**none, far=1, network=network_with())
    with pytest.raises(ArtifactError, match="a network beside rows"):
        level_with(network=network_with())
    with pytest.raises(ArtifactError, match="a network of 2 groups for 1"):
        level_with(**none, far=1, network=network_with(), first=np.array([0, 4], np.uint16),
                   member_scale=np.array([10], np.uint16))  # fmt: skip
    with pytest.raises(ArtifactError, match="level 1 has a network"):
        CodingModel(2, (good, good))
    CodingModel(2, (good,)).save(tmp_path / "coding.npz")
    arrays = dict(np.load(tmp_path / "coding.npz"))
    del arrays["level0_network_recurrent"]
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ArtifactError, match="no coding model"):
        CodingModel.load(tmp_path / "other.npz")


def test_a_network_needs_range_coding() -> None:
    with pytest.raises(ConfigError, match="network predicts range-coded indices only"):
        tiny_config(packet={"context": "network"})
