"""The network that predicts the groups of a frame's first level (firmware/NUMERICS.md section 7.4), in exact integers.

It reads the groups of the positions before, each as a short vector, through one layer of rectified units, and gives
every group a weight. All of it is small enough to run on the device before every index of the first level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError

EMBEDDING_BITS, HIDDEN_BITS, OUTPUT_BITS = 5, 6, 5
"""Fractional bits of the vectors, of the weights to the units and of those from them."""
UNIT_BITS = 5
"""Fractional bits of what a unit gives, 0 .. 127."""
STEP_BITS = 4
"""A step of the logarithm of a weight is 2^-STEP_BITS bits."""
WEIGHT_BITS = 12
"""The greatest weight is 2^WEIGHT_BITS."""
PAST_MAX, UNITS_MAX, INPUTS_MAX = 8, 32, 32
"""Most positions looked back at, units, and coordinates of all their vectors: what a device has stack for."""
STEPS_MAX = 255
"""Weights further below the greatest one, in steps, are like one so far below."""

MANTISSAS = np.rint(2.0 ** (WEIGHT_BITS - np.arange(1 << STEP_BITS) / (1 << STEP_BITS))).astype(np.int64)
"""Weights up to a factor of 2 below the greatest."""

ARRAYS: tuple[tuple[str, Any, int], ...] = (
    ("embedding", np.int8, 2), ("hidden", np.int8, 2), ("hidden_bias", np.int16, 1), ("output", np.int8, 2),
    ("output_bias", np.int16, 1),
)  # fmt: skip

_REBUILD = "rebuild with kit build-firmware"


@dataclass(frozen=True, eq=False)
class ContextNetwork:
    """Weights of the G groups of the next index from the groups of the L indices before.

    Attributes:
        embedding: int8[G + 1, R], vector of each group; the last stands for a position before the first.
        hidden: int8[H, L * R], from the vectors of the positions before, the latest first, to the units.
        hidden_bias: int16[H].
        output: int8[G, H], from the units to the groups.
        output_bias: int16[G].

    Raises:
        ArtifactError: shapes or types that do not belong together, or sizes out of range.
    """

    embedding: NDArray[np.int8]
    hidden: NDArray[np.int8]
    hidden_bias: NDArray[np.int16]
    output: NDArray[np.int8]
    output_bias: NDArray[np.int16]

    def __post_init__(self) -> None:
        for name, dtype, axes in ARRAYS:
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != axes or 0 in array.shape:
                raise ArtifactError(f"coding model: network {name} is {array.dtype}{list(array.shape)}", _REBUILD)
        groups, units, (rows, width) = self.groups, self.units, self.embedding.shape
        fits = (
            rows == groups + 1 and self.output_bias.shape == (groups,) and self.hidden_bias.shape == (units,)
            and self.hidden.shape[0] == units and self.hidden.shape[1] % width == 0
        )  # fmt: skip
        if not fits:
            shapes = ", ".join(f"{name} {list(getattr(self, name).shape)}" for name, _, _ in ARRAYS)
            raise ArtifactError(f"coding model: network of {shapes}", _REBUILD)
        if self.past > PAST_MAX or units > UNITS_MAX or self.hidden.shape[1] > INPUTS_MAX:
            sizes = f"{self.past} positions, {self.hidden.shape[1]} inputs, {units} units"
            raise ArtifactError(f"coding model: network of {sizes}", _REBUILD)

    @property
    def groups(self) -> int:
        """G."""
        return int(self.output.shape[0])

    @property
    def units(self) -> int:
        """H."""
        return int(self.output.shape[1])

    @property
    def past(self) -> int:
        """L, positions looked back at."""
        return int(self.hidden.shape[1] // self.embedding.shape[1])

    @property
    def table_bytes(self) -> int:
        """Flash of its arrays."""
        return sum(int(getattr(self, name).nbytes) for name, _, _ in ARRAYS)

    def weights(self, groups: NDArray[Any]) -> NDArray[np.int64]:
        """Weights of the groups of the next index.

        Args:
            groups: [n, L] groups of the indices before, the latest first; G where there is none.

        Returns:
            int64[n, G], 0 .. 2^WEIGHT_BITS; the greatest of each row is 2^WEIGHT_BITS.
        """
        # Sums stay below 2^24 (at most 32 products of int8, and an int16), so that float32 is exact.
        inputs = self.embedding[groups].reshape(len(groups), self.hidden.shape[1]).astype(np.float32)
        sums = inputs @ self.hidden.T.astype(np.float32) + self.hidden_bias.astype(np.float32)
        units = np.clip(sums.astype(np.int32) >> (EMBEDDING_BITS + HIDDEN_BITS - UNIT_BITS), 0, 127)
        logits = units.astype(np.float32) @ self.output.T.astype(np.float32) + self.output_bias.astype(np.float32)
        steps = logits.astype(np.int64) >> (UNIT_BITS + OUTPUT_BITS - STEP_BITS)
        below = np.minimum(steps.max(axis=1, keepdims=True) - steps, STEPS_MAX)
        found: NDArray[np.int64] = MANTISSAS[below & ((1 << STEP_BITS) - 1)] >> (below >> STEP_BITS)
        return found


assert PAST_MAX <= INPUTS_MAX and INPUTS_MAX * (1 << 14) + (1 << 15) < 1 << 24
