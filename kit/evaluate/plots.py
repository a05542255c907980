"""Figures of a report, drawn without a display and with no date or version in the files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from kit.evaluate.path import Evaluation, Example

ORIGINAL, DECODED, QUIET = "#aab4c3", "#c2410c", "#d9dee7"
SERIES = ("#1d4ed8", "#c2410c", "#0f766e", "#7c3aed", "#a16207", "#be185d")

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": "#9aa4b2",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
    "axes.labelcolor": "#374151",
    "text.color": "#111827",
    "svg.hashsalt": "kit",
    "svg.fonttype": "path",
}

WIDTH, DPI = 11.0, 120
PRD_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)

ImageFormat = Literal["png", "svg"]


def reconstruction_figure(evaluation: Evaluation, sample_rate_hz: float, form: ImageFormat = "png") -> bytes:
    """Original and reconstruction of the best, median and worst frame of each dataset: one row per dataset.

    Args:
        evaluation: with at least one example.
        sample_rate_hz: of the frames.
        form: ``png`` or ``svg``.

    Returns:
        the image file's bytes.
    """
    rows: dict[str, list[Example]] = {}
    for example in evaluation.examples:
        rows.setdefault(example.ref.dataset, []).append(example)
    with open_figure(1.0 + 2.1 * len(rows), len(rows), 3) as (figure, axes, save):
        for row, (dataset, examples) in enumerate(rows.items()):
            for column, example in enumerate(examples):
                _draw_example(axes[row][column], example, sample_rate_hz)
            count = evaluation.datasets[dataset].frames
            axes[row][0].set_ylabel(f"{dataset} {evaluation.split}\n{count:,} frames\nADC codes")
        for axis in axes[-1]:
            axis.set_xlabel("time in the frame [s]")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper right", ncols=2, frameon=False, fontsize=9)
        text = f"Decoded from packet bytes, {evaluation.engine} on {evaluation.target}"
        figure.suptitle(
            text if evaluation.path == "device" else f"{evaluation.path} path", x=0.01, ha="left", fontsize=10
        )
        return save(form)


def _draw_example(axis: Any, example: Example, sample_rate_hz: float) -> None:
    seconds = np.arange(len(example.frame)) / sample_rate_hz
    axis.plot(seconds, example.frame, color=ORIGINAL, linewidth=3.0, label="original")
    axis.plot(seconds, example.decoded, color=DECODED, linewidth=1.0, label="reconstruction")
    axis.set_title(f"{example.rank}: PRD {example.prd:.2f} %", loc="left", fontweight="bold")
    axis.set_title(f"{example.ref.recording} @ {example.ref.start / sample_rate_hz:.0f} s", loc="right", fontsize=7.5)
    axis.margins(x=0.01)
    axis.locator_params(axis="y", nbins=4)
    axis.ticklabel_format(axis="y", style="plain", useOffset=False)


def distribution_figure(evaluations: Sequence[Evaluation], form: ImageFormat = "png") -> bytes:
    """Share of frames at or below each PRD, one curve per dataset and path; and the pooled PRD of each subject."""
    with open_figure(3.8, 1, 2, width_ratios=(1.0, 1.35)) as (_, axes, save):
        left, right = axes[0]
        colors = _colors(evaluations)
        for evaluation in evaluations:
            for dataset, found in evaluation.datasets.items():
                names = np.array([ref.dataset == dataset for ref in evaluation.refs], np.bool_)
                prd = np.sort(evaluation.errors.prd[names & evaluation.errors.usable])
                style = "-" if evaluation.path == "device" else "--"
                label = f"{dataset}, {evaluation.path} ({found.frames:,} frames)"
                share = 100.0 * np.arange(1, len(prd) + 1) / max(1, len(prd))
                left.plot(prd, share, style, color=colors[dataset], linewidth=1.4, label=label)
        left.set_xscale("log")
        left.xaxis.set_major_formatter(_plain_number)
        left.set_xticks([tick for tick in PRD_TICKS if left.get_xlim()[0] <= tick <= left.get_xlim()[1]])
        left.minorticks_off()
        left.grid(axis="both", color=QUIET, linewidth=0.6)
        left.set_xlabel("PRD of the frame [%], logarithmic")
        left.set_ylabel(f"frames at or below [% of {evaluations[0].split}]")
        left.legend(frameon=False, fontsize=8, loc="lower right")
        _draw_subjects(right, evaluations[0], colors)
        return save(form)


def _colors(evaluations: Sequence[Evaluation]) -> dict[str, str]:
    names = dict.fromkeys(name for evaluation in evaluations for name in evaluation.datasets)
    return {name: SERIES[number % len(SERIES)] for number, name in enumerate(names)}


def _draw_subjects(axis: Any, evaluation: Evaluation, colors: dict[str, str]) -> None:
    """Bars of pooled PRD, worst subject first within each dataset."""
    bars = [found for found in evaluation.subjects if found.score.frames]
    order = {name: number for number, name in enumerate(evaluation.datasets)}
    bars.sort(key=lambda found: (order[found.dataset], -found.score.prd))
    places = np.arange(len(bars))
    axis.bar(places, [b.score.prd for b in bars], color=[colors[b.dataset] for b in bars], width=0.72)
    axis.set_xticks(places, [b.subject for b in bars], rotation=90, fontsize=7)
    axis.set_ylabel("pooled PRD of the subject [%]")
    axis.set_xlabel(f"{len(bars)} {evaluation.split} subjects, {evaluation.path} path")
    axis.grid(axis="y", color=QUIET, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.margins(x=0.01)


def _plain_number(value: float, _: int) -> str:
    return f"{value:g}"


Save = Callable[[ImageFormat], bytes]


@contextmanager
def open_figure(
    height: float, rows: int, columns: int, width_ratios: Sequence[float] | None = None
) -> Iterator[tuple[Any, Any, Save]]:
    """A figure ``WIDTH`` inches wide, its axes [rows][columns], and a function that gives the file's bytes."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def save(form: ImageFormat) -> bytes:
        stream = io.BytesIO()
        # Both would otherwise hold the library's version, and SVG the date.
        metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
        figure.savefig(stream, format=form, metadata=metadata, dpi=DPI)
        return stream.getvalue()

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        ratios = {"width_ratios": width_ratios} if width_ratios else None
        yield figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=ratios), save
