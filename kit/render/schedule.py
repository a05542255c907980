"""The order in which the ahead-of-time engine works, played through without data.

Which layer computes when depends on the geometry alone, so that one pass over a frame tells, for every moment, which
bytes of which window hold something that is still needed. Windows that are never needed together may lie on top of each
other. The engine's scheduler is firmware/engines/aot/kit_aot.c; :class:`Schedule` follows it step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """What the scheduler sees of a layer.

    Attributes:
        kernel: taps.
        stride: input columns per output column.
        batch: output columns computed together.
        columns: columns of its window.
        pitch: bytes of a column.
        pad_left: padding columns before the first input column.
        in_columns: input columns per frame.
        out_columns: output columns per frame.
    """

    kernel: int
    stride: int
    batch: int
    columns: int
    pitch: int
    pad_left: int
    in_columns: int
    out_columns: int


class Schedule:
    """One frame through a chain of layers; buffer n of n layers is the output columns.

    Attributes:
        together: ``together[i][j]`` is how many bytes from the start of buffer i are needed at some moment at which
            buffer j is needed as well.
    """

    def __init__(self, stages: Sequence[Stage], out_pitch: int) -> None:
        self._stages = stages
        self._last = len(stages) - 1
        self._out_pitch = out_pitch
        self._needed = [0] * (len(stages) + 1)
        self.together = [[0] * (len(stages) + 1) for _ in range(len(stages) + 1)]
        self._received = [0] * len(stages)
        self._produced = [0] * len(stages)
        self._held = [0] * len(stages)
        self._skip = [0] * len(stages)
        self._run()

    def _note(self, buffer: int, needed: int) -> None:
        """The first ``needed`` bytes of a buffer are needed from now on."""
        self._needed[buffer] = needed
        if needed == 0:
            return
        row = self.together[buffer]
        for other, bytes_needed in enumerate(self._needed):
            if bytes_needed:
                row[other] = max(row[other], needed)
                self.together[other][buffer] = max(self.together[other][buffer], bytes_needed)

    def _hold(self, i: int, held: int) -> None:
        self._held[i] = held
        self._note(i, held * self._stages[i].pitch)

    def _take(self, i: int, count: int) -> None:
        if self._skip[i]:
            self._skip[i] -= 1
        else:
            self._hold(i, self._held[i] + count)

    def _ready(self, i: int) -> int:
        stage = self._stages[i]
        count = min(stage.batch, stage.out_columns - self._produced[i])
        if self._received[i] < stage.in_columns:
            return count if self._held[i] == stage.columns else 0
        needed = stage.columns - (stage.batch - count) * stage.stride
        while count and self._held[i] < needed:
            self._take(i, 1)
        return count

    def _produce(self, i: int, count: int) -> None:
        stage = self._stages[i]
        if i == self._last:
            self._note(i + 1, count * self._out_pitch)
        elif self._skip[i + 1]:
            self._note(i + 1, self._stages[i + 1].pitch)  # written, although nothing will read it
            self._needed[i + 1] = 0
            self._skip[i + 1] -= 1
        else:
            self._hold(i + 1, self._held[i + 1] + count)
        if i != self._last:
            self._received[i + 1] += count
        self._produced[i] += count
        passed = count * stage.stride
        self._skip[i] = max(0, passed - self._held[i])
        self._hold(i, max(0, self._held[i] - passed))

    def _step(self, first: int) -> tuple[int, bool]:
        """One step from layer ``first``: the layer to try next, and whether anything was done."""
        self._needed[self._last + 1] = 0  # the columns of the last batch were handed out
        for i in range(first, -1, -1):
            count = self._ready(i)
            if count == 0:
                continue
            if i == self._last:
                self._produce(i, count)
                return i, True
            behind = self._stages[i + 1]
            self._produce(i, min(count, 1 if self._skip[i + 1] else behind.columns - self._held[i + 1]))
            return i + 1, True
        return 0, False

    def _run(self) -> None:
        for i, stage in enumerate(self._stages):
            self._hold(i, stage.pad_left)
        layer = 0
        while self._produced[self._last] < self._stages[self._last].out_columns:
            layer, done = self._step(layer)
            if not done:
                if self._skip[0]:
                    self._note(0, self._stages[0].pitch)
                self._received[0] += 1
                self._take(0, 1)
