"""``kit emulate``: a device without hardware, on a serial port."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    board: Annotated[str, typer.Option(help="Board to emulate, or native (see make -C firmware boards).")] = "native",
    run: Annotated[Path | None, typer.Option(help="Run folder (default: the firmware of this checkout).")] = None,
    firmware: Annotated[Path | None, typer.Option(help="Firmware folder, instead of --run.")] = None,
) -> None:
    """Compile the firmware, boot it, print the serial port it serves, and stay until Ctrl-C."""
    import threading

    from kit.cli.signals import ask_to_stop
    from kit.errors import RunnerError
    from kit.host.emulator import start
    from kit.host.firmware import Firmware, firmware_folder

    stop = threading.Event()
    device = Firmware(firmware_folder(run, firmware))
    with ask_to_stop(stop), start(device, board) as emulator:
        typer.echo(emulator.port)
        typer.echo(f"{board} serves {emulator.port}; try: kit serial-capture {emulator.port}; Ctrl-C ends it", err=True)
        while not stop.wait(0.2):
            if emulator.exit_code is not None:
                raise RunnerError(f"{board} ended with code {emulator.exit_code}: {emulator.output or 'no output'}")
