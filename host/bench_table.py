"""Tables of ``kit bench`` for the terminal and for a text file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from kit.host.bench import BenchReport, StageCost
from kit.host.footprint import NO_BOUND


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _ratio(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


UNKNOWN = "not known"
"""Where a figure of an image cannot be told."""

WIDE = 164
"""Columns of a console from which on tables show everything."""


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _row(report: BenchReport, cost: StageCost, whole: float, wide: bool) -> list[str]:
    over = None if not cost.bound else cost.mean / cost.bound
    what = [cost.label, f"{100 * cost.mean / whole:.1f} %" if whole else ""] if wide else []
    bound = [_number(cost.bound)] if wide else []
    return [
        cost.key,
        *what,
        _number(cost.mean),
        *([_number(cost.low)] if wide else []),
        _number(cost.high),
        _number(cost.macs or None),
        _ratio(cost.per_mac, 3),
        *bound,
        _ratio(over, 1),
        _ratio(report.estimate_ms(cost)),
    ]


def stage_table(report: BenchReport, wide: bool = True) -> Table:
    """Every stage, then the sums; a narrow one leaves out what each stage is, its share, minimum and bound."""
    table = _table(f"{report.title}: {report.unit} per frame")
    table.add_column("stage", no_wrap=True)
    if wide:
        table.add_column("what", no_wrap=True)
        table.add_column("share", justify="right", no_wrap=True)
    numbers = ["mean", *(["min"] if wide else []), "max", "MAC", "per MAC", *(["bound"] if wide else [])]
    numbers += ["x bound", "est. ms"]
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    whole = report.total("codec").mean
    for number, cost in enumerate(report.stages):
        table.add_row(*_row(report, cost, whole, wide), end_section=number == len(report.stages) - 1)
    for cost in report.totals:
        table.add_row(*_row(report, cost, whole, wide), style="bold")
    return table


def notes(report: BenchReport) -> list[str]:
    """What the figures stand on, one line each."""
    whole = report.footprint is not None
    lines = [
        f"{report.frames} frames of {report.source}; build {report.build_hash}"
        + (f"; probes changed the frame by {100 * report.probe_effect:+.2f} %, taken off `rest`" if whole else "")
    ]
    core = report.core
    if core is not None:
        lines.append(
            f"bound: {core.name}, {core.mac8:g} MAC per instruction ({core.basis8}), in the search {core.mac16:g} "
            f"({core.basis16})"
        )
        assumed = "" if report.unit == "cycles" else f", {core.cycles_per_instruction:g} cycles per instruction assumed"
        lines.append(
            f"ms: an estimate at {core.clock_hz / 1e6:g} MHz ({core.clock_of}){assumed}"
            + ("" if report.unit == "cycles" else f" ({core.reason})")
        )
    return lines


_SUMS = (
    ("encoder_flash", "flash: encoder, code and weights"),
    ("codec_flash", "flash: codec with codebooks"),
    ("flash_total", "flash: whole image"),
    ("encoder_state", "RAM: encoder, state"),
    ("encoder_stack", "RAM: encoder, worst-case stack"),
    ("encoder_ram", "RAM: encoder, both"),
    ("codec_state", "RAM: codec, state"),
    ("codec_stack", "RAM: codec, worst-case stack"),
    ("codec_ram", "RAM: codec, both"),
    ("stack", "RAM: stack of the image, interrupts included"),
)


def _engine(report: BenchReport, reports: Sequence[BenchReport]) -> str:
    """The engine behind a report's name, where tables show several."""
    return f" {report.engine}" if len({each.engine for each in reports}) > 1 else ""


def memory_table(reports: Sequence[BenchReport]) -> Table:
    """Flash, RAM and stack of the application images, one column per target."""
    shown = [report for report in reports if report.footprint is not None]
    measured = [report.footprint for report in shown if report.footprint is not None]
    table = _table("Memory of the application image, bytes")
    table.add_column("what", no_wrap=True)
    for report in shown:
        board = report.board.removeprefix("mps2-").removeprefix("mps3-")
        table.add_column(board + _engine(report, reports), justify="right", no_wrap=True)
    for kind, name in (("flash", "flash"), ("ram", "RAM")):
        groups = list(dict.fromkeys(group for footprint in measured for group in footprint[kind]))
        for number, group in enumerate(groups):
            row = [_number(footprint[kind].get(group)) for footprint in measured]
            table.add_row(f"{name}: {group}", *row, end_section=number == len(groups) - 1)
    _section_rows(table, measured)
    for key, text in _SUMS:
        table.add_row(text, *(_number(footprint[key]) or UNKNOWN for footprint in measured), style="bold")
    return table


def _section_rows(table: Table, measured: Sequence[dict[str, Any]]) -> None:
    """RAM once more, by section of the image."""
    sizes = [{s["name"]: s["size"] for s in footprint.get("sections", ()) if s["in_ram"]} for footprint in measured]
    names = list(dict.fromkeys(name for of_one in sizes for name in of_one))
    for number, name in enumerate(names):
        row = [_number(of_one.get(name)) for of_one in sizes]
        table.add_row(f"RAM, by section: {name}", *row, end_section=number == len(names) - 1)


def summary_table(reports: Sequence[BenchReport]) -> Table:
    """One line per report: what to look at first."""
    unit = reports[0].unit if len({report.unit for report in reports}) == 1 else "counts"
    table = _table(f"Summary: {unit} per frame")
    table.add_column("target", no_wrap=True)
    for heading in ("encoder", "per MAC", "search", "its max", "codec", "est. ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for report in reports:
        encoder, search, codec = (report.total(key) for key in ("encoder", "search", "codec"))
        table.add_row(
            report.target.removeprefix("qemu:") + _engine(report, reports),
            _number(encoder.mean),
            _ratio(encoder.per_mac),
            _number(search.mean),
            _number(search.high),
            _number(codec.mean),
            _ratio(report.estimate_ms(codec)),
        )
    return table


def print_reports(reports: Sequence[BenchReport], console: Console) -> None:
    """Every table, and the summary last."""
    for report in reports:
        console.print(stage_table(report, wide=console.width >= WIDE))
        for line in notes(report):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        console.print()
    if any(report.footprint is not None for report in reports):
        console.print(memory_table(reports))
        for compiler in dict.fromkeys(report.footprint["compiler"] for report in reports if report.footprint):
            console.print(f"compiler: {compiler}", highlight=False, markup=False, soft_wrap=True)
        if any(report.footprint is not None and report.footprint["stack"] is None for report in reports):
            console.print(f"stack: {NO_BOUND}", highlight=False, markup=False, soft_wrap=True)
        console.print()
    console.print(summary_table(reports))
