"""The frames that a scorecard is about, shared by every codec in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.data import Dataset, FrameRef
from kit.data.batches import normalised
from kit.errors import ConfigError, DataError
from kit.evaluate.baselines.coded import Frames
from kit.files import sha256_bytes
from kit.reference.normalise import lsb_bits, normalise, unit_codes

QUICK_BLOCK = 12
"""Consecutive frames taken together by a quick look, so that heart rates and spectra can be had."""


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Frames of one split with what is known about them.

    Attributes:
        config: of the first run that is evaluated on them; only signal, data and input_clip are looked at.
        split: their split.
        label: datasets, for example ``bidmc + stress_predict``.
        synthetic: generated, not recorded.
        frames: int16 or int32 [n, T].
        refs: origin of each frame.
        available: frames of the split by dataset, before a quick look took some.
        train: normalised training frames by dataset, float32[m, T]: statistics of baselines.
        train_split: where those come from; not ``train`` only where there is no training subject.
    """

    config: Config
    split: str
    label: str
    synthetic: bool
    frames: NDArray[Any]
    refs: tuple[FrameRef, ...]
    available: dict[str, int]
    train: dict[str, Frames]
    train_split: str

    @property
    def quick(self) -> bool:
        """Whether frames were left out for a quick look."""
        return sum(self.available.values()) > len(self.frames)

    @cached_property
    def members(self) -> dict[str, NDArray[np.bool_]]:
        """Frames of each dataset, bool[n]; datasets in order."""
        names = np.array([ref.dataset for ref in self.refs])
        return {name: names == name for name in self.available if (names == name).any()}

    @cached_property
    def y(self) -> Frames:
        """float32[n, T]: frames as the baselines see them, in units of the scale that packets carry."""
        return normalised(self.frames, self.config.quantize.input_clip)

    def to_codes(self, y: Frames, chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Decoded ``chosen`` frames in ADC codes, with the mean and the scale that packets carry."""
        bits = lsb_bits(self.config.quantize.input_clip)
        side = normalise(self.frames[chosen], bits)
        unit = unit_codes(side.scale_code, bits)
        return np.asarray(side.mean[:, None] + unit[:, None] * y, np.float32)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that a baseline's result depends on, its own code excluded."""
        parts = [self.frames.tobytes(), repr(self.refs).encode(), str(self.config.quantize.input_clip).encode()]
        parts += [np.ascontiguousarray(train).tobytes() for train in self.train.values()]
        return sha256_bytes(b"\0".join(sha256_bytes(part).encode() for part in parts))


def evaluation_set(dataset: Dataset, config: Config, split: str, count: int | None = None) -> EvaluationSet:
    """The frames of ``split``, or about ``count`` of each dataset in evenly spaced blocks of consecutive ones.

    Raises:
        ConfigError: a split that is neither val nor test.
        DataError: the split has no frame.
    """
    if split not in ("val", "test"):
        raise ConfigError(f"--split {split}: figures are of subjects that training did not see", "give val or test")
    refs, frames = dataset.frame_refs(split), dataset.frames(split)
    names = np.array([ref.dataset for ref in refs])
    available = {name: int((names == name).sum()) for name in dataset.datasets}
    if not len(frames):
        raise DataError(f"the {split} split of {dataset.label} has no frame", "give recordings of more subjects")
    kept = np.concatenate([quick_blocks(np.flatnonzero(names == name), count) for name in available])
    clip = config.quantize.input_clip
    train_split = "train" if len(dataset.frames("train")) else split
    train = {name: normalised(dataset.frames(train_split, name), clip) for name in available}
    # A dataset without training subjects of its own borrows the others' statistics.
    pooled = np.concatenate(list(train.values()))
    train = {name: own if len(own) else pooled for name, own in train.items()}
    return EvaluationSet(
        config=config,
        split=split,
        label=dataset.label,
        synthetic=dataset.synthetic,
        frames=frames[kept],
        refs=tuple(refs[i] for i in kept.tolist()),
        available=available,
        train=train,
        train_split=train_split,
    )


def quick_blocks(members: NDArray[np.int64], count: int | None) -> NDArray[np.int64]:
    """At most ``count`` of ``members`` in evenly spaced blocks of consecutive ones; all of them without a count."""
    if count is None or len(members) <= count:
        return members
    blocks = max(1, count // QUICK_BLOCK)
    size = min(count, QUICK_BLOCK)
    starts = np.linspace(0, len(members) - size, blocks).round().astype(np.int64)
    return members[np.unique((starts[:, None] + np.arange(size)).reshape(-1))]
