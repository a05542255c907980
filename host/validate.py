"""Validation: the same frames through engines and targets, each compared bit for bit with one truth."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit import golden
from kit.errors import EngineError, KitError, MismatchError, RunnerError, ToolchainError, UnsupportedOpError
from kit.files import read_npz
from kit.host.compare import Comparison, compare
from kit.host.engines import IN_PROCESS, Cell, cells
from kit.host.explain import Explanation, departing_frames, explain_layers, explain_outputs, stage_of
from kit.host.firmware import Firmware
from kit.host.outcome import RECORDED, Outcome, Report, State
from kit.host.runners import Runner, RunResult, check_frames, golden_runner, reference_runner, result_from_packets
from kit.host.targets import make_runner, parse_targets, shows_layers
from kit.reference.random_inputs import UNUSUAL_KINDS
from kit.reference.random_inputs import random_frames as unusual_frames

__all__ = ["FrameSet", "Outcome", "Report", "State", "join", "random_frames", "validate", "vector_frames"]

TargetProgress = Callable[[str, int, int], None]
"""Called with (target, frames done, frames in all)."""


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Frames to validate with, int16 or int32 [n, T], and where they come from; what was recorded for the first of them
    where that is known."""

    frames: NDArray[Any]
    label: str
    recorded: RunResult | None = None


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


def _truth(firmware: Firmware, layers: bool) -> Runner:
    """The golden where it runs, else the reference executor, whose name then stands in the report."""
    return golden_runner(firmware, layers) if golden.available() is None else reference_runner(firmware, layers)


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """What every cell is compared with.

    Attributes:
        firmware: the build.
        frames: raw frames [n, T].
        want: the truth's results.
        truth: the truth as a target.
        layers: look at every layer of every cell.
        skip_absent: see :func:`validate`.
    """

    firmware: Firmware
    frames: NDArray[Any]
    want: RunResult
    truth: str
    layers: bool
    skip_absent: bool


def validate(
    firmware: Firmware,
    targets: Sequence[str],
    frames: FrameSet,
    *,
    engines: Sequence[str] = (),
    layers: bool = False,
    skip_absent: bool = False,
    progress: TargetProgress | None = None,
) -> Report:
    """Run ``frames`` on every engine and target and compare with the truth: the golden, or the reference where that is
    absent. What departs is explained (:mod:`kit.host.explain`).

    The reference executor, unless engines were chosen, and, where known, the recorded packets are compared as well.

    Args:
        firmware: build with its artifacts.
        targets: see :func:`kit.host.targets.parse_targets`.
        frames: at least one.
        engines: see :func:`kit.host.engines.parse_engines`; empty: the engine that the firmware was rendered for.
        layers: compare the output of every layer too.
        skip_absent: report a cell whose compiler, emulator or library is not installed, or that cannot be, as skipped,
            unless KIT_REQUIRE names the tool, instead of failing it.
        progress: called as frames are done.

    Raises:
        KitError: the truth itself cannot be computed.
    """
    names = parse_targets(",".join(targets))
    data = check_frames(frames.frames, firmware.layout)
    truth = _truth(firmware, layers)
    want = truth.run(data, _bound(progress, truth.name))
    case = _Case(firmware, data, want, truth.name, layers, skip_absent)
    outcomes = []
    if frames.recorded is not None:
        outcomes.append(_recorded(case, frames.recorded))
    built = firmware.config.firmware.engine
    python = [] if engines or truth.name == "reference" or firmware.encoder.graph.opaque else ["reference"]
    for cell in cells(engines, (*python, *names), built):
        if cell.target == truth.name:
            text = f"{len(data)} frames; the truth the others are compared with"
            outcomes.append(Outcome(cell.target, "passed", text, engine=cell.engine, truth=True))
        else:
            outcomes.append(_run_cell(case, cell, _bound(progress, _label(cell, built))))
    return Report(
        name=firmware.config.name,
        build_hash=firmware.build_hash,
        engine=built,
        frames=len(data),
        source=frames.label,
        truth=truth.name,
        outcomes=tuple(outcomes),
    )


