"""``kit soak kill``: captures killed at random moments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    times: Annotated[int, typer.Option(min=1, help="Captures to kill.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the random moments.")] = 1,
    run: Annotated[Path | None, typer.Option(help="Run folder (default: the firmware of this checkout).")] = None,
    firmware: Annotated[Path | None, typer.Option(help="Firmware folder, instead of --run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Kill captures of a native device (SIGKILL): each file must open and hold every packet reported as stored."""
    from rich.console import Console

    from kit.cli.soak_report import report
    from kit.host.firmware import Firmware, firmware_folder
    from kit.host.soak_kill import KillSoak, soak_kill

    device = Firmware(firmware_folder(run, firmware))
    with Console(stderr=True).status("killing captures") as status:

        def progress(result: KillSoak) -> None:
            status.update(f"{result.kills} of {times} captures killed, {result.stored} packets stored")

        result = soak_kill(device, times, seed, progress)
    lines = {
        "kills": f"{result.kills} (seed {result.seed}), {result.before_file} before there was a file, "
        f"{result.appended} while an older file was continued",
        "files": f"{result.unreadable} do not open, {result.torn} with a torn record at their end",
        "packets": f"{result.reported} reported as stored, {result.stored} found, {result.lost} of the reported lost",
    }
    report("kill", result.as_dict() if as_json else lines, result.failures, as_json)
