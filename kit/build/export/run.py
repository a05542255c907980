"""The export of a run folder, after its stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kit.build.arena_stage import recorded_arena
from kit.build.export.layouts import Layout, find_layout
from kit.build.export.library import Build, export_files
from kit.build.export.notice import notice_paragraphs
from kit.build.export.write import check_folder, write_export
from kit.build.pipeline import Context
from kit.build.rendered import rendered_files
from kit.build.zoo import entry_for
from kit.errors import ConfigError
from kit.files import read_json


@dataclass(frozen=True)
class Export:
    """What to export a build as, and where to."""

    layout: Layout
    folder: Path


def check_export(folder: Path | None, layout: str | None, stage: str | None = None) -> Export | None:
    """What the options of ``kit build-firmware`` ask for, checked before anything is built.

    Raises:
        ConfigError: a layout without folder, no or an unknown layout, or a build of one stage.
        ArtifactError: the folder must not be written.
    """
    if folder is None:
        if layout is not None:
            raise ConfigError("--layout is for an export", "add --export DIR")
        return None
    found = find_layout(layout)
    if stage is not None:
        raise ConfigError("--export is of a whole build", "leave out --stage; stages that are current are skipped")
    check_folder(folder)
    return Export(found, folder)


def export_run(context: Context, export: Export) -> int:
    """Write a finished build as a library; returns the number of files.

    Raises:
        ArtifactError: an artifact is missing, or the folder must not or cannot be written.
    """
    from kit.render.environment import origin_of

    config, build_hash = context.config, context.manifest.facts["build_hash"]
    arena = recorded_arena(context) if config.firmware.engine == "tflm" else None
    card = None if context.train else entry_for(config).folder / "model_card.md"
    build = Build(
        config=config,
        rendered=rendered_files(context, arena),
        origin=origin_of(config, (context.folder / "encoder.tflite").read_bytes(), build_hash),
        attribution=notice_paragraphs(
            card, read_json(context.folder / "dataset.json"), context.reporting.to_json()
        ),
    )
    files = export_files(export.layout, build)
    facts = {"layout": export.layout.name, "engine": config.firmware.engine, "build": build_hash}
    write_export(files, export.folder, facts)
    return len(files)
