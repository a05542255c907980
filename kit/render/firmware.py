"""Render the device code of a build, and lay out a firmware folder that compiles on its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.errors import ArtifactError, RenderError
from kit.files import asset, checkout
from kit.graph.check import check
from kit.graph.codebook import IntegerCodebook
from kit.graph.ir import Encoder
from kit.render.coding import coding_view
from kit.render.environment import environment, origin_of, render_template
from kit.render.protocol import render_protocol_header
from kit.render.tflm import Arena, tflm_view
from kit.render.views import codebook_view, encoder_file_view, model_view, plan_view, step_macs_max, vectors_view
from kit.wire.coding import CodingModel
from kit.wire.packet import PacketLayout
from kit.wire.scale import lsb_bits

GENERATED = "generated"
"""Folder of rendered files within a firmware folder."""

ARTIFACTS = "artifacts"
"""Folder within the rendered one for what the files were rendered from."""

_COMMON = {
    "kit_config.h": "kit_config.h.j2",
    "kit_generated.h": "kit_generated.h.j2",
    "encoder.h": "encoder.h.j2",
    "codebook.h": "codebook.h.j2",
}
_PREFIXED = {"codec.h": "codec.h.j2", "codec.c": "codec.c.j2", "vectors.h": "vectors.h.j2"}


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Reference frames and the packets that they must become.

    Attributes:
        frames: int16[n, T], or int32[n, T] for sensors of more than 16 bits, ADC codes.
        packets: uint8[n, row bytes] (:mod:`kit.wire.packet`), from the reference executor.
        source_label: dataset they come from, printed as it is.
    """

    frames: NDArray[Any]
    packets: NDArray[np.uint8]
    source_label: str


@dataclass(frozen=True, slots=True)
class EngineView:
    """The engine that runs unless the compiler is told another, and all that the files are rendered for."""

    name: str
    rendered: tuple[str, ...]


def render_firmware(
    config: Config,
    encoder: Encoder,
    codebook: IntegerCodebook,
    vectors: Vectors,
    model_bytes: bytes,
    build_hash: str,
    coding: CodingModel | None = None,
    arena: Arena | None = None,
) -> dict[str, str]:
    """Every file of ``generated/``.

    Args:
        config: the build's configuration; ``firmware.engine`` selects the engine's templates.
        encoder: integer encoder.
        codebook: integer codebook.
        vectors: at least ``firmware.embedded_frames`` frames; the first ones are carried in the firmware.
        model_bytes: the .tflite.
        build_hash: 16 hex digits.
        coding: model of range-coded indices, where ``packet.coding`` asks for it.
        arena: measured size of the tensor arena; with it, an encoder of the aot engine is rendered for TensorFlow Lite
            Micro too (make's ENGINE=tflm). The tflm engine needs it.

    Returns:
        File name to text, in name order; the same for the same arguments on any machine.

    Raises:
        RenderError: arguments that do not belong together, or a defective template.
        UnsupportedOpError: a layer that the engine cannot run.
        GraphError: an encoder that breaks an invariant of the integer graph.
        ArtifactError: a codebook of another shape.
    """
    check(encoder)
    _check_parts(config, encoder, codebook)
    _check_coding(config, coding)
    embedded = _embedded(config, vectors)
    model = model_view(config, build_hash)
    origin = origin_of(config, model_bytes, build_hash)
    context: dict[str, Any] = {
        "model": model,
        "codebook": codebook_view(codebook, model.prefix),
        "encoder": encoder_file_view(model_bytes),
        "vectors": vectors_view(embedded.frames, embedded.packets, embedded.source_label),
        "coding": coding_view(coding, model.prefix),
        "step_macs_max": step_macs_max(encoder, codebook),
    }
    engines = _engines(config, arena)
    if "aot" in engines:
        context["plan"] = plan_view(encoder, model.prefix)
    if arena is not None:
        context["tflm"] = tflm_view(model_bytes, arena)
    context["engine"] = EngineView(config.firmware.engine, engines)
    names = dict(_COMMON)
    if coding is not None:
        names["coding.h"] = "coding.h.j2"
    names.update({f"{model.prefix}_{name}": template for name, template in _PREFIXED.items()})
    for engine in engines:
        names.update({f"{model.prefix}_{name}": template for name, template in _engine_templates(engine).items()})
    files = {name: render_template(template, origin, context) for name, template in names.items()}
    files["kit_protocol.h"] = render_protocol_header(environment())
    return dict(sorted(files.items()))


def _engines(config: Config, arena: Arena | None) -> tuple[str, ...]:
    """Engines to render for: the configured one, and TensorFlow Lite Micro beside the ahead-of-time engine."""
    if config.firmware.engine == "aot":
        return ("aot",) if arena is None else ("aot", "tflm")
    if arena is None:
        raise RenderError(
            "the size of the tensor arena is not known",
            "install the tflite-micro package or set TFLM_ROOT, which measure it, or set firmware.arena_bytes",
        )
    return ("tflm",)


def _engine_templates(engine: str) -> dict[str, str]:
    """Templates in the folder of an engine, by the name of the file they become, without symbol prefix."""
    folder = asset("firmware_templates") / engine
    found = sorted(folder.glob("*.j2")) if folder.is_dir() else []
    if not found:
        raise RenderError(f"there are no templates for engine {engine}", "reinstall rvq-firmware-kit")
    return {path.name.removesuffix(".j2"): f"{engine}/{path.name}" for path in found}


