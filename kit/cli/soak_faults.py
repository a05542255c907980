"""``kit soak faults``: a device behind a damaged line, checked to the packet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from kit.host.soak_faults import FaultRun


def command(
    packets: Annotated[int, typer.Option(min=1, help="Packets to stream per seed.")] = 20000,
    requests: Annotated[int, typer.Option(min=0, help="Requests to send per seed.")] = 200,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 1..N.")] = 3,
    ber: Annotated[float, typer.Option(help="Bits that flip.")] = 1e-4,
    loss: Annotated[float, typer.Option(help="Bytes that vanish.")] = 0.01,
    faults: Annotated[
        str | None, typer.Option(help="All faults, in the grammar of kit emulate, instead of --ber and --loss.")
    ] = None,
    board: Annotated[str, typer.Option(help="Board to emulate, or native.")] = "native",
    run: Annotated[Path | None, typer.Option(help="Run folder (default: the firmware of this checkout).")] = None,
) -> None:
    """Stream and ask through a damaged line: nothing corrupt accepted, nothing intact lost, every count right."""
    from dataclasses import replace
    from functools import partial

    from rich.console import Console
    from rich.progress import Progress

    from kit.errors import MismatchError
    from kit.host.emulator import start
    from kit.host.faults import parse_faults
    from kit.host.firmware import Firmware, firmware_folder
    from kit.host.soak_faults import request_run, stream_run
    from kit.host.transport import open_transport

    spec = parse_faults(faults if faults is not None else f"ber={ber!r},loss={loss!r}")
    device = Firmware(firmware_folder(run))
    console = Console(highlight=False, soft_wrap=True)
    runs: list[tuple[str, FaultRun]] = []
    with Progress(console=console, transient=True) as bar:
        for seed in range(1, seeds + 1):
            task = bar.add_task(f"seed {seed}: stream", total=packets)
            seeded = replace(spec, seed=seed)
            # A device of its own for every run, whose counters begin at 0.
            with start(device, board) as emulator:
                update = partial(_show, bar, task)
                runs.append(("stream", stream_run(open_transport(emulator.port), seeded, packets, update)))
            bar.remove_task(task)
            if requests:
                task = bar.add_task(f"seed {seed}: requests", total=None)
                with start(device, board) as emulator:
                    runs.append(("requests", request_run(open_transport(emulator.port), seeded, requests)))
                bar.remove_task(task)
    for name, result in runs:
        _print(console, name, result)
    broken = sum(not result.passed for _, result in runs)
    if broken:
        raise MismatchError(f"{broken} of {len(runs)} runs broke a claim", "the lines marked FAILED say which")
    console.print(f"every claim holds in {len(runs)} runs at {replace(spec, seed=0).text or 'no faults'}")


def _show(bar: Progress, task: TaskID, packets: int) -> None:
    bar.update(task, completed=packets)


def _print(console: Console, name: str, result: FaultRun) -> None:
    console.print(
        f"seed {result.seed}, {name}: {result.sent} sent, {result.faults} faults, {result.taken} accepted, "
        f"{result.intact} intact, {result.seconds:.1f} s"
    )
    for claim in result.claims:
        console.print(f"    {'ok    ' if claim.holds else 'FAILED'} {claim.what}: {claim.found}")
