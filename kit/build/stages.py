"""The stages of a build, from recordings (or the zoo's weights) to a validated firmware and its report."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from textwrap import indent

from kit.build.arena_stage import ARENA, arena_facts, measure_arena, recorded_arena
from kit.build.coding_stage import fit_coding_model, measure_coding
from kit.build.frames import needs_root, reporting_config, vector_frames
from kit.build.manifest import sha256_tree
from kit.build.pipeline import Context, Stage
from kit.build.rendered import artifacts, rendered_files
from kit.build.report_stages import evaluate_and_report, validate_targets
from kit.build.train_stages import export_int8, refit_weights
from kit.build.zoo import WEIGHTS, Entry, entry_for
from kit.errors import ConfigError
from kit.files import atomic_path, atomic_write_text, checkout, sha256_bytes, write_npz
from kit.wire.coding import CODING_FILE, load_coding

SERVED = ("decoder.npz", "decoder.json")
"""The decoder as a server loads it."""
DECODER = ("decoder.keras", *SERVED)
"""The same and, of a build that trains, its layers as Keras loads them, which read latents; the zoo does without."""
TUNED = "tuned_decoder.keras"
"""The decoder as it goes with the INT8 encoder's latents, before its refit."""
GRAPH = ("graph.json", "weights.npz")


def _dataset_hash(context: Context) -> str:
    """Hash of the exact frames and recordings that training sees."""
    return sha256_bytes(json.dumps(context.dataset.to_json(), sort_keys=True).encode())


def _reporting_hash(context: Context) -> str:
    return sha256_bytes(json.dumps(context.reporting.to_json(), sort_keys=True).encode())


def take_weights(context: Context) -> None:
    """Copy the trained weights of the zoo's entry of this name."""
    entry = entry_for(context.config)
    entry.check()
    for name in _taken(context, entry):
        with atomic_path(context.folder / name) as temporary:
            shutil.copyfile(entry.folder / name, temporary)


def _is_range_coded(context: Context) -> bool:
    return context.config.packet.coding == "range"


def _taken(context: Context, entry: Entry) -> tuple[str, ...]:
    """Files of the entry that the build takes: its coding model too where it has one and the build needs it."""
    return (*WEIGHTS, CODING_FILE) if _is_range_coded(context) and entry.has_coding else WEIGHTS


def make_dataset(context: Context) -> None:
    """Load, resample, gate and split the recordings; write dataset.json."""
    context.console.print(indent(context.dataset.summary(), "  "), highlight=False)
    context.dataset.write(context.folder / "dataset.json")


def train_float(context: Context) -> None:
    """Train the float autoencoder; resumes where an interrupted training stopped."""
    from kit.data.batches import training_batches, validation_batches
    from kit.model.training import train

    result = train(
        context.config,
        partial(training_batches, context.dataset, context.config),
        validation_batches(context.dataset, context.config),
        context.folder,
    )
    context.console.print(
        f"  validation PRD {result.best_val_prd:.2f} % after epoch {result.best_epoch + 1} of {result.epochs}; "
        f"{result.steps:,} steps, {result.steps_per_second:.1f} steps/s",
        highlight=False,
    )
    context.manifest.facts["training"] = {
        "best_epoch": result.best_epoch,
        "best_val_mse": result.best_val_mse,
        "epochs": result.epochs,
    }


def read_graph(context: Context) -> None:
    """Lower encoder.tflite to the integer graph; write graph.json and weights.npz."""
    from kit.graph.reader import read_tflite
    from kit.graph.store import save

    encoder = read_tflite(context.folder / "encoder.tflite", engine=context.config.firmware.engine)
    save(encoder, context.folder)
    context.console.print(f"  {len(encoder.graph.nodes)} layers, {encoder.graph.macs:,} MAC per frame", highlight=False)


