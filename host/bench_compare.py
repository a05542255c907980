"""Two benchmarks side by side: what each stage gained or lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

from kit.errors import RunnerError
from kit.host.bench import BenchReport, StageCost
from kit.host.footprint import NO_BOUND

_MEMORY = (
    ("encoder_state", "RAM: encoder, state"),
    ("encoder_ram", "RAM: encoder with stack"),
    ("codec_state", "RAM: codec, state"),
    ("codec_ram", "RAM: codec with stack"),
    ("encoder_flash", "flash: encoder"),
    ("codec_flash", "flash: codec"),
    ("library_flash", "flash: compiler, C and C++ library"),
    ("flash_total", "flash: whole image"),
)


@dataclass(frozen=True, slots=True)
class Delta:
    """One line of a comparison; None where a side does not have it."""

    key: str
    first: float | None
    second: float | None

    @property
    def change(self) -> float | None:
        """Second minus first."""
        return None if self.first is None or self.second is None else self.second - self.first

    @property
    def percent(self) -> float | None:
        """Change in percent of the first."""
        return None if self.change is None or not self.first else 100.0 * self.change / self.first

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "change": self.change, "percent": self.percent}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two reports and their differences: stages and sums in ``unit``, memory in bytes; ``notes``: what else differs."""

    first: str
    second: str
    unit: str
    stages: tuple[Delta, ...]
    memory: tuple[Delta, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        rows = {name: [row.as_dict() for row in getattr(self, name)] for name in ("stages", "memory")}
        return {"first": self.first, "second": self.second, "unit": self.unit, **rows, "notes": list(self.notes)}


def _deltas(first: Sequence[StageCost], second: Sequence[StageCost]) -> list[Delta]:
    left, right = {cost.key: cost.mean for cost in first}, {cost.key: cost.mean for cost in second}
    return [Delta(key, left.get(key), right.get(key)) for key in dict.fromkeys([*left, *right])]


def compare(first: BenchReport, second: BenchReport) -> Comparison:
    """Differences of two reports, stage by stage.

    Raises:
        RunnerError: one counts instructions, the other cycles.
    """
    if first.unit != second.unit:
        raise RunnerError(f"{first.title} counts {first.unit}, {second.title} {second.unit}", "compare like with like")
    memory = [Delta(text, (first.footprint or {}).get(key), (second.footprint or {}).get(key)) for key, text in _MEMORY]
    stages = [*_deltas(first.stages, second.stages), *_deltas(first.totals, second.totals)]
    return Comparison(
        first.title, second.title, first.unit, tuple(stages),
        tuple(row for row in memory if row.first is not None or row.second is not None),
        tuple(_notes(first, second)),
    )  # fmt: skip


def _notes(first: BenchReport, second: BenchReport) -> Iterator[str]:
    for side, report in (("A", first), ("B", second)):
        if report.footprint is not None and report.footprint["stack"] is None:
            yield f"stack of {side}: {NO_BOUND}"
    if first.build_hash != second.build_hash:
        yield f"two builds: A {first.build_hash}, B {second.build_hash}"
    if (first.frames, first.source) != (second.frames, second.source):
        sides = (f"{side} {report.frames} of {report.source}" for side, report in (("A", first), ("B", second)))
        yield f"other frames: {', '.join(sides)}"


def pair_reports(first: Sequence[BenchReport], second: Sequence[BenchReport]) -> list[tuple[BenchReport, BenchReport]]:
    """Reports that belong together: one of each as they are, else those of the same target.

    Raises:
        RunnerError: no target is on both sides.
    """
    if len(first) == 1 and len(second) == 1:
        return [(first[0], second[0])]
    by_target = {report.target: report for report in second}
    pairs = [(report, by_target[report.target]) for report in first if report.target in by_target]
    if not pairs:
        raise RunnerError(
            f"nothing to compare: {', '.join(r.target for r in first)} against {', '.join(r.target for r in second)}",
            "name the same targets on both sides",
        )
    return pairs


def compare_table(comparison: Comparison) -> Table:
    """The comparison as a table."""
    table = Table(
        title=f"A: {comparison.first}\nB: {comparison.second}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column(f"{comparison.unit} per frame; bytes")
    for heading in ("A", "B", "B - A", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for rows in (comparison.stages, comparison.memory):
        for number, row in enumerate(rows):
            better = "" if row.change is None or abs(row.change) < 0.5 else "green" if row.change < 0 else "red"
            table.add_row(
                row.key,
                "" if row.first is None else f"{row.first:,.0f}",
                "" if row.second is None else f"{row.second:,.0f}",
                "" if row.change is None else f"{row.change:+,.0f}",
                "" if row.percent is None else f"{row.percent:+.1f} %",
                style=better or None,
                end_section=number == len(rows) - 1,
            )
    return table
