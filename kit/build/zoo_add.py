"""Turns a trained run into an entry of the zoo: weights, figures and a model card, all taken from the run."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

from kit.build.manifest import Manifest
from kit.build.zoo import WEIGHTS, Entry
from kit.build.zoo_scorecard import SCORECARD, card_rows, run_scorecard
from kit.config import Config, dump_config, load_config
from kit.errors import ArtifactError
from kit.evaluate.pages import page_environment
from kit.files import atomic_path, atomic_write_text, checkout, read_json, sha256_file, write_json
from kit.wire.coding import CODING_FILE


def add_run(run: Path, scorecard_file: Path | None = None) -> Entry:
    """Write ``zoo/NAME`` of this checkout from ``run``.

    Args:
        run: folder of a build that trained.
        scorecard_file: what ``kit evaluate --json`` wrote for it; ``scorecard.json`` in the run unless given.

    Raises:
        ArtifactError: not a checkout, or a run that was not trained, is incomplete or was changed since.
    """
    root = checkout()
    if root is None:
        raise ArtifactError("this is an installed kit, not a checkout", "clone the project to add to its zoo")
    manifest = Manifest.load(run)
    if manifest.facts.get("weights") != "trained by this run":
        raise ArtifactError(f"{run} was not trained", "build it with --train first")
    config = load_config(run / "config.yaml")
    files = (*WEIGHTS, CODING_FILE) if config.packet.coding == "range" else WEIGHTS
    manifest.check((*files, "report.json", "history.csv"), "zoo")
    scorecard = run_scorecard(scorecard_file or run / SCORECARD, config.name, manifest.facts["build_hash"])
    folder = root / "zoo" / config.name
    for name in files:
        with atomic_path(folder / name) as temporary:
            shutil.copyfile(run / name, temporary)
    # Where the recordings lay on the machine that trained is nobody's business.
    shared = config.model_copy(update={"data": config.data.model_copy(update={"root": None})})
    atomic_write_text(folder / "config.yaml", dump_config(shared))
    facts = _figures(run, manifest, files, scorecard)
    write_json(folder / "figures.json", facts)
    write_json(folder / SCORECARD, scorecard)
    atomic_write_text(folder / "model_card.md", _card(facts, run, config, scorecard))
    return Entry(config.name, folder)


def _figures(
    run: Path, manifest: Manifest, files: tuple[str, ...], scorecard: dict[str, Any]
) -> dict[str, Any]:
    report = read_json(run / "report.json")
    dataset = read_json(run / "dataset.json")
    device, floating = report["evaluations"]
    scored = scorecard["sets"][0]["runs"][0]["figures"]
    figures = []
    for name, found in device["datasets"].items():
        figures.append(
            {
                "dataset": name,
                "split": device["split"],
                "frames": found["frames"],
                "subjects": sum(subject["dataset"] == name for subject in device["subjects"]),
                "float_prd_percent": round(floating["datasets"][name]["prd"], 4),
                "device_prd_percent": round(found["prd"], 4),
                "device_prd_median_percent": round(found["prd_median"], 4),
                "device_prd_p90_percent": round(found["prd_p90"], 4),
                "device_snr_db": round(found["snr_db"], 2),
                "payload_bytes": round(scored[name]["payload_bytes"], 3),
                "wire_bytes": round(scored[name]["wire_bytes"], 3),
            }
        )
    per_subject = [
        {
            "dataset": one["dataset"],
            "subject": one["subject"],
            "frames": one["frames"],
            "device_prd_percent": round(one["prd"], 4),
            "float_prd_percent": round(other["prd"], 4),
        }
        for one, other in zip(device["subjects"], floating["subjects"], strict=True)
    ]
    return {
        "build_hash": manifest.facts["build_hash"],
        "trained_on": dataset["label"],
        "training": manifest.facts["training"],
        "sha256": {name: sha256_file(run / name) for name in files},
        "figures": figures,
        "subjects": per_subject,
        "compression": report["compression"],
        "decoder_parameters": report["decoder_parameters"],
        "encoder": report["encoder"],
        "engine": device["engine"],
        "definition": report["definition"],
    }


def _ratio(facts: dict[str, Any], config: Config) -> str:
    """Ratio by index bytes, the mean of what was sent; of several test sets the least."""
    raw = config.signal.frame_samples * config.signal.sample_bits / 8
    return f"{min(raw / figure['payload_bytes'] for figure in facts['figures']):.2f}".rstrip("0").rstrip(".")


def _card(facts: dict[str, Any], run: Path, config: Config, scorecard: dict[str, Any]) -> str:
    dataset = read_json(run / "dataset.json")
    with (run / "history.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    best = rows[facts["training"]["best_epoch"]]
    environment = page_environment("kit.build", html=False)
    return environment.get_template("model_card.md.j2").render(
        name=config.name,
        ratio=_ratio(facts, config),
        coding=config.packet.coding,
        scorecard=card_rows(scorecard),
        facts=facts,
        kind=dataset["kind"],
        datasets=dataset["datasets"],
        synthetic=dataset["synthetic"],
        best={key: float(value) for key, value in best.items()},
        epochs=len(rows),
    )
