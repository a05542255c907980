"""Fits the coding model (firmware/NUMERICS.md section 7) to the indices that the device emits.

For each level, indices are sorted into groups, and the indices they depend on into classes, so that the groups' counts
by class keep as much as possible of what the counts by index tell (co-clustering by Kullback-Leibler divergence). On
the first level a network may weigh the groups instead. Of the shapes that fit into the flash, the one that codes the
validation frames shortest is kept.

Places of indices take flash. A codebook whose entries were brought into :func:`coding_order` needs none: its groups are
stretches of it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.quantize.context import TRIAL, NetworkShape, fit_network
from kit.quantize.grouping import (
    Counts,
    Labels,
    by_frequency,
    co_clusters,
    counts,
    far_classes,
    smoothed,
    without_empty,
)
from kit.wire.coding import (
    FAR_MAX,
    PLACES_MAX,
    SCALE_BITS,
    TABLE_BYTES_MAX,
    TOTAL,
    TOTAL_BITS,
    WEIGHTS,
    CodingModel,
    LevelModel,
    best_scale,
    cumulative,
    network_cumulative,
)
from kit.wire.context import UNITS_MAX

Clusters = dict[tuple[int, int], tuple[Labels, Labels]]
"""Near classes and groups of a level by their numbers: shapes may differ in everything else."""

_TARGETS = 24
_ORDER_GROUPS = (64, 32)
"""Groups that a codebook is brought into the order of: on the first level, and on the others."""
_ORDER_CLASSES = 64
_NETWORK_SHARES = (0.5, 0.575, 0.65)
"""Shares of the flash tried for a first level with a network, where there are other levels."""
_NETWORK_WIDTH = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """What a level's tables look like: groups, near and far context classes, slots per class as a power of two; or a
    network in the place of the classes. ``in_place``: indices are their own places."""

    groups: int
    near: int
    far: int = 1
    shift: int = 0
    network: NetworkShape | None = None
    in_place: bool = False

    def table_bytes(self, entries: int) -> int:
        """Flash of such tables; see :attr:`kit.wire.coding.LevelModel.table_bytes`."""
        places = 0 if self.in_place else entries + (entries // 4 if entries > 256 else 0)
        fixed = places + entries // 2 + 4 * self.groups + 2
        if self.network is not None:
            return fixed + self.network.table_bytes(self.groups)
        rows = self.near * self.far + 1
        return fixed + -(-entries >> self.shift) + rows * (-(-self.groups // 2) + 2)


def candidate_shapes(
    entries: int, first_level: bool, budget_bytes: int, *, in_place: bool = False, network: bool = False
) -> list[Shape]:
    """Shapes worth trying within ``budget_bytes``: order 0, then per groups, far and shift the most near classes; for
    the first level, if ``network``, per groups the most units instead. None where the entries are too many for a table
    of places, which they need unless ``in_place``."""
    if entries > PLACES_MAX and not in_place:
        return []
    if first_level and network:
        shapes = _network_shapes(entries, budget_bytes, in_place)
    else:
        shapes = _class_shapes(entries, first_level, budget_bytes, in_place)
    return list(dict.fromkeys(shape for shape in shapes if shape.table_bytes(entries) <= budget_bytes))


def _class_shapes(entries: int, first_level: bool, budget_bytes: int, in_place: bool) -> list[Shape]:
    # One class for all needs no table of classes; where there is no room to spare, all slots share its one entry.
    alone = entries.bit_length() - 1 if entries > 512 else 0
    shapes = [Shape(groups, 1, shift=alone, in_place=in_place) for groups in (16, 8) if groups <= entries]
    for groups in (8, 16, 32):
        for far in (1, 3, FAR_MAX) if first_level else (1,):
            for shift in _shifts(entries):
                fitting = [
                    Shape(groups, near, far, shift, in_place=in_place)
                    for near in (4, 8, 16, 24, 32, 48, 64)
                    if max(near, groups) <= entries >> shift
                ]
                fitting = [shape for shape in fitting if shape.table_bytes(entries) <= budget_bytes]
                shapes += fitting[-1:]
    return shapes


def _network_shapes(entries: int, budget_bytes: int, in_place: bool) -> list[Shape]:
    shapes: list[Shape] = []
    for groups in (16, 32, 64):
        if groups <= entries:
            sizes = [NetworkShape(_NETWORK_WIDTH, units) for units in range(1, UNITS_MAX + 1)]
            fitting = [Shape(groups, _ORDER_CLASSES, network=size, in_place=in_place) for size in sizes]
            shapes += [shape for shape in fitting if shape.table_bytes(entries) <= budget_bytes][-1:]
    return shapes


def _shifts(entries: int) -> tuple[int, ...]:
    """Shared classes worth trying: the more entries, the less flash is left for a class of each slot."""
    if entries <= 256:
        return (0,)
    return (0, 2) if entries <= 512 else (0, 2, 3, 4)


def fit_coding(
    train: NDArray[np.uint16],
    validation: NDArray[np.uint16],
    index_bits: int,
    *,
    contexts: bool = True,
    network: bool = False,
    in_place: bool = False,
    table_bytes_max: int = TABLE_BYTES_MAX,
) -> CodingModel:
    """The model that codes validation frames shortest, learned from training frames.

    Args:
        train: uint16[n, P, M], indices of training frames as the device emits them.
        validation: uint16[m, P, M]; decides between shapes of tables.
        index_bits: B.
        contexts: False keeps to the frequencies of each level (order 0), for comparison.
        network: a network stands for the classes of the first level.
        in_place: the codebooks are in :func:`coding_order`: groups are stretches of indices, and no table of places is
            needed. Without it, levels of more than :data:`PLACES_MAX` entries are left uniform.
        table_bytes_max: flash for all levels.

    Raises:
        ShapeError: no frame, or indices that do not fit.
    """
    if train.ndim != 3 or validation.shape[1:] != train.shape[1:] or 0 in (len(train), len(validation)):
        raise ShapeError(f"indices {list(train.shape)} and {list(validation.shape)}, want [n, P, M] with n >= 1")
    if max(int(train.max()), int(validation.max())) >> index_bits:
        raise ShapeError(f"an index has more than {index_bits} bits")
    count = train.shape[2]
    shares = _NETWORK_SHARES if network and count > 1 else (1 / count,)
    found = []
    for share in shares:
        levels: list[LevelModel] = []
        bits, left = 0.0, table_bytes_max
        for number in range(count):
            budget = int(left * share) if number == 0 else left // (count - number)
            shapes = candidate_shapes(1 << index_bits, number == 0, budget, in_place=in_place, network=network)
            shapes = [shape for shape in shapes if contexts or shape.near == 1]
            level, least = _best_level(train, validation, index_bits, levels, shapes)
            levels.append(level)
            left -= level.table_bytes
            bits += least
        found.append((bits, levels))
    levels = min(found, key=lambda each: each[0])[1]
    return CodingModel(index_bits, (_whole(train, levels[0]), *levels[1:]))


def _whole(train: NDArray[np.uint16], level: LevelModel) -> LevelModel:
    """The first level with its network, if it has one, trained to the end: other levels do not depend on it."""
    if level.network is None:
        return level
    groups = level.group_of_slot[level.slot[train[:, :, 0]]]
    shape = NetworkShape(level.network.width, level.network.units)
    return replace(level, network=fit_network(groups, level.groups, shape))


def _best_level(
    train: NDArray[np.uint16], validation: NDArray[np.uint16], index_bits: int, levels: list[LevelModel],
    shapes: list[Shape],
) -> tuple[LevelModel, float]:  # fmt: skip
    """The next level's model of the fewest bits an index of the validation frames, and these; networks after a short
    training."""
    number = len(levels)
    best, least = LevelModel.without_model(), float(index_bits)
    clusters: Clusters = {}
    for shape in shapes:
        level = _fit_level(train, number, levels, index_bits, shape, clusters)
        bits = mean_bits(validation, number, [*levels, level])
        if bits < least:
            best, least = level, bits
    return best, least


def coding_order(train: NDArray[np.uint16], index_bits: int) -> NDArray[np.int64]:
    """The order of each level's entries in which those that follow the same indices stand together.

    Args:
        train: uint16[n, P, M], indices of training frames as the device emits them.
        index_bits: B.

    Returns:
        int64[M, K]: index of the entry that comes to each place.
    """
    levels: list[LevelModel] = []
    entries = 1 << index_bits
    for number in range(train.shape[2]):
        groups = min(_ORDER_GROUPS[min(number, 1)], entries)
        levels.append(_fit_level(train, number, levels, index_bits, Shape(groups, min(_ORDER_CLASSES, entries)), {}))
    return np.stack([np.argsort(level.slot).astype(np.int64) for level in levels])


def mean_bits(indices: NDArray[np.uint16], number: int, levels: list[LevelModel]) -> float:
    """Mean bits of an index of level ``number``, without what the end of a frame's code adds."""
    level = levels[number]
    slot = level.slot[indices[:, :, number]].astype(np.int64)
    group = level.group_of_slot[slot]
    members = level.member_cumulative
    rank = slot - level.first[group]
    inner = np.log2(members[group, rank + 1] - members[group, rank]) - TOTAL_BITS
    parts = np.log2(_group_frequency(indices, number, levels, group)) - TOTAL_BITS
    return float(-(parts + np.where(level.sizes[group] == 1, 0.0, inner)).mean())


