"""Exactness at scale: many encoders, many frames, every target, each latent and packet compared with the golden.

A case is one rendered firmware with its frames: real ones of recordings, and random ones of every kind that recordings
rarely hold. Cases are builds with trained weights, configurations with random weights, and random architectures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.errors import RunnerError
from kit.graph.random_graph import random_architecture
from kit.host.firmware import Firmware
from kit.host.random_firmware import FRAMES, random_firmware
from kit.host.targets import parse_targets
from kit.host.validate import FrameSet, Report, join, random_frames, validate

CaseProgress = Callable[[str, str, int, int], None]
"""Called with (case, target, frames done, frames in all)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One firmware, and the frames it is compared on."""

    name: str
    firmware: Firmware
    frames: FrameSet


@dataclass(frozen=True, slots=True)
class Tally:
    """One target over all cases.

    Attributes:
        target: as it was asked for.
        cases: compared; ``failed`` of them were not equal or did not run, ``skipped`` ones are not among them.
        frames: compared.
        latents: int8 values compared, and how many of them differ.
        packets: packet bytes compared, and how many of them differ.
    """

    target: str
    cases: int
    failed: int
    skipped: int
    frames: int
    latents: tuple[int, int]
    packets: tuple[int, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "target": self.target,
            "cases": self.cases,
            "failed": self.failed,
            "skipped": self.skipped,
            "frames": self.frames,
            "latents": self.latents[0],
            "latents_different": self.latents[1],
            "packet_bytes": self.packets[0],
            "packet_bytes_different": self.packets[1],
        }


@dataclass(frozen=True, slots=True)
class Exactness:
    """Outcome of all cases: what each target did in sum, and the report of each case by its name."""

    tallies: tuple[Tally, ...]
    reports: tuple[tuple[str, Report], ...]

    @property
    def passed(self) -> bool:
        """At least one case, and every target that was not skipped equal in all of them; not all were skipped."""
        ran = [tally for tally in self.tallies if tally.cases]
        return bool(self.reports and ran) and not any(tally.failed for tally in self.tallies)

    @property
    def truths(self) -> dict[str, int]:
        """What the targets were compared with, and for how many cases."""
        names = [report.truth for _, report in self.reports]
        return {name: names.count(name) for name in dict.fromkeys(names)}

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "passed": self.passed,
            "truths": self.truths,
            "targets": [tally.as_dict() for tally in self.tallies],
            "cases": [{"case": name, **report.as_dict()} for name, report in self.reports],
        }


def _tally(target: str, reports: Sequence[tuple[str, Report]]) -> Tally:
    outcomes = [outcome for _, report in reports for outcome in report.outcomes if outcome.target == target]
    states = [outcome.state for outcome in outcomes]
    compared = [outcome.comparison for outcome in outcomes if outcome.comparison is not None]

    def total(field: str) -> tuple[int, int]:
        counts = [comparison.fields[field] for comparison in compared if field in comparison.fields]
        return sum(count.compared for count in counts), sum(count.different for count in counts)

    return Tally(
        target=target,
        cases=len(states) - states.count("skipped"),
        failed=states.count("failed"),
        skipped=states.count("skipped"),
        frames=sum(comparison.frames for comparison in compared),
        latents=total("latents"),
        packets=total("packets"),
    )


def exactness(
    cases: Iterable[Case],
    targets: Sequence[str],
    *,
    skip_absent: bool = False,
    progress: CaseProgress | None = None,
    done: Callable[[str, Report], None] | None = None,
) -> Exactness:
    """Run every case on every target; see :func:`kit.host.validate.validate`.

    Args:
        cases: each is used up before the next is taken, so that its folder may go.
        targets: see :func:`kit.host.targets.parse_targets`.
        skip_absent: see :func:`kit.host.validate.validate`.
        progress: called as frames are done.
        done: called with each case's report.

    Raises:
        KitError: a truth cannot be computed.
    """
    names = parse_targets(",".join(targets))
    reports: list[tuple[str, Report]] = []
    for case in cases:
        report = validate(
            case.firmware, names, case.frames, skip_absent=skip_absent, progress=_bound(progress, case.name)
        )
        reports.append((case.name, report))
        if done is not None:
            done(case.name, report)
    if not reports:
        raise RunnerError("no encoder to compare", "name a run, a configuration or a number of architectures")
    compared = dict.fromkeys(outcome.target for _, report in reports for outcome in report.outcomes)
    truths = {report.truth for _, report in reports}
    return Exactness(
        tuple(_tally(target, reports) for target in compared if target not in truths | {"vectors.npz"}),
        tuple(reports),
    )


def _bound(progress: CaseProgress | None, case: str) -> Callable[[str, int, int], None] | None:
    return None if progress is None else lambda target, done, total: progress(case, target, done, total)


def recut(pool: NDArray[Any], pool_bits: int, count: int, config: Config, rng: np.random.Generator) -> NDArray[Any]:
    """Frames of a configuration's length and sample width from recorded ones of another.

    Args:
        pool: int16 or int32 [n, T], consecutive frames of recordings.
        pool_bits: width of their samples.
        count: how many to cut, at random places.
        config: what they are for.
        rng: source of the places.

    Raises:
        RunnerError: the pool is shorter than one frame.
    """
    samples, length = pool.reshape(-1), config.signal.frame_samples
    if samples.size < length:
        raise RunnerError(f"{samples.size} recorded samples are less than one frame of {length}", "give --data")
    starts = rng.integers(0, samples.size - length + 1, count)
    frames = np.stack([samples[start : start + length] for start in starts]).astype(np.int64)
    shift = config.signal.sample_bits - pool_bits
    frames = frames << shift if shift >= 0 else frames >> -shift
    return frames.astype(np.int16 if config.signal.container_bits == 16 else np.int32)


@dataclass(frozen=True, slots=True)
class Pool:
    """Recorded frames to cut real frames from: int16 or int32 [n, T], width of a sample, and where they come from."""

    frames: NDArray[Any]
    sample_bits: int
    label: str


def _random_case(
    name: str, folder: Path, config: Config, model: bytes | None, pool: Pool, counts: tuple[int, int], seed: int
) -> Case:
    rng = np.random.default_rng(seed)
    real, random = counts
    cut = recut(pool.frames, pool.sample_bits, max(real, FRAMES), config, rng)
    firmware = random_firmware(folder, config, rng, model, cut[:FRAMES])
    sets = [FrameSet(cut[:real], f"{pool.label}, cut anew")] if real else []
    sets += [random_frames(firmware, random, seed)] if random else []
    return Case(name, firmware, join(sets))


def architecture_cases(count: int, seed: int, pool: Pool, counts: tuple[int, int]) -> Iterator[Case]:
    """Random architectures with random weights, one after the other in a folder of its own.

    Args:
        count: how many.
        seed: the first is made from this seed, the second from the next.
        pool: recordings that the real frames are cut from.
        counts: real and random frames of each.
    """
    for number in range(count):
        name = f"random_{seed + number}"
        with tempfile.TemporaryDirectory(prefix="kit-exact-") as folder:
            config, model = random_architecture(np.random.default_rng(seed + number), name)
            yield _random_case(name, Path(folder), config, model, pool, counts, seed + number)


def config_cases(configs: Sequence[Config], seed: int, pool: Pool, counts: tuple[int, int]) -> Iterator[Case]:
    """Configurations with random weights; arguments as for :func:`architecture_cases`."""
    for config in configs:
        with tempfile.TemporaryDirectory(prefix="kit-exact-") as folder:
            name = f"{config.name} (random weights)"
            yield _random_case(name, Path(folder), config, None, pool, counts, seed)
