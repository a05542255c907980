"""Decoded signals as WFDB records: samples in format 16, gaps as that format's missing value and as annotations."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from kit.errors import ArtifactError, CaptureError
from kit.host.decode_blocks import Facts
from kit.host.decode_edf import DIMENSIONS
from kit.host.decode_flat import CHUNK_SAMPLES, MISSING_VALUE, FlatStore

ANNOTATIONS = "gap"
"""Extension of the annotation file."""
PARTS = (".dat", f".{ANNOTATIONS}", ".hea")
"""In the order in which they appear: a record is there when its header is."""


def check_record_name(out: Path) -> None:
    """Refuse a name that WFDB programs cannot open.

    Raises:
        CaptureError: the name holds other characters than letters, digits, ``-`` and ``_``.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", out.stem):
        raise CaptureError(
            f"a WFDB record cannot be called {out.stem!r}", "use letters, digits, - and _ only in the name of --out"
        )


def _write(folder: Path, name: str, store: FlatStore) -> None:
    import wfdb

    facts = store.facts
    checksum, first = 0, 0
    with (folder / f"{name}.dat").open("wb") as stream:
        for number, codes in enumerate(store.digital(CHUNK_SAMPLES)):
            first = int(codes[0]) if number == 0 else first
            checksum += int(codes.sum(dtype=np.int64))
            stream.write(codes.tobytes())
    bottom, top = store.physical_range
    gain = 65535.0 / (top - bottom)
    started: datetime.datetime | None = None
    with suppress(ValueError):
        started = datetime.datetime.fromisoformat(facts.source.started)
    record = wfdb.Record(
        record_name=name,
        n_sig=1,
        fs=facts.source.sample_rate_hz,
        sig_len=store.samples,
        base_date=started.date() if started else None,
        base_time=started.time().replace(microsecond=0) if started else None,
        file_name=[f"{name}.dat"],
        fmt=["16"],
        adc_gain=[gain],
        baseline=[round(MISSING_VALUE - bottom * gain)],
        units=[DIMENSIONS[facts.units]],
        adc_res=[16],
        adc_zero=[0],
        init_value=[first],
        checksum=[(checksum + 0x8000) % 0x10000 - 0x8000],
        block_size=[0],
        sig_name=[facts.kind.upper()],
        comments=[facts.text, f"values in {facts.units}"],
    )
    record.wrheader(write_dir=str(folder))
    if store.gaps:
        _annotate(folder, name, store, wfdb)


def _annotate(folder: Path, name: str, store: FlatStore, wfdb: Any) -> None:
    starts = np.empty(store.gaps, np.int64)
    texts: list[str] = []
    rate = store.facts.source.sample_rate_hz
    for number, gap in enumerate(store.gap_list()):
        starts[number] = gap.first_sample
        texts.append(f"{gap.text}, {gap.samples / rate:g} s")
    wfdb.wrann(name, ANNOTATIONS, starts, symbol=['"'] * store.gaps, aux_note=texts, fs=rate, write_dir=str(folder))


@contextmanager
def open_wfdb(out: Path, facts: Facts) -> Iterator[FlatStore]:
    """A sink that becomes the record of ``out`` (its .hea) when the block succeeds.

    Raises:
        ArtifactError: the path cannot be written.
        CaptureError: a name that WFDB does not allow.
    """
    check_record_name(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            temporary = Path(folder) / "record"
            temporary.mkdir()
            store = FlatStore(Path(folder), facts)
            try:
                yield store
                store.end()
                _write(temporary, out.stem, store)
            finally:
                store.close()
            _appear(temporary, out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(f"cannot write {out}: {reason}", "choose a writable folder with free space") from None


def _appear(folder: Path, out: Path) -> None:
    """Put the parts of a record in their place; the header, which makes them one, goes first and comes last."""
    out.with_suffix(".hea").unlink(missing_ok=True)
    for suffix in PARTS:
        made = folder / f"{out.stem}{suffix}"
        if made.is_file():
            made.chmod(0o644)
            os.replace(made, out.with_suffix(suffix))
        else:
            out.with_suffix(suffix).unlink(missing_ok=True)
