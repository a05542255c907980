"""``kit size``: flash, RAM and worst-case stack of a rendered firmware."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path | None, typer.Option(help="Run folder (runs/NAME).")] = None,
    firmware: Annotated[Path | None, typer.Option(help="Firmware folder, instead of a run.")] = None,
    board: Annotated[list[str] | None, typer.Option(help="Board; may be repeated. Default: every board.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON.")] = None,
) -> None:
    """Compile for each board and print flash, RAM and worst-case stack."""
    from kit.files import write_json
    from kit.host.boards import BOARDS
    from kit.host.firmware import firmware_folder
    from kit.host.footprint import measure, print_table

    folder = firmware_folder(run, firmware)
    names = board or list(BOARDS)
    footprints = [measure(folder, name) for name in names]
    for footprint in footprints:
        print_table(footprint)
    if json_path is not None:
        write_json(json_path, [footprint.as_dict() for footprint in footprints])
