"""The model behind range-coded indices (firmware/NUMERICS.md section 7): what a device holds as tables, and a file.

Each level sorts its indices into groups. A group is coded by a row of weights that the context chooses, then the index
within its group by weights of its own. Weights are 4-bit codes; an integer scale per row takes their running sums to
cumulative frequencies, so that every index can be coded. On the first level a small network (:mod:`kit.wire.context`)
may stand for the rows: it weighs the groups by those of several positions before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import INDEX_BITS_MAX, Config
from kit.errors import ArtifactError
from kit.files import read_npz, write_npz
from kit.wire.context import ARRAYS as NETWORK_ARRAYS
from kit.wire.context import ContextNetwork

CODING_FILE = "coding.npz"
"""Name of the artifact."""
TOTAL_BITS = 14
TOTAL = 1 << TOTAL_BITS
"""Frequencies of a row sum to at most this."""
SCALE_BITS = 10
"""A scale counts in units of 2^-SCALE_BITS."""
NETWORK_SCALE_BITS = 16
"""A scale of a network's weights counts in units of 2^-NETWORK_SCALE_BITS."""
GROUPS_MAX, NEAR_MAX, FAR_MAX = 64, 64, 4
TABLE_BYTES_MAX = 4096
"""Flash that all tables of a model may take."""
PLACES_MAX = 1024
"""Most entries that a device can have a table of places for; of more, each index is its own place."""

WEIGHTS = np.array([0] + [(2 + (code & 1)) << (code >> 1) for code in range(1, 16)], np.int64)
"""Weight of each 4-bit code: 0, then steps of 4/3 and 3/2 in turn from 3 to 384."""

_REBUILD = "rebuild with kit build-firmware"


def cumulative(codes: NDArray[Any], scale: NDArray[Any]) -> NDArray[np.int64]:
    """Cumulative frequencies of rows: codes [rows, n] of 0..15, scale [rows] -> int64[rows, n + 1]."""
    sums = np.zeros((codes.shape[0], codes.shape[1] + 1), np.int64)
    np.cumsum(WEIGHTS[codes], axis=1, out=sums[:, 1:])
    scaled: NDArray[np.int64] = (sums * scale.astype(np.int64)[:, None]) >> SCALE_BITS
    return np.arange(codes.shape[1] + 1, dtype=np.int64) + scaled


