"""``kit decode``: a capture file to a signal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    capture: Annotated[Path, typer.Argument(help="Capture file (.kitcap).")],
    out: Annotated[Path | None, typer.Option(help="Output .npz or .csv (default: beside the capture, .npz).")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder of the captured build (default: search runs/).")] = None,
    server: Annotated[Path | None, typer.Option(help="Server folder of the captured build, instead of --run.")] = None,
) -> None:
    """Reconstruct the signal of a capture: original units, lost packets as NaN, a time stamp for everything."""
    from rich.console import Console
    from rich.progress import Progress

    from kit.errors import CaptureError
    from kit.host.builds import find_build
    from kit.host.capture_file import CaptureReader
    from kit.host.decode import check_format, decode_capture

    target = out or capture.with_suffix(".npz")
    check_format(target)
    console = Console(highlight=False, soft_wrap=True)
    with CaptureReader(capture) as reader:
        build_hash = reader.header.build_hash
    build = find_build(build_hash, run, server)
    if build.server is None:
        raise CaptureError(f"run {build.name} has no server bundle yet", "finish its build with kit build-firmware")
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("decoding")
        summary = decode_capture(
            capture, build.server, target, lambda done, total: bar.update(task, completed=done, total=total)
        )
    console.print(
        f"{summary.out}: {summary.frames} frames ({summary.seconds:.0f} s), {summary.lost} missing (NaN), "
        f"{summary.units}, build {build_hash} ({build.name})"
    )
    if summary.left_out_bytes:
        console.print(f"the last {summary.left_out_bytes} bytes of the capture are damaged and were left out")
