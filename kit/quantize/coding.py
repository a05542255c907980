"""Fits the coding model (firmware/NUMERICS.md section 7) to the indices that the device emits.

For each level, indices are sorted into groups, and the indices they depend on into classes, so that the groups' counts
by class keep as much as possible of what the counts by index tell (co-clustering by Kullback-Leibler divergence). Of
the shapes that fit into the flash, the one that codes the validation frames shortest is kept.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.wire.coding import (
    FAR_MAX,
    SCALE_BITS,
    TABLE_BYTES_MAX,
    TOTAL,
    TOTAL_BITS,
    WEIGHTS,
    CodingModel,
    LevelModel,
    best_scale,
    cumulative,
)

_PRIOR = 20.0
"""Observations that the distribution over all contexts is worth in each of them."""
_ROUNDS = 6
_ITERATIONS = 8
_TARGETS = 24

Counts = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a level's tables look like: groups, near and far context classes, slots per class as a power of two."""

    groups: int
    near: int
    far: int = 1
    shift: int = 0

    def table_bytes(self, entries: int) -> int:
        """Flash of such tables; see :attr:`kit.wire.coding.LevelModel.table_bytes`."""
        high = entries // 4 if entries > 256 else 0
        fixed = entries + high + entries // 2 + 4 * self.groups + 2 + -(-entries >> self.shift)
        return fixed + (self.near * self.far + 1) * (-(-self.groups // 2) + 2)


def candidate_shapes(entries: int, first_level: bool, budget_bytes: int) -> list[Shape]:
    """Shapes worth trying within ``budget_bytes``: order 0, then per groups, far and shift the most near classes."""
    # One class for all needs no table of classes; where there is no room to spare, all slots share its one entry.
    alone = entries.bit_length() - 1 if entries > 512 else 0
    shapes = [Shape(groups, 1, shift=alone) for groups in (16, 8) if groups <= entries]
    for groups in (8, 16, 32):
        for far in (1, 3, FAR_MAX) if first_level else (1,):
            for shift in _shifts(entries):
                fitting = [
                    Shape(groups, near, far, shift)
                    for near in (4, 8, 16, 24, 32, 48, 64)
                    if max(near, groups) <= entries >> shift
                ]
                fitting = [shape for shape in fitting if shape.table_bytes(entries) <= budget_bytes]
                shapes += fitting[-1:]
    return list(dict.fromkeys(shape for shape in shapes if shape.table_bytes(entries) <= budget_bytes))


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
    table_bytes_max: int = TABLE_BYTES_MAX,
) -> CodingModel:
    """The model that codes validation frames shortest, learned from training frames.

    Args:
        train: uint16[n, P, M], indices of training frames as the device emits them.
        validation: uint16[m, P, M]; decides between shapes of tables.
        index_bits: B.
        contexts: False keeps to the frequencies of each level (order 0), for comparison.
        table_bytes_max: flash for all levels.

    Raises:
        ShapeError: no frame, or indices that do not fit.
    """
    if train.ndim != 3 or validation.shape[1:] != train.shape[1:] or 0 in (len(train), len(validation)):
        raise ShapeError(f"indices {list(train.shape)} and {list(validation.shape)}, want [n, P, M] with n >= 1")
    if max(int(train.max()), int(validation.max())) >> index_bits:
        raise ShapeError(f"an index has more than {index_bits} bits")
    levels: list[LevelModel] = []
    left, count = table_bytes_max, train.shape[2]
    for number in range(count):
        budget = left // (count - number)
        best, least = LevelModel.without_model(), float(index_bits)
        for shape in candidate_shapes(1 << index_bits, number == 0, budget):
            if not contexts and shape.near > 1:
                continue
            level = _fit_level(train, number, levels, index_bits, shape)
            bits = mean_bits(validation, number, [*levels, level])
            if bits < least:
                best, least = level, bits
        levels.append(best)
        left -= best.table_bytes
    return CodingModel(index_bits, tuple(levels))


def mean_bits(indices: NDArray[np.uint16], number: int, levels: list[LevelModel]) -> float:
    """Mean bits of an index of level ``number``, without what the end of a frame's code adds."""
    level = levels[number]
    slot = level.slot[indices[:, :, number]].astype(np.int64)
    group = level.group_of_slot[slot]
    near, far = _conditioning(indices, number)
    order = (levels[0] if number == 0 else levels[number - 1]).slot
    classes = level.context[_ordered(order, near) >> level.shift].astype(np.int64)
    row = (classes & 63) * level.far
    if number == 0:
        distant = level.context[_ordered(order, far) >> level.shift].astype(np.int64) >> 6
        row += np.where(far >= 0, distant, 0)
        row[near < 0] = len(level.rows) - 1
    table, members = level.row_cumulative, level.member_cumulative
    rank = slot - level.first[group]
    parts = np.log2(table[row, group + 1] - table[row, group]) - TOTAL_BITS
    alone = level.sizes[group] == 1
    inner = np.log2(members[group, rank + 1] - members[group, rank]) - TOTAL_BITS
    return float(-(parts + np.where(alone, 0.0, inner)).mean())


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


def _counts(rows: Labels, columns: Labels, shape: tuple[int, int]) -> Counts:
    flat = np.bincount(rows.ravel() * shape[1] + columns.ravel(), minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float64)


def _smoothed(counts: Counts, overall: Counts) -> Counts:
    """Distributions of rows of counts, drawn towards that over all rows."""
    share = (overall + 1.0) / (overall + 1.0).sum()
    smooth: Counts = (counts + _PRIOR * share) / (counts.sum(axis=1, keepdims=True) + _PRIOR)
    return smooth


def _merged(counts: Counts, labels: Labels, classes: int) -> Counts:
    """Rows of equal label added up."""
    total = np.zeros((classes, counts.shape[1]))
    np.add.at(total, labels, counts)
    return total


def _cluster(counts: Counts, classes: int, start: Labels | None = None) -> Labels:
    """Labels of rows, so that rows of one label have distributions as alike as possible (k-means in KL divergence)."""
    overall = counts.sum(axis=0)
    if start is None:
        own = _smoothed(counts, overall)
        bits = (counts * np.log(own)).sum(axis=1)
        logs = np.log(_smoothed(overall[None], overall))
        while len(logs) < classes:  # the row that the classes so far describe worst begins the next
            worst = int(np.argmax(bits - (counts @ logs.T).max(axis=1)))
            logs = np.vstack([logs, np.log(own[worst])])
    else:
        logs = np.log(_smoothed(_merged(counts, start, classes), overall))
    labels = np.zeros(len(counts), np.int64)
    for _ in range(_ITERATIONS):
        labels = np.argmax(counts @ logs.T, axis=1)
        logs = np.log(_smoothed(_merged(counts, labels, classes), overall))
    return labels


def _without_empty(labels: Labels, classes: int) -> Labels:
    """Every class gets a member: empty ones take one from the largest."""
    labels = labels.copy()
    for empty in np.flatnonzero(np.bincount(labels, minlength=classes) == 0):
        largest = int(np.bincount(labels, minlength=classes).argmax())
        labels[int(np.flatnonzero(labels == largest)[-1])] = empty
    return labels


def _far_classes(near: Labels, far: Labels, group: Labels, sizes: tuple[int, int, int], classes: int) -> Labels:
    """Classes of far indices that tell most about the group beside the near class."""
    entries, nears, groups = sizes
    flat = _counts(far, near * groups + group, (entries, nears * groups))
    labels = _cluster(flat, classes)
    for _ in range(_ITERATIONS):
        cube = _merged(flat, labels, classes).reshape(classes, nears, groups)
        overall = cube.sum(axis=(0, 1))
        logs = np.log(_smoothed(cube.reshape(-1, groups), overall)).reshape(classes, -1)
        labels = np.argmax(flat @ logs.T, axis=1)
    return labels


def _fit_level(
    train: NDArray[np.uint16], number: int, before: list[LevelModel], index_bits: int, shape: Shape
) -> LevelModel:
    """Tables of one level in one shape."""
    entries = 1 << index_bits
    target = train[:, :, number].astype(np.int64)
    near, far = _conditioning(train, number)
    known = near >= 0
    pairs = _counts(near[known], target[known], (entries, entries))
    nears, groups = _cluster(pairs, shape.near), _cluster(pairs.T, shape.groups)
    for _ in range(_ROUNDS if shape.near > 1 else 0):
        groups = _cluster(_merged(pairs, nears, shape.near).T, shape.groups, groups)
        nears = _cluster(_merged(pairs.T, groups, shape.groups).T, shape.near, nears)
    frequency = np.bincount(target.ravel(), minlength=entries)
    if shape.near == 1:
        nears, groups = np.zeros(entries, np.int64), _by_frequency(frequency, shape.groups)
    groups = _without_empty(groups, shape.groups)
    fars = np.zeros(entries, np.int64)
    if shape.far > 1:
        both = far >= 0
        fars = _far_classes(
            nears[near[both]], far[both], groups[target[both]], (entries, shape.near, shape.groups), shape.far
        )
    slot = _slots(groups, nears, fars)
    order = slot if number == 0 else before[number - 1].slot
    nears, fars = (_shared(labels, order, shape.shift) for labels in (nears, fars))
    row = np.where(near >= 0, nears[near] * shape.far, shape.near * shape.far)
    row += np.where(far >= 0, fars[far], 0)
    counted = _counts(row, groups[target], (shape.near * shape.far + 1, shape.groups))
    codes, scale = _quantized_rows(_smoothed(counted, counted.sum(axis=0)))
    by_slot = np.argsort(slot)
    first = np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=shape.groups))])
    members, member_scale = _quantized_members((frequency[by_slot] + 0.5).astype(np.float64), first)
    places = by_slot if number == 0 else np.argsort(order) if order.size else np.arange(entries)
    context = (nears | fars << 6)[places][:: 1 << shape.shift]
    return LevelModel(
        slot=slot.astype(np.uint16),
        first=first.astype(np.uint16),
        members=members,
        member_scale=member_scale,
        context=context.astype(np.uint8),
        rows=codes,
        row_scale=scale,
        far=shape.far,
        shift=shape.shift,
    )


def _by_frequency(frequency: NDArray[np.int64], groups: int) -> Labels:
    """Groups of indices of like frequency, of about equal size."""
    order = np.argsort(frequency, kind="stable")
    labels = np.empty(len(frequency), np.int64)
    labels[order] = np.arange(len(frequency)) * groups // len(frequency)
    return labels


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
