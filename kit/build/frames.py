"""Which recorded frames a build uses for its vectors, its embedded recording and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config, CsvSource, DemoSource, NpzSource, SyntheticSource
from kit.errors import ConfigError, DataError

if TYPE_CHECKING:
    from kit.data import Dataset

VECTOR_FRAMES = 64


@dataclass(frozen=True)
class ChosenFrames:
    """Frames with their origin.

    Attributes:
        frames: int16 or int32 [n, T].
        label: datasets and split, for example ``bidmc + stress_predict, test``.
    """

    frames: NDArray[Any]
    label: str


def needs_root(config: Config) -> bool:
    """Whether the configured sources lie in a folder of recordings."""
    return any(isinstance(source, NpzSource | CsvSource) for source in config.data.sources)


def reporting_config(config: Config, root: Path | None) -> Config:
    """The configuration whose recordings vectors and figures come from.

    With ``root`` (or sources that need none) it is ``config`` itself. Otherwise its sources are replaced by the
    recordings of the ``demo`` extra where that is installed, and by synthetic PPG where it is not; labels say which.

    Raises:
        ConfigError: nothing stands in for recordings of this kind of signal.
    """
    if root is not None or not needs_root(config):
        return config
    if config.signal.kind != "ppg":
        raise ConfigError(
            f"{config.name} needs recordings for its vectors and figures, and no folder of them was given; the kit "
            "brings stand-ins for PPG only",
            f"add --data DIR with {config.signal.kind.upper()} recordings (layout: docs/data.md)",
        )
    stand_in: Any = SyntheticSource(type="synthetic")
    try:
        metadata.version("heartpy")
        stand_in = DemoSource(type="demo")
    except metadata.PackageNotFoundError:
        pass
    return config.model_copy(update={"data": config.data.model_copy(update={"sources": (stand_in,)})})


def evenly_spaced(frames: NDArray[Any], count: int) -> NDArray[Any]:
    """At most ``count`` frames, spread evenly over all of them; the same choice every time."""
    if len(frames) <= count:
        return frames
    return frames[np.linspace(0, len(frames) - 1, count).round().astype(np.int64)]


def shares(dataset: Dataset, split: str, count: int) -> NDArray[Any]:
    """At most ``count`` frames of a split, evenly spaced, in equal parts of each dataset; datasets in order."""
    parts = [dataset.frames(split, name) for name in dataset.datasets]
    parts = [part for part in parts if len(part)]
    if not parts:
        raise DataError(f"the {split} split of {dataset.label} has no frame", "give longer recordings")
    sizes = [count // len(parts) + (position < count % len(parts)) for position in range(len(parts))]
    return np.concatenate([evenly_spaced(part, size) for part, size in zip(parts, sizes, strict=True)])


def vector_frames(dataset: Dataset, count: int = VECTOR_FRAMES) -> ChosenFrames:
    """Test frames for vectors.npz, evenly spaced and taken in equal parts from each dataset.

    Raises:
        DataError: the test split has no frame.
    """
    names = [name for name in dataset.datasets if len(dataset.frames("test", name))]
    if not names:
        raise DataError(f"the test split of {dataset.label} has no frame", "give longer recordings")
    parts = [evenly_spaced(dataset.frames("test", name), -(-count // len(names))) for name in names]
    # Interleaved, so that the first few (the ones embedded in the firmware) show every dataset.
    order = sorted((i, p) for p, part in enumerate(parts) for i in range(len(part)))[:count]
    return ChosenFrames(np.stack([parts[p][i] for i, p in order]), f"{' + '.join(names)}, test")
