"""What compression does to heart rate, beat intervals and spectrum, on uninterrupted stretches of frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from kit.data import FrameRef
from kit.evaluate.beats import Signal, detect_beats, upright

WINDOW_S = 10.0
"""Length over which a heart rate is taken, rounded up to whole frames."""
MATCH_S = 0.15
"""Beats of original and reconstruction within this distance are the same beat."""
BEATS_MIN = 4
"""Fewest beats in a window of which a rate is given."""
COHERENCE_FRAMES_MIN = 8
"""Shortest stretch with a coherence: fewer segments say more about their number than about the signals."""
COHERENCE_HZ = {"ppg": (0.5, 8.0), "ecg": (0.5, 40.0)}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive frames ``first`` to ``last`` (exclusive) of one recording."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, eq=False)
class RhythmErrors:
    """Errors against the same detector on the original.

    Attributes:
        window_frame: int64[w], first frame of each window in which the original has a heart rate.
        window_bpm: float64[w], absolute difference of heart rate; NaN where the reconstruction has none.
        interval_frame: int64[i], frame of each beat interval found in both.
        interval_ms: float64[i], absolute difference of that interval.
        beats: beats of the original by frame, int64[n].
        matched: how many of them the reconstruction has within ``MATCH_S``, int64[n].
        coherence_frame: int64[c], first frame of each stretch with a coherence.
        coherence: float64[c], mean magnitude-squared coherence over the band.
        coherence_frames: int64[c], length of the stretch.
    """

    window_frame: NDArray[np.int64]
    window_bpm: NDArray[np.float64]
    interval_frame: NDArray[np.int64]
    interval_ms: NDArray[np.float64]
    beats: NDArray[np.int64]
    matched: NDArray[np.int64]
    coherence_frame: NDArray[np.int64]
    coherence: NDArray[np.float64]
    coherence_frames: NDArray[np.int64]


def stretches(refs: Sequence[FrameRef], samples: int) -> list[Stretch]:
    """Frames that follow each other without a gap, in the order given."""
    found, first = [], 0
    for at in range(1, len(refs) + 1):
        if at < len(refs):
            last, here = refs[at - 1], refs[at]
            same = (here.dataset, here.recording) == (last.dataset, last.recording)
            if same and here.start == last.start + samples:
                continue
        found.append(Stretch(first, at))
        first = at
    return found if refs else []


class Rhythm:
    """Beats of the original frames, and what a reconstruction makes of them.

    Args:
        frames: integers [n, T].
        refs: where they come from; consecutive frames of a recording are joined.
        rate_hz: samples per second.
        kind: ``ppg`` or ``ecg``.
    """

    def __init__(self, frames: NDArray[Any], refs: Sequence[FrameRef], rate_hz: float, kind: str) -> None:
        self._frames, self._rate, self._kind = frames, rate_hz, kind
        self._samples = frames.shape[1]
        self.window_frames = max(1, math.ceil(WINDOW_S * rate_hz / self._samples))
        self._stretches = stretches(refs, self._samples)
        self._originals: list[Signal] = []
        self._signs: list[float] = []
        for part in self._stretches:
            whole = self._joined(frames, part)
            self._signs.append(upright(whole, kind))
            self._originals.append(detect_beats(whole, rate_hz, kind, self._signs[-1]))

    @staticmethod
    def _joined(frames: NDArray[Any], part: Stretch) -> Signal:
        return frames[part.first : part.last].astype(np.float64).reshape(-1)

    def compare(self, decoded: NDArray[np.float32]) -> RhythmErrors:
        """Errors of a reconstruction, float32[n, T] in ADC codes without NaN."""
        windows: list[tuple[int, float]] = []
        intervals: list[tuple[int, float]] = []
        coherent: list[tuple[int, float, int]] = []
        beats, matched = np.zeros(len(decoded), np.int64), np.zeros(len(decoded), np.int64)
        for part, sign, before in zip(self._stretches, self._signs, self._originals, strict=True):
            whole = self._joined(decoded, part)
            after = detect_beats(whole, self._rate, self._kind, sign)
            windows += self._windows(part, before, after)
            pairs = match(before, after)
            frame = part.first + np.minimum(before * self._rate // self._samples, part.last - part.first - 1)
            np.add.at(beats, frame.astype(np.int64), 1)
            np.add.at(matched, frame.astype(np.int64), (pairs >= 0).astype(np.int64))
            intervals += _intervals(before, after, pairs, frame.astype(np.int64))
            if part.last - part.first >= COHERENCE_FRAMES_MIN:
                value = self._coherence(self._joined(self._frames, part), whole)
                coherent.append((part.first, value, part.last - part.first))
        return RhythmErrors(
            np.array([w[0] for w in windows], np.int64), np.array([w[1] for w in windows], np.float64),
            np.array([i[0] for i in intervals], np.int64), np.array([i[1] for i in intervals], np.float64),
            beats, matched,
            np.array([c[0] for c in coherent], np.int64), np.array([c[1] for c in coherent], np.float64),
            np.array([c[2] for c in coherent], np.int64),
        )  # fmt: skip

    def _windows(self, part: Stretch, before: Signal, after: Signal) -> list[tuple[int, float]]:
        seconds = self._samples / self._rate
        found = []
        for first in range(part.first, part.last - self.window_frames + 1, self.window_frames):
            begin = (first - part.first) * seconds
            end = begin + self.window_frames * seconds
            true, seen = _rate(before, begin, end), _rate(after, begin, end)
            if true is not None:
                found.append((first, math.nan if seen is None else abs(seen - true)))
        return found

    def _coherence(self, original: Signal, decoded: Signal) -> float:
        # A reconstruction without any power at a frequency has no coherence there: 0 / 0, counted as 0.
        with np.errstate(invalid="ignore", divide="ignore"):
            hertz, values = signal.coherence(original, decoded, self._rate, nperseg=self._samples)
        low, high = COHERENCE_HZ[self._kind]
        inside = values[(hertz >= low) & (hertz <= min(high, self._rate / 2))]
        return float(np.nan_to_num(inside).mean())


def _rate(beats: Signal, begin: float, end: float) -> float | None:
    """Beats per minute within [begin, end): from the mean interval."""
    inside = beats[(beats >= begin) & (beats < end)]
    if len(inside) < BEATS_MIN:
        return None
    return float(60.0 * (len(inside) - 1) / (inside[-1] - inside[0]))


def match(before: Signal, after: Signal) -> NDArray[np.int64]:
    """For each beat of the original the number of the nearest beat of the reconstruction, -1 beyond ``MATCH_S``."""
    if not len(after) or not len(before):
        return np.full(len(before), -1, np.int64)
    right = np.clip(np.searchsorted(after, before), 0, len(after) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(np.abs(after[left] - before) <= np.abs(after[right] - before), left, right)
    return np.where(np.abs(after[nearest] - before) <= MATCH_S, nearest, -1).astype(np.int64)


def _intervals(
    before: Signal, after: Signal, pairs: NDArray[np.int64], frame: NDArray[np.int64]
) -> list[tuple[int, float]]:
    """Errors of intervals whose two beats were found, next to each other, in the reconstruction too."""
    found = []
    for at in range(len(before) - 1):
        if pairs[at] >= 0 and pairs[at + 1] == pairs[at] + 1:
            true, seen = before[at + 1] - before[at], after[pairs[at + 1]] - after[pairs[at]]
            found.append((int(frame[at]), abs(float(seen - true)) * 1000.0))
    return found
