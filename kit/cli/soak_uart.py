"""``kit soak uart``: frames to a device whose UART holds one byte, at line speed, with credits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    frames: Annotated[int, typer.Option(min=1, help="Frames to send.")] = 1000,
    run: Annotated[Path | None, typer.Option(help="Run folder (default: the firmware of this checkout).")] = None,
    firmware: Annotated[Path | None, typer.Option(help="Firmware folder, instead of --run.")] = None,
    credits: Annotated[
        int | None,
        typer.Option(min=1, help="Frames under way at a time (default: what the device says; more overruns it)."),
    ] = None,
    turn_us: Annotated[
        int | None, typer.Option(min=1, help="Simulated cost of a turn of the main loop (default: a slow Cortex-M0's).")
    ] = None,
    turn_us_max: Annotated[
        int | None, typer.Option(min=1, help="Cost of the longest turn, one in sixteen (default: the same).")
    ] = None,
    polled: Annotated[bool, typer.Option("--polled", help="Without receive interrupt: what then is lost.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON.")] = None,
) -> None:
    """Send frames at 115200 baud, in simulated time, to a UART that loses what finds its receive register full.

    Exit code 1 when the receiver lost a byte, or a packet differs from its reference.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from kit.files import write_json
    from kit.host.firmware import Firmware, firmware_folder
    from kit.host.soak_uart import soak
    from kit.host.uart_model import Processor

    device = Firmware(firmware_folder(run, firmware))
    usual = Processor()
    processor = Processor(turn_us or usual.turn_us, turn_us_max or usual.turn_us_max, polled)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("frames", total=frames)
        result = soak(device, frames, processor, credits, lambda done, _: bar.update(task, completed=done))
    console = Console(highlight=False, soft_wrap=True)
    for line in result.lines():
        console.print(line, markup=False)
    if json_path is not None:
        write_json(json_path, result.as_dict())
    if not result.passed:
        raise typer.Exit(1)
