"""Comparison layer by layer: which layer departs from the golden first, where, by how much, and in which pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import MismatchError
from kit.graph.taps import Tap
from kit.host.runners import Layers

ROUNDING_MAX = 1
"""Largest difference that a change of rounding alone makes in one layer."""


@dataclass(frozen=True, slots=True)
class LayerCount:
    """One layer: values compared, values that differ, largest difference."""

    name: str
    compared: int
    different: int
    largest: int


@dataclass(frozen=True, slots=True)
class Departure:
    """The first value that differs in the first layer that departs, and how the layer's differing values lie.

    Attributes:
        layer: index among the taps.
        count: totals of the layer.
        frame: of the first differing value, as are position and channel.
        want: the golden's value.
        got: the observed one.
        pattern: where the differences lie, as a phrase.
    """

    layer: int
    count: LayerCount
    frame: int
    position: int
    channel: int
    want: int
    got: int
    pattern: str

    def __str__(self) -> str:
        count = self.count
        return (
            f"{count.name} [t={self.position}, c={self.channel}] want {self.want} got {self.got}; "
            f"{count.different} of {count.compared} differ, max {count.largest}"
        )


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """Every layer's totals, and the first departure; None where all layers are equal."""

    counts: tuple[LayerCount, ...]
    first: Departure | None

    @property
    def equal(self) -> bool:
        """No value of any layer differs."""
        return self.first is None

    @property
    def compared(self) -> int:
        """Values compared in all layers."""
        return sum(count.compared for count in self.counts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        first = None if self.first is None else {**asdict(self.first), "text": str(self.first)}
        return {"layers": [asdict(count) for count in self.counts], "first": first}


def compare_layers(taps: Sequence[Tap], want: Layers, got: Layers) -> LayerComparison:
    """Compare every layer of two runs of the same frames.

    Args:
        taps: the layers.
        want: what the golden computed.
        got: what was observed.

    Raises:
        MismatchError: other frames, layers or shapes: nothing that could be called equal.
    """
    if not taps or len(want) != len(taps) or len(got) != len(taps):
        raise MismatchError(f"{len(got)} layers came back of {len(taps)}", "compare runs of one encoder")
    counts = []
    first = None
    for number, (tap, a, b) in enumerate(zip(taps, want, got, strict=True)):
        columns = min(a.shape[1], b.shape[1])
        if a.shape[0] != b.shape[0] or a.shape[2] != b.shape[2] or columns < tap.read or not len(a):
            raise MismatchError(f"layer {tap.name} has shape {list(b.shape)}, want {list(a.shape)}")
        a, b = a[:, :columns], b[:, :columns]
        difference = b.astype(np.int16) - a
        count = LayerCount(
            tap.name, a.size, int(np.count_nonzero(difference)), int(np.abs(difference).max(initial=0))
        )
        counts.append(count)
        if first is None and count.different:
            frame, position, channel = (int(i) for i in np.argwhere(difference)[0])
            where = (frame, position, channel)
            first = Departure(number, count, *where, int(a[where]), int(b[where]), pattern(difference))
    return LayerComparison(tuple(counts), first)


def pattern(difference: NDArray[np.int16]) -> str:
    """How the values of one layer that differ lie, as a phrase.

    Args:
        difference: int16[n, W, C], observed less golden; some of it is not 0.
    """
    departs = difference != 0
    frames, columns, channels = (departs.any(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
    parts = [_columns(np.flatnonzero(columns), len(columns)), _channels(np.flatnonzero(channels), len(channels))]
    if not frames.all():
        parts.append(f"{int(frames.sum())} of {len(frames)} frames")
    return ", ".join(parts) + "; " + _size(difference[departs])


def _columns(at: NDArray[np.intp], length: int) -> str:
    if length > 1 and at[0] > length // 2:
        return "the last column only" if at[0] == length - 1 else f"right edge only (columns {at[0]} to {at[-1]})"
    if length > 1 and at[-1] < length // 2:
        return "the first column only" if at[-1] == 0 else f"left edge only (columns {at[0]} to {at[-1]})"
    inner = at[(at >= length // 4) & (at < length - length // 4)]
    if length >= 8 and not len(inner):
        return f"both edges only ({len(at)} of {length} columns)"
    return "all columns" if len(at) == length else f"{len(at)} of {length} columns"


def _channels(at: NDArray[np.intp], count: int) -> str:
    if len(at) == 1 and count > 1:
        return f"channel {at[0]} only"
    return "all channels" if len(at) == count else f"{len(at)} of {count} channels"


def _size(values: NDArray[np.int16]) -> str:
    largest = int(np.abs(values).max())
    signs = {bool(value > 0) for value in (values.min(), values.max())}
    if largest <= ROUNDING_MAX:
        return "by one, up and down, as another rounding does" if len(signs) == 2 else "by one, all one way"
    same = int(values[0]) if (values == values[0]).all() else 0
    return f"all by {same:+d}" if same else f"by up to {largest}"
