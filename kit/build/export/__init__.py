"""Builds as self-contained libraries for other build systems: ``kit build-firmware --export DIR --layout NAME``."""

from __future__ import annotations

from kit.build.export.layouts import LAYOUTS, Layout, find_layout
from kit.build.export.library import Build, export_files
from kit.build.export.run import Export, check_export, export_run
from kit.build.export.write import MARKER, check_folder, write_export

__all__ = [
    "LAYOUTS",
    "MARKER",
    "Build",
    "Export",
    "Layout",
    "check_export",
    "check_folder",
    "export_files",
    "export_run",
    "find_layout",
    "write_export",
]
