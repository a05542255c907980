"""Captures to signals: original units, gaps as gaps, a time stamp for everything, in memory that does not grow."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kit.errors import CaptureError, ToolchainError
from kit.host.decode_blocks import Block, BlockReader, Facts, Pause, find_facts
from kit.host.decode_edf import open_edf
from kit.host.decode_npz import open_npz
from kit.host.decode_source import CaptureSource, Extent, Source, measure
from kit.host.decode_table import open_csv, open_parquet
from kit.host.decode_wfdb import check_record_name, open_wfdb
from kit.server.bundle import Bundle

PAUSE_DAYS_MAX = 7
"""Longest pause that is filled sample by sample; a longer one only fits a table of gaps."""


class Sink(Protocol):
    """Takes what was decoded, in order."""

    def add(self, item: Block | Pause) -> None:
        """Append a block or a pause."""


@dataclass(frozen=True, slots=True)
class Format:
    """An output format.

    Attributes:
        name: for ``--format``.
        suffix: of its files.
        open: gives the sink of an output.
        package: Python package it needs beyond the kit's own, empty for none.
        fills: pauses are written out sample by sample.
    """

    name: str
    suffix: str
    open: Callable[[Path, Facts], AbstractContextManager[Sink]]
    package: str = ""
    fills: bool = True


FORMATS = {
    f.name: f
    for f in (
        Format("npz", ".npz", open_npz, fills=False),
        Format("csv", ".csv", open_csv),
        Format("edf", ".edf", open_edf, "edfio"),
        Format("wfdb", ".hea", open_wfdb, "wfdb"),
        Format("parquet", ".parquet", open_parquet, "pyarrow"),
    )
}


def check_format(out: Path, name: str | None = None) -> Format:
    """The format of an output, by name or by the suffix of its path; before any work is done.

    Raises:
        CaptureError: unknown name or suffix, or the two contradict each other.
        ToolchainError: the format's package is not installed.
    """
    known = ", ".join(FORMATS)
    if name is not None and name not in FORMATS:
        raise CaptureError(f"no format {name!r}", f"formats: {known}")
    by_suffix = {f.suffix: f for f in FORMATS.values()}.get(out.suffix.lower())
    found = FORMATS[name] if name is not None else by_suffix
    if found is None:
        suffixes = ", ".join(f.suffix for f in FORMATS.values())
        raise CaptureError(f"cannot decode to {out.name}: its name must end in {suffixes}", "change --out, or --format")
    if found is not by_suffix:
        raise CaptureError(
            f"format {found.name} and {out.name} contradict each other", f"end the name in {found.suffix}"
        )
    if found.package and importlib.util.find_spec(found.package) is None:
        raise ToolchainError(
            f"writing {found.name} needs the Python package {found.package}",
            "pip install 'rvq-firmware-kit[formats]', or choose npz or csv",
        )
    if found.name == "wfdb":
        check_record_name(out)
    return found


@dataclass(frozen=True, slots=True)
class DecodeSummary:
    """What a decoding wrote.

    Attributes:
        out: the file; of WFDB the header.
        frames: rows of frames, missing ones included.
        lost: frames that never came or could not be read.
        concealed: of these, those that were filled in.
        pauses: pauses between sessions.
        duplicates: packets that stood in the capture twice.
        left_out_bytes: damaged bytes of the capture.
        seconds: length of the signal, missing frames and pauses included.
        units: of the values.
        measured_rate_hz: samples per second by the device's clock, None where it cannot be told.
        notes: what the capture wrote about itself.
    """

    out: Path
    frames: int
    lost: int
    concealed: int
    pauses: int
    duplicates: int
    left_out_bytes: int
    seconds: float
    units: str
    measured_rate_hz: float | None
    notes: tuple[dict[str, Any], ...] = field(default_factory=tuple)

    @property
    def text(self) -> str:
        """One line: what was written, what is missing."""
        parts = [f"{self.frames} frames ({self.seconds:.0f} s)", f"{self.lost} missing"]
        if self.concealed:
            parts[-1] += f", {self.concealed} of them concealed"
        if self.pauses:
            parts.append(f"{self.pauses} pause{'s' if self.pauses > 1 else ''}")
        return ", ".join([*parts, self.units])


Progress = Callable[[int, int], None]


def decode_capture(
    capture: Path,
    server: Path,
    out: Path,
    progress: Progress | None = None,
    conceal: bool = False,
    format_name: str | None = None,
) -> DecodeSummary:
    """Decode a capture file with a server bundle; ``out`` appears whole or not at all.

    Args:
        capture: file of ``kit serial-capture``.
        server: server folder of the same build.
        out: file to write.
        progress: called with (frames done, frames in all).
        conceal: fill in single missing frames between two that came, and mark them.
        format_name: key of :data:`FORMATS`; by the suffix of ``out`` where None.

    Raises:
        CaptureError: not a capture, no packet, another build, or an output that cannot be.
        ArtifactError: the bundle is damaged or the output cannot be written.
        ToolchainError: the format's package is not installed.
    """
    chosen = check_format(out, format_name)
    source = CaptureSource(capture)
    bundle = Bundle.load(server, source.facts.build_hash)
    return decode_source(source, bundle, out, chosen, progress, conceal)


def decode_source(
    source: Source, bundle: Bundle, out: Path, chosen: Format, progress: Progress | None = None, conceal: bool = False
) -> DecodeSummary:
    """Decode any source in two passes: the first finds how much there is, the second decodes and writes.

    Raises:
        CaptureError: no packet, another build, or pauses that the format cannot hold.
        ArtifactError: the output cannot be written.
    """
    extent = measure(source)
    facts = find_facts(source, extent, bundle, conceal)
    _check_pauses(facts, chosen)
    reader = BlockReader(source, facts, bundle)
    with chosen.open(out, facts) as sink:
        for item in reader:
            sink.add(item)
            if progress is not None and isinstance(item, Block):
                progress(item.first_frame + len(item.state), extent.frames)
    return _summary(out, facts, extent, reader)


def _check_pauses(facts: Facts, chosen: Format) -> None:
    days = facts.extent.pause_samples_max / facts.source.sample_rate_hz / 86400
    if chosen.fills and days > PAUSE_DAYS_MAX:
        raise CaptureError(
            f"a pause of {days:.1f} days between two sessions is too long to be filled in format {chosen.name}",
            "decode to npz, which lists it in a table",
        )


def _summary(out: Path, facts: Facts, extent: Extent, reader: BlockReader) -> DecodeSummary:
    return DecodeSummary(
        out=out,
        frames=extent.frames,
        lost=extent.missing + reader.unreadable,
        concealed=reader.concealed,
        pauses=extent.pauses,
        duplicates=extent.notes.duplicates,
        left_out_bytes=extent.notes.left_out_bytes,
        seconds=extent.samples / facts.source.sample_rate_hz,
        units=facts.units,
        measured_rate_hz=extent.measured_rate_hz,
        notes=tuple(extent.notes.notes),
    )
