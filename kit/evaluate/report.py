"""report.json, report.html and reconstruction.png: what a build achieves, with the evidence beside every number."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kit
from kit.config import Config, dump_config
from kit.errors import ShapeError
from kit.evaluate.metrics import DEFINITION
from kit.evaluate.pages import page_environment
from kit.evaluate.path import DEVICE, Evaluation
from kit.evaluate.plots import distribution_figure, reconstruction_figure
from kit.files import atomic_write_bytes, atomic_write_text, write_json
from kit.wire.packet import MeanSizes, PacketLayout

FORMAT = 1
"""Version of report.json."""

HTML_NAME, JSON_NAME, PNG_NAME = "report.html", "report.json", "reconstruction.png"


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What a report says about a build, besides its evaluations.

    Attributes:
        build_hash: 16 hex digits.
        weights: where the weights come from, for example ``trained by this run``.
        trained_on: datasets the weights were trained on.
        synthetic: the evaluated frames are generated.
        encoder: facts about the encoder by name, for example ``{"MAC per frame": 876016}``.
        decoder_parameters: of the server-side decoder.
        validation: ``kit.host.validate.Report.as_dict()``, or None where no target ran.
        footprints: ``kit.host.footprint.Footprint.as_dict()`` per board.
        notes: further sentences for the reader.
    """

    build_hash: str
    weights: str
    trained_on: str
    synthetic: bool = False
    encoder: Mapping[str, Any] = field(default_factory=dict)
    decoder_parameters: int = 0
    validation: Mapping[str, Any] | None = None
    footprints: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()


def write_report(
    run_dir: str | Path, config: Config, facts: ReportFacts, evaluations: Sequence[Evaluation]
) -> dict[str, Any]:
    """Write the three files into ``run_dir``; equal arguments give equal JSON and HTML.

    Args:
        run_dir: folder of the run.
        config: resolved configuration.
        facts: about the build.
        evaluations: the device path first; then, where measured, the float path on the same frames.

    Returns:
        the content of report.json.

    Raises:
        ShapeError: the first evaluation is not of the device path, or no frame could be evaluated.
        ArtifactError: the folder cannot be written.
    """
    if not evaluations or evaluations[0].path != DEVICE or not evaluations[0].examples:
        raise ShapeError("a report needs the device path's evaluation, of at least one frame")
    run_dir = Path(run_dir)
    document = report_document(config, facts, evaluations)
    rate = config.signal.sample_rate_hz
    atomic_write_bytes(run_dir / PNG_NAME, reconstruction_figure(evaluations[0], rate, "png"))
    figures = {
        "reconstruction": _data_uri(reconstruction_figure(evaluations[0], rate, "svg")),
        "distribution": _data_uri(distribution_figure(evaluations, "svg")),
    }
    atomic_write_text(run_dir / HTML_NAME, render_html(document, dump_config(config), figures))
    write_json(run_dir / JSON_NAME, document)
    return document