def make_vectors(context: Context) -> None:
    """Run reference frames through the integer device path; write vectors.npz and fix the build hash."""
    from kit.graph.fingerprint import build_hash

    path = context.device_path()
    chosen = vector_frames(context.reporting)
    result = path.run(chosen.frames)
    write_npz(
        context.folder / "vectors.npz",
        frames=chosen.frames,
        latents=result.latents,
        indices=result.indices,
        packets=result.packets,
        source=chosen.label,
    )
    coding = load_coding(context.config, context.folder)
    arrays = None if coding is None else coding.arrays()
    context.manifest.facts["build_hash"] = build_hash(context.config, path.encoder, path.codebook, arrays)
    context.manifest.facts["vectors"] = {"frames": len(chosen.frames), "source": chosen.label}
    context.console.print(f"  {len(chosen.frames)} frames of {chosen.label}", highlight=False)
    if coding is not None:
        measure_coding(context)


def render_all(context: Context) -> None:
    """Render encoder.h, codebook.h and the self-contained firmware folder."""
    from kit.render.firmware import copy_runtime

    files = rendered_files(context, recorded_arena(context))
    for name in ("encoder.h", "codebook.h"):
        atomic_write_text(context.folder / name, files[name])
    copy_runtime(context.folder / "firmware", files, {name: context.folder / name for name in artifacts(context)})


