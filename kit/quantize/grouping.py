"""Clusters of indices by what follows them and by what they follow (co-clustering by Kullback-Leibler divergence)."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

_PRIOR = 20.0
"""Observations that the distribution over all contexts is worth in each of them."""
_ROUNDS = 6
_ITERATIONS = 8

Counts = NDArray[np.float64]
Labels = NDArray[np.int64]


def co_clusters(pairs: Counts, classes: int, groups: int, *, in_place: bool = False) -> tuple[Labels, Labels]:
    """Classes of rows and groups of columns that keep as much as possible of what rows tell about columns.

    Args:
        pairs: float64[K, K], how often each row is followed by each column.
        classes: of rows.
        groups: of columns.
        in_place: groups are stretches of columns.

    Returns:
        int64[K] classes, int64[K] groups.
    """
    class_of, group_of = cluster(pairs, classes), cluster(pairs.T, groups)
    if in_place:
        group_of = stretches(merged(pairs, class_of, classes).T, groups)
    for _ in range(_ROUNDS):
        by_class = merged(pairs, class_of, classes).T
        group_of = stretches(by_class, groups) if in_place else cluster(by_class, groups, group_of)
        class_of = cluster(merged(pairs.T, group_of, groups).T, classes, class_of)
    return class_of, group_of


def stretches(table: Counts, number: int) -> Labels:
    """Labels of rows in ``number`` stretches, from the first to the last: of two neighbours that are merged, the pair
    that loses least of what rows tell about columns, again and again."""
    rows = dict(enumerate(table.astype(np.float64)))
    begins, ends = {at: at for at in rows}, {at: at + 1 for at in rows}  # of stretches, by where they begin and end
    heap = [(_loss(rows[at], rows[at + 1]), at, at + 1, at + 2) for at in range(len(table) - 1)]
    heapq.heapify(heap)
    while len(rows) > number:
        _, first, second, end = heapq.heappop(heap)
        if first not in rows or ends[first] != second or second not in rows or ends[second] != end:
            continue  # one of them was merged meanwhile
        rows[first] = rows[first] + rows.pop(second)
        ends[first] = end
        begins[end - 1] = first
        if end in rows:
            heapq.heappush(heap, (_loss(rows[first], rows[end]), first, end, ends[end]))
        if first > 0:
            before = begins[first - 1]
            heapq.heappush(heap, (_loss(rows[before], rows[first]), before, first, end))
    labels = np.zeros(len(table), np.int64)
    labels[sorted(rows)[1:]] = 1
    return np.cumsum(labels)


def _loss(a: Counts, b: Counts) -> float:
    return _information(a) + _information(b) - _information(a + b)


def _information(row: Counts) -> float:
    some = row[row > 0]
    return float((some * np.log(some)).sum() - some.sum() * np.log(max(some.sum(), 1e-300)))


def counts(rows: Labels, columns: Labels, shape: tuple[int, int]) -> Counts:
    """How often each row meets each column: float64 of ``shape``."""
    flat = np.bincount(rows.ravel() * shape[1] + columns.ravel(), minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float64)


def smoothed(table: Counts, overall: Counts) -> Counts:
    """Distributions of rows of counts, drawn towards that over all rows."""
    share = (overall + 1.0) / (overall + 1.0).sum()
    smooth: Counts = (table + _PRIOR * share) / (table.sum(axis=1, keepdims=True) + _PRIOR)
    return smooth


def merged(table: Counts, labels: Labels, classes: int) -> Counts:
    """Rows of equal label added up."""
    total = np.zeros((classes, table.shape[1]))
    np.add.at(total, labels, table)
    return total


def cluster(table: Counts, classes: int, start: Labels | None = None) -> Labels:
    """Labels of rows, so that rows of one label have distributions as alike as possible (k-means in KL divergence)."""
    overall = table.sum(axis=0)
    if start is None:
        own = smoothed(table, overall)
        bits = (table * np.log(own)).sum(axis=1)
        logs = np.log(smoothed(overall[None], overall))
        while len(logs) < classes:  # the row that the classes so far describe worst begins the next
            worst = int(np.argmax(bits - (table @ logs.T).max(axis=1)))
            logs = np.vstack([logs, np.log(own[worst])])
    else:
        logs = np.log(smoothed(merged(table, start, classes), overall))
    labels = np.zeros(len(table), np.int64)
    for _ in range(_ITERATIONS):
        labels = np.argmax(table @ logs.T, axis=1)
        logs = np.log(smoothed(merged(table, labels, classes), overall))
    return labels


def without_empty(labels: Labels, classes: int) -> Labels:
    """Every class gets a member: empty ones take one from the largest."""
    labels = labels.copy()
    for empty in np.flatnonzero(np.bincount(labels, minlength=classes) == 0):
        largest = int(np.bincount(labels, minlength=classes).argmax())
        labels[int(np.flatnonzero(labels == largest)[-1])] = empty
    return labels


def far_classes(near: Labels, far: Labels, group: Labels, sizes: tuple[int, int, int], classes: int) -> Labels:
    """Classes of far indices that tell most about the group beside the near class."""
    entries, nears, groups = sizes
    flat = counts(far, near * groups + group, (entries, nears * groups))
    labels = cluster(flat, classes)
    for _ in range(_ITERATIONS):
        cube = merged(flat, labels, classes).reshape(classes, nears, groups)
        overall = cube.sum(axis=(0, 1))
        logs = np.log(smoothed(cube.reshape(-1, groups), overall)).reshape(classes, -1)
        labels = np.argmax(flat @ logs.T, axis=1)
    return labels


def by_frequency(frequency: NDArray[np.int64], groups: int) -> Labels:
    """Groups of indices of like frequency, of about equal size."""
    order = np.argsort(frequency, kind="stable")
    labels = np.empty(len(frequency), np.int64)
    labels[order] = np.arange(len(frequency)) * groups // len(frequency)
    return labels
