"""``kit capture-info``: what a capture file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kit.host.capture_info import CaptureInfo


def command(
    capture: Annotated[Path, typer.Argument(help="Capture file (.kitcap).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what a capture holds: device, build, packets stored and lost, duration, damage, notes."""
    import json

    from kit.host.capture_info import inspect_capture

    info = inspect_capture(capture)
    if as_json:
        typer.echo(json.dumps(info.as_dict(), indent=1, ensure_ascii=False))
        return
    for name, text in _lines(info):
        typer.echo(f"{name:<8} {text}")


def _lines(info: CaptureInfo) -> list[tuple[str, str]]:
    header, hello = info.header, info.header.hello
    side = "with" if header.layout.side_information else "without"
    lines = [
        ("file", f"{info.path} ({info.file_bytes:,} bytes, format {info.format})"),
        ("started", f"{header.started} on {header.port}, {header.mode}"),
        ("device", f"{hello.target}, engine {hello.engine}, protocol {hello.protocol}"),
        ("build", f"{header.build_hash} ({info.config_name or 'unknown configuration'})"),
        ("decoder", header.label or "unknown"),
        (
            "signal",
            f"{header.layout.frames_per_packet * hello.frame_samples} samples at {hello.sample_rate_mhz / 1000:g} Hz "
            f"in a packet of {hello.packet_bytes} bytes, {side} side information",
        ),
        ("packets", f"{info.packets} ({info.signal_s:.1f} s of signal), {info.lost} lost, {info.duplicates} duplicate"),
        ("duration", f"{info.duration_s:.2f} s"),
        ("ended", info.ended or "no closing note: the capture was killed, or still runs"),
    ]
    if info.sessions > 1:
        lines.append(("sessions", f"{info.sessions}, {sum(gap.seconds for gap in info.gaps):.1f} s between them"))
    for gap in info.gaps:
        lines.append(("gap", f"{gap.seconds:.2f} s at {gap.time_us / 1e6:.1f} s: {gap.reason}"))
    if info.damaged_places:
        middle = info.left_out_bytes - info.torn_bytes
        lines.append(("damage", f"{middle} bytes in {info.damaged_places} places are damaged and left out"))
    if info.torn_bytes:
        lines.append(("damage", f"the last {info.torn_bytes} bytes are cut off or damaged and left out"))
    for note in info.notes:
        rest = ", ".join(f"{key} {value}" for key, value in note.items() if key != "event")
        lines.append(("note", f"{note.get('event', 'unnamed')}: {rest}"))
    return lines
