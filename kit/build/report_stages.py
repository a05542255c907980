"""Stages that prove and describe a build: validation on targets, figures, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.build.pipeline import Context
from kit.build.progress import bar
from kit.errors import MismatchError
from kit.files import read_json, write_json

if TYPE_CHECKING:
    from kit.data import Dataset
    from kit.evaluate.path import Evaluation
    from kit.server.bundle import Bundle


def validate_targets(context: Context) -> None:
    """Compile the firmware, run the reference vectors on every target and compare bit for bit.

    Raises:
        MismatchError: a target differs from the golden or failed; validation.json says where.
    """
    from kit.host.firmware import Firmware
    from kit.host.validate import validate, vector_frames

    device = Firmware(context.folder / "firmware", tflm_roots=context.tflm_roots)
    frames = vector_frames(device)
    with bar("validate", len(frames.frames)) as progress:
        report = validate(
            device,
            context.targets,
            frames,
            skip_absent=True,
            progress=lambda target, done, total: progress(done, total),
        )
    for outcome in report.outcomes:
        context.console.print(
            f"  {outcome.state:7s} {outcome.target:16s} {outcome.detail}", highlight=False, markup=False
        )
    facts = report.as_dict()
    for outcome in facts["outcomes"]:
        # How long it took is this machine's business: the same build has the same bytes.
        outcome.pop("seconds")
        outcome.pop("time_us_median")
    write_json(context.folder / "validation.json", facts)
    if not report.passed:
        bad = [outcome for outcome in report.outcomes if outcome.state != "passed"]
        first = f"{bad[0].target}: {bad[0].detail}" if bad else "no target ran"
        raise MismatchError(f"validation failed on {first}", f"see {context.folder / 'validation.json'}")


def evaluate_and_report(context: Context) -> None:
    """Decode the device path's packets of every test frame, compare with the recordings, write the report."""
    from kit.evaluate.report import ReportFacts, summary_lines, write_report
    from kit.server.bundle import Bundle

    facts = context.manifest.facts
    bundle = Bundle.load(context.folder / "server", facts["build_hash"])
    evaluations = [_device_figures(context, bundle, context.reporting)]
    notes = []
    if context.train:
        evaluations.append(_float_figures(context, context.reporting))
    else:
        notes.append("The float autoencoder is not part of this build: its figures are in the model card.")
    if context.reporting.synthetic:
        notes.append("The frames are synthetic: they show that the path works, not how well it does on people.")
    if context.config.firmware.engine == "tflm":
        notes.append(f"Tensor arena: {facts['arena']['bytes']} bytes. {facts['arena']['provenance']}.")
    encoder = context.device_path().encoder
    document = write_report(
        context.folder,
        context.config,
        ReportFacts(
            build_hash=facts["build_hash"],
            weights=facts["weights"],
            trained_on=bundle.label,
            synthetic=context.reporting.synthetic,
            encoder={
                "layers": len(encoder.graph.nodes),
                "MAC per frame": encoder.graph.macs,
                "encoder.tflite bytes": (context.folder / "encoder.tflite").stat().st_size,
            },
            decoder_parameters=bundle.decoder.parameters,
            validation=read_json(context.folder / "validation.json"),
            notes=tuple(notes),
        ),
        evaluations,
    )
    facts["summary"] = summary_lines(document)


def _device_figures(context: Context, bundle: Bundle, dataset: Dataset) -> Evaluation:
    from kit.evaluate.path import evaluate_path

    frames, refs = dataset.frames("test"), dataset.frame_refs("test")
    with bar("device path", len(frames)) as progress:
        result = context.device_path().run(frames, progress)
    return evaluate_path(context.config, bundle, result, frames, refs)


def _float_figures(context: Context, dataset: Dataset) -> Evaluation:
    from kit.evaluate.floatpath import evaluate_float
    from kit.model.autoencoder import load_autoencoder

    frames, refs = dataset.frames("test"), dataset.frame_refs("test")
    autoencoder = load_autoencoder(context.folder / "autoencoder.keras")
    with bar("float path", len(frames)) as progress:
        return evaluate_float(context.config, autoencoder, frames, refs, progress=progress)