def _group_frequency(indices: NDArray[np.uint16], number: int, levels: list[LevelModel], group: Labels) -> Labels:
    """Frequency that the group of each index has in its context: int64[n, P]."""
    level = levels[number]
    if level.network is not None:
        weights = level.network.frame_weights(group)
        sums, at = network_cumulative(weights.reshape(-1, level.groups)), group.reshape(-1)
        rows = np.arange(len(at))
        return (sums[rows, at + 1] - sums[rows, at]).reshape(group.shape)
    near, far = _conditioning(indices, number)
    order = (levels[0] if number == 0 else levels[number - 1]).slot
    classes = level.context[_ordered(order, near) >> level.shift].astype(np.int64)
    row = (classes & 63) * level.far
    if number == 0:
        distant = level.context[_ordered(order, far) >> level.shift].astype(np.int64) >> 6
        row += np.where(far >= 0, distant, 0)
        row[near < 0] = len(level.rows) - 1
    table = level.row_cumulative
    found: Labels = table[row, group + 1] - table[row, group]
    return found


def _ordered(order: NDArray[np.uint16], index: Labels) -> Labels:
    """Slots of indices, as they are where the level has no order; 0 for none (-1)."""
    index = np.maximum(index, 0)
    return index if order.size == 0 else order[index].astype(np.int64)


