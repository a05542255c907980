"""Where recordings come from: one module per source type, all behind :class:`RecordingSource`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kit.config import Config, CsvSource, DemoSource, NpzSource, Source
from kit.data.recording import Recording
from kit.errors import DataError

__all__ = ["DataRoot", "RecordingSource", "find_root", "open_source"]


class RecordingSource(Protocol):
    """Recordings of one dataset, in a fixed order, read one at a time."""

    @property
    def dataset(self) -> str:
        """Short name under which results are reported."""

    @property
    def left_out(self) -> dict[str, int]:
        """Recordings the source excludes on purpose: reason to count."""

    def __iter__(self) -> Iterator[Recording]:
        """Recordings in a fixed order."""


@dataclass(frozen=True, slots=True)
class DataRoot:
    """The folder below which file sources look, and who named it; ``path`` is None when nobody did."""

    path: Path | None
    named_by: str

    def require(self, dataset: str) -> Path:
        """The folder.

        Raises:
            DataError: nobody named it, or it does not exist.
        """
        if self.path is None:
            raise DataError(
                f"dataset {dataset} is read from files, but no data folder is given",
                "give it with --data DIR, as data.root in the config, or as environment variable KIT_DATA",
            )
        if not self.path.is_dir():
            raise DataError(
                f"data folder {self.path} ({self.named_by}) does not exist", "name an existing folder with --data DIR"
            )
        return self.path


def find_root(config: Config, root: Path | None) -> DataRoot:
    """Data folder: the caller's, else the config's ``data.root``, else environment variable KIT_DATA."""
    if root is not None:
        return DataRoot(Path(root), "--data")
    if config.data.root is not None:
        return DataRoot(Path(config.data.root).expanduser(), "data.root")
    if variable := os.environ.get("KIT_DATA"):
        return DataRoot(Path(variable), "KIT_DATA")
    return DataRoot(None, "")


def open_source(source: Source, config: Config, root: DataRoot) -> RecordingSource:
    """The source's recordings; files are listed and manifests read here, samples when iterated.

    Raises:
        DataError: missing folder or files, or a manifest that cannot be used.
        ConfigError: a source that cannot produce ``signal.kind``.
    """
    from kit.data.sources import csv_columns, demo, generated, npz

    if isinstance(source, NpzSource):
        return npz.NpzFolder(source, config.signal, root.require(source.dataset))
    if isinstance(source, CsvSource):
        return csv_columns.CsvFiles(source, config.signal, root.require(source.dataset))
    if isinstance(source, DemoSource):
        return demo.DemoRecordings(config.signal)
    return generated.Generated(source, config.signal)
