"""Costs that a device measures itself, asked for over its link: cycles on a real board."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from kit.errors import LinkError, RunnerError
from kit.host.bench import BenchReport, StageCost, bound_of, sum_costs
from kit.host.bench_plan import PARTS, plan_stages
from kit.host.boards import BOARDS
from kit.host.cores import core_of
from kit.host.emulator import Emulator, start_qemu
from kit.host.engines import DOUBLE, shown_engine
from kit.host.firmware import Firmware
from kit.host.link import Link
from kit.host.probes import icount_shift, stage_numbers, unit_name
from kit.wire.messages import Decoded, Hello

ANSWER_SECONDS = 2.0
SECONDS_PER_FRAME = 30.0
"""Far above what an emulated Cortex-M0 needs on a busy machine: only a hang gets there."""

_BUILD = "build it with make app PROBES=1 BOARD=NAME and flash it"


@dataclass(frozen=True, slots=True)
class StageAnswer:
    """What the device says about one stage: sums over its frames, and the most in one frame."""

    total: int
    worst: int
    visits: int


@dataclass(frozen=True, slots=True)
class Profile:
    """What a device measured: ``stages`` by number, over ``frames`` frames, in ``unit``."""

    hello: Hello
    unit: str
    frames: int
    stages: dict[int, StageAnswer]


def _answer(message: Decoded) -> StageAnswer:
    total = message.integer("total_low") + (message.integer("total_high") << 32)
    return StageAnswer(total, message.integer("worst"), message.integer("visits"))


def read_profile(link: Link, build_hash: str) -> Profile:
    """Have a device measure its embedded frames, then ask for every stage.

    Raises:
        LinkError: another build, a firmware without probes, a counter that counts nothing, or the line fails.
    """
    hello = link.hello()
    if hello.build_hash != build_hash:
        raise LinkError(
            f"{link.name}: the device runs build {hello.build_hash}, these artifacts are build {build_hash}",
            "flash this firmware, or name the run that the device was built from",
        )
    if not hello.probes:
        raise LinkError(f"{link.name}: the device's firmware has no probes, it cannot measure stages", _BUILD)
    link.stream_stop()  # a host that was killed may have left it streaming
    seconds = ANSWER_SECONDS + SECONDS_PER_FRAME * hello.embedded_frames
    first = link.request("PROFILE_REQUEST", seconds, stage=0)
    unit, frames = unit_name(first.integer("unit")), first.integer("frames")
    if not unit:
        raise LinkError(
            f"{link.name}: the device's counter counts neither cycles nor instructions",
            f"an emulator needs -icount shift={icount_shift()}",
        )
    numbers = stage_numbers()
    if first.integer("stages") != numbers.count or frames == 0:
        raise LinkError(
            f"{link.name}: the device knows {first.integer('stages')} stages and measured {frames} frames, "
            f"this kit knows {numbers.count} stages",
            "rebuild its firmware with this kit",
        )
    stages = {number: _answer(link.request("PROFILE_REQUEST", stage=number)) for number in range(1, numbers.count)}
    return Profile(hello, unit, frames, stages)


def report_of(profile: Profile, firmware: Firmware, target: str) -> BenchReport:
    """The report of a device's own measurement.

    Raises:
        RunnerError: it measured stages that this build does not have.
    """
    board = profile.hello.target if profile.hello.target in BOARDS else ""
    core = core_of(BOARDS[board].cpu_flags) if board else None
    plans = plan_stages(firmware, stage_numbers(), profile.hello.engine)
    stray = {number for number, stage in profile.stages.items() if stage.visits} - {plan.number for plan in plans}
    if stray:
        raise RunnerError(f"{target} measured stages {sorted(stray)}, which this build does not have")
    stages = tuple(
        StageCost(
            plan.key, plan.part, plan.label, plan.macs,
            profile.stages[plan.number].total / profile.frames, None, profile.stages[plan.number].worst,
            profile.stages[plan.number].visits / profile.frames, bound_of(plan.part, plan.macs, core),
        )
        for plan in plans
    )  # fmt: skip
    totals = tuple(
        sum_costs(part, [cost for cost in stages if part in (cost.part, "codec")], None) for part in (*PARTS, "codec")
    )
    return BenchReport(
        target=target,
        board=board,
        name=firmware.config.name,
        build_hash=profile.hello.build_hash,
        engine=shown_engine("tflm", True) if profile.hello.engine == DOUBLE else profile.hello.engine,
        unit=profile.unit,
        frames=profile.frames,
        source="the embedded recording, measured by the device",
        stages=stages,
        totals=totals,
        probe_effect=0.0,
        core=core,
        footprint=None,
    )


class _Emulated(AbstractContextManager[str]):
    """An emulated board whose application has probes, for the time of a measurement; gives its port."""

    def __init__(self, firmware: Firmware, board: str) -> None:
        self._firmware, self._board = firmware, board
        self._emulator: Emulator | None = None

    def __enter__(self) -> str:
        image = self._firmware.build("app", self._board, "1")
        self._emulator = start_qemu(self._board, image, ("-icount", f"shift={icount_shift()}"))
        return self._emulator.port

    def __exit__(self, *_: object) -> None:
        if self._emulator is not None:
            self._emulator.close()


def bench_link(firmware: Firmware, target: str) -> BenchReport:
    """Measure on ``serial:PORT``, or on ``uart:BOARD`` in QEMU.

    Raises:
        KitError: the port is dead, the device is of another build or has no probes, or a tool is missing.
    """
    kind, _, place = target.partition(":")
    opened: AbstractContextManager[str] = nullcontext(place) if kind == "serial" else _Emulated(firmware, place)
    with opened as port, Link.open(port) as link:
        return report_of(read_profile(link, firmware.build_hash), firmware, target)
