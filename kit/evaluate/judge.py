"""All figures of one reconstruction: by dataset, by third of the noise index and by subject."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.evaluate.bootstrap import ratio_interval
from kit.evaluate.evalset import EvaluationSet
from kit.evaluate.metrics import FrameErrors, frame_errors, score
from kit.evaluate.noise import TERTILES, noise_index, tertiles
from kit.evaluate.rhythm import Rhythm, RhythmErrors
from kit.evaluate.sizes import FrameSizes

RANKS = ("best", "median", "worst")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """What was measured on each frame of one reconstruction."""

    frame: FrameErrors
    rhythm: RhythmErrors
    power: NDArray[np.float64]
    sizes: FrameSizes


class Judge:
    """Measures reconstructions of one evaluation set.

    Args:
        frames: the set; its noise index, beats and groups are found once.
    """

    def __init__(self, frames: EvaluationSet) -> None:
        signal = frames.config.signal
        self.set = frames
        self.flat_std = frames.config.data.gates.flat_std_codes
        self.rhythm = Rhythm(frames.frames, frames.refs, signal.sample_rate_hz, signal.kind)
        self.noise = noise_index(frames.frames, signal.sample_rate_hz, signal.kind)
        moving = frames.frames.std(axis=1) > self.flat_std
        self.third = np.full(len(frames.frames), -1, np.int64)
        for chosen in frames.members.values():
            here = tertiles(self.noise, moving & chosen)
            self.third = np.where(chosen, here, self.third)
        subjects = [(ref.dataset, ref.subject) for ref in frames.refs]
        self.subjects = list(dict.fromkeys(subjects))
        numbers = {subject: number for number, subject in enumerate(self.subjects)}
        self.subject = np.array([numbers[subject] for subject in subjects], np.int64)

    def figures(self, decoded: NDArray[np.float32], sizes: FrameSizes) -> dict[str, Any]:
        """Figures by dataset: of all its frames, of each third by noise, of each subject; and its examples.

        Args:
            decoded: float32[n, T] in ADC codes, all frames of the set.
            sizes: of every frame.

        Raises:
            ShapeError: a frame was not decoded: this measures codecs, not links.
        """
        if not np.isfinite(decoded).all():
            raise ShapeError("a frame was not decoded", "rebuild with kit build-firmware")
        variance = np.square(self.set.frames.std(axis=1, dtype=np.float64))
        frame = frame_errors(self.set.frames, decoded, self.flat_std)
        errors = Errors(frame, self.rhythm.compare(decoded), variance, sizes)
        return {name: self._dataset(errors, chosen, name) for name, chosen in self.set.members.items()}

    def _dataset(self, errors: Errors, chosen: Mask, name: str) -> dict[str, Any]:
        thirds = []
        for number, title in enumerate(TERTILES):
            inside = chosen & (self.third == number)
            if inside.any():
                bounds = [float(self.noise[inside].min()), float(self.noise[inside].max())]
                thirds.append({"title": title, "noise_index": bounds, **self._group(errors, inside)})
        subjects = []
        for number, (dataset, subject) in enumerate(self.subjects):
            if dataset == name:
                subjects.append({"subject": subject, **self._group(errors, self.subject == number)})
        return {
            **self._group(errors, chosen),
            "tertiles": thirds,
            "subjects": subjects,
            "examples": self._examples(errors.frame, chosen),
        }

    def _group(self, errors: Errors, chosen: Mask) -> dict[str, Any]:
        found = score(errors.frame, chosen)
        kept = chosen & errors.frame.usable
        prd = errors.frame.prd[kept]
        weighted = float(errors.power[kept].sum())
        figures = {
            **found.as_dict(),
            "prd_interval": self._prd_interval(errors.frame, kept),
            "prd_mean": float(prd.mean()) if len(prd) else None,
            "prdn": 100.0 * math.sqrt(float(errors.frame.mse[kept].sum()) / weighted) if weighted > 0 else None,
            "payload_bytes": float(errors.sizes.payload[chosen].mean()),
            "wire_bytes": float(errors.sizes.wire[chosen].mean()),
        }
        return figures | self._heart(errors.rhythm, chosen)

    def _prd_interval(self, errors: FrameErrors, kept: Mask) -> list[float] | None:
        sums = np.bincount(self.subject[kept], errors.relative[kept], len(self.subjects)).astype(np.float64)
        counts = np.bincount(self.subject[kept], minlength=len(self.subjects)).astype(np.float64)
        return _listed(ratio_interval(sums, counts, lambda ratio: 100.0 * np.sqrt(ratio)))

    def _heart(self, rhythm: RhythmErrors, chosen: Mask) -> dict[str, Any]:
        """Heart-rate and interval errors of windows and intervals that begin in ``chosen``, and coherence."""
        at = chosen[rhythm.window_frame]
        bpm, where = rhythm.window_bpm[at], self.subject[rhythm.window_frame[at]]
        good = np.isfinite(bpm)
        counts = np.bincount(where[good], minlength=len(self.subjects)).astype(np.float64)
        sums = np.bincount(where[good], bpm[good], len(self.subjects)).astype(np.float64)
        interval = rhythm.interval_ms[chosen[rhythm.interval_frame]]
        beats, matched = int(rhythm.beats[chosen].sum()), int(rhythm.matched[chosen].sum())
        whole = chosen[rhythm.coherence_frame]
        weight = rhythm.coherence_frames[whole]
        return {
            "hr_windows": int(good.sum()),
            "hr_windows_lost": int((~good).sum()),
            "hr_error_bpm": float(bpm[good].mean()) if good.any() else None,
            "hr_interval_bpm": _listed(ratio_interval(sums, counts)),
            "ibi_pairs": len(interval),
            "ibi_error_ms": float(interval.mean()) if len(interval) else None,
            "beats": beats,
            "beats_found": matched / beats if beats else None,
            "coherence": float(rhythm.coherence[whole] @ weight / weight.sum()) if len(weight) else None,
        }

    def _examples(self, errors: FrameErrors, chosen: Mask) -> list[dict[str, Any]]:
        """Best, median and worst frame by PRD."""
        members = np.flatnonzero(chosen & errors.usable)
        ordered = members[np.argsort(errors.relative[members], kind="stable")]
        places = (0, len(ordered) // 2, -1) if len(ordered) else ()
        found = []
        for rank, place in zip(RANKS, places, strict=False):
            number = int(ordered[place])
            found.append(
                {"rank": rank, "frame": number, "prd": float(errors.prd[number]), **self.set.refs[number]._asdict()}
            )
        return found


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
