"""The scorecard as one HTML page that needs nothing beside it: curves, overlays, tables, in light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kit.evaluate.pages import page_environment
from kit.evaluate.scorecard_table import heading, interval, number, probe_text
from kit.evaluate.svg import Axis, Chart, Line, polyline, trace_chart

Values = Mapping[str, Any]

TEMPLATE = "scorecard.html.j2"
RATE_WIDTH, RATE_HEIGHT = 540.0, 380.0
ERROR_ROOM = 0.2
"""Distance of the error's zero below the signal, as a share of the signal's height."""


def render_page(document: Values) -> str:
    """The page of a scorecard; equal documents give equal bytes.

    Args:
        document: of :func:`kit.evaluate.scorecard.scorecard`.
    """
    environment = page_environment("kit.evaluate", html=True)
    environment.filters |= {"number": number, "interval": interval, "probe_text": probe_text}
    sets = [_view(one) for one in document["sets"]]
    names = [run["name"] for one in document["sets"] for run in one["runs"]]
    return environment.get_template(TEMPLATE).render(document=document, sets=sets, names=names)


def _view(one: Values) -> dict[str, Any]:
    """What the template prints of one set of frames."""
    datasets = [_dataset_view(one, name) for name in one["datasets"]]
    probes = [
        {"name": run["name"], "probes": [_probe_view(one, probe) for probe in run["probes"]]} for run in one["runs"]
    ]
    ladders = [
        {"name": run["name"], "datasets": [_ladder_view(name, rungs) for name, rungs in run["ladder"].items()]}
        for run in one["runs"]
        if run["ladder"] is not None
    ]
    return {"facts": one, "datasets": datasets, "probes": probes, "ladders": ladders}


def _dataset_view(one: Values, name: str) -> dict[str, Any]:
    runs = []
    for run in one["runs"]:
        found = run["figures"][name]
        dct = next(b["figures"][name] for b in run["matched"] if b["name"] == "dct")
        runs.append(
            {
                "name": run["name"],
                "facts": run,
                "figures": found,
                "raw_ratio": one["raw_bytes"] / found["payload_bytes"],
                "wire_ratio": one["raw_bytes"] / found["wire_bytes"],
                "beside_dct": found["prd"] / dct["prd"] if found["prd"] and dct["prd"] else None,
                "rows": [
                    {"title": run["name"], "short": run["name"], "own": True, "figures": found},
                    *({**b, "own": False, "figures": b["figures"][name]} for b in run["matched"]),
                ],
                "examples": [_example_view(one, example) for example in found["examples"]],
                "tertiles": _tertile_rows(run, name),
                "subjects": _subject_rows(run, name),
            }
        )
    return {
        "name": name,
        "heading": heading(one, name),
        "chart": _rate_chart(one, name),
        "runs": runs,
        "lossless": one["lossless"][name],
    }


def _tertile_rows(run: Values, name: str) -> list[dict[str, Any]]:
    """One row per third by noise, with the baselines' PRD on the same frames beside it."""
    rows = []
    for place, third in enumerate(run["figures"][name]["tertiles"]):
        others = [b["figures"][name]["tertiles"][place]["prd"] for b in run["matched"]]
        rows.append({"title": third["title"], "figures": third, "others": others})
    return rows


def _subject_rows(run: Values, name: str) -> list[dict[str, Any]]:
    """One row per subject with a bar, the baselines beside it."""
    rows = []
    found = run["figures"][name]["subjects"]
    worst = max((subject["prd"] or 0.0 for subject in found), default=0.0) or 1.0
    for place, subject in enumerate(found):
        others = [b["figures"][name]["subjects"][place]["prd"] for b in run["matched"]]
        rows.append({"figures": subject, "others": others, "bar": round(100 * (subject["prd"] or 0.0) / worst, 1)})
    return rows


def _example_view(one: Values, example: Values) -> dict[str, Any]:
    original, decoded = example["original"], example["decoded"]
    low, high = min([*original, *decoded]), max([*original, *decoded])
    # Below the signal, at the same scale.
    errors = [low - ERROR_ROOM * (high - low) + after - before for before, after in zip(original, decoded, strict=True)]
    series = [("original", "original", original), ("decoded", "reconstruction", decoded), ("error", "error", errors)]
    return {
        "rank": example["rank"],
        "prd": example["prd"],
        "where": f"{example['recording']} at {example['start'] / one['sample_rate_hz']:.0f} s",
        "chart": trace_chart(series, one["frame_seconds"]),
    }


