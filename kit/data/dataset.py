"""Recordings to frames: resampled, windowed, gated, split by subject, and written down frame by frame.

Test and validation frames are the non-overlapping frames of each recording from its first sample on, without the
flat and the non-finite ones. Training draws windows at any start whose window also passes the rail gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.data.recording import SPLITS, Recording, Split, railed_samples
from kit.data.resample import Ratio, carry_mask, rate_ratio, resample
from kit.data.sources import find_root, open_source
from kit.data.split import resolve_splits
from kit.data.store import Samples, SampleStore, gather, make_store
from kit.data.windows import flag_windows, runs
from kit.errors import ConfigError, DataError, ShapeError
from kit.files import sha256_bytes, write_json

FORMAT = 1
"""Version of ``dataset.json``."""

FILTER_VERSION = 1
"""Version of the rate conversion; part of the identity of cached samples."""


class FrameRef(NamedTuple):
    """Where a frame comes from; ``start`` counts samples at the target rate."""

    dataset: str
    recording: str
    start: int
    subject: str


@dataclass(frozen=True, slots=True)
class GateCounts:
    """Non-overlapping frames of one or more recordings, and why some are left out."""

    recordings: int = 0
    subjects: int = 0
    considered: int = 0
    non_finite: int = 0
    flat: int = 0
    railed: int = 0
    """Left out of training only; counted in no other split."""
    frames: int = 0
    """Frames that remain."""
    crops: int = 0
    """Training only: starts at which a random crop may begin."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One recording in the dataset, samples in the store from flat position ``offset`` on.

    ``starts`` int64[k] are the non-overlapping frames that remain; ``crops`` int64[r, 2] the runs (first and last,
    inclusive) of starts at which a training window may begin, empty outside training.
    """

    recording: Recording
    """Facts about the source; its samples are dropped."""
    split: Split
    source_samples: int
    source_sha256: str
    ratio: Ratio
    offset: int
    length: int
    missing: int
    counts: GateCounts
    starts: NDArray[np.int64]
    crops: NDArray[np.int64]


class Dataset:
    """Frames of three disjoint groups of subjects; made by :func:`build_dataset`."""

    def __init__(
        self,
        config: Config,
        entries: list[Entry],
        store: SampleStore,
        weights: dict[str, float],
        left_out: dict[str, dict[str, int]],
    ) -> None:
        self._config = config
        self._left_out = left_out
        self.entries = tuple(entries)
        """Recordings in the order of sources and names."""
        self.store = store
        self.datasets = tuple(weights)
        """Names of the datasets, in the order of the config's sources."""
        self.weights = dict(weights)
        """Share of each dataset in a training batch, not normalised."""
        self.frame_samples = config.signal.frame_samples
        self.counts = {name: {split: self._count(name, split) for split in SPLITS} for name in self.datasets}
        """Gate counts by dataset and split."""

    @property
    def label(self) -> str:
        """Short text for reports, for example ``bidmc + stress_predict``."""
        return " + ".join(self.datasets)

    @property
    def synthetic(self) -> bool:
        """True when any recording is generated."""
        return any(entry.recording.synthetic for entry in self.entries)

    def select(self, split: str, dataset: str | None = None) -> Iterator[Entry]:
        """Recordings of a split, of one dataset or all.

        Raises:
            ShapeError: no such split or dataset.
        """
        if split not in SPLITS or (dataset is not None and dataset not in self.datasets):
            raise ShapeError(f"no frames '{split}' of {dataset or 'any dataset'}; splits: {', '.join(SPLITS)}")
        return (e for e in self.entries if e.split == split and dataset in (None, e.recording.dataset))

    def frames(self, split: str, dataset: str | None = None) -> Samples:
        """Non-overlapping gated frames, int16[n, T] or int32[n, T] ADC codes, in the order of :meth:`frame_refs`."""
        starts = [entry.offset + entry.starts for entry in self.select(split, dataset)]
        joined = np.concatenate([*starts, np.empty(0, np.int64)])
        dtype = np.int16 if self._config.signal.container_bits == 16 else np.int32
        return gather(self.store.flat, joined, self.frame_samples).astype(dtype, copy=False)

    def frame_refs(self, split: str, dataset: str | None = None) -> list[FrameRef]:
        """Where each frame of :meth:`frames` comes from."""
        return [
            FrameRef(e.recording.dataset, e.recording.name, start, e.recording.subject)
            for e in self.select(split, dataset)
            for start in e.starts.tolist()
        ]

    def samples(self, entry: Entry) -> Samples:
        """All samples of one recording at the target rate: int16[n] or int32[n]."""
        return self.store.flat[entry.offset : entry.offset + entry.length]

    def subjects(self, split: str, dataset: str | None = None) -> set[tuple[str, str]]:
        """(dataset, subject) of every recording of a split."""
        return {(e.recording.dataset, e.recording.subject) for e in self.select(split, dataset)}

    def _count(self, dataset: str, split: Split) -> GateCounts:
        chosen = [e for e in self.entries if e.split == split and e.recording.dataset == dataset]
        total = _total(e.counts for e in chosen)
        return replace(total, recordings=len(chosen), subjects=len({e.recording.subject for e in chosen}))

    def summary(self) -> str:
        """A line per dataset and split: recordings, subjects, frames and what the gates left out."""
        lines = []
        for name in self.datasets:
            for split, c in self.counts[name].items():
                reasons = (("non-finite", c.non_finite), ("flat", c.flat), ("railed", c.railed))
                gone = ", ".join(f"{count} {reason}" for reason, count in reasons if count)
                lines.append(
                    f"{name} {split}: {c.subjects} subjects, {c.recordings} recordings, {c.frames} frames"
                    + (f" (left out: {gone})" if gone else "")
                )
            lines += [f"{name}: {n} recordings left out ({why})" for why, n in sorted(self._left_out[name].items())]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The exact frame list of every split and what it was made from; equal inputs give equal values.

        ``starts`` are the non-overlapping frames of a recording, in samples at the target rate. Training recordings
        have ``crops`` instead: first and last start of every run of windows that may be drawn; their non-overlapping
        frames are the multiples of ``frame_samples`` within those runs.
        """
        signal, data = self._config.signal, self._config.data
        return {
            "format": FORMAT,
            "label": self.label,
            "synthetic": self.synthetic,
            "kind": signal.kind,
            "sample_rate_hz": signal.sample_rate_hz,
            "frame_samples": signal.frame_samples,
            "container_bits": signal.container_bits,
            "random_crop": self._config.preprocess.random_crop,
            "gates": data.gates.model_dump(mode="json"),
            "split": data.split.model_dump(mode="json"),
            "filter_version": FILTER_VERSION,
            "datasets": {name: self._dataset_json(name) for name in self.datasets},
            "recordings": [_entry_json(entry) for entry in self.entries],
        }

    def _dataset_json(self, name: str) -> dict[str, Any]:
        chosen = [e.recording for e in self.entries if e.recording.dataset == name]
        fields = GateCounts.__dataclass_fields__
        return {
            "weight": self.weights[name],
            "synthetic": any(r.synthetic for r in chosen),
            "licenses": sorted({r.license for r in chosen}),
            "left_out": self._left_out[name],
            "counts": {s: {key: getattr(c, key) for key in fields} for s, c in self.counts[name].items()},
            "subjects": {s: sorted(subject for _, subject in self.subjects(s, name)) for s in SPLITS},
        }

    def write(self, path: str | Path) -> None:
        """Write :meth:`to_json` as ``dataset.json``.

        Raises:
            ArtifactError: the folder cannot be written.
        """
        write_json(path, self.to_json())


def _total(counts: Iterable[GateCounts]) -> GateCounts:
    total = dict.fromkeys(GateCounts.__dataclass_fields__, 0)
    for count in counts:
        for key in total:
            total[key] += getattr(count, key)
    return GateCounts(**total)


def _entry_json(entry: Entry) -> dict[str, Any]:
    recording = entry.recording
    facts: dict[str, Any] = {
        "dataset": recording.dataset,
        "name": recording.name,
        "subject": recording.subject,
        "split": entry.split,
        "synthetic": recording.synthetic,
        "source": recording.source_text,
        "license": recording.license,
        "scale": recording.scale,
        "unit": recording.unit,
        "source_rate_hz": recording.sample_rate_hz,
        "source_samples": entry.source_samples,
        "source_sha256": entry.source_sha256,
        "resample": [entry.ratio.up, entry.ratio.down],
        "samples": entry.length,
        "missing": entry.missing,
        "saturated": recording.saturated,
    }
    if entry.split == "train":
        return facts | {"crops": entry.crops.tolist()}
    return facts | {"starts": entry.starts.tolist()}


@dataclass(frozen=True, slots=True, eq=False)
class _Screened:
    """An entry before its split is known: what remains for evaluation and for training."""

    entry: Entry
    train: Entry


def build_dataset(config: Config, root: Path | None = None, cache: Path | None = None) -> Dataset:
    """Read all sources of a configuration.

    Args:
        config: resolved configuration.
        root: folder below which npz and csv sources look; overrides ``data.root`` and KIT_DATA.
        cache: folder for the modes ``streaming`` (samples are mapped from there) and ``tfrecord`` (resampled
            recordings are kept there for later builds); a temporary one by default. Never changes the result.

    Raises:
        DataError: recordings that are missing, unreadable, too short, or split in contradictory ways.
        ConfigError: a source that cannot produce the configured signal, or two sources of one name.
        ArtifactError: the cache folder cannot be written.
    """
    place = find_root(config, root)
    store = make_store(config, cache)
    entries: list[Entry] = []
    weights: dict[str, float] = {}
    left_out: dict[str, dict[str, int]] = {}
    offset = 0
    for described in config.data.sources:
        source = open_source(described, config, place)
        if source.dataset in weights:
            raise ConfigError(f"data.sources: two sources are named {source.dataset}", "give each its own 'dataset'")
        weights[source.dataset], left_out[source.dataset] = described.weight, dict(source.left_out)
        screened = []
        for recording in source:
            screened.append(_screen(recording, config, store, offset))
            offset += screened[-1].entry.length
        given = [(s.entry.recording.subject, s.entry.recording.split) for s in screened]
        splits = resolve_splits(given, source.dataset, config.data.split)
        for item in screened:
            split = splits[item.entry.recording.subject]
            entries.append(item.train if split == "train" else replace(item.entry, split=split))
    return Dataset(config, entries, store, weights, left_out)


def _screen(recording: Recording, config: Config, store: SampleStore, offset: int) -> _Screened:
    """Resample one recording into the store and judge its windows.

    Raises:
        DataError: it is shorter than a frame.
    """
    signal, frame, bits = config.signal, config.signal.frame_samples, config.signal.container_bits
    source = recording.samples
    ratio = rate_ratio(recording.sample_rate_hz, signal.sample_rate_hz)
    length = ratio.length(source.size)
    if length < frame:
        raise DataError(
            f"recording {recording.label} is {length / signal.sample_rate_hz:.1f} s long "
            f"({length} samples at {signal.sample_rate_hz} Hz), a frame needs {frame}",
            "remove it or shorten signal.frame_samples",
        )
    digest = sha256_bytes(source.astype(f"<i{bits // 8}", copy=False).tobytes())
    key = f"{FILTER_VERSION} {digest} {ratio.up}/{ratio.down}"
    samples = store.add(key, length, lambda: resample(source, ratio, bits))
    missing = None if recording.missing is None else carry_mask(recording.missing, ratio, touching=True)
    railed = carry_mask(railed_samples(source, recording.bits, bits), ratio, touching=False)
    gates = config.data.gates
    flags = flag_windows(samples, missing, railed, frame, gates.flat_std_codes, gates.railed_fraction_max)
    usable = ~(flags.non_finite | flags.flat)
    trainable = usable & ~flags.railed
    at = np.arange(0, usable.size, frame)
    non_finite = int(flags.non_finite[at].sum())
    flat = at.size - non_finite - int(usable[at].sum())
    common = GateCounts(considered=at.size, non_finite=non_finite, flat=flat)
    entry = Entry(
        recording=replace(recording, samples=source[:0], missing=None),
        split="test",
        source_samples=source.size,
        source_sha256=digest,
        ratio=ratio,
        offset=offset,
        length=length,
        missing=0 if recording.missing is None else int(recording.missing.sum()),
        counts=replace(common, frames=int(usable[at].sum())),
        starts=at[usable[at]],
        crops=np.empty((0, 2), np.int64),
    )
    kept = int(trainable[at].sum())
    counts = replace(common, railed=int(usable[at].sum()) - kept, frames=kept, crops=int(trainable.sum()))
    train = replace(entry, split="train", counts=counts, starts=at[trainable[at]], crops=runs(trainable))
    return _Screened(entry, train)