def _bound(progress: TargetProgress | None, target: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(target, done, total)


def _label(cell: Cell, built: str) -> str:
    return cell.target if cell.engine == built or cell.engine in IN_PROCESS else f"{cell.engine} on {cell.target}"


def _recorded(case: _Case, recorded: RunResult) -> Outcome:
    count = len(recorded.packets)
    return _judge(_first_frames(case, count), Cell("", RECORDED), recorded, 0.0)


def _first_frames(case: _Case, count: int) -> _Case:
    """The case of the first frames only."""
    return replace(case, frames=case.frames[:count], want=case.want.head(count))


def _firmware_of(case: _Case, cell: Cell) -> Firmware:
    return case.firmware if cell.engine in IN_PROCESS else replace(case.firmware, chosen_engine=cell.engine)


def _run_cell(case: _Case, cell: Cell, progress: Callable[[int, int], None] | None) -> Outcome:
    begun = time.monotonic()
    try:
        with_layers = case.layers and shows_layers(cell.target)
        runner = make_runner(cell.target, _firmware_of(case, cell), with_layers)
        got = runner.run(case.frames, progress)
    except KitError as error:
        state: State = "skipped" if case.skip_absent and _is_absence(error) else "failed"
        return Outcome(cell.target, state, str(error), time.monotonic() - begun, engine=cell.engine)
    return _judge(case, cell, got, time.monotonic() - begun)


def _is_absence(error: KitError) -> bool:
    """Something is not installed, and KIT_REQUIRE does not ask for it; or the cell cannot be: an engine that is not
    there or does not run the encoder, or an image that the board has no room for."""
    if isinstance(error, EngineError | UnsupportedOpError):
        return True
    if not isinstance(error, ToolchainError):
        return False
    required = [name for name in os.environ.get("KIT_REQUIRE", "").replace(" ", "").split(",") if name]
    absent = "is not installed" in error.what
    return (absent and not any(error.what.startswith(name) for name in required)) or "overflowed by" in error.what


def _judge(case: _Case, cell: Cell, got: RunResult, seconds: float) -> Outcome:
    """Compare a cell's results with the truth, and explain what departs."""
    want, target = case.want, cell.target
    if got.build_hash != want.build_hash:
        text = f"runs build {got.build_hash}, the artifacts are build {want.build_hash}; rebuild the firmware"
        return Outcome(target, "failed", text, seconds, engine=cell.engine)
    try:
        result = compare(want, got)
        explanation = _explain(case, cell, got, result)
    except MismatchError as error:
        return Outcome(target, "failed", str(error), seconds, engine=cell.engine)
    layers = None if explanation is None else explanation.layers
    equal = result.equal and (layers is None or layers.equal)
    return Outcome(
        target=target,
        state="passed" if equal else "failed",
        detail=str(result),
        seconds=seconds,
        comparison=result,
        time_us_median=None if got.time_us is None else float(np.median(got.time_us)),
        link=got.link,
        engine=cell.engine,
        explanation=explanation,
        double=got.double,
    )


def _explain(case: _Case, cell: Cell, got: RunResult, result: Comparison) -> Explanation | None:
    """Layers and diagnosis as far as they were asked for or are needed."""
    firmware = case.firmware
    if case.want.layers is not None and got.layers is not None:
        return explain_layers(firmware, case.frames, case.want.layers, got.layers)
    if result.equal:
        return None
    if stage_of(result) or cell.target == RECORDED or not shows_layers(cell.target):
        return explain_outputs(firmware, case.frames, got, result, recorded=cell.target == RECORDED)
    return _look_again(case, cell, got)


def _look_again(case: _Case, cell: Cell, got: RunResult) -> Explanation:
    """Run the frames that depart once more, with every layer."""
    numbers = departing_frames(case.want, got)
    frames = case.frames[numbers]
    try:
        again = make_runner(cell.target, _firmware_of(case, cell), layers=True).run(frames)
        want = _truth(case.firmware, layers=True).run(frames)
    except KitError as error:
        return Explanation(stage=f"the layers cannot be looked at: {error}")
    if want.layers is None or again.layers is None:
        raise RunnerError(f"{cell.target} shows no layers", "rebuild the firmware")
    return explain_layers(case.firmware, frames, want.layers, again.layers, numbers)
