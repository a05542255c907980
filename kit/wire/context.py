"""The network that predicts the groups of a frame's first level (firmware/NUMERICS.md section 7.4), in exact integers.

It is recurrent: rectified units read the group of the position before, as a short vector, and what they themselves gave
there, so that they carry along whatever of the frame tells about the rest. They give every group a weight. All of it is
small enough to run on the device before every index of the first level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError

EMBEDDING_BITS, HIDDEN_BITS, OUTPUT_BITS = 5, 6, 5
"""Fractional bits of the vectors, of the weights to the units and of those from them to groups."""
UNIT_BITS = EMBEDDING_BITS
"""Fractional bits of what a unit gives, 0 .. 127; those of the vectors, since both are read with the same weights."""
UNIT_SHIFT = EMBEDDING_BITS + HIDDEN_BITS - UNIT_BITS
"""From products of inputs and weights to what a unit gives."""
STEP_BITS = 4
"""A step of the logarithm of a weight is 2^-STEP_BITS bits."""
WEIGHT_BITS = 12
"""The greatest weight is 2^WEIGHT_BITS."""
WIDTH_MAX, UNITS_MAX = 8, 32
"""Most coordinates of a vector, and most units: what a device has RAM for."""
STEPS_MAX = 255
"""Weights further below the greatest one, in steps, are like one so far below."""

MANTISSAS = np.rint(2.0 ** (WEIGHT_BITS - np.arange(1 << STEP_BITS) / (1 << STEP_BITS))).astype(np.int64)
"""Weights up to a factor of 2 below the greatest."""

ARRAYS: tuple[tuple[str, Any, int], ...] = (
    ("embedding", np.int8, 2), ("recurrent", np.int8, 2), ("unit_bias", np.int16, 1), ("output", np.int8, 2),
    ("output_bias", np.int16, 1),
)  # fmt: skip

_REBUILD = "rebuild with kit build-firmware"


@dataclass(frozen=True, eq=False)
class ContextNetwork:
    """Weights of the G groups of the next index from the groups of the indices before.

    Attributes:
        embedding: int8[G + 1, R], vector of each group; the last stands for a position before the first.
        recurrent: int8[H, R + H], to the units, from the vector of the group before and from the units at the position
            before.
        unit_bias: int16[H].
        output: int8[G, H], from the units to the groups.
        output_bias: int16[G].

    Raises:
        ArtifactError: shapes or types that do not belong together, or sizes out of range.
    """

    embedding: NDArray[np.int8]
    recurrent: NDArray[np.int8]
    unit_bias: NDArray[np.int16]
    output: NDArray[np.int8]
    output_bias: NDArray[np.int16]

    def __post_init__(self) -> None:
        for name, dtype, axes in ARRAYS:
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != axes or 0 in array.shape:
                raise ArtifactError(f"coding model: network {name} is {array.dtype}{list(array.shape)}", _REBUILD)
        groups, units, (rows, width) = self.groups, self.units, self.embedding.shape
        fits = (
            rows == groups + 1 and self.output_bias.shape == (groups,) and self.unit_bias.shape == (units,)
            and self.recurrent.shape == (units, width + units)
        )  # fmt: skip
        if not fits:
            shapes = ", ".join(f"{name} {list(getattr(self, name).shape)}" for name, _, _ in ARRAYS)
            raise ArtifactError(f"coding model: network of {shapes}", _REBUILD)
        if width > WIDTH_MAX or units > UNITS_MAX:
            raise ArtifactError(f"coding model: network of {width} coordinates, {units} units", _REBUILD)

    @property
    def groups(self) -> int:
        """G."""
        return int(self.output.shape[0])

    @property
    def units(self) -> int:
        """H."""
        return int(self.output.shape[1])

    @property
    def width(self) -> int:
        """R, coordinates of a group's vector."""
        return int(self.embedding.shape[1])

    @property
    def table_bytes(self) -> int:
        """Flash of its arrays."""
        return sum(int(getattr(self, name).nbytes) for name, _, _ in ARRAYS)

    def start(self, count: int) -> NDArray[np.int8]:
        """Units before the first position of so many frames: int8[count, H], all 0."""
        return np.zeros((count, self.units), np.int8)

    def step(self, units: NDArray[np.int8], groups: NDArray[Any]) -> NDArray[np.int8]:
        """Units at a position.

        Args:
            units: int8[n, H] at the position before.
            groups: [n] of the indices at the position before; G where there is none.

        Returns:
            int8[n, H], 0 .. 127.
        """
        # Sums stay below 2^24 (at most 40 products of int8, and an int16), so that float32 is exact.
        inputs = np.concatenate([self.embedding[groups], units], axis=1).astype(np.float32)
        sums = inputs @ self.recurrent.T.astype(np.float32) + self.unit_bias.astype(np.float32)
        found: NDArray[np.int8] = np.clip(sums.astype(np.int32) >> UNIT_SHIFT, 0, 127).astype(np.int8)
        return found

    def weights(self, units: NDArray[np.int8]) -> NDArray[np.int64]:
        """Weights of the groups at a position of the given units.

        Args:
            units: int8[n, H].

        Returns:
            int64[n, G], 0 .. 2^WEIGHT_BITS; the greatest of each row is 2^WEIGHT_BITS.
        """
        logits = units.astype(np.float32) @ self.output.T.astype(np.float32) + self.output_bias.astype(np.float32)
        steps = logits.astype(np.int64) >> (UNIT_BITS + OUTPUT_BITS - STEP_BITS)
        below = np.minimum(steps.max(axis=1, keepdims=True) - steps, STEPS_MAX)
        found: NDArray[np.int64] = MANTISSAS[below & ((1 << STEP_BITS) - 1)] >> (below >> STEP_BITS)
        return found

    def frame_weights(self, groups: NDArray[Any]) -> NDArray[np.int64]:
        """Weights at every position of whole frames: groups [n, P] -> int64[n, P, G]."""
        units, found = self.start(len(groups)), []
        before = np.full(len(groups), self.groups)
        for here in groups.T:
            units = self.step(units, before)
            found.append(self.weights(units))
            before = here
        return np.stack(found, axis=1)


assert (WIDTH_MAX + UNITS_MAX) * (1 << 14) + (1 << 15) < 1 << 24