def report_document(config: Config, facts: ReportFacts, evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Everything a report says, as plain values."""
    document = {
        "format": FORMAT,
        "name": config.name,
        "kit": kit.__version__,
        "build_hash": facts.build_hash,
        "weights": facts.weights,
        "trained_on": facts.trained_on,
        "synthetic": facts.synthetic,
        "engine": config.firmware.engine,
        "definition": DEFINITION,
        "compression": compression(config, evaluations[0].index_entropy, evaluations[0].sizes),
        "encoder": dict(facts.encoder),
        "decoder_parameters": facts.decoder_parameters,
        "evaluations": [found.as_dict() for found in evaluations],
        "examples": [{"rank": e.rank, "prd": e.prd, **e.ref._asdict()} for e in evaluations[0].examples],
        "validation": None if facts.validation is None else dict(facts.validation),
        "footprints": [dict(footprint) for footprint in facts.footprints],
        "notes": list(facts.notes),
    }
    return {**document, "summary": summary_lines(document)}


def compression(
    config: Config, index_entropy: Sequence[float] = (), sizes: MeanSizes | None = None
) -> dict[str, Any]:
    """Sizes and ratios of a frame: the description's formula (index bits only), and all bytes on the wire.

    With range coding, all of them are means over the evaluated frames, ``sizes``.
    """
    layout = PacketLayout.from_config(config)
    if layout.variable and sizes is not None:
        return _mean_compression(config, layout, sizes, index_entropy)
    whole = layout.wire_bytes % layout.frames_per_packet == 0
    per_frame = layout.wire_bytes // layout.frames_per_packet if whole else layout.wire_bytes_per_frame
    return {
        "raw_bits": layout.raw_bits,
        "payload_bits": layout.payload_bits,
        "side_bytes": layout.side_bytes,
        "body_bytes": layout.frame_bytes,
        "wire_bytes": per_frame,
        "payload_ratio": config.compression_ratio,
        "body_ratio": layout.raw_bits / (8 * layout.frame_bytes),
        "wire_ratio": layout.wire_ratio,
        "wire_bits_per_second": 8 * per_frame / config.signal.frame_seconds,
        "index_bits": config.model.index_bits,
        "index_entropy_bits": [round(bits, 3) for bits in index_entropy],
    }


def _mean_compression(
    config: Config, layout: PacketLayout, sizes: MeanSizes, index_entropy: Sequence[float]
) -> dict[str, Any]:
    payload_bits = 8 * sizes.index_bytes
    return {
        "raw_bits": layout.raw_bits,
        "payload_bits": round(payload_bits, 2),
        "side_bytes": layout.side_bytes,
        "body_bytes": round(sizes.body_bytes, 3),
        "wire_bytes": round(sizes.wire_bytes, 3),
        "payload_ratio": layout.raw_bits / max(payload_bits, 1e-9),
        "body_ratio": layout.raw_bits / (8 * max(sizes.body_bytes, 1e-9)),
        "wire_ratio": layout.raw_bits / (8 * sizes.wire_bytes),
        "wire_bits_per_second": 8 * sizes.wire_bytes / config.signal.frame_seconds,
        "index_bits": config.model.index_bits,
        "index_entropy_bits": [round(bits, 3) for bits in index_entropy],
        "fixed_payload_bits": layout.payload_bits,
    }


def summary_lines(document: Mapping[str, Any]) -> list[str]:
    """A few lines for the end of a build; every figure with its dataset, split, path and number of frames."""
    sizes = document["compression"]
    lines = [
        f"compression {sizes['payload_ratio']:.2f}x by index bits, {sizes['wire_ratio']:.2f}x by all "
        f"{sizes['wire_bytes']} wire bytes a frame"
    ]
    for found in document["evaluations"]:
        for dataset, figures in found["datasets"].items():
            if figures["frames"]:
                lines.append(
                    f"PRD {figures['prd']:.2f} % ({dataset} {found['split']}, {figures['frames']} frames, "
                    f"{path_text(found)})"
                )
    validation = document["validation"]
    if validation is not None:
        states = [outcome["state"] for outcome in validation["outcomes"]]
        counts = ", ".join(f"{states.count(s)} {s}" for s in ("passed", "failed", "skipped") if s in states)
        lines.append(f"validation against {validation['truth']}, {validation['frames']} frames: {counts}")
    return lines


def path_text(found: Mapping[str, Any]) -> str:
    """How an evaluation's reconstruction came about, in a few words."""
    if found["path"] == DEVICE:
        return f"device path: INT8, decoded from packets, {found['engine']} on {found['target']}"
    return f"{found['path']} path, {found['engine']} on {found['target']}"


def render_html(document: Mapping[str, Any], config_text: str, figures: Mapping[str, str]) -> str:
    """The report as one HTML file without references to anything outside it.

    Args:
        document: of :func:`report_document`.
        config_text: resolved configuration.
        figures: data URIs ``reconstruction`` and ``distribution``.
    """
    environment = page_environment("kit.evaluate", html=True)
    environment.filters["number"] = _number
    environment.filters["path_text"] = path_text
    template = environment.get_template("report.html.j2")
    return template.render(report=document, config_text=config_text, figures=figures)


def _number(value: Any, places: int = 2) -> str:
    """A figure for people: grouped digits, fixed places for fractions, a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{places}f}"


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"
