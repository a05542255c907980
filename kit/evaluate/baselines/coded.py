"""What a baseline codec makes of frames, and the interface that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Frames after coding and decoding at one rate.

    Attributes:
        payload_bits: float64[n], bits spent on each frame, side information (mean and scale) excluded.
        y: float32[n, T], decoded frames in units of each frame's scale.
        setting: what the rate was reached with, for example ``step 0.213``.
    """

    payload_bits: NDArray[np.float64]
    y: Frames
    setting: str = ""

    @property
    def payload_bytes(self) -> float:
        """Mean over frames."""
        return float(self.payload_bits.mean()) / 8.0 if len(self.payload_bits) else 0.0


class Baseline(Protocol):
    """A lossy codec of single frames, whose statistics (if it has any) are those of training subjects."""

    name: ClassVar[str]
    """Key in tables and files."""
    title: ClassVar[str]
    """For readers."""
    short: ClassVar[str]
    """For narrow tables."""

    def fit(self, train: Frames) -> None:
        """Take statistics from frames of training subjects, float32[n, T] in units of each frame's scale."""

    def code(self, y: Frames, payload_bytes: Sequence[float], progress: Progress | None = None) -> list[Coded]:
        """Frames, float32[n, T], coded and decoded with a mean payload of each of ``payload_bytes``."""
