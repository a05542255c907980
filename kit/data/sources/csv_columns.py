"""One named column of CSV files."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import CsvSource, SignalConfig
from kit.data.recording import Recording, to_codes
from kit.errors import ConfigError, DataError


def read_column(path: Path, column: str) -> NDArray[np.float64]:
    """Values of ``column``: float64[rows], NaN where a cell is empty, absent or no number.

    The separator is the one of comma, semicolon and tab that the header holds most of.

    Raises:
        DataError: unreadable, empty, or without the column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(",;\t", key=first.count))
            header = [name.strip() for name in next(reader, [])]
            if column not in header:
                near = difflib.get_close_matches(column, header, n=1, cutoff=0.0)
                hint = f"; nearest: {near[0]}" if near else ""
                raise DataError(f"{path} has no column '{column}', it has: {', '.join(header) or 'none'}{hint}")
            at = header.index(column)
            cells = [row[at] if at < len(row) else "" for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}", "give a UTF-8 CSV file with a header line") from None
    if not cells:
        raise DataError(f"{path} has a header but no rows", "remove it")
    return parse_cells(cells)


def parse_cells(cells: list[str]) -> NDArray[np.float64]:
    """Text to float64, NaN where it is no number."""
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        return np.array([_cell(cell) for cell in cells], dtype=np.float64)


def _cell(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


class CsvFiles:
    """Recordings of all matching files, ordered by relative path."""

    def __init__(self, source: CsvSource, signal: SignalConfig, root: Path) -> None:
        """List the files.

        Raises:
            DataError: nothing matches ``files``, or a name does not match ``subject_pattern``.
            ConfigError: a pattern that is not one.
        """
        self.dataset = source.dataset
        self.left_out: dict[str, int] = {}
        self._source, self._signal = source, signal
        try:
            found = [(p.relative_to(root).as_posix(), p) for p in root.glob(source.files) if p.is_file()]
        except (ValueError, NotImplementedError):
            raise ConfigError(
                f"data.sources.files = {source.files!r}: not a pattern below the data folder", "for example my/*.csv"
            ) from None
        if not found:
            raise DataError(f"dataset {source.dataset}: nothing matches {source.files} below {root}", "correct 'files'")
        try:
            pattern = re.compile(source.subject_pattern)
        except re.error as error:
            raise ConfigError(f"data.sources.subject_pattern = {source.subject_pattern!r}: {error}") from None
        self._files = [(name, path, self._subject(pattern, name)) for name, path in sorted(found)]

    def _subject(self, pattern: re.Pattern[str], name: str) -> str:
        match: Any = pattern.search(name)
        if match is None:
            raise DataError(
                f"dataset {self.dataset}: {name} does not match subject_pattern {pattern.pattern}",
                "correct the pattern; its first group is the subject",
            )
        return str((match.group(1) if pattern.groups else match.group(0)) or name)

    def __iter__(self) -> Iterator[Recording]:
        """Read the files one by one.

        Raises:
            DataError: unreadable file, missing column, or no finite value.
        """
        for name, path, subject in self._files:
            values = read_column(path, self._source.column) * self._source.scale
            codes = to_codes(values, self._signal.container_bits, f"{path} column {self._source.column}")
            yield Recording(
                name=name.removesuffix(".csv"),
                dataset=self.dataset,
                subject=subject,
                samples=codes.samples,
                sample_rate_hz=self._source.sample_rate_hz,
                scale=self._source.scale,
                unit=self._source.column,
                split=None,
                synthetic=False,
                source_text=f"{name}, column {self._source.column}",
                license="not stated",
                missing=codes.missing,
                saturated=codes.saturated,
            )
