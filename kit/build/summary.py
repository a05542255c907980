"""What ``kit build-firmware`` prints before and after the stages."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from kit.build.pipeline import Context
from kit.config import Config
from kit.wire.packet import PacketLayout


def print_ratios(config: Config, console: Console) -> None:
    """The compression ratio by the formula (indices only), and with every byte on the wire counted."""
    layout = PacketLayout.from_config(config)
    raw = layout.raw_bits / 8
    width = "with indices of fixed width, " if layout.variable else ""
    console.print(
        f"{config.name}: {width}frames of {config.signal.frame_samples} samples "
        f"({config.signal.frame_seconds:g} s at {config.signal.sample_rate_hz} Hz), {raw:g} bytes raw; "
        f"compression {config.compression_ratio:.2f}x (indices, {layout.index_bytes} bytes), "
        f"{layout.wire_ratio:.2f}x on the wire ({layout.wire_bytes_per_frame:.4g} bytes with side information, header, "
        "CRC and framing)",
        highlight=False,
    )
    if layout.frames_per_packet > 1:
        console.print(f"  {multi_frame_text(config)}", highlight=False)


def multi_frame_text(config: Config) -> str:
    """What several frames per packet cost and save: the wait for a packet's last frame, and the bytes per frame."""
    layout = PacketLayout.from_config(config)
    single = replace(layout, frames_per_packet=1)
    saved = single.wire_bytes - layout.wire_bytes_per_frame
    packet_s = layout.frames_per_packet * config.signal.frame_seconds
    return (
        f"{layout.frames_per_packet} frames per packet: a packet every {packet_s:g} s instead of "
        f"{config.signal.frame_seconds:g} s, so a frame waits up to {packet_s - config.signal.frame_seconds:g} s "
        f"longer; {saved:.2f} of {single.wire_bytes} bytes saved per frame ({100 * saved / single.wire_bytes:.1f} %), "
        f"and a lost packet loses {layout.frames_per_packet} frames"
    )


def print_summary(context: Context, seconds: float) -> None:
    """What was built, from what, how well it does and where to look."""
    facts = context.manifest.facts
    context.console.print(
        f"build {facts['build_hash']}, weights: {facts['weights']}, engine {context.config.firmware.engine}",
        highlight=False,
    )
    for line in facts["summary"]:
        context.console.print(f"  {line}", highlight=False)
    context.console.print(
        f"[bold green]done[/bold green] in {seconds:.0f} s: {context.folder / 'report.html'}", highlight=False
    )
