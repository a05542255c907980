"""Decoded signals as .npz: one row a frame, missing frames NaN, and a table of the gaps."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kit.files import atomic_path
from kit.host.decode_blocks import CONCEALED, RECEIVED, Block, Facts, Pause
from kit.host.decode_gaps import Gap, GapFinder

_REASON = "S16"


class _Columns:
    """Arrays that grow row by row in files of their own, to be joined into one .npz."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, tuple[BinaryIO, np.dtype[Any], tuple[int, ...]]] = {}
        self._rows: dict[str, int] = {}

    def add(self, **rows: NDArray[Any]) -> None:
        for name, values in rows.items():
            if name not in self._files:
                self._files[name] = ((self._folder / name).open("wb"), values.dtype, values.shape[1:])
                self._rows[name] = 0
            stream, dtype, _ = self._files[name]
            stream.write(np.ascontiguousarray(values, dtype).tobytes())
            self._rows[name] += len(values)

    def close(self) -> None:
        for stream, _, _ in self._files.values():
            stream.close()

    def join(self, target: Path, single: dict[str, Any]) -> None:
        """Write everything into one archive, in constant memory."""
        self.close()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for name, (_, dtype, tail) in self._files.items():
                header = {
                    "descr": np.lib.format.dtype_to_descr(dtype),
                    "fortran_order": False,
                    "shape": (self._rows[name], *tail),
                }
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array_header_1_0(member, header)  # type: ignore[arg-type]
                    with (self._folder / name).open("rb") as column:
                        shutil.copyfileobj(column, member, 1 << 20)
            for name, value in single.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(value), allow_pickle=False)


class NpzSink:
    """Takes blocks and pauses."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self._facts = facts
        self._gaps = GapFinder()
        self._columns = _Columns(folder)

    def add(self, item: Block | Pause) -> None:
        """Append to the arrays; a pause only to the table of gaps."""
        self._table(list(self._gaps.add(item)))
        if isinstance(item, Pause):
            return
        count, samples = item.signal.shape
        rate = self._facts.source.sample_rate_hz
        starts = item.first_sample + np.arange(count, dtype=np.int64) * samples
        self._columns.add(
            signal=item.signal,
            valid=item.state == RECEIVED,
            concealed=item.state == CONCEALED,
            time_s=starts / rate,
            device_time_s=item.device_time_s - (samples - 1) / rate,
            host_time_s=item.host_time_s,
            session=np.full(count, item.session, np.uint16),
            indices=item.fields.indices,
        )
        if item.fields.mean is not None and item.fields.scale_code is not None:
            self._columns.add(mean=item.fields.mean, scale_code=item.fields.scale_code)

    def _table(self, gaps: list[Gap]) -> None:
        rate = self._facts.source.sample_rate_hz
        self._columns.add(
            gap_start_s=np.array([gap.first_sample / rate for gap in gaps], np.float64),
            gap_seconds=np.array([gap.samples / rate for gap in gaps], np.float64),
            gap_frames=np.array([gap.frames for gap in gaps], np.int64),
            gap_reason=np.array([gap.reason.encode("ascii", "replace") for gap in gaps], _REASON),
            gap_concealed=np.array([gap.concealed for gap in gaps], np.bool_),
        )

    def finish(self, target: Path) -> None:
        """Write the archive."""
        self._table(list(self._gaps.end()))
        facts = self._facts
        single: dict[str, Any] = {
            "sample_rate_hz": np.float64(facts.source.sample_rate_hz),
            "measured_rate_hz": np.float64(facts.extent.measured_rate_hz or np.nan),
            "units": facts.units,
            "build_hash": facts.source.build_hash,
            "label": facts.label,
            "started": facts.source.started,
        }
        if facts.codes_per_unit is not None:
            single["codes_per_unit"] = np.float64(facts.codes_per_unit)
        self._columns.join(target, single)

    def close(self) -> None:
        """Close the files of the columns."""
        self._columns.close()


@contextmanager
def open_npz(out: Path, facts: Facts) -> Iterator[NpzSink]:
    """A sink that becomes ``out`` when the block succeeds.

    Raises:
        ArtifactError: the path cannot be written.
    """
    with atomic_path(out) as target, TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        sink = NpzSink(Path(folder), facts)
        try:
            yield sink
            sink.finish(target)
        finally:
            sink.close()
