"""What ``kit build-firmware`` prints before and after the stages."""

from __future__ import annotations

from rich.console import Console

from kit.build.pipeline import Context
from kit.config import Config
from kit.wire.packet import PacketLayout


def print_ratios(config: Config, console: Console) -> None:
    """The compression ratio by the formula (indices only), and with every byte on the wire counted."""
    layout = PacketLayout.from_config(config)
    raw = config.signal.frame_samples * config.signal.sample_bits / 8
    console.print(
        f"{config.name}: frames of {config.signal.frame_samples} samples "
        f"({config.signal.frame_seconds:g} s at {config.signal.sample_rate_hz} Hz), {raw:g} bytes raw; "
        f"compression {config.compression_ratio:.2f}x (indices, {layout.index_bytes} bytes), "
        f"{raw / layout.wire_bytes:.2f}x on the wire ({layout.wire_bytes} bytes with side information, header, "
        "CRC and framing)",
        highlight=False,
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
