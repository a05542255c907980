"""What a validation found: one outcome per engine and target, and the report of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from kit.host.compare import Comparison
from kit.host.engines import Cell, shown_engine
from kit.host.explain import Explanation
from kit.host.runners import LinkFigures

State = Literal["passed", "failed", "skipped"]

RECORDED = "vectors.npz"
"""The packets that were recorded with the frames, as a target."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one cell of the matrix.

    Attributes:
        target: see :func:`kit.host.targets.parse_targets`.
        state: passed, failed or skipped.
        detail: why, in a line.
        seconds: how long it took.
        comparison: with the truth; None for the truth itself, and where nothing ran.
        time_us_median: encoding time that the device measured.
        link: how the serial link did.
        engine: what ran the encoder; empty for recorded packets.
        explanation: layer by layer, and what a departure comes from; None where neither was looked at.
        truth: this is what the others are compared with.
        double: the API double of the tests ran the encoder, not TensorFlow Lite Micro.
    """

    target: str
    state: State
    detail: str
    seconds: float = 0.0
    comparison: Comparison | None = None
    time_us_median: float | None = None
    link: LinkFigures | None = None
    engine: str = ""
    explanation: Explanation | None = None
    truth: bool = False
    double: bool = False

    @property
    def shown_engine(self) -> str:
        """The engine as tables and reports name it."""
        return shown_engine(self.engine, self.double)

    @property
    def place(self) -> str:
        """The target as the table shows it."""
        return Cell(self.engine, self.target).place

    @property
    def layers_text(self) -> str:
        """The first layer that departs, or how many values of how many layers are equal; empty where unknown."""
        layers = None if self.explanation is None else self.explanation.layers
        if layers is None:
            return ""
        if layers.first is not None:
            return f"{layers.first}; {layers.first.pattern}"
        return f"all {len(layers.counts)} layers equal ({layers.compared:,} values)"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        explanation = self.explanation
        first = None if explanation is None or explanation.layers is None else explanation.layers.first
        return {
            "engine": self.engine,
            "double": self.double,
            "target": self.target,
            "state": self.state,
            "detail": self.detail,
            "truth": self.truth,
            "seconds": round(self.seconds, 3),
            "comparison": None if self.comparison is None else self.comparison.as_dict(),
            "first_layer_mismatch": None if first is None else str(first),
            "explanation": None if explanation is None else explanation.as_dict(),
            "time_us_median": self.time_us_median,
            "link": None if self.link is None else self.link.timing,
            "profile": None if self.link is None else self.link.profile,
        }

    @property
    def link_text(self) -> str:
        """Throughput, round trips and device time in a line; empty for a target without a link."""
        if self.link is None:
            return ""
        found = self.link.timing
        return (
            f"{found['frames_per_second']:.1f} frames/s with {found['credits']} under way, round trip "
            f"{found['round_trip_ms_p50']:.1f} ms (p50), {found['round_trip_ms_p99']:.1f} ms (p99), on the device "
            f"{found['device_us_p50']:.0f} us a frame (p50), {found['device_us_p99']:.0f} us (p99)" + self._counted()
        )

    def _counted(self) -> str:
        """What the probes of the device counted, where it has any."""
        profile = None if self.link is None else self.link.profile
        if profile is None:
            return ""
        if "missing" in profile:
            return f"; probes: {profile['missing']}"
        whole = next(row["mean"] for row in profile["totals"] if row["part"] == "codec")
        return f", {whole:,.0f} {profile['unit']} a frame"


@dataclass(frozen=True, slots=True)
class Report:
    """Outcome of a validation."""

    name: str
    build_hash: str
    engine: str
    frames: int
    source: str
    truth: str
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """At least one target ran, and none failed."""
        states = [outcome.state for outcome in self.outcomes]
        return "passed" in states and "failed" not in states

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "build_hash": self.build_hash,
            "engine": self.engine,
            "frames": self.frames,
            "source": self.source,
            "truth": self.truth,
            "passed": self.passed,
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
        }
