"""Coordinates of charts: Python places, the page's template prints. All lengths are in the chart's own pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

LOG_STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """Values to pixels.

    Attributes:
        low: value at ``start``.
        high: value at ``stop``.
        start: pixel.
        stop: pixel; may lie below ``start``.
        log: logarithmic.
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def at(self, value: float) -> float:
        """Pixel of a value, rounded so that pages stay small."""
        low, high, here = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        share = (here - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.stop - self.start), 1)

    def ticks(self, wanted: int = 5) -> list[tuple[float, str]]:
        """Pixel and text of round values."""
        values = self._log_values() if self.log else self._linear_values(wanted)
        return [(self.at(value), f"{value:g}") for value in values]

    def _log_values(self) -> list[float]:
        found = []
        for exponent in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1):
            found += [step * 10.0**exponent for step in LOG_STEPS]
        return [v for v in found if self.low * 0.999 <= v <= self.high * 1.001]

    def _linear_values(self, wanted: int) -> list[float]:
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / max(1, wanted)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough)
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Line:
    """A polyline with a CSS class, its dots and what each says when pointed at."""

    style: str
    label: str
    points: str
    dots: tuple[tuple[float, float, str], ...] = ()
    end: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class Chart:
    """Everything a template needs to print a chart."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    marks: list[dict[str, Any]] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)


def polyline(xs: Sequence[float], ys: Sequence[float]) -> str:
    """The ``points`` attribute."""
    return " ".join(f"{x:g},{y:g}" for x, y in zip(xs, ys, strict=True))


def trace_chart(
    series: Sequence[tuple[str, str, Sequence[float]]], seconds: float, width: float = 350.0, height: float = 150.0
) -> Chart:
    """Signals over time on one pair of axes.

    Args:
        series: (CSS class, label, values) each; the first sets the scale together with the others.
        seconds: duration of each.
        width: of the whole chart.
        height: of the whole chart.
    """
    chart = Chart(width, height, 8.0, width - 8.0, 8.0, height - 22.0)
    every = [value for _, _, values in series for value in values]
    low, high = min(every), max(every)
    margin = 0.06 * (high - low) or 1.0
    x_axis = Axis(0.0, seconds, chart.left, chart.right)
    y_axis = Axis(low - margin, high + margin, chart.bottom, chart.top)
    chart.x_ticks = x_axis.ticks(5)
    for style, label, values in series:
        step = seconds / max(1, len(values))
        xs = [x_axis.at(number * step) for number in range(len(values))]
        chart.lines.append(Line(style, label, polyline(xs, [y_axis.at(value) for value in values])))
    return chart
