"""An exported library: its facts, as templates print them, and all of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from kit.build.export.layouts import Layout
from kit.build.export.sources import CXX_SUFFIX, Sources, collect_sources
from kit.config import Config
from kit.errors import ArtifactError
from kit.files import asset, checkout
from kit.render.environment import Origin, render_template
from kit.wire.packet import PacketLayout

VENDOR = "RVQFirmwareKit"
"""Who a CMSIS pack is from."""

PORT_NAME_CHARACTERS = 16
"""Longest name in the hello (kit_port.h)."""


@dataclass(frozen=True)
class Build:
    """A build as far as an export needs it.

    Attributes:
        config: resolved configuration; its engine is that of the export.
        rendered: what :func:`kit.render.render_firmware` returned.
        origin: provenance for banners.
        attribution: paragraphs on the data behind weights and embedded recording; see :mod:`kit.build.export.notice`.
    """

    config: Config
    rendered: Mapping[str, str]
    origin: Origin
    attribution: tuple[str, ...]


@dataclass(frozen=True)
class Library:
    """What templates see as ``library``; ``paths`` are relative to the export."""

    name: str
    vendor: str
    version: str
    prefix: str
    upper: str
    config: str
    kind: str
    build_hash: str
    engine: str
    sentence: str
    sample_rate_hz: str
    frame_samples: int
    frame_seconds: str
    ratio: str
    wire_ratio: str
    sources: tuple[str, ...]
    cxx_sources: tuple[str, ...]
    headers: tuple[str, ...]
    example_sources: tuple[str, ...]
    example_headers: tuple[str, ...]
    attribution: tuple[str, ...]

    @property
    def tflm(self) -> bool:
        """TensorFlow Lite Micro runs the encoder."""
        return self.engine == "tflm"


@dataclass(frozen=True)
class LayoutView:
    """What templates see as ``layout``."""

    name: str
    title: str
    example: str
    port_name: str
    tflm_header: str


def library_name(config: Config) -> str:
    """Name of the library, the same for every build with this symbol prefix."""
    return f"{config.firmware.symbol_prefix}_codec"


def export_files(layout: Layout, build: Build) -> dict[str, str]:
    """Every file of an export: path to text; the same for the same arguments on any machine.

    Raises:
        ArtifactError: the build is not rendered for its engine, or the installation lacks a file.
        RenderError: a template is missing or malformed.
    """
    sources = collect_sources(build.rendered, build.config.firmware.engine)
    library = _library(layout, build, sources)
    names = {"name": library.name, "vendor": library.vendor}
    chosen = dict(layout.templates)
    chosen.update({f"{layout.example}/{name}": template for name, template in layout.example_templates.items()})
    copies = {f"{layout.example}/{name}": path for name, path in layout.example_copies.items()}
    if library.tflm:
        chosen.update(layout.tflm_templates)
        copies.update(layout.tflm_copies)
    chosen.update({"README.md": f"{layout.name}/README.md.j2", "NOTICE": "NOTICE.j2"})
    view = LayoutView(layout.name, layout.title, layout.example, layout.name[:PORT_NAME_CHARACTERS], layout.tflm_header)
    context = {"library": library, "layout": view}
    files = {
        path.format(**names): render_template(f"layouts/{template}", build.origin, context)
        for path, template in chosen.items()
    }
    files.update({path: _own_source(copied) for path, copied in copies.items()})
    files.update({f"src/{name}": text for name, text in sources.library.items()})
    files.update({f"{layout.example}/{name}": text for name, text in sources.replay.items()})
    files["LICENSE"] = _licence()
    return dict(sorted(files.items()))


def _own_source(path: str) -> str:
    return asset("firmware", *path.split("/")).read_text(encoding="utf-8")


def _library(layout: Layout, build: Build, sources: Sources) -> Library:
    config, wire = build.config, PacketLayout.from_config(build.config)
    example = sorted([*layout.example_templates, *layout.example_copies, *sources.replay])
    signal, prefix = config.signal, config.firmware.symbol_prefix
    return Library(
        name=library_name(config),
        vendor=VENDOR,
        version=build.origin.kit_version,
        prefix=prefix,
        upper=prefix.upper(),
        config=config.name,
        kind=signal.kind.upper(),
        build_hash=build.origin.build_hash,
        engine=config.firmware.engine,
        sentence=f"Learned compression of {signal.kind.upper()} signals on the device, model {config.name}",
        sample_rate_hz=f"{signal.sample_rate_hz:g}",
        frame_samples=signal.frame_samples,
        frame_seconds=f"{signal.frame_seconds:g}",
        ratio=f"{config.compression_ratio:.2f}",
        wire_ratio=f"{wire.wire_ratio:.2f}",
        sources=sources.units(".c", CXX_SUFFIX),
        cxx_sources=sources.units(CXX_SUFFIX),
        headers=sources.units(".h"),
        example_sources=tuple(name for name in example if not name.endswith(".h")),
        example_headers=tuple(name for name in example if name.endswith(".h")),
        attribution=build.attribution,
    )


def _licence() -> str:
    """Text of the kit's licence, from the checkout or from the installed distribution."""
    root = checkout()
    if root is not None:
        return (root / "LICENSE").read_text(encoding="utf-8")
    try:
        text = distribution("rvq-firmware-kit").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        text = None
    if text is None:
        raise ArtifactError("the installation lacks LICENSE", "reinstall rvq-firmware-kit")
    return text
