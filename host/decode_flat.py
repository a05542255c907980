"""A decoded signal as one run of 16-bit samples, for formats that know neither NaN nor floating point."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kit.host.decode_blocks import Block, Facts, Pause
from kit.host.decode_gaps import Gap, GapFinder

MISSING_VALUE = -32768
"""Stands for samples that are missing; what was received is never this low."""
_LOWEST, _HIGHEST = -32767, 32767
CHUNK_SAMPLES = 1 << 16
_GAP = struct.Struct("<qqq?16s")


class FlatStore:
    """First half of a conversion: the signal and its gaps in temporary files, and the range of its values.

    The range is known only when everything was decoded, and only then can samples be scaled to 16 bits.
    """

    def __init__(self, folder: Path, facts: Facts) -> None:
        self.facts = facts
        self.samples = 0
        self.gaps = 0
        self._finder = GapFinder()
        self._low, self._high = math.inf, -math.inf
        self._signal: BinaryIO = (folder / "signal").open("w+b")
        self._gaps: BinaryIO = (folder / "gaps").open("w+b")

    def add(self, item: Block | Pause) -> None:
        """Append a block, or a pause as missing samples."""
        for gap in self._finder.add(item):
            self._note(gap)
        if isinstance(item, Pause):
            nothing = np.full(CHUNK_SAMPLES, np.nan, np.float32)
            for at in range(0, item.samples, CHUNK_SAMPLES):
                self._signal.write(nothing[: item.samples - at].tobytes())
            self.samples += item.samples
            return
        known = item.signal[~np.isnan(item.signal)]
        if known.size:
            self._low = min(self._low, float(known.min()))
            self._high = max(self._high, float(known.max()))
        self._signal.write(item.signal.tobytes())
        self.samples += item.signal.size

    def _note(self, gap: Gap) -> None:
        reason = gap.reason.encode("ascii", "replace")[:16]
        self._gaps.write(_GAP.pack(gap.first_sample, gap.samples, gap.frames, gap.concealed, reason))
        self.gaps += 1

    def end(self) -> None:
        """Everything was added."""
        for gap in self._finder.end():
            self._note(gap)

    def close(self) -> None:
        """Close the temporary files."""
        self._signal.close()
        self._gaps.close()

    @property
    def physical_range(self) -> tuple[float, float]:
        """Physical values of -32768 and 32767: whole numbers of units, or of thousandths where the range is small."""
        low, high = (self._low, self._high) if self._low <= self._high else (0.0, 1.0)
        unit = 1.0 if high - low >= 64 else 0.001
        bottom, top = math.floor(low / unit) - 1, math.ceil(high / unit) + 1
        return round(bottom * unit, 3), round(top * unit, 3)

    def digital(self, chunk_samples: int) -> Iterator[NDArray[np.int16]]:
        """The signal in 16 bits, ``chunk_samples`` at a time; the last piece may be shorter."""
        bottom, top = self.physical_range
        codes_per_value = 65535.0 / (top - bottom)
        self._signal.seek(0)
        while data := self._signal.read(4 * chunk_samples):
            values = np.frombuffer(data, np.float32).astype(np.float64)
            codes = np.clip(np.rint((values - bottom) * codes_per_value + MISSING_VALUE), _LOWEST, _HIGHEST)
            yield np.where(np.isnan(values), MISSING_VALUE, np.nan_to_num(codes)).astype("<i2")

    def gap_list(self) -> Iterator[Gap]:
        """The gaps, in order."""
        self._gaps.seek(0)
        while data := self._gaps.read(_GAP.size):
            first, samples, frames, concealed, reason = _GAP.unpack(data)
            yield Gap(first, samples, frames, reason.rstrip(b"\0").decode(), concealed)