def best_scale(codes: NDArray[Any]) -> NDArray[np.uint16]:
    """Largest scale of each row, codes [rows, n], for which its frequencies sum to at most :data:`TOTAL`."""
    sums = np.maximum(WEIGHTS[codes].sum(axis=1), 1)
    room = TOTAL - codes.shape[1]
    scale: NDArray[np.uint16] = np.minimum((((room + 1) << SCALE_BITS) - 1) // sums, 0xFFFF).astype(np.uint16)
    return scale


def network_cumulative(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cumulative frequencies of a network's weights: int64[n, G] -> int64[n, G + 1]."""
    groups = weights.shape[1]
    sums = np.zeros((len(weights), groups + 1), np.int64)
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    scale = ((TOTAL - groups) << NETWORK_SCALE_BITS) // sums[:, -1:]
    found: NDArray[np.int64] = np.arange(groups + 1, dtype=np.int64) + ((sums * scale) >> NETWORK_SCALE_BITS)
    return found


@dataclass(frozen=True, eq=False)
class LevelModel:
    """How the indices of one level are coded; without groups (all arrays empty) every index is as likely as any other.

    Attributes:
        slot: uint16[K], place of each index in the order of groups, each once. Where all are in place already, a device
            needs no table of them. More than :data:`PLACES_MAX` may be elsewhere while a codebook is brought into
            order, but in no model.
        first: uint16[G + 1], first slot of each group; every group has a member, the last entry is K.
        members: uint8[K], code 0..15 of each slot's weight within its group.
        member_scale: uint16[G].
        context: uint8[ceil(K / 2^shift)], by the conditioning slot without its ``shift`` lowest bits: near class in
            bits 0..5, far class in bits 6 and 7.
        rows: uint8[A * S + 1, G], codes of the groups' weights by context, near * S + far; the last without context.
        row_scale: uint16[A * S + 1].
        far: S, far classes, 1..4; 1 but for the first level.
        shift: slots that share a context class, as a power of two.
        network: weighs the groups; context, rows and row_scale are empty then, far is 1 and shift 0.

    Raises:
        ArtifactError: anything is not as above, or the frequencies of a row exceed their total.
    """

    slot: NDArray[np.uint16]
    first: NDArray[np.uint16]
    members: NDArray[np.uint8]
    member_scale: NDArray[np.uint16]
    context: NDArray[np.uint8]
    rows: NDArray[np.uint8]
    row_scale: NDArray[np.uint16]
    far: int = 1
    shift: int = 0
    network: ContextNetwork | None = None

    def __post_init__(self) -> None:
        for name, dtype, axes in _ARRAYS:
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != axes:
                raise ArtifactError(f"coding model: {name} is {array.dtype}{list(array.shape)}", _REBUILD)
        if not self.uniform:
            problem = self._problem() or (self._row_problem() if self.network is None else self._network_problem())
            if problem:
                raise ArtifactError(f"coding model: {problem}", _REBUILD)

    @classmethod
    def without_model(cls) -> LevelModel:
        """A level whose indices are all as likely."""
        arrays: dict[str, Any] = {name: np.zeros((0,) * axes, dtype) for name, dtype, axes in _ARRAYS}
        return cls(**arrays)

    @property
    def uniform(self) -> bool:
        """The level has no groups."""
        return self.slot.size == 0

    @cached_property
    def in_place(self) -> bool:
        """Every index stands at its own place."""
        return bool(np.array_equal(self.slot, np.arange(len(self.slot))))

    @property
    def groups(self) -> int:
        """G."""
        return len(self.first) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """int64[G]: places of each group."""
        starts = self.first.astype(np.int64)
        return starts[1:] - starts[:-1]

    def _problem(self) -> str:
        """What contradicts the description of the attributes; empty where nothing does."""
        entries, groups, starts = len(self.slot), self.groups, self.first.astype(np.int64)
        sizes = [1 << bits for bits in range(1, INDEX_BITS_MAX + 1)]
        if entries not in sizes or not 1 <= groups <= min(GROUPS_MAX, entries):
            return f"{groups} groups of {entries} entries"
        if not np.array_equal(np.sort(self.slot), np.arange(entries)):
            return "slots are no permutation"
        if starts[0] != 0 or starts[-1] != entries or (np.diff(starts) < 1).any():
            return "groups do not follow each other"
        if self.members.shape != (entries,) or self.member_scale.shape != (groups,) or self.members.max() > 15:
            return f"members {list(self.members.shape)} of {entries} entries, scales {list(self.member_scale.shape)}"
        if max(each[-1] for each in self._member_sums()) > TOTAL:
            return f"frequencies of members that sum to more than {TOTAL}"
        return ""

    def _network_problem(self) -> str:
        assert self.network is not None
        if self.network.groups != self.groups:
            return f"a network of {self.network.groups} groups for {self.groups}"
        if self.context.size or self.rows.size or self.row_scale.size or (self.far, self.shift) != (1, 0):
            return "a network beside rows"
        return ""

    def _row_problem(self) -> str:
        entries, groups = len(self.slot), self.groups
        if not 1 <= self.far <= FAR_MAX or not 0 <= self.shift <= INDEX_BITS_MAX:
            return f"far {self.far}, shift {self.shift}"
        if len(self.context) != -(-entries >> self.shift):
            return f"{len(self.context)} context classes for {entries} entries"
        if self.rows.shape[1] != groups or len(self.rows) % self.far != 1 % self.far:
            return f"rows {list(self.rows.shape)}"
        if self.row_scale.shape != (len(self.rows),) or self.rows.max() > 15:
            return "row scales or codes out of range"
        row = (self.context & 63).astype(np.int64) * self.far + (self.context >> 6)
        if (self.context >> 6).max() >= self.far or row.max() >= len(self.rows) - 1:
            return "a context class without a row"
        if self.row_cumulative[:, -1].max() > TOTAL:
            return f"frequencies that sum to more than {TOTAL}"
        return ""

    def _member_sums(self) -> Iterator[NDArray[np.int64]]:
        for group in range(self.groups):
            codes = self.members[self.first[group] : self.first[group + 1]]
            yield cumulative(codes[None], self.member_scale[group : group + 1])[0]

    @cached_property
    def row_cumulative(self) -> NDArray[np.int64]:
        """int64[A * S + 1, G + 1]: cumulative frequencies of the groups in every context."""
        return cumulative(self.rows, self.row_scale)

    @cached_property
    def member_cumulative(self) -> NDArray[np.int64]:
        """int64[G, largest group + 1]: cumulative frequencies within groups; beyond a group its last one repeats."""
        sums = list(self._member_sums())
        table = np.empty((self.groups, max(len(each) for each in sums)), np.int64)
        for row, each in zip(table, sums, strict=True):
            row[: len(each)], row[len(each) :] = each, each[-1]
        return table

    @cached_property
    def group_of_slot(self) -> NDArray[np.int64]:
        """int64[K]."""
        return np.repeat(np.arange(self.groups), self.sizes)

    @cached_property
    def index_of_slot(self) -> NDArray[np.uint16]:
        """uint16[K]."""
        return np.argsort(self.slot).astype(np.uint16)

    @property
    def table_bytes(self) -> int:
        """Flash that its tables take."""
        if self.uniform:
            return 0
        entries, groups, rows = len(self.slot), self.groups, len(self.rows)
        places = 0 if self.in_place else entries + (entries // 4 if entries > 256 else 0)
        fixed = places + 2 * (groups + 1) + entries // 2 + 2 * groups
        if self.network is not None:
            return fixed + self.network.table_bytes
        return fixed + len(self.context) + rows * (-(-groups // 2) + 2)


_ARRAYS: tuple[tuple[str, Any, int], ...] = (
    ("slot", np.uint16, 1), ("first", np.uint16, 1), ("members", np.uint8, 1), ("member_scale", np.uint16, 1),
    ("context", np.uint8, 1), ("rows", np.uint8, 2), ("row_scale", np.uint16, 1),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CodingModel:
    """How the indices of all levels are coded.

    Attributes:
        index_bits: B; every level has K = 2^B entries.
        levels: of each level, the first one first.

    Raises:
        ArtifactError: a level of another K, places for more than :data:`PLACES_MAX` entries, or tables larger than
            :data:`TABLE_BYTES_MAX`.
    """

    index_bits: int
    levels: tuple[LevelModel, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.index_bits <= INDEX_BITS_MAX or not 1 <= len(self.levels) <= 8:
            raise ArtifactError(f"coding model of {len(self.levels)} levels, {self.index_bits} bits an index", _REBUILD)
        for number, level in enumerate(self.levels):
            if not level.uniform and len(level.slot) != 1 << self.index_bits:
                raise ArtifactError(
                    f"coding model: level {number} has {len(level.slot)} entries, not {1 << self.index_bits}", _REBUILD
                )
            if not level.in_place and len(level.slot) > PLACES_MAX:
                raise ArtifactError(
                    f"coding model: level {number} moves its {len(level.slot)} entries to other places, of which a "
                    f"device has tables for {PLACES_MAX} at most",
                    "fit it to a codebook in coding order: rebuild with kit build-firmware --train",
                )
            if number > 0 and level.far != 1:
                raise ArtifactError(f"coding model: level {number} has {level.far} far classes, not 1", _REBUILD)
            if number > 0 and level.network is not None:
                raise ArtifactError(f"coding model: level {number} has a network, which only the first may", _REBUILD)
        if self.table_bytes > TABLE_BYTES_MAX:
            raise ArtifactError(f"coding model: {self.table_bytes} bytes, at most {TABLE_BYTES_MAX}", _REBUILD)

    @property
    def table_bytes(self) -> int:
        """Flash that all tables take."""
        return sum(level.table_bytes for level in self.levels)

    def expect(self, *, num_levels: int, index_bits: int) -> None:
        """Check against what a configuration needs.

        Raises:
            ArtifactError: other levels or another width; names both.
        """
        found, want = (len(self.levels), self.index_bits), (num_levels, index_bits)
        if found != want:
            raise ArtifactError(
                f"the coding model is for {found[0]} levels of {found[1]}-bit indices, the configuration has "
                f"{want[0]} of {want[1]} bits",
                "use the coding model of the same weights, or train anew",
            )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything by name, in a fixed order: what the file holds and what the build hash covers."""
        found: dict[str, NDArray[Any]] = {"index_bits": np.array(self.index_bits, np.int32)}
        for number, level in enumerate(self.levels):
            for name, dtype, _ in _ARRAYS:
                found[f"level{number}_{name}"] = np.ascontiguousarray(getattr(level, name), dtype)
            found[f"level{number}_sizes"] = np.array([level.far, level.shift], np.int32)
            if level.network is not None:
                for name, _, _ in NETWORK_ARRAYS:
                    found[f"level{number}_network_{name}"] = np.ascontiguousarray(getattr(level.network, name))
        return found

    def save(self, path: str | Path) -> None:
        """Write coding.npz; equal models give equal bytes."""
        write_npz(path, **self.arrays())

    @classmethod
    def load(cls, path: str | Path) -> CodingModel:
        """Read and check a coding.npz.

        Raises:
            ArtifactError: missing, damaged, or not a valid model.
        """
        arrays = read_npz(path)
        count = sum(name.endswith("_sizes") for name in arrays)
        names = ["index_bits"]
        if "level0_network_output" in arrays:
            names += [f"level0_network_{name}" for name, _, _ in NETWORK_ARRAYS]
        for number in range(count):
            names += [f"level{number}_{name}" for name in (*(each[0] for each in _ARRAYS), "sizes")]
        if sorted(names) != sorted(arrays) or arrays["index_bits"].shape != ():
            raise ArtifactError(f"{path} is no coding model of this kit", _REBUILD)
        levels = []
        for number in range(count):
            sizes = arrays[f"level{number}_sizes"]
            if sizes.shape != (2,) or sizes.dtype != np.int32:
                raise ArtifactError(f"{path} is no coding model of this kit", _REBUILD)
            parts: dict[str, Any] = {name: arrays[f"level{number}_{name}"] for name, _, _ in _ARRAYS}
            if f"level{number}_network_output" in arrays:
                network = {name: arrays[f"level{number}_network_{name}"] for name, _, _ in NETWORK_ARRAYS}
                parts["network"] = ContextNetwork(**network)
            levels.append(LevelModel(**parts, far=int(sizes[0]), shift=int(sizes[1])))
        return cls(int(arrays["index_bits"]), tuple(levels))


def load_coding(config: Config, folder: Path) -> CodingModel | None:
    """The coding model of a build in ``folder``; None where the configuration asks for indices of fixed width.

    Raises:
        ArtifactError: missing, damaged, or of another geometry.
    """
    if config.packet.coding == "fixed":
        return None
    model = CodingModel.load(folder / CODING_FILE)
    model.expect(num_levels=config.model.num_levels, index_bits=config.model.index_bits)
    return model


assert {each[0] for each in _ARRAYS} <= {field.name for field in fields(LevelModel)}
assert TOTAL_BITS + NETWORK_SCALE_BITS < 32
assert INDEX_BITS_MAX < TOTAL_BITS