def _check_parts(config: Config, encoder: Encoder, codebook: IntegerCodebook) -> None:
    """Configuration, encoder and codebook must be of one build."""
    graph, model = encoder.graph, config.model
    source, target = graph.input_tensor, graph.output_tensor
    found = (source.length, source.channels, graph.lsb_bits, source.zero_point, target.length, target.channels)
    clip_bits = lsb_bits(config.quantize.input_clip)
    channels = config.quantize.input_channels
    expected = (config.signal.frame_samples, channels, clip_bits, 0, config.latent_positions, config.latent_channels)
    if found != expected:
        raise RenderError(
            f"the encoder has [T, channels, L, zero point, P, CD] = {list(found)}, the configuration {list(expected)}",
            "rebuild with kit build-firmware",
        )
    codebook.expect(num_levels=model.num_levels, num_entries=model.latent_width, dims=model.embedding_dim)
    if codebook.beam != config.quantize.beam:
        raise RenderError(
            f"the codebook is for a search of beam {codebook.beam}, the configuration asks for {config.quantize.beam}",
            "rebuild with kit build-firmware",
        )
    if codebook.copies != config.quantize.latent_copies:
        copies = config.quantize.latent_copies
        raise RenderError(
            f"the codebook is for {codebook.copies} copies of a latent, the configuration asks for {copies}",
            "rebuild with kit build-firmware",
        )
    if codebook.latent_zero_point != target.zero_point:
        raise RenderError(
            f"the codebook is for latent zero point {codebook.latent_zero_point}, the encoder has {target.zero_point}",
            "rebuild with kit build-firmware",
        )


def _check_coding(config: Config, coding: CodingModel | None) -> None:
    """A coding model where one is asked for, and nowhere else."""
    if (coding is not None) != (config.packet.coding == "range"):
        raise RenderError(
            f"packet.coding is {config.packet.coding}, and there is {'no' if coding is None else 'a'} coding model",
            "rebuild with kit build-firmware",
        )
    if coding is not None:
        coding.expect(num_levels=config.model.num_levels, index_bits=config.model.index_bits)


def _embedded(config: Config, vectors: Vectors) -> Vectors:
    """The vectors that the firmware carries, checked."""
    count = config.firmware.embedded_frames
    frames, packets, label = vectors.frames, vectors.packets, vectors.source_label
    body = PacketLayout.from_config(config).row_bytes
    dtype = np.dtype(np.int16 if config.signal.container_bits == 16 else np.int32)
    if frames.dtype != dtype or frames.ndim != 2 or frames.shape[1] != config.signal.frame_samples:
        raise RenderError(
            f"vector frames are {frames.dtype}{list(frames.shape)}, expected {dtype}[n, {config.signal.frame_samples}]"
        )
    if packets.dtype != np.uint8 or packets.shape != (len(frames), body):
        raise RenderError(f"vector packets are {packets.dtype}{list(packets.shape)}, expected uint8[n, {body}]")
    if len(frames) < count:
        raise RenderError(
            f"firmware.embedded_frames is {count}, but there are {len(frames)} reference frames",
            f"set firmware.embedded_frames to at most {len(frames)}",
        )
    if not label.isprintable() or "*/" in label or "/*" in label:
        raise RenderError(f"source label {label!r} cannot stand in a comment", "use plain words")
    return Vectors(frames[:count], packets[:count], label)


def _replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a new folder beside ``folder`` and put it in its place, so that nobody sees it half filled.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            fresh, old = Path(scratch) / "new", Path(scratch) / "old"
            fresh.mkdir()
            fill(fresh)
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(f"cannot write {folder}: {reason}", "choose a writable folder with free space") from None


def write_firmware(files: Mapping[str, str], folder: str | Path, artifacts: Mapping[str, Path] | None = None) -> None:
    """Make ``folder`` hold exactly the rendered ``files``; replaces an older render as a whole.

    Args:
        files: file name to text, from :func:`render_firmware`.
        folder: a firmware's ``generated`` folder.
        artifacts: file name to existing file; copied into ``folder/artifacts``.

    Raises:
        ArtifactError: the folder cannot be written.
    """

    def fill(fresh: Path) -> None:
        for name, text in files.items():
            (fresh / name).write_text(text, encoding="utf-8", newline="\n")
        if artifacts:
            (fresh / ARTIFACTS).mkdir()
            for name, path in artifacts.items():
                shutil.copyfile(path, fresh / ARTIFACTS / name)

    _replace_folder(Path(folder), fill)


def copy_runtime(folder: str | Path, files: Mapping[str, str], artifacts: Mapping[str, Path] | None = None) -> None:
    """Make ``folder`` a firmware that compiles on its own: the hand-written sources, and ``files`` in ``generated/``.

    Args:
        folder: replaced as a whole.
        files: what :func:`render_firmware` returned.
        artifacts: as for :func:`write_firmware`.

    Raises:
        ArtifactError: the folder cannot be written, or the installation lacks the sources.
    """
    # firmware/Makefile finds the runner in ../host/runner of a checkout, or in runner/ beside itself.
    sources = ((asset("firmware"), "."), (asset("host", "runner") if checkout() else asset("runner"), "runner"))

    def fill(fresh: Path) -> None:
        ignore = shutil.ignore_patterns(GENERATED, "build", "__pycache__", ".*", "*.py")
        for source, name in sources:
            shutil.copytree(source, fresh / name, ignore=ignore, dirs_exist_ok=True, copy_function=shutil.copyfile)
        write_firmware(files, fresh / GENERATED, artifacts)

    _replace_folder(Path(folder), fill)
