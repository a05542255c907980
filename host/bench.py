"""What one frame costs on a target, stage by stage: counted instructions or cycles beside the work they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError, RunnerError
from kit.files import read_json, write_json
from kit.host.bench_plan import PARTS, SEARCH, StagePlan, plan_stages
from kit.host.boards import find_board
from kit.host.cores import Core, core_of
from kit.host.engines import shown_engine
from kit.host.firmware import Firmware
from kit.host.footprint import Footprint, measure
from kit.host.map_file import TFLM_HARNESS, TFLM_LIBRARY, TFLM_MODEL
from kit.host.probes import stage_numbers
from kit.host.profile_runner import Counts, ProfileRunner
from kit.host.runners import Progress, result_from_packets

FORMAT = 1
PROBE_EFFECT_MAX = 0.02
"""Share by which the stages' sum may differ from the whole frame without probes: they keep the compiler from inlining
across a stage's border, no more."""

@dataclass(frozen=True, slots=True)
class StageCost:
    """One stage, or a sum of stages, per frame.

    Attributes:
        key: ``normalise``, ``layer 0``, ``level 1`` ...; the same on every target and build.
        part: which of :data:`PARTS` it belongs to; ``codec`` for the sum of all.
        label: what it is, for example ``32 to 40 channels, kernel 7, stride 2``.
        macs: multiply-accumulates; those of an exhaustive search for levels.
        mean: instructions or cycles, mean over the frames.
        low: of the cheapest frame; None where the target does not tell (a device over its link).
        high: of the dearest frame.
        visits: how often the stage was entered, mean over the frames.
        bound: instructions that the multiply-accumulates alone need; None without any.
    """

    key: str
    part: str
    label: str
    macs: int
    mean: float
    low: int | None
    high: int
    visits: float
    bound: float | None

    @property
    def per_mac(self) -> float | None:
        """Instructions per multiply-accumulate."""
        return self.mean / self.macs if self.macs else None


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Costs of one build on one target.

    Attributes:
        target: ``qemu:BOARD``, ``uart:BOARD`` or ``serial:PORT``; ``board`` its board, empty when unknown.
        name: configuration; ``build_hash`` what it computes; ``engine`` what runs its encoder
            (:func:`kit.host.engines.shown_engine`).
        unit: ``instructions`` or ``cycles``.
        frames: how many were measured, ``source`` where they come from.
        stages: in the order in which a frame passes them.
        totals: encoder, search, rest of the codec, codec: sums per frame.
        probe_effect: share by which the stages' own sum differs from the whole frame measured without probes; already
            taken off stage ``rest``. 0 where the whole frame was not measured alone.
        core: facts and assumptions of the core; None when unknown.
        footprint: flash, RAM and stack; None when nothing was compiled here.
    """

    target: str
    board: str
    name: str
    build_hash: str
    engine: str
    unit: str
    frames: int
    source: str
    stages: tuple[StageCost, ...]
    totals: tuple[StageCost, ...]
    probe_effect: float
    core: Core | None
    footprint: dict[str, Any] | None

    @property
    def title(self) -> str:
        """What stands over its table."""
        return f"{self.name} on {self.target}, engine {self.engine}"

    def total(self, key: str) -> StageCost:
        """A sum by name: one of :data:`PARTS`, or ``codec``."""
        return next(total for total in self.totals if total.key == key)

    def estimate_ms(self, cost: StageCost) -> float | None:
        """Estimated milliseconds of a stage at the usual clock of the core."""
        return None if self.core is None else self.core.estimate_ms(cost.mean, self.unit)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; estimates are named as such and carry what they assume."""
        plain = asdict(self)
        for name in ("stages", "totals"):
            for row, cost in zip(plain[name], getattr(self, name), strict=True):
                row["per_mac"] = cost.per_mac
                row["estimated_ms"] = self.estimate_ms(cost)
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> BenchReport:
        """The report that :meth:`as_dict` wrote.

        Raises:
            ArtifactError: it is none.
        """
        try:
            values = {field.name: plain[field.name] for field in fields(cls)}
            names = [field.name for field in fields(StageCost)]
            for key in ("stages", "totals"):
                values[key] = tuple(StageCost(**{name: row[name] for name in names}) for row in values[key])
            values["core"] = None if values["core"] is None else Core(**values["core"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"not a report of kit bench: {error}", "write one with kit bench --json") from None


def save_reports(path: Any, reports: Sequence[BenchReport]) -> None:
    """Write reports as JSON."""
    write_json(path, {"format": FORMAT, "kind": "bench", "reports": [report.as_dict() for report in reports]})


def load_reports(path: Any) -> list[BenchReport]:
    """Reports that :func:`save_reports` wrote.

    Raises:
        ArtifactError: the file is missing, or something else.
    """
    raw = read_json(path)
    if not isinstance(raw, dict) or raw.get("kind") != "bench" or raw.get("format") != FORMAT:
        raise ArtifactError(f"{path} is no report of kit bench, format {FORMAT}", "write one with kit bench --json")
    return [BenchReport.from_dict(one) for one in raw["reports"]]


def _cost(plan: StagePlan, count: NDArray[Any], visits: NDArray[Any], core: Core | None) -> StageCost:
    return StageCost(
        plan.key, plan.part, plan.label, plan.macs, float(count.mean()), int(count.min()), int(count.max()),
        float(visits.mean()), bound_of(plan.part, plan.macs, core),
    )  # fmt: skip


def bound_of(part: str, macs: int, core: Core | None) -> float | None:
    """Instructions that the multiply-accumulates of a stage need at least on this core."""
    if core is None or macs == 0:
        return None
    return macs / (core.mac16 if part == SEARCH else core.mac8)


def sum_costs(key: str, costs: Sequence[StageCost], count: NDArray[Any] | None) -> StageCost:
    """A sum over stages.

    Args:
        key: name of the sum.
        costs: the stages.
        count: int64[n], their sum in each frame; None where frames are not known one by one: the dearest frame is
            then at most the sum of the dearest stages, and that is what stands there.
    """
    bounds = [cost.bound for cost in costs if cost.bound is not None]
    return StageCost(
        key,
        key,
        "",
        sum(cost.macs for cost in costs),
        float(count.mean()) if count is not None else sum(cost.mean for cost in costs),
        int(count.min()) if count is not None else None,
        int(count.max()) if count is not None else sum(cost.high for cost in costs),
        sum(cost.visits for cost in costs),
        sum(bounds) if bounds else None,
    )


def costs_of(
    plans: Sequence[StagePlan], staged: Counts, whole: Counts | None, core: Core | None
) -> tuple[tuple[StageCost, ...], tuple[StageCost, ...], float]:
    """Stages, totals and the probes' effect.

    Stage ``rest`` is what the frame measured without probes holds beyond the other stages, so that stages add up to
    the firmware as it ships.

    Args:
        plans: the stages.
        staged: counts with probes at every stage.
        whole: counts of the same frames with probes around the codec only; None where there are none.
        core: for bounds.

    Raises:
        RunnerError: something was counted that belongs to no stage of the plan, or both countings contradict.
    """
    known = [plan.number for plan in plans]
    stray = np.setdiff1d(np.flatnonzero(staged.count[:, 1:].any(axis=0)) + 1, known)
    if len(stray):
        raise RunnerError(f"the target counts stages {stray.tolist()}, which this build does not have")
    count = {plan.key: staged.count[:, plan.number] for plan in plans}
    effect = 0.0
    if whole is not None:
        excess = staged.total - whole.total
        effect = float(excess.mean() / whole.total.mean())
        if abs(effect) > PROBE_EFFECT_MAX:
            raise RunnerError(
                f"stages add up to {staged.total.mean():,.0f} {staged.unit} a frame, the whole frame takes "
                f"{whole.total.mean():,.0f}",
                "the probes disturb what they measure: report this",
            )
        count["rest"] = np.maximum(count["rest"] - excess, 0)
    costs = tuple(_cost(plan, count[plan.key], staged.visits[:, plan.number], core) for plan in plans)
    totals = []
    for part in (*PARTS, "codec"):
        chosen = [cost for cost in costs if part in (cost.part, "codec")]
        totals.append(sum_costs(part, chosen, np.sum([count[cost.key] for cost in chosen], axis=0)))
    return costs, tuple(totals), effect


ENCODER_FLASH = ("engine", "encoder weights", TFLM_LIBRARY, TFLM_HARNESS, TFLM_MODEL)
"""Groups of flash that are the encoder, whatever its engine."""
LIBRARY_FLASH = ("compiler and C library", "compiler, C and C++ library")


def footprint_facts(footprint: Footprint) -> dict[str, Any]:
    """Figures of an application image, with the sums that a choice of engine is judged by."""
    flash = footprint.flash
    encoder = sum(flash.get(group, 0) for group in ENCODER_FLASH)
    library = sum(flash.get(group, 0) for group in LIBRARY_FLASH)
    return {
        **footprint.as_dict(),
        "encoder_flash": encoder,
        "codec_flash": encoder + flash.get("codec", 0) + flash.get("codebook", 0),
        "library_flash": library,
    }


def bench_board(
    firmware: Firmware, board: str, frames: NDArray[Any], source: str, progress: Progress | None = None
) -> BenchReport:
    """Count the frames on an emulated board, stage by stage and as a whole, and measure its image.

    Args:
        firmware: rendered build.
        board: name of a board that QEMU emulates.
        frames: int16 or int32 [n, T].
        source: where they come from.
        progress: called with (frames done, frames in all).

    Raises:
        KitError: a tool is missing, the run fails, or the packets are not those of the reference.
    """
    facts = find_board(board)
    core = core_of(facts.cpu_flags)
    runner = ProfileRunner(firmware, board)
    staged = runner.profile(frames, "1", progress)
    whole = runner.profile(frames, "frame", progress)
    if not np.array_equal(staged.packets, whole.packets):
        raise RunnerError(f"{runner.name}: packets with and without probes differ", "run kit validate on this target")
    result_from_packets(firmware.build_hash, firmware.layout, whole.packets, None)
    stages, totals, effect = costs_of(plan_stages(firmware, stage_numbers()), staged, whole, core)
    return BenchReport(
        target=runner.name,
        board=board,
        name=firmware.config.name,
        build_hash=firmware.build_hash,
        engine=shown_engine(firmware.engine, firmware.runs_double(board)),
        unit=staged.unit,
        frames=len(frames),
        source=source,
        stages=stages,
        totals=totals,
        probe_effect=effect,
        core=core,
        footprint=footprint_facts(measure(firmware, board)),
    )