def _conditioning(indices: NDArray[np.uint16], number: int) -> tuple[Labels, Labels]:
    """Near and far index that each index of a level depends on, -1 for none: int64[n, P] each."""
    if number > 0:
        near = indices[:, :, number - 1].astype(np.int64)
        return near, np.full_like(near, -1)
    near, far = (np.full(indices.shape[:2], -1, np.int64) for _ in range(2))
    near[:, 1:] = indices[:, :-1, 0]
    far[:, 2:] = indices[:, :-2, 0]
    return near, far


def _fit_level(
    train: NDArray[np.uint16], number: int, before: list[LevelModel], index_bits: int, shape: Shape, clusters: Clusters
) -> LevelModel:
    """Tables of one level in one shape; ``clusters`` are those of the level so far, which grow by the shape's."""
    entries = 1 << index_bits
    target = train[:, :, number].astype(np.int64)
    near, far = _conditioning(train, number)
    if (shape.near, shape.groups) not in clusters:
        clusters[shape.near, shape.groups] = _classes(target, near, entries, shape)
    nears, groups = clusters[shape.near, shape.groups]
    fars = np.zeros(entries, np.int64)
    if shape.far > 1:
        both = far >= 0
        fars = far_classes(
            nears[near[both]], far[both], groups[target[both]], (entries, shape.near, shape.groups), shape.far
        )
    slot = np.arange(entries) if shape.in_place else _slots(groups, nears, fars)
    by_slot = np.argsort(slot)
    first = np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=shape.groups))])
    frequency = np.bincount(target.ravel(), minlength=entries)
    members, member_scale = _quantized_members((frequency[by_slot] + 0.5).astype(np.float64), first)
    places: dict[str, Any] = {
        "slot": slot.astype(np.uint16), "first": first.astype(np.uint16), "members": members,
        "member_scale": member_scale,
    }  # fmt: skip
    if shape.network is not None:
        network = fit_network(groups[target], shape.groups, shape.network, share=TRIAL)
        return replace(LevelModel.without_model(), **places, network=network)
    order = slot if number == 0 else before[number - 1].slot
    nears, fars = (_shared(labels, order, shape.shift) for labels in (nears, fars))
    row = np.where(near >= 0, nears[near] * shape.far, shape.near * shape.far)
    row += np.where(far >= 0, fars[far], 0)
    counted = counts(row, groups[target], (shape.near * shape.far + 1, shape.groups))
    codes, scale = _quantized_rows(smoothed(counted, counted.sum(axis=0)))
    by_place = by_slot if number == 0 else np.argsort(order) if order.size else np.arange(entries)
    context = (nears | fars << 6)[by_place][:: 1 << shape.shift]
    return LevelModel(
        **places, context=context.astype(np.uint8), rows=codes, row_scale=scale, far=shape.far, shift=shape.shift
    )


