"""A validation as one table, engine by target, and what has to be said below it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from kit.host.compare import UNITS
from kit.host.outcome import RECORDED, Outcome, Report

_MARKS = {"passed": "[green]passed[/green]", "failed": "[red]FAILED[/red]", "skipped": "[yellow]skipped[/yellow]"}
NONE = "-"


def matrix_table(report: Report) -> Table:
    """One row per engine and target; fits into 80 columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", collapse_padding=True)
    table.add_column("engine", no_wrap=True, vertical="bottom")
    table.add_column("target", overflow="fold", min_width=16, vertical="bottom")
    for name in ("frames", "latents\ncompared", "\ndepart", "indices,\npackets", "layers\ndepart"):
        table.add_column(name, justify="right", no_wrap=True, vertical="bottom")
    table.add_column("verdict", no_wrap=True, vertical="bottom")
    for outcome in report.outcomes:
        engine = outcome.shown_engine or "recorded"
        table.add_row(engine, outcome.place, *_figures(outcome, report.frames), _verdict(outcome))
    return table


def _verdict(outcome: Outcome) -> str:
    return "[green]truth[/green]" if outcome.truth else _MARKS[outcome.state]


def _figures(outcome: Outcome, frames: int) -> tuple[str, ...]:
    comparison, explanation = outcome.comparison, outcome.explanation
    if outcome.truth:
        return (f"{frames:,}", *(NONE,) * 4)
    if comparison is None:
        return (NONE,) * 5
    latents = comparison.fields.get("latents")
    layers = None if explanation is None else explanation.layers
    return (
        f"{comparison.frames:,}",
        NONE if latents is None else f"{latents.compared:,}",
        NONE if latents is None else f"{latents.different:,}",
        _packets(outcome),
        NONE if layers is None else f"{sum(count.different > 0 for count in layers.counts)} of {len(layers.counts)}",
    )


def _packets(outcome: Outcome) -> str:
    """``equal``, or in how many frames indices or packets differ."""
    comparison = outcome.comparison
    if comparison is None:
        return NONE
    different = [comparison.fields[name].different for name in ("indices", "packets") if name in comparison.fields]
    return f"{comparison.different_frames:,} differ" if any(different) else "equal"


def notes(report: Report) -> dict[str, list[str]]:
    """Cells to sentences, of everything that the table does not say: why a cell failed or did not run, the first layer
    that departs, diagnosis, link. Cells with the same sentences share them."""
    found: dict[tuple[str, ...], list[str]] = {}
    for outcome in report.outcomes:
        lines = tuple(_sentences(outcome))
        if lines:
            found.setdefault(lines, []).append(_cell_name(outcome))
    return {", ".join(cells): list(lines) for lines, cells in found.items()}


def _cell_name(outcome: Outcome) -> str:
    return f"{outcome.shown_engine} on {outcome.place}" if outcome.engine else RECORDED


def _sentences(outcome: Outcome) -> Iterator[str]:
    explanation = outcome.explanation
    if outcome.double:
        yield "the API double of the kit's tests: no evidence about TensorFlow Lite Micro"
    if outcome.state != "passed":
        yield outcome.detail
    if explanation is not None:
        if explanation.layers is not None and explanation.layers.first is not None:
            yield f"first layer to depart: {outcome.layers_text}"
        for line in explanation.lines:
            yield f"diagnosis: {line}"
    if outcome.link_text:
        yield outcome.link_text


def summary(report: Report) -> str:
    """What was compared in all, and whether it was equal."""
    compared = [outcome for outcome in report.outcomes if outcome.comparison is not None]
    departing = [outcome for outcome in compared if outcome.state == "failed"]
    totals = {"latents": 0, "packets": 0, "layer values": 0}
    for outcome in compared:
        fields = {} if outcome.comparison is None else outcome.comparison.fields
        for name in ("latents", "packets"):
            totals[name] += fields[name].compared if name in fields else 0
        if outcome.explanation is not None and outcome.explanation.layers is not None:
            totals["layer values"] += outcome.explanation.layers.compared
    text = ", ".join(f"{count:,} {UNITS.get(name, name)}" for name, count in totals.items() if count)
    if not compared:
        return "nothing was compared"
    runs = len(compared)
    verdict = f"{len(departing)} of {runs} runs depart" if departing else f"no departure in {runs} runs"
    return f"{verdict}; compared with {report.truth} in all: {text}"
