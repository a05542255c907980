"""``kit decode``: a capture file to a signal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kit.host.decode_source import Source
    from kit.server.bundle import Bundle


def command(
    capture: Annotated[Path, typer.Argument(help="Capture file (.kitcap), or with --bare a file of bare packets.")],
    out: Annotated[Path | None, typer.Option(help="Output file (default: beside the capture, .npz).")] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="npz, csv, edf, wfdb or parquet (default: by the suffix of --out).")
    ] = None,
    conceal: Annotated[
        bool, typer.Option("--conceal", help="Fill in single lost frames between two that came, and mark them.")
    ] = False,
    run: Annotated[Path | None, typer.Option(help="Run folder of the captured build (default: search runs/).")] = None,
    server: Annotated[
        Path | None, typer.Option("--server", "--bundle", help="Server folder of the captured build, instead of --run.")
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="The file holds bare packets one behind the other; needs --run or --bundle.")
    ] = False,
) -> None:
    """Reconstruct the signal of a capture: original units, lost packets as gaps, a time stamp for everything."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from kit.cli.signals import interrupt_on_terminate
    from kit.host.decode import FORMATS, check_format, decode_source

    suffix = FORMATS[format_name].suffix if format_name in FORMATS else ".npz"
    target = out or capture.with_suffix(suffix)
    chosen = check_format(target, format_name)
    console = Console(highlight=False, soft_wrap=True)
    source, bundle = _open(capture, run, server, bare)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with interrupt_on_terminate(), Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, description="decoding", completed=done, total=total)

        summary = decode_source(source, bundle, target, chosen, progress, conceal)
    console.print(f"{summary.out}: {summary.text}, build {bundle.build_hash} ({bundle.config.name})")
    if summary.left_out_bytes:
        console.print(f"{summary.left_out_bytes} bytes of the capture are damaged and were left out")


def _open(path: Path, run: Path | None, server: Path | None, bare: bool) -> tuple[Source, Bundle]:
    """The frames and what decodes them."""
    from kit.errors import CaptureError
    from kit.host.builds import find_build
    from kit.host.decode_bare import BareSource
    from kit.host.decode_source import CaptureSource
    from kit.server.bundle import Bundle

    if bare:
        if (run is None) == (server is None):
            raise CaptureError("bare packets do not say which build sent them", "give --run or --bundle of it")
        bundle = Bundle.load(server if server is not None else Path(run or "") / "server")
        return BareSource(path, bundle), bundle
    source = CaptureSource(path)
    build_hash = source.facts.build_hash
    build = find_build(build_hash, run, server)
    if build.server is None:
        raise CaptureError(f"run {build.name} has no server bundle yet", "finish its build with kit build-firmware")
    return source, Bundle.load(build.server, build_hash)
