"""Decoded signals as EDF+ (edfio writes the header; the records follow one by one, in constant memory).

EDF+C: gaps are filled with the physical minimum, which no received sample reaches, and annotated.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import numpy as np

from kit.errors import CaptureError
from kit.files import atomic_path
from kit.host.decode_blocks import Facts
from kit.host.decode_flat import MISSING_VALUE, FlatStore
from kit.host.decode_gaps import Gap

RECORD_SAMPLES_MAX = 15000
"""Half of the 61,440 bytes that EDF recommends as the most for a record."""
_RECORDS_AT, _RECORDS_BYTES = 236, 8
TAL_BYTES_MAX = 96
DIMENSIONS = {"ADC codes": "codes", "frame scales": "scales"}


def record_samples(rate_hz: float, frame_samples: int) -> int:
    """Samples of a data record: a whole number of seconds where the rate allows it, about one frame."""
    seconds = Fraction(rate_hz).limit_denominator(1000)
    if seconds.numerator > RECORD_SAMPLES_MAX:
        return frame_samples
    return seconds.numerator * max(1, frame_samples // seconds.numerator)


def _number(value: float) -> str:
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return text or "0"


def _annotation(gap: Gap, rate_hz: float) -> bytes:
    onset, duration = _number(gap.first_sample / rate_hz), _number(gap.samples / rate_hz)
    return f"+{onset}\x15{duration}\x14{gap.text}\x14\0".encode("ascii")


def _started(text: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def _header(store: FlatStore, samples: int, annotation_bytes: int) -> tuple[bytes, int]:
    """EDF+ header of a file with one record, and the size of its annotations."""
    import edfio

    facts = store.facts
    duration = round(samples / facts.source.sample_rate_hz, 5)
    signal = edfio.EdfSignal.from_digital(
        np.zeros(samples, np.int16),
        samples / duration,
        label=facts.kind.upper(),
        transducer_type=f"{facts.source.target} build {facts.source.build_hash}"[:80],
        physical_dimension=DIMENSIONS[facts.units],
        physical_range=store.physical_range,
        prefiltering=f"lossy codec, decoder of {facts.label}"[:80],
    )
    started = _started(facts.source.started)
    recording = edfio.Recording(
        startdate=started.date() if started is not None and 1985 <= started.year < 2085 else None,
        equipment_code="rvq-firmware-kit",
        additional=(f"build_{facts.source.build_hash}",),
    )
    edf = edfio.Edf(
        [signal],
        recording=recording,
        starttime=started.time().replace(microsecond=0) if started is not None else None,
        data_record_duration=duration,
        annotations=[edfio.EdfAnnotation(0, None, "x" * annotation_bytes)],
    )
    buffer = io.BytesIO()
    edf.write(buffer)
    data = buffer.getvalue()
    length = edf.bytes_in_header_record
    return data[:length], len(data) - length - 2 * samples


def _write(stream: BinaryIO, store: FlatStore) -> None:
    rate, frame_samples = store.facts.source.sample_rate_hz, store.facts.source.layout.frame_samples
    samples = record_samples(rate, frame_samples)
    # In the time of one record can begin a gap with every second frame, and a pause.
    gaps_max = samples // frame_samples + 2
    header, annotation_bytes = _header(store, samples, gaps_max * TAL_BYTES_MAX)
    records = -(-store.samples // samples)
    if records >= 10**_RECORDS_BYTES:
        raise CaptureError("the capture is too long for EDF", "decode to another --format")
    stream.write(header[:_RECORDS_AT] + f"{records:<8}".encode() + header[_RECORDS_AT + _RECORDS_BYTES :])
    waiting = store.gap_list()
    gap = next(waiting, None)
    for number, codes in enumerate(store.digital(samples)):
        short = samples - len(codes)
        stream.write(codes.tobytes() + np.full(short, MISSING_VALUE, "<i2").tobytes())
        text = f"+{_number(number * samples / rate)}\x14\x14\0".encode()
        while gap is not None and gap.first_sample < (number + 1) * samples:
            text += _annotation(gap, rate)
            gap = next(waiting, None)
        stream.write(text.ljust(annotation_bytes, b"\0"))


@contextmanager
def open_edf(out: Path, facts: Facts) -> Iterator[FlatStore]:
    """A sink that becomes ``out`` when the block succeeds.

    Raises:
        ArtifactError: the path cannot be written.
        CaptureError: the capture is too long for the format.
    """
    with atomic_path(out) as target, TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        store = FlatStore(Path(folder), facts)
        try:
            yield store
            store.end()
            with target.open("wb") as stream:
                _write(stream, store)
        finally:
            store.close()
