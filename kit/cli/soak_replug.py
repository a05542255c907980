"""``kit soak replug``: a device that is unplugged and returns, again and again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kit.host.capture import CaptureState


def command(
    cycles: Annotated[int, typer.Option(min=1, help="How often to unplug and plug in.")] = 10,
    fast: Annotated[bool, typer.Option("--fast", help="Stream as fast as the device can, not in real time.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the random moments and absences.")] = 1,
    run: Annotated[Path | None, typer.Option(help="Run folder (default: the firmware of this checkout).")] = None,
    firmware: Annotated[Path | None, typer.Option(help="Firmware folder, instead of --run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Unplug and re-plug a native device during one capture: it goes on, and each gap is recorded with its length."""
    from rich.console import Console

    from kit.cli.soak_report import report
    from kit.host.firmware import Firmware, firmware_folder
    from kit.host.soak_replug import soak_replug

    device = Firmware(firmware_folder(run, firmware))
    with Console(stderr=True).status("waiting for the first packet") as status:

        def progress(cycle: int, state: CaptureState) -> None:
            status.update(f"{cycle} of {cycles} cycles: {state.text}")

        result = soak_replug(device, cycles, fast, seed, progress)
    lines = {
        "cycles": f"{result.cycles}, {result.mode}, capture {result.ended}",
        "sessions": str(result.sessions),
        "packets": f"{result.packets} stored, {result.lost} lost within a session, {result.wrong} wrong",
        "away": ", ".join(f"{seconds:.2f}" for seconds in result.away_s) + " s",
        "gaps recorded": ", ".join(f"{seconds:.2f}" for seconds in result.gaps_s) + " s",
    }
    report("replug", result.as_dict() if as_json else lines, result.failures, as_json)
