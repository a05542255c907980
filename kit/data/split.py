"""Train, validation and test by subject."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from kit.config import SplitConfig
from kit.data.recording import Split
from kit.errors import DataError

VALIDATION_SHARE = 0.2
"""Share of the training subjects that validates when a manifest names train and test only."""


def _shuffled(subjects: Iterable[str], dataset: str, seed: int) -> list[str]:
    """Subjects in an order that depends on seed, dataset and names only, not on a random generator's version."""
    return sorted(subjects, key=lambda s: hashlib.sha256(f"{seed}\0{dataset}\0{s}".encode()).digest())


def _share(count: int, fraction: float) -> int:
    return max(1, int(count * fraction + 0.5))


def seeded_split(subjects: Iterable[str], dataset: str, split: SplitConfig) -> dict[str, Split]:
    """Split of each subject.

    Three subjects or more give every split at least one. Two give train and test, one gives test, so that a lone
    recording can be evaluated with trained weights; training on so few fails where it asks for frames.
    """
    order = _shuffled(set(subjects), dataset, split.seed)
    if len(order) < 3:
        return dict(zip(reversed(order), ("test", "train"), strict=False))
    test = min(_share(len(order), split.test), len(order) - 2)
    val = min(_share(len(order), split.val), len(order) - test - 1)
    return {s: "test" if i < test else "val" if i < test + val else "train" for i, s in enumerate(order)}


def resolve_splits(given: Iterable[tuple[str, Split | None]], dataset: str, split: SplitConfig) -> dict[str, Split]:
    """Split of each subject of one dataset.

    Args:
        given: (subject, split of the source or None) of every recording.
        dataset: name of the dataset; part of the seed.
        split: fractions and seed for what the source leaves open.

    Raises:
        DataError: one subject in two splits, or splits given for some recordings only.
    """
    fixed: dict[str, Split] = {}
    free: set[str] = set()
    for subject, name in given:
        if name is None:
            free.add(subject)
        elif fixed.setdefault(subject, name) != name:
            raise DataError(
                f"{dataset}: subject {subject} is in both {fixed[subject]} and {name}",
                "give all recordings of a subject one split",
            )
    if free and fixed:
        raise DataError(f"{dataset}: subject {min(free)} has no split but others have", "complete the manifest")
    if free:
        return seeded_split(free, dataset, split)
    train = [s for s, name in fixed.items() if name == "train"]
    if len(train) > 1 and "val" not in fixed.values():
        order = _shuffled(train, dataset, split.seed)
        fixed.update(dict.fromkeys(order[: _share(len(order), VALIDATION_SHARE)], "val"))
    return fixed
