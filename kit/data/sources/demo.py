"""Three PPG recordings that the PyPI package ``heartpy`` carries (extra ``demo``): read in place, never copied.

The package is not imported; its files are found through the installation's own list. All three are test
recordings of different people and are never trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from kit.config import SignalConfig
from kit.data.recording import Recording, to_codes
from kit.data.sources.csv_columns import parse_cells, read_column
from kit.errors import ConfigError, DataError

PACKAGE = "heartpy"
INSTALL = 'pip install "rvq-firmware-kit[demo]"'


@dataclass(frozen=True, slots=True)
class DemoFile:
    """A carried file: ``column`` is None where the file is one headerless column."""

    file: str
    column: str | None
    sample_rate_hz: float
    """Where the file has a time column, the mean rate over all of it, to 0.01 Hz."""


FILES = (
    DemoFile("data.csv", None, 100.0),
    DemoFile("data2.csv", "hr", 116.99),
    DemoFile("data3.csv", "hr", 100.42),
)


class DemoRecordings:
    """The recordings of the ``demo`` extra, all in the test split."""

    dataset = "demo"

    def __init__(self, signal: SignalConfig) -> None:
        """Find the files.

        Raises:
            ConfigError: ``signal.kind`` is not ppg.
            DataError: the package is not installed or lacks a file.
        """
        if signal.kind != "ppg":
            raise ConfigError(f"data.sources: demo recordings are PPG, signal.kind is {signal.kind}")
        self.left_out: dict[str, int] = {}
        self._container_bits = signal.container_bits
        try:
            listed = metadata.files(PACKAGE)
            self._version = metadata.version(PACKAGE)
        except metadata.PackageNotFoundError:
            raise DataError(f"demo recordings need the package {PACKAGE}", INSTALL) from None
        paths = {p.name: Path(str(p.locate())) for p in listed or [] if p.parent.name == "data"}
        for demo in FILES:
            if demo.file not in paths or not paths[demo.file].is_file():
                raise DataError(f"{PACKAGE} {self._version} carries no {demo.file}", INSTALL)
        self._paths = paths

    def __iter__(self) -> Iterator[Recording]:
        """Read the recordings.

        Raises:
            DataError: a file that cannot be read.
        """
        for demo in FILES:
            path = self._paths[demo.file]
            if demo.column is None:
                values = parse_cells(path.read_text(encoding="utf-8").split())
            else:
                values = read_column(path, demo.column)
            codes = to_codes(values, self._container_bits, f"{PACKAGE} {demo.file}")
            name = Path(demo.file).stem
            yield Recording(
                name=name,
                dataset=self.dataset,
                subject=f"{PACKAGE}_{name}",
                samples=codes.samples,
                sample_rate_hz=demo.sample_rate_hz,
                scale=1.0,
                unit="ADC codes",
                split="test",
                synthetic=False,
                source_text=f"{demo.file} of the PyPI package {PACKAGE} {self._version}",
                license=f"see {PACKAGE}",
                missing=codes.missing,
                saturated=codes.saturated,
                bits=10,
            )
