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
from kit.wire.coding import PLACES_MAX, CodingModel, LevelModel, best_scale
from kit.wire.context import ContextNetwork


def random_level(rng: np.random.Generator, index_bits: int, first_level: bool) -> LevelModel:
    """A level with any number of groups and classes, and any weights."""
    entries = 1 << index_bits
    groups = int(rng.integers(1, min(64, entries) + 1))
    starts = np.sort(rng.choice(np.arange(1, entries), groups - 1, replace=False))
    first = np.concatenate([[0], starts, [entries]]).astype(np.uint16)
    near = int(rng.integers(1, 65))
    far = int(rng.integers(1, 5)) if first_level else 1
    shift = int(rng.integers(0, 4)) + max(0, index_bits - 10)  # so that some tables fit
    members = rng.integers(0, 16, entries).astype(np.uint8)
    rows = rng.integers(0, 16, (near * far + 1, groups)).astype(np.uint8)
    if rng.random() < 0.3:
        rows[:] = rng.choice([0, 15], rows.shape)  # as uneven as weights can be
    parts = [members[begin:end] for begin, end in itertools.pairwise(first)]
    count = -(-entries >> shift)
    in_place = rng.random() < 0.3 or entries > PLACES_MAX
    level = LevelModel(
        slot=np.arange(entries, dtype=np.uint16) if in_place else rng.permutation(entries).astype(np.uint16),
        first=first,
        members=members,
        member_scale=np.concatenate([best_scale(part[None]) for part in parts]),
        context=(rng.integers(0, near, count) | rng.integers(0, far, count) << 6).astype(np.uint8),
        rows=rows,
        row_scale=best_scale(rows),
        far=far,
        shift=shift,
    )
    return with_network(rng, level) if first_level and rng.random() < 0.5 else level


def with_network(rng: np.random.Generator, level: LevelModel) -> LevelModel:
    """The level with a network of any size, of small weights or of the largest there are, in the place of its rows."""
    width, units, groups = int(rng.integers(1, 9)), int(rng.integers(1, 33)), level.groups

    def some(dtype: type, *shape: int) -> NDArray[np.int8]:
        limits = np.iinfo(dtype)
        if rng.random() < 0.3:
            return rng.choice([limits.min, limits.max], shape).astype(dtype)
        return np.clip(rng.normal(0, limits.max * rng.choice([0.1, 0.4]), shape), limits.min, limits.max).astype(dtype)

    network = ContextNetwork(
        embedding=some(np.int8, groups + 1, width),
        recurrent=some(np.int8, units, width + units),
        unit_bias=some(np.int16, units).astype(np.int16),
        output=some(np.int8, groups, units),
        output_bias=some(np.int16, groups).astype(np.int16),
    )
    none = {"context": np.zeros(0, np.uint8), "rows": np.zeros((0, 0), np.uint8), "row_scale": np.zeros(0, np.uint16)}
    return dataclasses.replace(level, **none, far=1, shift=0, network=network)


def random_model(
    rng: np.random.Generator, num_levels: int, index_bits: int, network: bool | None = None
) -> CodingModel:
    """A model whose tables fit; levels that do not are uniform.

    Args:
        network: that the first level has one, or has none; either, if not given.
    """
    levels: list[LevelModel] = []
    for number in range(num_levels):
        for _ in range(4 if number or network is None else 100):
            level = random_level(rng, index_bits, number == 0)
            if number == 0 and network is not None and network != (level.network is not None):
                continue
            try:
                CodingModel(index_bits, (*levels, level))
            except ArtifactError:
                continue
            break
        else:
            level = LevelModel.without_model()
        wanted = number == 0 and network is not None
        levels.append(LevelModel.without_model() if rng.random() < 0.1 and not wanted else level)
    return CodingModel(index_bits, tuple(levels))


def likely_indices(rng: np.random.Generator, model: CodingModel, frames: int, positions: int) -> NDArray[np.uint16]:
    """Indices of which some are much more frequent than others, in runs: uint16[n, P, M]."""
    entries = 1 << model.index_bits
    shape = (frames, positions, len(model.levels))
    few = rng.integers(0, entries, (frames, 1, len(model.levels)))
    mixed = np.where(rng.random(shape) < rng.random((frames, 1, 1)), few, rng.integers(0, entries, shape))
    return mixed.astype(np.uint16)


def header_text(model: CodingModel, name: str = "ppg") -> str:
    """``coding.h`` of a model under the prefix ``name``."""

    @dataclasses.dataclass
    class Names:
        prefix: str = name
        upper: str = name.upper()

    origin = Origin("0", "0" * 16, "0", "0", SCHEMA, RUNTIME_ABI)
    return render_template("coding.h.j2", origin, {"model": Names(), "coding": coding_view(model, name)})


def write_header(model: CodingModel, folder: Path) -> None:
    """``coding.h``, and the kit_config.h that it needs."""
    (folder / "coding.h").write_text(header_text(model))
    network = int(model.levels[0].network is not None)
    defines = {"KIT_SAMPLE_BITS": 16, "KIT_RANGE_CODING": 1, "KIT_CODING_NETWORK": network}
    (folder / "kit_config.h").write_text("".join(f"#define {key} {value}\n" for key, value in defines.items()))