def publish_generated(folder: Path) -> Path | None:
    """For a run inside the checkout, make ``firmware/generated`` a copy of its rendered files.

    Returns:
        the folder, or None for a run that lies elsewhere, or is for TensorFlow Lite Micro alone: neither must replace
        what others compile without it.
    """
    root = checkout()
    if root is None or not folder.resolve().is_relative_to(root) or not _runs_aot(folder):
        return None
    source, target = folder / "firmware" / "generated", root / "firmware" / "generated"
    if not target.is_dir() or sha256_tree(source) != sha256_tree(target):
        fresh = target.with_name(".generated.new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(source, fresh)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    return target


def _runs_aot(folder: Path) -> bool:
    return any((folder / "firmware" / "generated").glob("*_model.c"))


def make_server(context: Context) -> None:
    """Write the server-side bundle: decoder, codebook, config."""
    from kit.graph.codebook import IntegerCodebook
    from kit.server.bundle import write_bundle
    from kit.server.decoder_io import load_decoder

    write_bundle(
        context.folder / "server",
        context.config,
        IntegerCodebook.load(context.folder / "codebook.npz"),
        load_decoder(context.folder),
        context.manifest.facts["build_hash"],
        _trained_on(context),
        load_coding(context.config, context.folder),
    )


def _trained_on(context: Context) -> str:
    from kit.files import read_json

    label: str = read_json(context.folder / "dataset.json")["label"]
    return label


def stage_list(context: Context) -> list[Stage]:
    """The stages of a build that trains, or of one that takes the zoo's weights."""
    train = context.train
    context.manifest.facts["weights"] = "trained by this run" if train else f"zoo/{context.config.name}"
    model = ("signal", "model", "quantize")
    if train:
        head = [
            Stage("dataset", "Recordings", (), ("dataset.json",), ("signal", "data"), make_dataset, _dataset_hash),
            Stage("train", "Training", ("dataset.json",), ("autoencoder.keras", "encoder.keras", "history.csv"),
                  ("signal", "model", "data", "preprocess", "train"), train_float, _training_input),
            Stage("quantize", "INT8 encoder and integer codebook",
                  ("dataset.json", "autoencoder.keras", "encoder.keras"), ("encoder.tflite", "codebook.npz", TUNED),
                  (*model, "train", "preprocess", "firmware"), export_int8, lambda context: "entries in coding order"),
        ]  # fmt: skip
    else:
        taken = _taken(context, entry_for(context.config))
        head = [Stage("weights", "Trained weights", (), taken, model, take_weights, _zoo_hash)]
    graph = Stage("graph", "Integer graph", ("encoder.tflite",), GRAPH, ("firmware",), read_graph)
    refit = Stage("refit", "Decoder refit on INT8 indices",
                  ("dataset.json", TUNED, "encoder.tflite", "codebook.npz", *GRAPH), DECODER,
                  (*model, "train", "preprocess"), refit_weights)  # fmt: skip
    fit = Stage("coding", "Model of range-coded indices", ("codebook.npz", *GRAPH), (CODING_FILE,),
                ("signal", "model", "data", "preprocess", "train", "quantize"), fit_coding_model,
                _coding_input)  # fmt: skip
    coded = (CODING_FILE,) if _is_range_coded(context) else ()
    device = ("codebook.npz", *GRAPH, *coded)
    tail = [
        Stage("vectors", "Reference vectors", device, ("vectors.npz",),
              ("signal", "model", "data", "packet", "quantize"), make_vectors, _reporting_hash),
        Stage("arena", "Tensor arena of TensorFlow Lite Micro", ("encoder.tflite", "vectors.npz", *device), (ARENA,),
              ("signal", "model", "packet", "quantize", "firmware"), measure_arena, arena_facts),
        Stage("render", "Firmware", ("encoder.tflite", "vectors.npz", ARENA, *device),
              ("encoder.h", "codebook.h", "firmware"), ("signal", "model", "packet", "quantize", "firmware"),
              render_all, _firmware_hash),
        Stage("server", "Server bundle", ("dataset.json", "codebook.npz", *coded, *SERVED), ("server",),
              ("signal", "model", "packet", "quantize"), make_server, _build_hash),
        Stage("validate", "Validation", ("firmware", "vectors.npz"), ("validation.json",), ("firmware",),
              validate_targets, lambda context: ",".join(context.targets)),
        Stage("report", "Report", ("server", "validation.json", *device),
              ("report.json", "report.html", "reconstruction.png"), ("signal", "model", "data", "packet"),
              evaluate_and_report, _reporting_hash),
    ]  # fmt: skip
    return [*head, graph, *([fit] if _fits_coding(context) else []), *([refit] if train else []), *tail]


def _fits_coding(context: Context) -> bool:
    """The coding model is fitted by every build that trains, and by one that needs it and finds none in the zoo."""
    return context.train or (_is_range_coded(context) and not entry_for(context.config).has_coding)


def _training_input(context: Context) -> str:
    return " ".join(str(value) for value in context.config.training_input.values())


def _coding_input(context: Context) -> str:
    return f"{_dataset_hash(context)} {context.config.packet.context}"


def _zoo_hash(context: Context) -> str:
    entry = entry_for(context.config)
    return sha256_bytes((entry.folder / "figures.json").read_bytes())


def _firmware_hash(context: Context) -> str:
    from kit.files import asset

    hashes = [sha256_tree(asset("firmware", name)) for name in ("runtime", "engines", "ports", "Makefile")]
    return ",".join([*hashes, _build_hash(context)])


def _build_hash(context: Context) -> str:
    return str(context.manifest.facts.get("build_hash", ""))


def check_inputs(context: Context) -> None:
    """Everything that can be known to be wrong before a stage runs, so that nothing is written for it.

    Raises:
        RunnerError: an unknown target.
        DataError: a data folder that does not exist.
        ConfigError: no trained weights that fit, or training, or a signal without a stand-in, without recordings.
        ToolchainError: training without TensorFlow.
    """
    from kit.data.sources import find_root
    from kit.host.targets import parse_targets

    parse_targets(",".join(context.targets))
    if context.data_root is not None and needs_root(context.config):
        find_root(context.config, context.data_root).require(context.config.name)
    if not context.train:
        entry = entry_for(context.config)
        without_data = context.data_root is None and needs_root(context.config)
        if _is_range_coded(context) and not entry.has_coding and without_data:
            raise ConfigError(
                f"packet.coding is range, and the trained weights of {entry.name} come without a coding model",
                "add --data DIR with the recordings to fit one to, or set packet.coding: fixed",
            )
        reporting_config(context.config, context.data_root)
        return
    if context.data_root is None and needs_root(context.config):
        raise ConfigError(
            f"--train: the sources of {context.config.name} lie in a folder of recordings, and none was given",
            "add --data DIR (layout: docs/data.md), or use a demo or synthetic source",
        )
    from kit.model.backend import load_tensorflow

    load_tensorflow()
