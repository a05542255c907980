"""How cost grows: with the length of a frame, and with the width of the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from kit.config import Config, parse_config
from kit.host.bench import BenchReport
from kit.host.firmware import Firmware

LENGTHS = (320, 640, 1280, 2560)
WIDTHS = (16, 24, 32, 48, 64)
SCALING_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Size:
    """One size and what it costs.

    Attributes:
        frame_samples: T.
        base_filters: channels of the first stage.
        macs: multiply-accumulates of the encoder per frame.
        encoder: instructions per frame, mean.
        search: likewise, of the search.
        codec: likewise, of everything.
        encoder_state: RAM of the encoder, bytes.
        codec_state: RAM of a codec, bytes.
        ring: of it, raw samples.
        packet: of it, the packet.
        codec_stack: worst-case stack of any call of the codec.
    """

    frame_samples: int
    base_filters: int
    macs: int
    encoder: float
    search: float
    codec: float
    encoder_state: int
    codec_state: int
    ring: int
    packet: int
    codec_stack: int

    @property
    def fixed_ram(self) -> int:
        """State and stack without raw samples and packet: what must not depend on the frame's length."""
        return self.codec_state - self.ring - self.packet + self.codec_stack


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through points: ``cost = fixed + slope * x``; the largest deviation in percent of the cost."""

    fixed: float
    slope: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """Every size on one target."""

    target: str
    sizes: tuple[Size, ...]

    def lengths(self) -> list[Size]:
        """Sizes that differ in frame length only."""
        return [size for size in self.sizes if size.base_filters == 32]

    def widths(self) -> list[Size]:
        """Sizes that differ in width only."""
        return [size for size in self.sizes if size.frame_samples == LENGTHS[0]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        lines = {
            "encoder_over_samples": asdict(
                fit([s.frame_samples for s in self.lengths()], [s.encoder for s in self.lengths()])
            ),
            "encoder_over_macs": asdict(fit([s.macs for s in self.widths()], [s.encoder for s in self.widths()])),
        }
        return {"target": self.target, "sizes": [asdict(size) for size in self.sizes], "lines": lines}


def scaling_configs(base: Config) -> list[Config]:
    """The sizes of the sweep: every length at the base's width, every width at the shortest length."""
    sizes = dict.fromkeys([(length, 32) for length in LENGTHS] + [(LENGTHS[0], width) for width in WIDTHS])
    configs = []
    for length, width in sizes:
        raw = base.model_dump(mode="json")
        raw["name"] = f"scaling_t{length}_f{width}"
        raw["signal"]["frame_samples"] = length
        raw["model"]["base_filters"] = width
        # Recordings of that length would be the largest part of the image, and nothing reads them here.
        raw["firmware"]["embedded_frames"] = 1
        configs.append(parse_config(raw))
    return configs


def size_of(firmware: Firmware, report: BenchReport) -> Size:
    """One row from a measured build."""
    memory = report.footprint or {}
    return Size(
        frame_samples=firmware.config.signal.frame_samples,
        base_filters=firmware.config.model.base_filters,
        macs=firmware.encoder.graph.macs,
        encoder=report.total("encoder").mean,
        search=report.total("search").mean,
        codec=report.total("codec").mean,
        encoder_state=memory["encoder_state"],
        codec_state=memory["codec_state"],
        ring=memory["ram"]["sample ring"],
        packet=firmware.layout.frame_bytes,
        codec_stack=memory["codec_stack"],
    )


def fit(x: Sequence[float], y: Sequence[float]) -> Line:
    """Least squares line of relative errors, so that small and large sizes count alike."""
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    design = np.stack([np.ones_like(xs), xs], axis=1) / ys[:, None]
    fixed, slope = np.linalg.lstsq(design, np.ones_like(ys), rcond=None)[0]
    deviation = float(np.abs((fixed + slope * xs) / ys - 1.0).max() * 100.0)
    return Line(float(fixed), float(slope), deviation)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, justify="right")
    return table


def scaling_tables(sweep: Sweep) -> list[Table]:
    """Cost over frame length and cost over width."""
    return [_length_table(sweep), _width_table(sweep)]


def _length_table(sweep: Sweep) -> Table:
    sizes = sweep.lengths()
    line = fit([size.frame_samples for size in sizes], [size.encoder for size in sizes])
    table = _table(
        f"{sweep.target}: frame length, random weights. Encoder: {line.fixed:,.0f} + {line.slope:,.1f} x T "
        f"instructions, within {line.deviation:.2f} %",
        ("T", "MAC", "encoder", "per sample", "search", "codec", "codec RAM", "samples", "packet", "rest with stack"),
    )
    for size in sizes:
        table.add_row(
            f"{size.frame_samples}",
            *(f"{value:,.0f}" for value in (size.macs, size.encoder)),
            f"{size.encoder / size.frame_samples:,.1f}",
            *(f"{value:,.0f}" for value in (size.search, size.codec, size.codec_state + size.codec_stack)),
            *(f"{value:,}" for value in (size.ring, size.packet, size.fixed_ram)),
        )
    return table


def _width_table(sweep: Sweep) -> Table:
    sizes = sorted(sweep.widths(), key=lambda size: size.base_filters)
    line = fit([size.macs for size in sizes], [size.encoder for size in sizes])
    table = _table(
        f"{sweep.target}: width, random weights. Encoder: {line.fixed:,.0f} + {line.slope:.3f} x MAC instructions, "
        f"within {line.deviation:.1f} %",
        ("base_filters", "MAC", "encoder", "per MAC", "search", "codec", "encoder RAM", "codec RAM with stack"),
    )
    for size in sizes:
        table.add_row(
            f"{size.base_filters}",
            *(f"{value:,.0f}" for value in (size.macs, size.encoder)),
            f"{size.encoder / size.macs:.3f}",
            *(f"{value:,.0f}" for value in (size.search, size.codec, size.encoder_state)),
            f"{size.codec_state + size.codec_stack:,}",
        )
    return table
