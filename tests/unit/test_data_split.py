"""Splits by subject: disjoint, seeded, never empty where three subjects allow it."""

from __future__ import annotations

import pytest

from kit.config import SplitConfig
from kit.data.split import resolve_splits, seeded_split
from kit.errors import DataError


@pytest.mark.parametrize("count", [3, 4, 5, 7, 12, 100])
@pytest.mark.parametrize("split", [SplitConfig(), SplitConfig(train=0.02, val=0.49, test=0.49)])
def test_every_split_has_a_subject(count: int, split: SplitConfig) -> None:
    names = [f"s{i}" for i in range(count)]
    got = seeded_split(names, "d", split)
    assert set(got) == set(names) and set(got.values()) == {"train", "val", "test"}


def test_few_subjects() -> None:
    assert list(seeded_split(["a"], "d", SplitConfig()).values()) == ["test"]
    assert sorted(seeded_split(["a", "b"], "d", SplitConfig()).values()) == ["test", "train"]


def test_seed_and_names_decide_not_order() -> None:
    names = [f"s{i}" for i in range(40)]
    first = seeded_split(names, "d", SplitConfig())
    assert first == seeded_split(names[::-1], "d", SplitConfig())
    assert first != seeded_split(names, "d", SplitConfig(seed=2))
    assert list(first.values()).count("train") == 28


def test_given_splits_are_kept() -> None:
    given = [("a", "train"), ("a", "train"), ("b", "val"), ("c", "test")]
    assert resolve_splits(given, "d", SplitConfig()) == {"a": "train", "b": "val", "c": "test"}


def test_validation_comes_from_training_where_a_manifest_has_none() -> None:
    given = [(f"s{i}", "train") for i in range(20)] + [("t", "test")]
    got = resolve_splits(given, "d", SplitConfig())
    assert got["t"] == "test" and list(got.values()).count("val") == 4 and list(got.values()).count("train") == 16
    assert got == resolve_splits(given[::-1], "d", SplitConfig())


def test_contradictions_are_named() -> None:
    with pytest.raises(DataError, match="subject a is in both train and test"):
        resolve_splits([("a", "train"), ("a", "test")], "d", SplitConfig())
    with pytest.raises(DataError, match="subject b has no split"):
        resolve_splits([("a", "train"), ("b", None)], "d", SplitConfig())
