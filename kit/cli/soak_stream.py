"""``kit soak stream``: hours of streaming into one capture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    seconds: Annotated[float | None, typer.Option(min=1, help="Length of a real-time run.")] = None,
    packets: Annotated[int | None, typer.Option(min=1, help="Number of packets, instead of --seconds.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="As fast as the device can, instead of real time.")] = False,
    board: Annotated[str, typer.Option(help="Board to emulate, or native.")] = "mps2-an386",
    run: Annotated[Path | None, typer.Option(help="Run folder (default: the firmware of this checkout).")] = None,
    firmware: Annotated[Path | None, typer.Option(help="Firmware folder, instead of --run.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the capture in this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Stream from an emulated board into a capture: every packet compared, memory and processor time metered."""
    from rich.console import Console

    from kit.cli.soak_report import report
    from kit.host.firmware import Firmware, firmware_folder
    from kit.host.process_meter import Reading
    from kit.host.soak_stream import StreamSoakOptions, soak_stream

    device = Firmware(firmware_folder(run, firmware))
    if seconds is None and packets is None:
        seconds = 60.0
    with Console(stderr=True).status(f"streaming from {board}") as status:

        def progress(elapsed_s: float, reading: Reading) -> None:
            status.update(
                f"streaming from {board} for {elapsed_s:.0f} s; capture process {reading.memory_bytes / 1e6:.1f} MB, "
                f"{reading.cpu_seconds:.1f} s of processor time"
            )

        result = soak_stream(device, StreamSoakOptions(board, seconds, packets, fast, keep), progress)
    lines = {
        "board": f"{result.board}, {result.mode}",
        "wall time": f"{result.wall_s:.1f} s, capture {result.ended}",
        "packets": f"{result.packets} of {result.expected} stored, {result.lost} lost, {result.wrong} wrong",
        "line": f"{result.duplicates} duplicate, {result.damaged} damaged, {result.dropped_by_device} dropped by it",
        "memory": f"{result.memory_start_bytes / 1e6:.2f} MB after the start, then at most "
        f"{result.memory_peak_bytes / 1e6:.2f} MB, at the end {result.memory_end_bytes / 1e6:.2f} MB: growth "
        f"{result.growth_bytes / 1e6:.2f} MB",
        "processor": f"{100 * result.cpu:.2f} % of one core",
        "metered": f"{result.samples} times: resident set and user + system time of the capture process, from /proc",
    }
    report("stream", result.as_dict() if as_json else lines, result.failures, as_json)
