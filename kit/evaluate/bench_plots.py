"""Picture of ``kit bench``: where a frame's instructions go, and how far each stage is from what its work needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.evaluate.plots import QUIET, SERIES, ImageFormat, open_figure
from kit.host.bench import BenchReport
from kit.host.bench_scaling import Sweep, fit

_FIXED = {
    "input": "#cbd5e1",
    "normalise": "#94a3b8",
    "schedule": "#475569",
    "pack": "#a3a3a3",
    "rest": "#e2e8f0",
}
_LAYERS = ("#1e3a8a", "#1d4ed8", "#3b82f6", "#60a5fa", "#93c5fd", "#bfdbfe")
_LEVELS = ("#9a3412", "#ea580c", "#fb923c", "#fdba74", "#fed7aa")


def stage_color(key: str) -> str:
    """Color of a stage: blue for layers, orange for levels of the search, grey for the rest."""
    kind, _, number = key.partition(" ")
    if kind == "layer":
        return _LAYERS[int(number) % len(_LAYERS)]
    if kind == "level":
        return _LEVELS[int(number) % len(_LEVELS)]
    return _FIXED.get(key, QUIET)


def bench_figure(reports: Sequence[BenchReport], form: ImageFormat = "png") -> bytes:
    """Stacked bars of stages, one per report; beside them instructions per multiply-accumulate over the bound.

    Args:
        reports: at least one.
        form: ``png`` or ``svg``.

    Returns:
        the image file's bytes.
    """
    labels = _labels(reports)
    height = max(3.6, 1.5 + 0.5 * len(reports))
    with open_figure(height, 1, 2, width_ratios=(1.5, 1.0)) as (figure, axes, save):
        left, right = axes[0]
        keys = list(dict.fromkeys(cost.key for report in reports for cost in report.stages))
        for key in sorted(keys, key=lambda key: keys.index(key)):
            _draw_stage(left, reports, key)
        left.set_yticks(range(len(reports)), labels)
        left.invert_yaxis()
        for row, report in enumerate(reports):
            whole = report.total("codec").mean
            left.annotate(f" {whole / 1000:,.0f} k", (whole / 1000, row), va="center", fontsize=8)
        left.margins(x=0.12)
        units = " / ".join(dict.fromkeys(report.unit for report in reports))
        left.set_xlabel(f"thousand {units} per frame, mean")
        left.grid(axis="x", color=QUIET, linewidth=0.6)
        left.set_axisbelow(True)
        _draw_ratios(right, reports, labels)
        handles, names = left.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(8, len(names)), frameon=False, fontsize=8)
        engine = ", ".join(dict.fromkeys(f"{report.name}, engine {report.engine}" for report in reports))
        figure.suptitle(f"One frame, stage by stage: {engine}", x=0.01, ha="left", fontsize=10)
        return save(form)


def _labels(reports: Sequence[BenchReport]) -> list[str]:
    several = len({report.name for report in reports}) > 1
    labels = []
    for report in reports:
        core = report.core.name if report.core is not None else report.target
        labels.append(f"{core}\n{report.name if several else report.target}")
    return labels


def _draw_stage(axis: Any, reports: Sequence[BenchReport], key: str) -> None:
    """One stage of every bar, behind the stages before it."""
    lefts, widths = [], []
    for report in reports:
        before = 0.0
        width = 0.0
        for cost in report.stages:
            if cost.key == key:
                width = cost.mean
                break
            before += cost.mean
        lefts.append(before / 1000)
        widths.append(width / 1000)
    axis.barh(range(len(reports)), widths, left=lefts, height=0.62, color=stage_color(key), label=key)


def _draw_ratios(axis: Any, reports: Sequence[BenchReport], labels: Sequence[str]) -> None:
    """How many times its bound each layer and level takes; one color per report."""
    keys = list(dict.fromkeys(cost.key for report in reports for cost in report.stages if cost.bound))
    for number, report in enumerate(reports):
        found = {cost.key: cost.mean / cost.bound for cost in report.stages if cost.bound}
        places = [keys.index(key) for key in found]
        offset = (number - (len(reports) - 1) / 2) * 0.12
        label = labels[number].partition("\n")[0]
        axis.plot(
            list(found.values()), [place + offset for place in places], "o", markersize=5,
            color=SERIES[number % len(SERIES)], label=label,
        )  # fmt: skip
    axis.axvline(1.0, color="#111827", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_yticks(range(len(keys)), keys)
    axis.invert_yaxis()
    low, high = axis.get_xlim()
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if low / 1.3 <= tick <= high * 1.3]
    axis.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    axis.minorticks_off()
    axis.grid(axis="x", color=QUIET, linewidth=0.6)
    axis.set_xlabel("times the bound of the instruction set, logarithmic")
    axis.legend(frameon=False, fontsize=8)


def scaling_figure(sweeps: Sequence[Sweep], form: ImageFormat = "png") -> bytes:
    """Encoder instructions over frame length and over multiply-accumulates, measured points and fitted lines."""
    with open_figure(3.6, 1, 2) as (figure, axes, save):
        for number, sweep in enumerate(sweeps):
            color = SERIES[number % len(SERIES)]
            lengths, widths = sweep.lengths(), sorted(sweep.widths(), key=lambda size: size.macs)
            _draw_line(
                axes[0][0], [s.frame_samples for s in lengths], [s.encoder for s in lengths], color, sweep.target
            )
            _draw_line(axes[0][1], [s.macs / 1e6 for s in widths], [s.encoder for s in widths], color, sweep.target)
        axes[0][0].set_xlabel("T, samples of a frame")
        axes[0][1].set_xlabel("million multiply-accumulates per frame, base_filters 16 to 64")
        for axis in axes[0]:
            axis.set_ylabel("encoder, million instructions per frame")
            axis.set_xlim(left=0)
            axis.set_ylim(bottom=0)
            axis.grid(color=QUIET, linewidth=0.6)
            axis.set_axisbelow(True)
            axis.legend(frameon=False, fontsize=8)
        figure.suptitle("Cost grows linearly: encoders with random weights", x=0.01, ha="left", fontsize=10)
        return save(form)


def _draw_line(axis: Any, x: Sequence[float], y: Sequence[float], color: str, label: str) -> None:
    line = fit(x, y)
    ends = [0.0, max(x)]
    axis.plot(ends, [(line.fixed + line.slope * end) / 1e6 for end in ends], color=color, linewidth=1.0)
    axis.plot(x, [value / 1e6 for value in y], "o", markersize=5, color=color, label=label)
