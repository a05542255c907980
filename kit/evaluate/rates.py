"""Baselines at the rates that a scorecard asks for, each piece of work kept on disk by its content."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError
from kit.evaluate import baselines
from kit.evaluate.baselines import Baseline, rice_bits
from kit.evaluate.evalset import EvaluationSet
from kit.evaluate.metrics import frame_errors
from kit.files import read_npz, sha256_bytes, write_npz

CURVE_RATIOS = (40, 32, 24, 16, 12, 8, 6, 4, 3)
"""Points of a rate-distortion curve: raw bytes of a frame over these."""

Progress = Callable[[str, int, int], None]
"""Called with (what is under way, frames done, frames in all)."""


@dataclass(frozen=True, slots=True, eq=False)
class Rate:
    """One baseline on one dataset at one rate.

    Attributes:
        wanted: mean payload asked for, bytes.
        bits: float64[n], spent on each frame of the dataset.
        relative: float64[n], squared error over squared samples; NaN for flat frames.
        y: float32[n, T], decoded, in units of each frame's scale; None for points of the curve only.
        setting: what the rate was reached with.
    """

    wanted: float
    bits: NDArray[np.float64]
    relative: NDArray[np.float64]
    y: NDArray[np.float32] | None
    setting: str

    @property
    def point(self) -> dict[str, float]:
        """Mean payload and pooled PRD, for a curve."""
        kept = self.relative[np.isfinite(self.relative)]
        prd = 100.0 * float(np.sqrt(kept.mean())) if len(kept) else float("nan")
        return {"payload_bytes": float(self.bits.mean()) / 8, "prd": prd}


def curve_bytes(raw_bytes: float) -> list[float]:
    """Payloads of a curve's points, rising."""
    return sorted({max(1.0, float(round(raw_bytes / ratio))) for ratio in CURVE_RATIOS})


class BaselineRates:
    """Baselines of one evaluation set.

    Args:
        frames: the set.
        cache: folder for finished work; None keeps nothing.
        progress: called while something is computed.
    """

    def __init__(self, frames: EvaluationSet, cache: Path | None, progress: Progress) -> None:
        self._set, self._cache, self._progress = frames, cache, progress
        self._code = _code_hash()

    def rates(self, kind: type[Baseline], dataset: str, kept: Sequence[float], curve: Sequence[float]) -> list[Rate]:
        """One baseline on one dataset: first at the payloads ``kept``, with decoded frames, then along ``curve``."""
        wanted = [*kept, *curve]
        key = self._key(kind.__name__, dataset, {"kept": list(kept), "curve": list(curve)})
        found = self._load(key)
        if found is None:
            found = self._compute(kind(), dataset, len(kept), wanted)
            self._store(key, found)
        settings = json.loads(str(found["settings"]))
        return [
            Rate(
                payload,
                found["bits"][i],
                found["relative"][i],
                found["y"][i] if i < len(kept) else None,
                settings[i],
            )
            for i, payload in enumerate(wanted)
        ]

    def _compute(self, codec: Baseline, dataset: str, kept: int, wanted: list[float]) -> dict[str, NDArray[np.generic]]:
        frames, chosen = self._set, self._set.members[dataset]
        codec.fit(frames.train[dataset])
        title = f"{codec.name}, {dataset}"
        coded = codec.code(frames.y[chosen], wanted, lambda done, total: self._progress(title, done, total))
        flat = frames.config.data.gates.flat_std_codes
        relative = [
            frame_errors(frames.frames[chosen], frames.to_codes(one.y, chosen), flat).relative for one in coded
        ]
        shape = (kept, *frames.y[chosen].shape)
        return {
            "bits": np.stack([one.payload_bits for one in coded]),
            "relative": np.stack(relative),
            "y": np.stack([one.y for one in coded[:kept]]) if kept else np.zeros(shape, np.float32),
            "settings": np.array(json.dumps([one.setting for one in coded])),
        }

    def lossless(self, dataset: str) -> NDArray[np.float64]:
        """Bits of each frame of a dataset with DPCM and Rice codes, float64[n]."""
        key = self._key("rice", dataset, {})
        found = self._load(key)
        if found is None:
            chosen = self._set.members[dataset]
            self._progress(f"lossless, {dataset}", 0, int(chosen.sum()))
            found = {"bits": rice_bits(self._set.frames[chosen], self._set.config.signal.sample_bits)}
            self._store(key, found)
        return np.asarray(found["bits"], np.float64)

    def _key(self, name: str, dataset: str, settings: dict[str, list[float]]) -> str:
        facts = [self._set.fingerprint, self._code, name, dataset, self._set.config.signal.sample_bits, settings]
        return sha256_bytes(json.dumps(facts, sort_keys=True).encode())[:32]

    def _load(self, key: str) -> dict[str, NDArray[np.generic]] | None:
        if self._cache is None or not (self._cache / f"{key}.npz").is_file():
            return None
        try:
            return read_npz(self._cache / f"{key}.npz")
        except ArtifactError:
            # Damaged: it is only a cache.
            return None

    def _store(self, key: str, found: dict[str, NDArray[np.generic]]) -> None:
        if self._cache is not None:
            write_npz(self._cache / f"{key}.npz", **found)


def _code_hash() -> str:
    """Of the baselines' own source: what another version computed is computed anew."""
    folder = Path(baselines.__file__).parent
    return sha256_bytes(b"\0".join(path.read_bytes() for path in sorted(folder.glob("*.py"))))
