"""What is missing in a decoded signal, as a list that is written while the signal is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from kit.host.decode_blocks import CONCEALED, RECEIVED, Block, Pause


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that nobody received.

    Attributes:
        first_sample: on the capture's line of time.
        samples: how many.
        frames: frames that are missing; 0 for a pause between two sessions.
        reason: of the capture, or ``unreadable``.
        concealed: the decoder filled it in.
    """

    first_sample: int
    samples: int
    frames: int
    reason: str
    concealed: bool

    @property
    def text(self) -> str:
        """For an annotation; ASCII."""
        reason = self.reason.encode("ascii", "replace").decode()[:16]
        if self.frames == 0:
            return f"pause ({reason})"
        what = f"{self.frames} frame{'s' if self.frames > 1 else ''} {reason}"
        return f"{what}, concealed" if self.concealed else what


class GapFinder:
    """Joins missing frames that follow each other, over blocks and with constant memory."""

    def __init__(self) -> None:
        self._open: Gap | None = None

    def add(self, item: Block | Pause) -> Iterator[Gap]:
        """Gaps that are known to be whole after ``item``."""
        if isinstance(item, Pause):
            yield from self.end()
            yield Gap(item.first_sample, item.samples, 0, item.reason, False)
            return
        samples = item.signal.shape[1]
        if self._open is not None and item.state[0] == RECEIVED:
            yield from self.end()
        previous = -1
        for number in np.flatnonzero(item.state != RECEIVED):
            at = int(number)
            if at != previous + 1:
                yield from self.end()
            found = Gap(
                item.first_sample + at * samples, samples, 1, item.reason[at], bool(item.state[at] == CONCEALED)
            )
            joins = self._open is not None and (self._open.reason, self._open.concealed) == (
                found.reason,
                found.concealed,
            )
            if self._open is not None and joins:
                self._open = replace(self._open, samples=self._open.samples + samples, frames=self._open.frames + 1)
            else:
                yield from self.end()
                self._open = found
            previous = at
        if previous != len(item.state) - 1:
            yield from self.end()

    def end(self) -> Iterator[Gap]:
        """The gap that reaches to the end, if any."""
        if self._open is not None:
            yield self._open
            self._open = None
