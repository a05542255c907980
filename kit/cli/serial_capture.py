"""``kit serial-capture``: receive, check, store and decode what a device streams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from kit.host.capture import CaptureOptions, CaptureState


def command(
    port: Annotated[
        str | None,
        typer.Argument(
            help="Serial port (/dev/ttyACM0, COM3) or URL (socket://host:port); default: the only USB port that answers"
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Capture file (default: captures/TARGET-DATE-TIME.kitcap).")] = None,
    packets: Annotated[int | None, typer.Option(min=1, help="Stop after so many packets.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.1, help="Stop after so many seconds.")] = None,
    mode: Annotated[str, typer.Option(help="realtime: at the sample rate; fast: as fast as the codec.")] = "realtime",
    run: Annotated[Path | None, typer.Option(help="Run folder of the device's build (default: search runs/).")] = None,
    server: Annotated[Path | None, typer.Option(help="Server folder of the device's build, instead of --run.")] = None,
    any_build: Annotated[bool, typer.Option("--any-build", help="Store packets of an unknown build too.")] = False,
    decode: Annotated[
        Path | None, typer.Option(help="Decode to this .npz or .csv (default: beside the capture).")
    ] = None,
    no_decode: Annotated[bool, typer.Option("--no-decode", help="Store only.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Print every message.")] = False,
) -> None:
    """Receive, check, decode and store what a device streams; Ctrl-C ends it cleanly.

    The capture file is whole up to the last packet whatever happens: unplugged device, full disk, killed process.
    """
    from rich.console import Console

    from kit.errors import CaptureError, LinkError
    from kit.host.capture import CaptureOptions
    from kit.host.decode import check_format
    from kit.wire.registry import STREAM_MODES

    if mode not in STREAM_MODES:
        raise LinkError(f"no stream mode {mode!r}", f"modes: {', '.join(STREAM_MODES)}")
    if decode is not None:
        if no_decode:
            raise CaptureError("--decode and --no-decode contradict each other", "give one of them")
        check_format(decode)
    console = Console(highlight=False, soft_wrap=True)
    options = CaptureOptions(port or _find_port(console), out, mode, packets, duration, run, server, any_build)
    state = _run(console, options, trace)
    console.print(f"{state.ended}: {state.text}")
    console.print(f"{state.path} ({state.file_bytes:,} bytes, build {state.hello.build_hash})")
    if not no_decode:
        _decode(console, state, decode)


def _find_port(console: Console) -> str:
    """The only port that answers the hello."""
    from kit.host.ports import find_ports, only_device, survey

    with console.status("asking the USB serial ports who is there"):
        return only_device(survey(find_ports())).port.device


def _run(console: Console, options: CaptureOptions, trace: bool) -> CaptureState:
    """Capture with a live status line; SIGINT and SIGTERM end it cleanly."""
    from kit.cli.signals import ask_to_stop
    from kit.host.capture import capture

    announced = False
    with console.status(f"{options.port}: asking who is there") as status, ask_to_stop(options.stop):

        def update(state: CaptureState) -> None:
            nonlocal announced
            if not announced:
                announced = True
                hello, build = state.hello, state.build
                name = build.name if build else "unknown build"
                console.print(
                    f"{options.port}: {hello.target}, engine {hello.engine}, build {hello.build_hash} ({name}), "
                    f"{hello.frame_samples} samples at {hello.sample_rate_mhz / 1000:g} Hz per packet"
                )
            status.update(f"{state.seconds:.0f} s: {state.text}; Ctrl-C to end")

        return capture(options, update, (lambda line: console.print(line, markup=False)) if trace else None)


def _decode(console: Console, state: CaptureState, out: Path | None) -> None:
    from kit.host.decode import decode_capture

    if state.tracker.received == 0:
        console.print("nothing to decode")
        return
    if state.build is None or state.build.server is None:
        console.print("not decoded: no server bundle of this build is known; later: kit decode --server DIR")
        return
    target = out or state.path.with_suffix(".npz")
    summary = decode_capture(state.path, state.build.server, target)
    console.print(f"{summary.out}: {summary.frames} frames, {summary.lost} missing (NaN), {summary.units}")
