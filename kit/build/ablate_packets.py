"""What the device of a variant sends: a finished training taken through INT8, refit and range coding to packets.

A folder of its own for everything that shapes the packets; the stages are those of a build, so that an interrupted
variant goes on where it stopped.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.build.ablate import RESULT, Run, known_run
from kit.build.manifest import Manifest
from kit.build.pipeline import Context, Stage, run_stages
from kit.build.stages import stage_list
from kit.config import Config
from kit.files import atomic_path, sha256_bytes, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from kit.data import Dataset

TRAINED = ("autoencoder.keras", "encoder.keras", "history.csv")
"""What a training leaves, and the stages after it need."""

STAGES = ("dataset", "train", "quantize", "graph", "coding", "refit")
"""Stages of a build that lead to packets and to what decodes them."""


def packet_run(run: Run, config: Config, dataset: Dataset, trained: Path, *, out: Path, console: Console) -> Run:
    """``run`` with the figures of its packets on the validation frames, or the finished result from ``out``.

    Args:
        run: the training, of the float autoencoder.
        config: of the variant, with the seed and the length of the training.
        dataset: its recordings.
        trained: folder of the training.
        out: folder of the comparison.
        console: told of each stage.
    """
    dump = config.model_dump(mode="json", include={"quantize", "packet", "firmware"})
    key = sha256_bytes(f"{trained.name} {json.dumps(dump, sort_keys=True)}".encode())[:12]
    folder = out / "packets" / key
    if (known := known_run(folder, run.label)) is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    context = Context(config, folder, None, True, (), console, Manifest.load(folder))
    context.dataset = dataset
    run_stages(_stages(context, trained), context)
    judged = _judged(run, context)
    write_json(folder / RESULT, asdict(judged))
    return judged


def _stages(context: Context, trained: Path) -> list[Stage]:
    """The stages of the build, its training taken from ``trained``."""
    stages = {stage.name: stage for stage in stage_list(context)}
    stages["train"] = replace(stages["train"], run=partial(_take, trained=trained))
    wanted = [name for name in STAGES if name != "coding" or context.config.packet.coding == "range"]
    return [stages[name] for name in wanted]


def _take(context: Context, *, trained: Path) -> None:
    for name in TRAINED:
        with atomic_path(context.folder / name) as temporary:
            shutil.copyfile(trained / name, temporary)


def _judged(run: Run, context: Context) -> Run:
    """PRD, bits and bytes of the packets of every validation frame, decoded as a server would."""
    from kit.evaluate.path import evaluate_path
    from kit.server.bundle import Bundle
    from kit.server.decoder_io import load_decoder
    from kit.wire.coding import load_coding

    dataset, config = context.dataset, context.config
    path, frames, refs = context.device_path(), dataset.frames("val"), dataset.frame_refs("val")
    result = path.run(frames)
    # No device has this build: its hash is asked for by nobody.
    hashed = "0" * 16
    coding = load_coding(config, context.folder)
    bundle = Bundle(config, path.codebook, load_decoder(context.folder), hashed, dataset.label, coding)
    found = evaluate_path(config, bundle, result, frames, refs, split="val")
    origin = np.array([ref.dataset for ref in refs])

    def payload(chosen: Any) -> float:
        return path.layout.mean_sizes(result.packets[chosen]).index_bytes

    return replace(
        run,
        val_prd=found.overall.prd,
        entropy_bits=found.index_entropy,
        payload_bytes=payload(slice(None)),
        sets={name: (score.prd, payload(origin == name)) for name, score in found.datasets.items()},
    )