def _classes(target: Labels, near: Labels, entries: int, shape: Shape) -> tuple[Labels, Labels]:
    """Near classes and groups, int64[K] each."""
    if shape.near > 1:
        known = near >= 0
        pairs = counts(near[known], target[known], (entries, entries))
        nears, groups = co_clusters(pairs, shape.near, shape.groups, in_place=shape.in_place)
    elif shape.in_place:
        nears, groups = np.zeros(entries, np.int64), np.arange(entries) * shape.groups // entries
    else:
        frequency = np.bincount(target.ravel(), minlength=entries)
        nears, groups = np.zeros(entries, np.int64), by_frequency(frequency, shape.groups)
    return nears, groups if shape.in_place else without_empty(groups, shape.groups)


def _slots(groups: Labels, nears: Labels, fars: Labels) -> Labels:
    """Place of each index: by group, within a group by context class, so that neighbours can share one."""
    slot = np.empty(len(groups), np.int64)
    slot[np.lexsort((np.arange(len(groups)), fars, nears, groups))] = np.arange(len(groups))
    return slot


def _shared(labels: Labels, order: NDArray[np.integer], shift: int) -> Labels:
    """Labels by index when 2^shift neighbouring slots have the label of the first of them."""
    if shift == 0:
        return labels
    slot = np.arange(len(labels)) if order.size == 0 else order.astype(np.int64)
    by_slot = np.empty_like(labels)
    by_slot[slot] = labels
    shared: Labels = by_slot[slot >> shift << shift]
    return shared


def _quantized_members(weights: Counts, first: Labels) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    codes, scales = np.zeros(len(weights), np.uint8), []
    for begin, end in itertools.pairwise(first):
        share = weights[begin:end] / weights[begin:end].sum()
        row, scale = _quantized_rows(share[None])
        codes[begin:end] = row[0]
        scales.append(scale[0])
    return codes, np.array(scales, np.uint16)


def _quantized_rows(share: Counts) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Codes and scales whose frequencies lie nearest to distributions [rows, n], by KL divergence."""
    best_codes = np.zeros(share.shape, np.uint8)
    best = np.full(len(share), np.inf)
    weights = WEIGHTS.astype(np.float64)
    edges = np.sqrt(np.maximum(weights[1:], 1.0) * np.maximum(weights[:-1], 1.0))
    peak = share.max(axis=1, keepdims=True)
    for target in np.geomspace(weights[-1] / 2, weights[-1] * 1.2, _TARGETS):
        codes = np.searchsorted(edges, share / peak * target).astype(np.uint8)
        table = cumulative(codes, best_scale(codes))
        cost = -(share * np.log(np.diff(table, axis=1))).sum(axis=1)
        better = cost < best
        best_codes[better], best[better] = codes[better], cost[better]
    return best_codes, best_scale(best_codes)


assert SCALE_BITS < TOTAL_BITS and TOTAL == 1 << TOTAL_BITS
