"""Bit-exact comparison of two runs of the same frames, with the first mismatch by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import MismatchError
from kit.host.runners import RunResult

AXES: dict[str, tuple[str, ...]] = {
    "mean": (),
    "scale_code": (),
    "latents": ("position", "channel"),
    "indices": ("position", "level"),
    "packets": ("byte",),
}
"""Compared fields in the order the device computes them, and the names of their axes behind the frame."""

UNITS = {"packets": "packet bytes"}
"""What a field's values are, where its name does not say."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One value that differs: frame, field (or layer), place within it, and both values."""

    frame: int
    field: str
    place: tuple[tuple[str, int], ...]
    want: int
    got: int

    def __str__(self) -> str:
        where = ", ".join(f"{axis} {index}" for axis, index in self.place)
        return f"frame {self.frame}, {self.field}{f' [{where}]' if where else ''}: want {self.want}, got {self.got}"


@dataclass(frozen=True, slots=True)
class FieldCount:
    """Totals of one field: values compared, values that differ, largest difference."""

    compared: int
    different: int
    largest: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Outcome over n frames; equal when no frame differs."""

    frames: int
    different_frames: int
    fields: dict[str, FieldCount]
    first: Mismatch | None

    @property
    def equal(self) -> bool:
        """Every compared value is equal."""
        return self.different_frames == 0

    def __str__(self) -> str:
        # A field of one value a frame needs no number of its own.
        compared = ", ".join(
            name if count.compared == self.frames else f"{count.compared:,} {UNITS.get(name, name)}"
            for name, count in self.fields.items()
        )
        if self.equal:
            return f"{self.frames} frames equal ({compared})"
        totals = "; ".join(
            f"{name}: {count.different} of {count.compared} differ, max {count.largest}"
            for name, count in self.fields.items()
            if count.different
        )
        return f"{self.different_frames} of {self.frames} frames differ; first: {self.first}; {totals}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "equal": self.equal, "text": str(self)}


def _named(field: str, axes: tuple[str, ...], frame: int, at: tuple[int, ...], want: Any, got: Any) -> Mismatch:
    place = tuple(zip(axes, (int(i) for i in at), strict=True))
    return Mismatch(frame, field, place, int(want[at]), int(got[at]))


def compare(want: RunResult, got: RunResult) -> Comparison:
    """Compare every field that both runs have.

    Raises:
        MismatchError: no frames, or arrays of different shapes: nothing that could be called equal.
    """
    total = len(want.packets)
    if total == 0 or len(got.packets) != total:
        raise MismatchError(f"{len(got.packets)} frames came back of {total}", "zero vectors run is a failure")
    counts: dict[str, FieldCount] = {}
    bad = np.zeros(total, np.bool_)
    masks: dict[str, NDArray[np.bool_]] = {}
    for field in AXES:
        a, b = getattr(want, field), getattr(got, field)
        if a is None or b is None:
            continue
        if a.shape != b.shape:
            raise MismatchError(f"{field} have shape {list(b.shape)}, want {list(a.shape)}")
        difference = np.abs(a.astype(np.int64) - b.astype(np.int64))
        masks[field] = difference != 0
        counts[field] = FieldCount(difference.size, int(masks[field].sum()), int(difference.max(initial=0)))
        bad |= masks[field].reshape(total, -1).any(axis=1)
    first = None
    if bad.any():
        frame = int(bad.argmax())
        field = next(name for name, mask in masks.items() if mask[frame].any())
        at = tuple(int(i) for i in np.argwhere(masks[field][frame])[0])
        first = _named(field, AXES[field], frame, at, getattr(want, field)[frame], getattr(got, field)[frame])
    return Comparison(total, int(bad.sum()), counts, first)
