"""``kit emulate``: a device without hardware, on a serial port."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer


def command(
    board: Annotated[str, typer.Option(help="Board to emulate, or native (see make -C firmware boards).")] = "native",
    run: Annotated[Path | None, typer.Option(help="Run folder (default: the firmware of this checkout).")] = None,
    firmware: Annotated[Path | None, typer.Option(help="Firmware folder, instead of --run.")] = None,
    faults: Annotated[
        str | None, typer.Option(help="Faults on the line, for example ber=1e-4,loss=0.01,seed=3 (docs/serial.md).")
    ] = None,
    tcp: Annotated[bool, typer.Option("--tcp", help="With --faults: a TCP server instead of a serial port.")] = False,
) -> None:
    """Compile the firmware, boot it, print the serial port it serves, and stay until Ctrl-C."""
    import threading

    from kit.cli.signals import ask_to_stop
    from kit.errors import ConfigError, RunnerError
    from kit.host.emulator import start
    from kit.host.faults import parse_faults
    from kit.host.faulty_line import FaultyPort
    from kit.host.firmware import Firmware, firmware_folder

    if tcp and faults is None:
        raise ConfigError("--tcp serves a faulty line", "add --faults")
    spec = parse_faults(faults) if faults is not None else None
    stop = threading.Event()
    device = Firmware(firmware_folder(run, firmware))
    with ExitStack() as stack:
        stack.enter_context(ask_to_stop(stop))
        emulator = stack.enter_context(start(device, board))
        line = stack.enter_context(FaultyPort(emulator.port, spec, "tcp" if tcp else "pty")) if spec else None
        port = line.port if line else emulator.port
        typer.echo(port)
        typer.echo(f"{board} serves {port}; try: kit serial-capture {port}; Ctrl-C ends it", err=True)
        while not stop.wait(0.2):
            if emulator.exit_code is not None:
                raise RunnerError(f"{board} ended with code {emulator.exit_code}: {emulator.output or 'no output'}")
        if line is not None:
            typer.echo(f"{line.faults} faults, {line.cuts} cuts", err=True)
