"""The scorecard of a zoo entry: that of ``kit evaluate``, without the recordings that its page draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import ArtifactError
from kit.files import read_json

SCORECARD = "scorecard.json"

_DRAWN = ("examples", "picture", "curves")
"""Keys of pieces of recordings and of curves: for the page, not for the entry."""


def run_scorecard(path: Path, name: str, build_hash: str) -> dict[str, Any]:
    """The scorecard of one build, reduced to its figures, from what ``kit evaluate --json`` wrote, maybe for several.

    Raises:
        ArtifactError: there is none, it is of some frames only, or not of this build.
    """
    fix = f"kit evaluate --run {name} --ladder --data DIR --json {path.name}"
    if not path.is_file():
        raise ArtifactError(f"the run {name} has no {path.name}", f"make one: {fix}")
    document = read_json(path)
    try:
        pairs = [(part, run) for part in document["sets"] for run in part["runs"] if run["build_hash"] == build_hash]
        if any(part["quick"] or part["split"] != "test" for part, _ in pairs):
            raise ArtifactError(f"{path.name} is not of the whole test split", f"make it again: {fix}")
    except (KeyError, TypeError):
        raise ArtifactError(f"{path.name} is no scorecard of this kit", f"make one: {fix}") from None
    if not pairs:
        raise ArtifactError(f"{path.name} holds no figures of build {build_hash}", f"make it again: {fix}")
    part, run = pairs[0]
    return dict(_without({**document, "sets": [{**part, "runs": [run]}]}, _DRAWN))


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(each, keys) for key, each in value.items() if key not in keys}
    if isinstance(value, list):
        return [_without(each, keys) for each in value]
    return round(value, 5) if isinstance(value, float) else value


def card_rows(document: dict[str, Any]) -> dict[str, Any]:
    """What a model card prints of a scorecard, as plain text cells.

    Returns:
        ``codecs``: rows (dataset, codec, payload, wire, PRD with interval, heart rate) of the run and of baselines at
        its payload; ``ladder``: rows (dataset, rung, PRD, ratio); ``probes``: rows (probe, what, verdict).
    """
    (found,) = document["sets"]
    (run,) = found["runs"]
    codecs = []
    for dataset, figures in run["figures"].items():
        codecs.append((dataset, run["name"], *_cells(figures)))
        codecs.extend((dataset, other["title"], *_cells(other["figures"][dataset])) for other in run["matched"])
    ladder = [
        (dataset, rung["rung"], f"{rung['prd']:.3f} %", f"{rung['ratio']:.3f}")
        for dataset, rungs in (run["ladder"] or {}).items()
        for rung in rungs
    ]
    probes = [(probe["name"], probe["text"], probe["verdict"]) for probe in run["probes"]]
    return {"codecs": codecs, "ladder": ladder, "probes": probes}


def _cells(figures: dict[str, Any]) -> tuple[str, ...]:
    low, high = figures["prd_interval"] or (None, None)
    interval = "" if low is None else f" ({low:.2f} to {high:.2f})"
    rate = figures["hr_error_bpm"]
    return (
        f"{figures['payload_bytes']:.1f}",
        f"{figures['wire_bytes']:.1f}",
        f"{figures['prd']:.2f} %{interval}",
        "" if rate is None else f"{rate:.2f} bpm",
    )
