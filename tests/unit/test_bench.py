"""``kit bench`` without a compiler: stages, bounds, sums, reports, comparison, tables, picture, refusals."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from typer.testing import CliRunner

from kit.cli.bench_modes import parse_bench_targets
from kit.cli.main import app
from kit.errors import ArtifactError, KitError, RunnerError
from kit.evaluate.bench_plots import bench_figure, scaling_figure
from kit.files import asset, write_json
from kit.host.bench import (
    BenchReport,
    StageCost,
    bound_of,
    costs_of,
    load_reports,
    save_reports,
)
from kit.host.bench_compare import compare, compare_table, pair_reports
from kit.host.bench_plan import StagePlan
from kit.host.bench_scaling import Size, Sweep, fit, scaling_tables
from kit.host.bench_table import print_reports
from kit.host.boards import BOARDS, emulated_boards
from kit.host.cores import core_of
from kit.host.probes import icount_shift, parse_stages, stage_numbers, unit_name
from kit.host.profile_runner import Counts, parse_counts
from tests.support import ROOT

M4 = core_of(BOARDS["mps2-an386"].cpu_flags)
NUMBERS = stage_numbers()
PLANS = (
    StagePlan(NUMBERS.fixed["normalise"], "normalise", "other", "samples", 0),
    StagePlan(NUMBERS.fixed["schedule"], "schedule", "encoder", "order", 0),
    StagePlan(NUMBERS.layer[0], "layer 0", "encoder", "1 to 4 channels", 100),
    StagePlan(NUMBERS.level[0], "level 0", "search", "16 entries", 40),
    StagePlan(NUMBERS.fixed["rest"], "rest", "other", "what is left", 0),
)


def counts(rows: dict[str, list[int]]) -> Counts:
    """Counts of frames by stage key."""
    frames = len(next(iter(rows.values())))
    table = np.zeros((frames, NUMBERS.count), np.int64)
    for plan in PLANS:
        table[:, plan.number] = rows.get(plan.key, 0)
    visits: NDArray[np.int64] = (table > 0).astype(np.int64)
    return Counts("instructions", table, visits, np.zeros((frames, 1), np.uint8))


STAGED = {"normalise": [10, 12], "schedule": [5, 5], "layer 0": [200, 210], "level 0": [70, 90], "rest": [21, 22]}


def report(target: str = "qemu:mps2-an386", unit: str = "instructions") -> BenchReport:
    stages, totals, effect = costs_of(PLANS, counts(STAGED), counts({"rest": [303, 337]}), M4)
    memory = {
        "board": target.partition(":")[2], "compiler": "a compiler 12", "flash": {"codec": 100, "engine": 50},
        "ram": {"encoder": 60}, "flash_total": 150, "encoder_flash": 50, "codec_flash": 150,
        "encoder_state": 60, "encoder_stack": 8, "encoder_ram": 68,
        "codec_state": 90, "codec_stack": 10, "codec_ram": 100, "stack": 30,
        "sections": [
            {"name": ".text", "size": 140, "in_flash": True, "in_ram": False},
            {"name": ".data", "size": 10, "in_flash": True, "in_ram": True},
            {"name": ".bss", "size": 50, "in_flash": False, "in_ram": True},
        ],
    }  # fmt: skip
    return BenchReport(
        target, target.partition(":")[2], "tiny", "0" * 16, "aot", unit, 2, "random", stages, totals, effect, M4, memory
    )


def test_stage_numbers_are_those_of_the_header() -> None:
    assert NUMBERS.fixed["off"] == 0
    assert NUMBERS.level == (len(NUMBERS.fixed), 8)
    assert NUMBERS.layer == (NUMBERS.level[0] + 8, 32)
    with pytest.raises(ArtifactError, match="does not list the stages"):
        parse_stages("enum { KIT_PROBE_ON };")
    assert 7 <= icount_shift() <= 10
    assert (unit_name(0), unit_name(1), unit_name(2)) == ("", "cycles", "instructions")


def test_every_board_has_a_core_with_its_bound() -> None:
    found = {name: core_of(board.cpu_flags) for name, board in BOARDS.items()}
    assert all(core is not None for core in found.values())
    bounds = {name: core.mac8 for name, core in found.items() if core is not None}
    assert bounds["microbit"] == 0.5 and bounds["mps2-an385"] == 1 and bounds["mps2-an386"] == 2
    assert bounds["mps2-an500"] == 2 and bounds["mps3-an547"] == 16
    assert core_of(("-mcpu=cortex-a9",)) is None
    assert core_of(("-mcpu=cortex-m55+nomve",)) is not None


def test_sums_follow_the_frame_without_probes() -> None:
    """Stages as counted; `rest` takes the difference between their sum and the whole frame."""
    stages, totals, effect = costs_of(PLANS, counts(STAGED), counts({"rest": [303, 337]}), M4)
    by_key = {cost.key: cost for cost in stages}
    assert (by_key["rest"].low, by_key["rest"].high) == (18, 20)
    assert by_key["layer 0"].mean == 205 and by_key["layer 0"].per_mac == 2.05
    assert by_key["layer 0"].bound == 50 and by_key["level 0"].bound == 20 and by_key["rest"].bound is None
    sums = {cost.key: cost for cost in totals}
    assert (sums["codec"].low, sums["codec"].high) == (303, 337)
    assert sums["codec"].mean == sum(cost.mean for cost in stages)
    assert (sums["encoder"].mean, sums["encoder"].macs, sums["encoder"].bound) == (210, 100, 50)
    assert sums["search"].high == 90
    assert effect == pytest.approx((306 + 339) / (303 + 337) - 1)


def test_counts_that_contradict_are_refused() -> None:
    with pytest.raises(RunnerError, match="add up to"):
        costs_of(PLANS, counts(STAGED), counts({"rest": [250, 250]}), M4)
    stray = counts(STAGED)
    stray.count[:, NUMBERS.layer[0] + 3] = 1
    with pytest.raises(RunnerError, match="which this build does not have"):
        costs_of(PLANS, stray, None, M4)
    assert bound_of("encoder", 100, None) is None


def test_counts_file() -> None:
    stages = NUMBERS.count
    rows = b"".join(bytes([7] * 4 + [frame] * 3) + np.arange(2 * stages, dtype="<u4").tobytes() for frame in range(2))
    head = struct.Struct("<4sI8sIIIII")
    good = head.pack(b"KITP", 1, bytes(8), 2, 4, 3, 2, stages) + rows
    parsed = parse_counts(good, 2, 4, 3)
    assert parsed.unit == "instructions"
    assert parsed.packets.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert parsed.count[1].tolist() == list(range(0, 2 * stages, 2))
    assert parsed.visits[0].tolist() == list(range(1, 2 * stages, 2))
    assert parsed.total[0] == sum(range(2, 2 * stages, 2))
    idle = head.pack(b"KITP", 1, bytes(8), 2, 4, 3, 0, stages) + rows
    with pytest.raises(RunnerError, match="-icount shift="):
        parse_counts(idle, 2, 4, 3)
    for broken in (b"KITR" + good[4:], good[:-1], good[:20], good.replace(b"KITP\x01", b"KITP\x02")):
        with pytest.raises(RunnerError):
            parse_counts(broken, 2, 4, 3)


def test_saved_reports_come_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    save_reports(path, [report()])
    assert load_reports(path) == [report()]
    write_json(path, {"format": 1, "kind": "bench", "reports": [{"target": "x"}]})
    with pytest.raises(ArtifactError, match="not a report of kit bench"):
        load_reports(path)
    write_json(path, {"reports": []})
    with pytest.raises(ArtifactError, match="no report of kit bench"):
        load_reports(path)


def test_estimate_says_what_it_assumes() -> None:
    assert M4 is not None
    assert M4.estimate_ms(64_000, "cycles") == pytest.approx(1.0)
    assert M4.estimate_ms(64_000, "instructions") == pytest.approx(M4.cycles_per_instruction)
    stream = io.StringIO()
    print_reports([report()], Console(file=stream, width=200))
    text = stream.getvalue()
    assert "an estimate at 64 MHz (nRF52832), 1.4 cycles per instruction assumed" in text
    assert "2 MAC per instruction (SMLAD)" in text
    for key in (
        "layer 0",
        "level 0",
        "schedule",
        "encoder",
        "search",
        "codec",
        "by section: .data",
        "by section: .bss",
    ):
        assert key in text
    assert "by section: .text" not in text


@pytest.mark.parametrize("width", [80, 200])
def test_tables_keep_every_number_whole(width: int) -> None:
    big = report()

    def grown(costs: tuple[StageCost, ...]) -> tuple[StageCost, ...]:
        n = 40_000
        return tuple(replace(c, mean=c.mean * n, high=c.high * n, macs=c.macs * n // 4) for c in costs)

    stream = io.StringIO()
    print_reports([replace(big, stages=grown(big.stages), totals=grown(big.totals))], Console(file=stream, width=width))
    assert "…" not in stream.getvalue()
    assert "8,200,000" in stream.getvalue()


def test_comparison() -> None:
    first = report()
    layer = replace(first.stages[2], mean=first.stages[2].mean / 2)
    second = replace(first, stages=(*first.stages[:2], layer, *first.stages[3:]))
    found = compare(first, second)
    row = next(row for row in found.stages if row.key == "layer 0")
    assert (row.change, row.percent) == (-102.5, -50.0)
    assert next(row for row in found.memory if row.key == "RAM: encoder with stack").change == 0
    assert found.as_dict()["stages"][2]["percent"] == -50.0
    stream = io.StringIO()
    Console(file=stream, width=100).print(compare_table(found))
    assert "-50.0 %" in stream.getvalue()
    with pytest.raises(RunnerError, match="compare like with like"):
        compare(first, replace(first, unit="cycles"))


def test_pairs_of_reports() -> None:
    one, two, three = report("qemu:a"), report("qemu:b"), report("qemu:c")
    assert pair_reports([one], [two]) == [(one, two)]
    assert pair_reports([one, two], [three, two]) == [(two, two)]
    with pytest.raises(RunnerError, match="nothing to compare"):
        pair_reports([one, two], [three])


def test_pictures() -> None:
    for form, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        data = bench_figure([report(), report("qemu:microbit")], form)  # type: ignore[arg-type]
        assert data.startswith(start) and len(data) > 5000
        assert data == bench_figure([report(), report("qemu:microbit")], form)  # type: ignore[arg-type]
    assert scaling_figure([sweep()]).startswith(b"\x89PNG")


def sweep() -> Sweep:
    pairs = [(320, 32), (640, 32), (1280, 32), (2560, 32), (320, 16), (320, 64)]
    return Sweep(
        "qemu:mps2-an386",
        tuple(
            Size(
                t, f, t * f, 1000.0 + 3.0 * t * f, 2.0 * t, 5.0 * t * f, 400, 1000 + 2 * t + t // 4, 2 * t, t // 4, 200
            )
            for t, f in pairs
        ),
    )


def test_lines_through_sizes() -> None:
    line = fit([1, 2, 4], [13, 23, 43])
    assert (line.fixed, line.slope) == (pytest.approx(3), pytest.approx(10))
    assert line.deviation == pytest.approx(0, abs=1e-9)
    assert {size.fixed_ram for size in sweep().sizes} == {1200}
    assert len(sweep().lengths()) == 4 and len(sweep().widths()) == 3
    stream = io.StringIO()
    for table in scaling_tables(sweep()):
        Console(file=stream, width=160).print(table)
    assert "1,000 + 96.0 x T" in stream.getvalue() and "1,000 + 3.000 x MAC" in stream.getvalue()
    assert sweep().as_dict()["lines"]["encoder_over_macs"]["slope"] == pytest.approx(3)


def test_targets() -> None:
    assert parse_bench_targets("all") == tuple(f"qemu:{board}" for board in emulated_boards())
    assert parse_bench_targets("mps2-an386, serial:/dev/ttyX") == ("qemu:mps2-an386", "serial:/dev/ttyX")
    assert parse_bench_targets("all,qemu:microbit").count("qemu:microbit") == 1
    for text in ("native", "golden", "uart:native", "qemu:nothing", "", "everything"):
        with pytest.raises(RunnerError):
            parse_bench_targets(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run", "absent"], "holds no rendered firmware"),
        (["--scaling", "--native"], "give one of them"),
        (["--scaling", "--target", "serial:/dev/null"], "a firmware per size"),
        (["--compare", "absent.json", "absent.json"], "cannot read absent.json"),
        (["--compare", "absent", "absent"], "no JSON report, no run folder, no engine and no target"),
    ],
)
def test_refusals_are_one_line(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(app, ["bench", *arguments])
    assert isinstance(outcome.exception, KitError)
    assert words in str(outcome.exception)


def test_every_emulated_board_names_its_counter() -> None:
    for name in emulated_boards():
        text = (asset("firmware", "ports") / name / "board.mk").read_text()
        line = next(line for line in text.splitlines() if line.startswith("CYCLES_SOURCE"))
        assert (ROOT / "firmware" / "ports" / line.partition(":= ")[2]).is_file()