def _probe_view(one: Values, probe: Values) -> dict[str, Any]:
    picture = probe["picture"]
    series = [("original", "input", picture["original"]), ("decoded", "reconstruction", picture["decoded"])]
    seconds = len(picture["original"]) / one["sample_rate_hz"]
    return {"facts": probe, "chart": trace_chart(series, seconds, 350.0, 110.0)}


def _ladder_view(name: str, rungs: list[Values]) -> dict[str, Any]:
    top = max(rung["prd"] for rung in rungs) or 1.0
    return {"dataset": name, "rungs": [{**rung, "bar": round(100 * rung["prd"] / top, 1)} for rung in rungs]}


def _rate_chart(one: Values, name: str) -> Chart:
    """PRD over payload, both logarithmic: a line per baseline, a point per run, a rule where lossless coding is."""
    curves = one["curves"][name]
    lossless = one["lossless"][name]["payload_bytes"]
    runs = [(run, run["figures"][name]) for run in one["runs"]]
    xs = [p["payload_bytes"] for points in curves.values() for p in points] + [f["payload_bytes"] for _, f in runs]
    ys = [p["prd"] for points in curves.values() for p in points if _plots(p["prd"])]
    ys += [f["prd"] for _, f in runs if _plots(f["prd"])]
    chart = Chart(RATE_WIDTH, RATE_HEIGHT, 46.0, RATE_WIDTH - 16.0, 14.0, RATE_HEIGHT - 40.0)
    x_axis = Axis(min(xs) * 0.92, max([*xs, lossless]) * 1.08, chart.left, chart.right, log=True)
    y_axis = Axis(min(ys, default=0.1) * 0.8, max(ys, default=10.0) * 1.15, chart.bottom, chart.top, log=True)
    chart.x_ticks = [(x_axis.at(v), f"{v:g}") for v in _byte_ticks(x_axis)]
    chart.y_ticks = y_axis.ticks()
    titles = {b["name"]: b["title"] for b in one["runs"][0]["matched"]}
    for key in titles:  # the order of the baselines, however the document's keys are sorted
        points = curves[key]
        kept = [p for p in points if _plots(p["prd"])]
        dots = tuple(
            (
                x_axis.at(p["payload_bytes"]),
                y_axis.at(p["prd"]),
                f"{titles[key]}: {p['prd']:.2f} % at {p['payload_bytes']:.1f} bytes",
            )
            for p in kept
        )
        line = polyline([dot[0] for dot in dots], [dot[1] for dot in dots])
        chart.lines.append(Line(key, titles[key], line, dots))
    chart.rules.append({"x": x_axis.at(lossless), "text": f"lossless, {lossless:.0f} B"})
    chart.marks = [_mark(run, found, x_axis, y_axis) for run, found in runs if _plots(found["prd"])]
    _spread(chart)
    return chart


def _mark(run: Values, found: Values, x_axis: Axis, y_axis: Axis) -> dict[str, Any]:
    """A run's point with its interval over subjects."""
    bounds = found["prd_interval"]
    x, y = x_axis.at(found["payload_bytes"]), y_axis.at(found["prd"])
    return {
        "x": x,
        "y": y,
        "label_y": y - 9,
        "bar": None if bounds is None or not _plots(bounds[0]) else [
            min(y_axis.start, y_axis.at(bounds[0])),
            max(y_axis.stop, y_axis.at(bounds[1])),
        ],
        "label": run["name"],
        "text": f"{run['name']}: PRD {found['prd']:.2f} % ({interval(bounds)}) at {found['payload_bytes']:.1f} bytes",
    }  # fmt: skip


def _spread(chart: Chart) -> None:
    """Move labels apart that would lie on each other."""
    placed: list[tuple[float, float]] = []
    for mark in sorted(chart.marks, key=lambda m: (m["x"], m["y"])):
        while any(abs(mark["x"] - x) < 90 and abs(mark["label_y"] - y) < 13 for x, y in placed):
            mark["label_y"] -= 13
        placed.append((mark["x"], mark["label_y"]))
        mark["anchor"] = "end" if mark["x"] > chart.right - 100 else "start"
        mark["label_x"] = mark["x"] + (-8 if mark["anchor"] == "end" else 8)


def _byte_ticks(axis: Axis) -> list[float]:
    """Powers of two and their halves in between, as far as they fit."""
    values = [base * 2.0**power for power in range(14) for base in (1.0, 1.25)]
    wanted = [v for v in sorted(values) if axis.low <= v <= axis.high and v >= 4 and v == int(v)]
    kept: list[float] = []
    for value in wanted:
        if value % 5 == 0 and (not kept or axis.at(value) - axis.at(kept[-1]) > 34):
            kept.append(value)
    return kept or wanted


def _plots(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value > 0
