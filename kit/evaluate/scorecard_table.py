"""The scorecard on a terminal and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

VERDICT_STYLE = {"passed": "green", "within chance": "yellow", "failed": "red"}

WIDE = 110
"""Columns from which the terminal table shows every figure."""

FIGURES = (
    "frames", "payload_bytes", "wire_bytes", "prd", "prd_low", "prd_high", "prd_mean", "prd_median", "prd_p90", "prdn",
    "snr_db", "mse", "cosine", "coherence", "hr_error_bpm", "hr_low", "hr_high", "hr_windows", "hr_windows_lost",
    "ibi_error_ms", "ibi_pairs", "beats", "beats_found",
)  # fmt: skip
HEADINGS = ("dataset", "split", "quick", "run", "codec", "engine", "target", "group", *FIGURES)

Values = Mapping[str, Any]


def number(value: Any, places: int = 2) -> str:
    """A figure for people: grouped digits, fixed places for fractions, a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{places}f}"


def interval(bounds: Any) -> str:
    """``low–high`` with two decimals, one from ten on, or a dash."""
    if bounds is None:
        return "–"
    places = 2 if bounds[1] < 10 else 1
    return f"{bounds[0]:.{places}f}–{bounds[1]:.{places}f}"


def heading(one: Values, dataset: str) -> str:
    """What the figures of a dataset are of."""
    facts = one["datasets"][dataset]
    some = f", a quick look at {facts['frames']:,} of {facts['available']:,} frames" if one["quick"] else ""
    synthetic = ", synthetic signal" if one["synthetic"] else ""
    count = "" if some else f", {facts['frames']:,} frames"
    return f"{dataset} {one['split']}{count}{some}, {facts['subjects']} subjects{synthetic}"


def print_scorecard(document: Values, console: Console) -> None:
    """A table per dataset, then ladder and probes of each run."""
    for one in document["sets"]:
        for dataset in one["datasets"]:
            console.print(_table(one, dataset, console.width >= WIDE))
        for run in one["runs"]:
            _print_ladder(one, run, console)
            _print_probes(run, console)
    console.print(
        "PRD pooled, frame means removed, each frame in units of its own deviation; interval: 95 % over subjects; "
        "payload: indices only, wire: everything sent; heart rate and beat interval against the same detector on the "
        "original.",
        style="dim",
        highlight=False,
    )


def _plain(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    return table


def _table(one: Values, dataset: str, wide: bool) -> Table:
    table = _plain(heading(one, dataset))
    table.add_column("codec", no_wrap=True)
    columns = ["pay-\nload B", "wire\nB", "PRD\n%", "95 %\ninterval", "med.\n%", "p90\n%"]
    columns += ["mean\n%", "PRDN\n%", "SNR\ndB", "cosine", "coher-\nence"] if wide else []
    for column in [*columns, "HR\nbpm", "IBI\nms"]:
        table.add_column(column, justify="right", no_wrap=True)
    for run in one["runs"]:
        table.add_row(run["name"], *_row(run["figures"][dataset], wide), style="bold")
        for baseline in run["matched"]:
            table.add_row(f"  {baseline['short']}", *_row(baseline["figures"][dataset], wide))
        table.add_section()
    lossless = one["lossless"][dataset]
    found = f"lossless {number(lossless['ratio'])}x"
    sizes = (number(lossless["payload_bytes"], 1), number(lossless["wire_bytes"], 1))
    table.add_row(found, *sizes, "0", *[""] * (len(table.columns) - 4))
    engines = dict.fromkeys(f"{run['engine']} on {run['target']}" for run in one["runs"])
    table.caption = f"INT8 path: {', '.join(engines)}; lossless: DPCM + Rice; heart rate: {_windows(one, dataset)}"
    table.caption_justify = "left"
    return table


def _windows(one: Values, dataset: str) -> str:
    """How many windows a heart-rate error is of."""
    found = one["runs"][0]["figures"][dataset]
    return f"{found['hr_windows'] + found['hr_windows_lost']:,} windows"


def _row(found: Values, wide: bool) -> list[str]:
    cells = [
        number(found["payload_bytes"], 1), number(found["wire_bytes"], 1), number(found["prd"]),
        interval(found["prd_interval"]), number(found["prd_median"]), number(found["prd_p90"]),
    ]  # fmt: skip
    if wide:
        cells += [number(found["prd_mean"]), number(found["prdn"]), number(found["snr_db"], 1)]
        cells += [number(found["cosine"], 4), number(found["coherence"], 3)]
    return [*cells, number(found["hr_error_bpm"]), number(found["ibi_error_ms"], 1)]


def _print_ladder(one: Values, run: Values, console: Console) -> None:
    if run["ladder"] is None:
        return
    table = _plain(f"{run['name']}: INT8 ladder, {one['split']}")
    table.add_column("dataset")
    for column in ("rung", "frames", "PRD %", "over float"):
        table.add_column(column, justify="left" if column == "rung" else "right")
    for dataset, rungs in run["ladder"].items():
        for rung in rungs:
            table.add_row(
                dataset, rung["rung"], number(rung["frames"]), number(rung["prd"], 3), f"{number(rung['ratio'], 3)}x"
            )
            dataset = ""
    console.print(table)


def _print_probes(run: Values, console: Console) -> None:
    table = _plain(f"{run['name']}: probes without a pulse")
    for column in ("probe", "windows", "outcome", "verdict"):
        table.add_column(column, justify="right" if column == "windows" else "left")
    for probe in run["probes"]:
        verdict = Text(probe["verdict"], VERDICT_STYLE[probe["verdict"]])
        table.add_row(probe["name"], number(probe["windows"]), probe_text(probe), verdict)
    console.print(table)


def probe_text(probe: Values) -> str:
    """What became of a probe, in a few words."""
    if "regular_decoded" in probe:
        low, high = probe["regular_excess_interval"]
        return (
            f"regular pulse in {100 * probe['regular_decoded']:.1f} %, in the noise itself "
            f"{100 * probe['regular_original']:.1f} % (difference {100 * low:+.1f} to {100 * high:+.1f})"
        )
    return f"deviates {number(probe['decoded_peak'], 1)} codes, the input {number(probe['original_peak'], 1)}"


def scorecard_csv(document: Values) -> str:
    """A row per codec and group of frames, with everything that a figure needs beside it."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADINGS)
    for one in document["sets"]:
        for run in one["runs"]:
            where = (run["engine"], run["target"])
            for codec, labels, figures in [
                (run["name"], where, run["figures"]),
                *((b["name"], ("baseline", "python"), b["figures"]) for b in run["matched"]),
            ]:
                for dataset, found in figures.items():
                    head = (dataset, one["split"], "yes" if one["quick"] else "no", run["name"], codec, *labels)
                    writer.writerows([*head, group, *_cells(values)] for group, values in _groups(found))
    return stream.getvalue()


def _groups(found: Values) -> Iterator[tuple[str, Values]]:
    yield "all", found
    yield from ((third["title"], third) for third in found["tertiles"])
    yield from ((f"subject {subject['subject']}", subject) for subject in found["subjects"])


def _cells(found: Values) -> list[str]:
    prd, rate = found["prd_interval"] or (None, None), found["hr_interval_bpm"] or (None, None)
    values = {**found, "prd_low": prd[0], "prd_high": prd[1], "hr_low": rate[0], "hr_high": rate[1]}
    return ["" if values[key] is None else f"{values[key]:.6g}" for key in FIGURES]
