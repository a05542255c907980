"""``kit soak decode``: a long capture decoded, with frames per second and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    frames: Annotated[int, typer.Option(min=1000, help="Frames of the capture.")] = 200_000,
    format_name: Annotated[str, typer.Option("--format", help="npz, csv, edf, wfdb or parquet.")] = "npz",
    conceal: Annotated[bool, typer.Option("--conceal", help="Conceal single lost frames.")] = False,
    loss: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of packets that are lost.")] = 0.01,
    rate_min: Annotated[float, typer.Option(min=0.0, help="Frames per second to show.")] = 1000.0,
    run: Annotated[Path | None, typer.Option(help="Run folder of the build.")] = None,
) -> None:
    """Decode a long synthetic capture of a build; fails when memory grows or the decoder is too slow."""
    from rich.console import Console
    from rich.progress import Progress

    from kit.errors import CaptureError
    from kit.host.builds import find_build
    from kit.host.decode import FORMATS, check_format
    from kit.host.firmware import Firmware, firmware_folder
    from kit.host.soak_decode import soak_decode

    suffix = FORMATS[format_name].suffix if format_name in FORMATS else ""
    check_format(Path(f"long{suffix}"), format_name)
    firmware = Firmware(firmware_folder(run))
    build = find_build(firmware.build_hash, run)
    if build.server is None:
        raise CaptureError(f"run {build.name} has no server bundle yet", "finish its build with kit build-firmware")
    console = Console(highlight=False, soft_wrap=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("writing the capture", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, description="decoding", completed=done, total=total)

        result = soak_decode(firmware, build.server, frames, format_name, conceal, loss, progress)
    console.print(f"{result.format}: {result.summary.text}; capture of {result.capture_bytes / 1e6:.1f} MB")
    console.print(
        f"{result.rate:.0f} frames per second ({result.seconds:.1f} s, {result.cpu_seconds:.1f} s of processor time, "
        f"load {result.load:.1f})"
    )
    console.print(
        f"memory {result.warm_bytes / 2**20:.1f} MiB in the first half of the frames, at most "
        f"{result.peak_bytes / 2**20:.1f} MiB in the second: grew by {result.growth_bytes / 2**20:.1f} MiB"
    )
    broken = result.broken(rate_min)
    if broken:
        raise CaptureError("; ".join(broken), "run it on an idle machine" if result.load > 2 else "")
