"""Validation: the same frames through several targets, each compared bit for bit with one truth."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit import golden
from kit.errors import KitError, MismatchError, RunnerError, ToolchainError
from kit.files import read_npz
from kit.host.compare import Comparison, Mismatch, compare, first_layer_mismatch
from kit.host.firmware import Firmware
from kit.host.runners import (
    LinkFigures,
    Runner,
    RunResult,
    check_frames,
    golden_runner,
    reference_runner,
    result_from_packets,
)
from kit.host.targets import make_runner, parse_targets
from kit.reference.encoder import encode_layers
from kit.reference.normalise import lsb_bits, normalise
from kit.reference.random_inputs import UNUSUAL_KINDS
from kit.reference.random_inputs import random_frames as unusual_frames

State = Literal["passed", "failed", "skipped"]
TargetProgress = Callable[[str, int, int], None]
"""Called with (target, frames done, frames in all)."""


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Frames to validate with, int16 or int32 [n, T], and where they come from; what was recorded for the first of them
    where that is known."""

    frames: NDArray[Any]
    label: str
    recorded: RunResult | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one target."""

    target: str
    state: State
    detail: str
    seconds: float = 0.0
    comparison: Comparison | None = None
    layer: Mismatch | None = None
    time_us_median: float | None = None
    link: LinkFigures | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "target": self.target,
            "state": self.state,
            "detail": self.detail,
            "seconds": round(self.seconds, 3),
            "comparison": None if self.comparison is None else self.comparison.as_dict(),
            "first_layer_mismatch": None if self.layer is None else str(self.layer),
            "time_us_median": self.time_us_median,
            "link": None if self.link is None else self.link.timing,
            "profile": None if self.link is None else self.link.profile,
        }

    @property
    def link_text(self) -> str:
        """Throughput, round trips and device time in a line; empty for a target without a link."""
        if self.link is None:
            return ""
        found = self.link.timing
        return (
            f"{found['frames_per_second']:.1f} frames/s with {found['credits']} under way, round trip "
            f"{found['round_trip_ms_p50']:.1f} ms (p50), {found['round_trip_ms_p99']:.1f} ms (p99), on the device "
            f"{found['device_us_p50']:.0f} us a frame (p50), {found['device_us_p99']:.0f} us (p99)" + self._counted()
        )

    def _counted(self) -> str:
        """What the probes of the device counted, where it has any."""
        profile = None if self.link is None else self.link.profile
        if profile is None:
            return ""
        if "missing" in profile:
            return f"; probes: {profile['missing']}"
        whole = next(row["mean"] for row in profile["totals"] if row["part"] == "codec")
        return f", {whole:,.0f} {profile['unit']} a frame"


@dataclass(frozen=True, slots=True)
class Report:
    """Outcome of a validation."""

    name: str
    build_hash: str
    engine: str
    frames: int
    source: str
    truth: str
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """At least one target ran, and none failed."""
        states = [outcome.state for outcome in self.outcomes]
        return "passed" in states and "failed" not in states

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "build_hash": self.build_hash,
            "engine": self.engine,
            "frames": self.frames,
            "source": self.source,
            "truth": self.truth,
            "passed": self.passed,
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
        }


def vector_frames(firmware: Firmware, count: int | None = None) -> FrameSet:
    """Frames of ``vectors.npz`` with the packets recorded for them; ``count`` of them or all.

    Raises:
        ArtifactError: the file is missing or damaged.
        ShapeError: its packets do not have the build's layout.
    """
    vectors = read_npz(firmware.artifacts / "vectors.npz")
    chosen = slice(None if count is None else count)
    recorded = result_from_packets(
        firmware.build_hash, firmware.layout, vectors["packets"][chosen], vectors["latents"][chosen]
    )
    # The indices of the file are compared too, not only those in its packets.
    recorded = replace(recorded, indices=vectors["indices"][chosen])
    return FrameSet(vectors["frames"][chosen], str(vectors["source"]), recorded)


def random_frames(firmware: Firmware, count: int, seed: int) -> FrameSet:
    """Frames that recordings rarely hold: :data:`kit.reference.random_inputs.UNUSUAL_KINDS` in turn."""
    layout = firmware.layout
    rng = np.random.default_rng(seed)
    frames = unusual_frames(rng, count, layout.frame_samples, UNUSUAL_KINDS, layout.sample_bits)
    return FrameSet(frames, f"{count} random, seed {seed}")


def join(sets: Sequence[FrameSet]) -> FrameSet:
    """Frames of several sets, one after the other; recorded packets are kept for those of the first.

    Raises:
        RunnerError: there is no set.
    """
    if not sets:
        raise RunnerError("no frames to run", "give at least one")
    label = " and ".join(each.label for each in sets)
    return FrameSet(np.concatenate([each.frames for each in sets]), label, sets[0].recorded)


def _truth(firmware: Firmware) -> Runner:
    """The golden where it runs, else the reference executor, whose name then stands in the report."""
    return golden_runner(firmware) if golden.available() is None else reference_runner(firmware)


def validate(
    firmware: Firmware,
    targets: Sequence[str],
    frames: FrameSet,
    *,
    skip_absent: bool = False,
    progress: TargetProgress | None = None,
) -> Report:
    """Run ``frames`` on every target and compare with the truth: the golden, or the reference where that is absent.

    The reference executor and, where known, the recorded packets are compared as targets of their own.

    Args:
        firmware: build with its artifacts.
        targets: see :func:`kit.host.targets.parse_targets`.
        frames: at least one.
        skip_absent: report a target whose compiler or emulator is not installed as skipped, unless KIT_REQUIRE names
            the tool, instead of failing it.
        progress: called as frames are done.

    Raises:
        KitError: the truth itself cannot be computed.
    """
    names = parse_targets(",".join(targets))
    data = check_frames(frames.frames, firmware.layout)
    truth = _truth(firmware)
    want = truth.run(data, _bound(progress, truth.name))
    outcomes = []
    if frames.recorded is not None:
        outcomes.append(_judge("vectors.npz", want.head(len(frames.recorded.packets)), frames.recorded, 0.0))
    python = [] if truth.name == "reference" or firmware.encoder.graph.opaque else ["reference"]
    for name in dict.fromkeys([*python, *names]):
        if name == truth.name:
            outcomes.append(Outcome(name, "passed", f"{len(data)} frames; the truth the others are compared with"))
        else:
            outcomes.append(_run_target(firmware, name, data, want, skip_absent, _bound(progress, name)))
    return Report(
        name=firmware.config.name,
        build_hash=firmware.build_hash,
        engine=firmware.config.firmware.engine,
        frames=len(data),
        source=frames.label,
        truth=truth.name,
        outcomes=tuple(outcomes),
    )


def _bound(progress: TargetProgress | None, target: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(target, done, total)


def _run_target(
    firmware: Firmware,
    target: str,
    data: NDArray[Any],
    want: RunResult,
    skip_absent: bool,
    progress: Callable[[int, int], None] | None,
) -> Outcome:
    begun = time.monotonic()
    try:
        got = make_runner(target, firmware).run(data, progress)
    except ToolchainError as error:
        skipped = skip_absent and _is_absence(error)
        return Outcome(target, "skipped" if skipped else "failed", str(error), time.monotonic() - begun)
    except KitError as error:
        return Outcome(target, "failed", str(error), time.monotonic() - begun)
    outcome = _judge(target, want, got, time.monotonic() - begun)
    if target == "reference" and outcome.comparison is not None and not outcome.comparison.equal:
        outcome = replace(outcome, layer=_layer_mismatch(firmware, data, outcome.comparison))
    return outcome


def _is_absence(error: ToolchainError) -> bool:
    """Something is not installed, and KIT_REQUIRE does not ask for it."""
    required = [name for name in os.environ.get("KIT_REQUIRE", "").replace(" ", "").split(",") if name]
    absent = "is not installed" in error.what
    return absent and not any(error.what.startswith(name) for name in required)


def _judge(target: str, want: RunResult, got: RunResult, seconds: float) -> Outcome:
    if got.build_hash != want.build_hash:
        text = f"runs build {got.build_hash}, the artifacts are build {want.build_hash}; rebuild the firmware"
        return Outcome(target, "failed", text, seconds)
    try:
        result = compare(want, got)
    except MismatchError as error:
        return Outcome(target, "failed", str(error), seconds)
    median = None if got.time_us is None else float(np.median(got.time_us))
    return Outcome(target, "passed" if result.equal else "failed", str(result), seconds, result, None, median, got.link)


def _layer_mismatch(firmware: Firmware, data: NDArray[Any], comparison: Comparison) -> Mismatch | None:
    """Which layer of the first differing frame disagrees with the golden first."""
    if comparison.first is None or golden.available() is not None:
        return None
    frame = comparison.first.frame
    settings = firmware.config.quantize
    y = normalise(data[frame : frame + 1], lsb_bits(settings.input_clip), settings.input_shaping).y
    mine = {name: layer[0] for name, layer in encode_layers(firmware.encoder, y).items()}
    return first_layer_mismatch(frame, golden.golden_layers(firmware.model_bytes(), y[0]), mine)
