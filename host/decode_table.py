"""Decoded signals as tables with one row a sample: CSV, and Parquet (pyarrow)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from kit.files import atomic_path
from kit.host.decode_blocks import CONCEALED, RECEIVED, Block, Facts, Pause, spread

ROWS = 1 << 16
"""Rows of a pause written at a time."""


def _times(first: int, count: int, rate: float) -> NDArray[np.float64]:
    times: NDArray[np.float64] = np.arange(first, first + count) / rate
    return times


def _device_times(block: Block, facts: Facts) -> NDArray[np.float64]:
    """Device time of every sample; NaN in frames that did not come."""
    samples, rate = facts.source.layout.frame_samples, facts.source.sample_rate_hz
    before = (np.arange(samples) - (samples - 1)) / rate
    times: NDArray[np.float64] = (block.device_time_s[:, None] + before).ravel()
    return times


class CsvSink:
    """Lines of time, device time, value, valid, concealed; what is not known is empty."""

    def __init__(self, stream: TextIO, facts: Facts) -> None:
        self._stream = stream
        self._facts = facts
        self._scale = facts.codes_per_unit
        columns = "time_s,device_time_s,value,valid,concealed" + (",value_in_source_units" if self._scale else "")
        rate = facts.source.sample_rate_hz
        stream.write(f"# {facts.text}\n# value in {facts.units}, {rate:g} samples per second\n{columns}\n")

    def add(self, item: Block | Pause) -> None:
        """Write the lines of a block or a pause."""
        rate = self._facts.source.sample_rate_hz
        if isinstance(item, Pause):
            empty = "%.6f,,,0,0" + ("," if self._scale else "") + "\n"
            for at in range(0, item.samples, ROWS):
                count = min(ROWS, item.samples - at)
                times = _times(item.first_sample + at, count, rate)
                self._stream.write(empty * count % tuple(times.tolist()))
            return
        samples = item.signal.shape[1]
        for number, (state, start_s) in enumerate(zip(item.state, item.device_time_s, strict=True)):
            times = _times(item.first_sample + number * samples, samples, rate)
            values = item.signal[number].astype(np.float64)
            columns = [times]
            if state == RECEIVED:
                columns.append(start_s - np.arange(samples - 1, -1, -1) / rate)
            if state in (RECEIVED, CONCEALED):
                columns.append(values)
                if self._scale:
                    columns.append(values / self._scale)
            line = self._line(int(state))
            self._stream.write(line * samples % tuple(np.stack(columns, axis=1).ravel().tolist()))

    def _line(self, state: int) -> str:
        device = "%.6f" if state == RECEIVED else ""
        value = "%.3f" if state in (RECEIVED, CONCEALED) else ""
        units = (",%.9g" if value else ",") if self._scale else ""
        return f"%.6f,{device},{value},{int(state == RECEIVED)},{int(state == CONCEALED)}{units}\n"


@contextmanager
def open_csv(out: Path, facts: Facts) -> Iterator[CsvSink]:
    """A sink that becomes ``out`` when the block succeeds.

    Raises:
        ArtifactError: the path cannot be written.
    """
    with atomic_path(out) as target, target.open("w", encoding="utf-8", newline="\n") as stream:
        yield CsvSink(stream, facts)


class ParquetSink:
    """Columns time_s, device_time_s, value, valid, concealed, session; NaN where nothing is known."""

    def __init__(self, writer: Any, schema: Any, facts: Facts) -> None:
        self._writer = writer
        self._schema = schema
        self._facts = facts

    def add(self, item: Block | Pause) -> None:
        """Write the rows of a block or a pause, one row group each."""
        rate = self._facts.source.sample_rate_hz
        if isinstance(item, Pause):
            for at in range(0, item.samples, ROWS):
                count = min(ROWS, item.samples - at)
                nothing = np.full(count, np.nan)
                no = np.zeros(count, np.bool_)
                times = _times(item.first_sample + at, count, rate)
                self._write(times, nothing, nothing, no, no, np.zeros(count, np.uint16))
            return
        count = item.signal.size
        self._write(
            _times(item.first_sample, count, rate),
            _device_times(item, self._facts),
            item.signal.ravel(),
            spread(item.state == RECEIVED, self._facts),
            spread(item.state == CONCEALED, self._facts),
            np.full(count, item.session, np.uint16),
        )

    def _write(self, *columns: NDArray[Any]) -> None:
        import pyarrow

        arrays = [pyarrow.array(c.astype(f.type.to_pandas_dtype())) for c, f in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self._schema))


def _schema(facts: Facts) -> Any:
    import pyarrow

    about = {
        "build_hash": facts.source.build_hash,
        "label": facts.label,
        "started": facts.source.started,
        "units": facts.units,
        "sample_rate_hz": repr(facts.source.sample_rate_hz),
        "measured_rate_hz": repr(facts.extent.measured_rate_hz or float("nan")),
        "codes_per_unit": "" if facts.codes_per_unit is None else repr(facts.codes_per_unit),
    }
    return pyarrow.schema(
        [
            ("time_s", pyarrow.float64()),
            ("device_time_s", pyarrow.float64()),
            ("value", pyarrow.float32()),
            ("valid", pyarrow.bool_()),
            ("concealed", pyarrow.bool_()),
            ("session", pyarrow.uint16()),
        ],
        metadata=about,
    )


@contextmanager
def open_parquet(out: Path, facts: Facts) -> Iterator[ParquetSink]:
    """A sink that becomes ``out`` when the block succeeds.

    Raises:
        ArtifactError: the path cannot be written.
    """
    from pyarrow import parquet

    schema = _schema(facts)
    with atomic_path(out) as target, parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        yield ParquetSink(writer, schema, facts)
