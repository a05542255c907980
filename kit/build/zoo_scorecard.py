"""The scorecard of a zoo entry: that of ``kit evaluate``, without the recordings that its page draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.errors import ArtifactError, MismatchError
from kit.files import read_json

SCORECARD = "scorecard.json"

_DRAWN = ("examples", "picture", "curves")
"""Keys of pieces of recordings and of curves: for the page, not for the entry."""


def run_scorecard(run: Path, build_hash: str) -> dict[str, Any]:
    """The scorecard that ``kit evaluate`` wrote into a run, reduced to its figures.

    Raises:
        ArtifactError: there is none, or it is of some frames only.
        MismatchError: it is of another build.
    """
    fix = f"run kit evaluate --run {run.name} --ladder --json {run.name}/{SCORECARD} with the recordings"
    if not (run / SCORECARD).is_file():
        raise ArtifactError(f"{run.name} has no {SCORECARD}", fix)
    document = read_json(run / SCORECARD)
    try:
        found = document["sets"][0]
        if found["quick"] or found["split"] != "test":
            raise ArtifactError(f"{run.name}/{SCORECARD} is not of the whole test split", fix)
        made = found["runs"][0]["build_hash"]
    except (KeyError, IndexError, TypeError):
        raise ArtifactError(f"{run.name}/{SCORECARD} is no scorecard of this kit", fix) from None
    if made != build_hash:
        raise MismatchError(f"{run.name}/{SCORECARD} is of build {made}, the run of {build_hash}", fix)
    return dict(_without(document, _DRAWN))


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
