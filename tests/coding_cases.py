"""Random coding models and indices, for tests of the range coder."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError
from kit.graph.store import SCHEMA
from kit.render.coding import coding_view
from kit.render.environment import RUNTIME_ABI, Origin, render_template
from kit.wire.coding import CodingModel, LevelModel, best_scale


def random_level(rng: np.random.Generator, index_bits: int, first_level: bool) -> LevelModel:
    """A level with any number of groups and classes, and any weights."""
    entries = 1 << index_bits
    groups = int(rng.integers(1, min(64, entries) + 1))
    starts = np.sort(rng.choice(np.arange(1, entries), groups - 1, replace=False))
    first = np.concatenate([[0], starts, [entries]]).astype(np.uint16)
    near = int(rng.integers(1, 65))
    far = int(rng.integers(1, 5)) if first_level else 1
    shift = int(rng.integers(0, 4))
    members = rng.integers(0, 16, entries).astype(np.uint8)
    rows = rng.integers(0, 16, (near * far + 1, groups)).astype(np.uint8)
    if rng.random() < 0.3:
        rows[:] = rng.choice([0, 15], rows.shape)  # as uneven as weights can be
    parts = [members[begin:end] for begin, end in itertools.pairwise(first)]
    count = -(-entries >> shift)
    return LevelModel(
        slot=rng.permutation(entries).astype(np.uint16),
        first=first,
        members=members,
        member_scale=np.concatenate([best_scale(part[None]) for part in parts]),
        context=(rng.integers(0, near, count) | rng.integers(0, far, count) << 6).astype(np.uint8),
        rows=rows,
        row_scale=best_scale(rows),
        far=far,
        shift=shift,
    )


def random_model(rng: np.random.Generator, num_levels: int, index_bits: int) -> CodingModel:
    """A model whose tables fit; levels that do not are uniform."""
    levels: list[LevelModel] = []
    for number in range(num_levels):
        for _ in range(4):
            level = random_level(rng, index_bits, number == 0)
            try:
                CodingModel(index_bits, (*levels, level))
            except ArtifactError:
                continue
            break
        else:
            level = LevelModel.without_model()
        levels.append(LevelModel.without_model() if rng.random() < 0.1 else level)
    return CodingModel(index_bits, tuple(levels))


def likely_indices(rng: np.random.Generator, model: CodingModel, frames: int, positions: int) -> NDArray[np.uint16]:
    """Indices of which some are much more frequent than others, in runs: uint16[n, P, M]."""
    entries = 1 << model.index_bits
    shape = (frames, positions, len(model.levels))
    few = rng.integers(0, entries, (frames, 1, len(model.levels)))
    mixed = np.where(rng.random(shape) < rng.random((frames, 1, 1)), few, rng.integers(0, entries, shape))
    return mixed.astype(np.uint16)


def header_text(model: CodingModel) -> str:
    """``coding.h`` of a model under the prefix ``ppg``."""

    @dataclasses.dataclass
    class Names:
        prefix: str = "ppg"
        upper: str = "PPG"

    origin = Origin("0", "0" * 16, "0", "0", SCHEMA, RUNTIME_ABI)
    return render_template("coding.h.j2", origin, {"model": Names(), "coding": coding_view(model, "ppg")})


def write_header(model: CodingModel, folder: Path) -> None:
    """``coding.h``, and the kit_config.h that it needs."""
    (folder / "coding.h").write_text(header_text(model))
    (folder / "kit_config.h").write_text("#define KIT_SAMPLE_BITS 16\n#define KIT_RANGE_CODING 1\n")
