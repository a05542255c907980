"""``kit serial-capture``: receive, check, store and decode what a device streams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from kit.host.capture import CaptureOptions, CaptureState, Update
    from kit.host.live_feed import LiveFeed, LiveOutput


def command(
    port: Annotated[
        str | None,
        typer.Argument(
            help="Serial port (/dev/ttyACM0, COM3) or URL (socket://host:port); default: the only USB port that answers"
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Capture file (default: captures/TARGET-DATE-TIME.kitcap).")] = None,
    append: Annotated[bool, typer.Option("--append", help="Continue the capture file --out.")] = False,
    packets: Annotated[int | None, typer.Option(min=1, help="Stop after so many packets.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.1, help="Stop after so many seconds.")] = None,
    until: Annotated[str | None, typer.Option(metavar="HH:MM", help="Stop at this time of day.")] = None,
    mode: Annotated[str, typer.Option(help="realtime: at the sample rate; fast: as fast as the codec.")] = "realtime",
    baud: Annotated[int | None, typer.Option(min=300, help="Speed of the port (default: find it).")] = None,
    no_reconnect: Annotated[
        bool, typer.Option("--no-reconnect", help="End when the device is unplugged or falls silent.")
    ] = False,
    run: Annotated[Path | None, typer.Option(help="Run folder of the device's build (default: search runs/).")] = None,
    server: Annotated[Path | None, typer.Option(help="Server folder of the device's build, instead of --run.")] = None,
    any_build: Annotated[bool, typer.Option("--any-build", help="Store packets of an unknown build too.")] = False,
    decode: Annotated[
        Path | None, typer.Option(help="Decode to this file, .npz, .csv, .edf... (default: .npz beside the capture).")
    ] = None,
    no_decode: Annotated[bool, typer.Option("--no-decode", help="Store only.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Show waveform, heart rate, rates and losses.")] = False,
    ndjson: Annotated[
        bool, typer.Option("--ndjson", help="Decoded samples on standard output, a JSON object per line.")
    ] = False,
    lsl: Annotated[bool, typer.Option("--lsl", help="Decoded samples as a Lab Streaming Layer stream.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON, nothing else.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Print every message.")] = False,
) -> None:
    """Receive, check, decode and store what a device streams; Ctrl-C ends it cleanly.

    The capture file is whole up to the last packet whatever happens: unplugged device, full disk, killed process. An
    unplugged or reset device is waited for, and the gap is recorded.
    """
    import sys

    from kit.errors import CaptureError, LinkError
    from kit.host.capture import CaptureOptions
    from kit.host.decode import check_format
    from kit.wire.registry import STREAM_MODES

    if mode not in STREAM_MODES:
        raise LinkError(f"no stream mode {mode!r}", f"modes: {', '.join(STREAM_MODES)}")
    if append and out is None:
        raise CaptureError("--append needs the file to continue", "add --out FILE")
    if decode is not None:
        check_format(decode)
    _refuse_pairs({
        "--decode": decode is not None, "--no-decode": no_decode, "--live": live, "--ndjson": ndjson, "--quiet": quiet,
        "--json": as_json, "--trace": trace,
    })  # fmt: skip
    if until is not None:
        duration = min(_seconds_until(until), duration or float("inf"))
    if live and not sys.stdout.isatty():
        raise CaptureError("--live draws on a terminal, and standard output is none", "leave it out, or use --ndjson")
    show = _Output(live, ndjson, lsl, quiet, as_json, trace)
    options = CaptureOptions(
        port or _find_port(show, baud),
        out,
        mode,
        packets,
        duration,
        run,
        server,
        any_build,
        baud=baud,
        reconnect=not no_reconnect,
        append=append,
    )
    state = _run(show, options)
    show.console.print(f"{state.ended}: {state.text}")
    show.console.print(f"{state.path} ({state.file_bytes:,} bytes, build {state.hello.build_hash})")
    decoded = None if no_decode else _decode(show.console, state, decode)
    if as_json:
        _print_json(state, decoded)


_CONTRADICTIONS = (
    ("--decode", "--no-decode"),
    ("--live", "--quiet"),
    ("--live", "--json"),
    ("--live", "--ndjson"),
    ("--live", "--trace"),
    ("--ndjson", "--json"),
    ("--quiet", "--trace"),
)


def _refuse_pairs(given: dict[str, bool]) -> None:
    """Refuse options that exclude each other.

    Raises:
        CaptureError: two of them are given.
    """
    from kit.errors import CaptureError

    for first, second in _CONTRADICTIONS:
        if given[first] and given[second]:
            raise CaptureError(f"{first} and {second} contradict each other", "give one of them")


def _seconds_until(text: str) -> float:
    """Seconds from now to the next time that a clock shows ``text`` (HH:MM).

    Raises:
        CaptureError: no time of day.
    """
    import datetime

    from kit.errors import CaptureError

    try:
        wanted = datetime.datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise CaptureError(f"--until {text!r} is no time of day", "write it as HH:MM, for example 17:30") from None
    now = datetime.datetime.now().astimezone()
    moment = now.replace(hour=wanted.hour, minute=wanted.minute, second=0, microsecond=0)
    if moment <= now:
        moment += datetime.timedelta(days=1)
    return (moment - now).total_seconds()


@dataclass(frozen=True)
class _Output:
    """Who reads what this verb prints."""

    live: bool
    ndjson: bool
    lsl: bool
    quiet: bool
    as_json: bool
    trace: bool

    @property
    def console(self) -> Console:
        """For people; standard output is left to a program where one reads it."""
        from rich.console import Console

        silent = self.quiet or self.as_json
        return Console(stderr=self.ndjson or self.as_json, quiet=silent, highlight=False, soft_wrap=True)

    def outputs(self, options: CaptureOptions) -> list[LiveOutput]:
        """Programs that want the decoded samples while the capture runs.

        Raises:
            ToolchainError: Lab Streaming Layer is not installed.
        """
        found: list[LiveOutput] = []
        if self.ndjson:
            import sys

            from kit.host.live_ndjson import NdjsonOutput

            found.append(NdjsonOutput(sys.stdout, options.stop.set))
        if self.lsl:
            from kit.host.live_lsl import LslOutput

            found.append(LslOutput())
        return found


def _find_port(show: _Output, baud: int | None) -> str:
    """The only port that answers the hello, at 115200 baud where no other speed is given."""
    from kit.host.ports import find_ports, only_device, survey
    from kit.host.transport import BAUD_RATE

    with show.console.status("asking the USB serial ports who is there"):
        return only_device(survey(find_ports(), baud=baud or BAUD_RATE)).port.device


def _run(show: _Output, options: CaptureOptions) -> CaptureState:
    """Capture with a live view or a status line; SIGINT and SIGTERM end it cleanly."""
    from kit.cli.signals import ask_to_stop
    from kit.host.capture import capture
    from kit.host.live_feed import LiveFeed

    console, outputs = show.console, show.outputs(options)
    if show.live:
        from kit.host.live_view import capture_live

        with ask_to_stop(options.stop):
            return capture_live(options, outputs, console)
    feed = LiveFeed(outputs) if outputs else None
    trace = (lambda line: console.print(line, markup=False)) if show.trace else None
    try:
        with console.status(f"{options.port}: asking who is there") as status, ask_to_stop(options.stop):
            return capture(options, _status_line(console, options, status), trace, feed)
    finally:
        if feed is not None:
            feed.close()
            _report_feed(feed)


def _report_feed(feed: LiveFeed) -> None:
    """Say on standard error what a live stream missed; the capture file has it all."""
    if feed.problem is not None:
        typer.echo(f"kit: the live stream ended early: {feed.problem}", err=True)
    if feed.skipped:
        typer.echo(f"kit: the live stream was read too slowly: {feed.skipped} records left out of it", err=True)


def _status_line(console: Console, options: CaptureOptions, status: Any) -> Update:
    """What shows the state of a capture in one line, after a line about the device."""
    announced = False

    def update(state: CaptureState) -> None:
        nonlocal announced
        if not announced:
            announced = True
            hello, build = state.hello, state.build
            name = build.name if build else "unknown build"
            console.print(
                f"{options.port}: {hello.target}, engine {hello.engine}, build {hello.build_hash} ({name}), "
                f"{hello.frames_per_packet * hello.frame_samples} samples at {hello.sample_rate_mhz / 1000:g} Hz "
                "per packet",
                markup=False,
            )
        waiting = f"{state.waiting}; " if state.waiting else ""
        status.update(f"{state.seconds:.0f} s: {waiting}{state.text}; Ctrl-C to end")

    return update


def _decode(console: Console, state: CaptureState, out: Path | None) -> Path | None:
    from kit.host.decode import decode_capture

    if state.tracker.received == 0:
        console.print("nothing to decode")
        return None
    if state.build is None or state.build.server is None:
        console.print("not decoded: no server bundle of this build is known; later: kit decode --server DIR")
        return None
    target = out or state.path.with_suffix(".npz")
    summary = decode_capture(state.path, state.build.server, target)
    console.print(f"{summary.out}: {summary.text}")
    return summary.out


def _print_json(state: CaptureState, decoded: Path | None) -> None:
    import json

    hello = state.hello
    values = {
        "file": str(state.path),
        "file_bytes": state.file_bytes,
        "ended": state.ended,
        "port": state.port,
        "target": hello.target,
        "engine": hello.engine,
        "build_hash": hello.build_hash,
        "seconds": round(state.seconds, 3),
        "signal_s": round(state.seconds_of_signal, 3),
        **state.counters(),
        "gaps_s": [round(gap, 3) for gap in state.gaps],
        "decoded": None if decoded is None else str(decoded),
    }
    typer.echo(json.dumps(values))
