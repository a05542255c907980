"""Where the resampled samples of all recordings live: in memory, in a mapped file, or behind a TFRecord cache.

Every store presents the same flat array of samples, recording after recording, so that whoever draws from it draws
the same windows whatever the mode.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.errors import DataError
from kit.files import atomic_path, sha256_bytes

Samples = NDArray[np.signedinteger[Any]]


class SampleStore(Protocol):
    """Samples of recordings, appended one recording at a time, then read as one flat array."""

    def add(self, key: str, length: int, make: Callable[[], Samples]) -> Samples:
        """Append the recording that ``make`` computes; ``key`` identifies its content, ``length`` its samples."""

    @property
    def flat(self) -> Samples:
        """All samples, recording after recording: int16[n] or int32[n]."""


def gather(flat: Samples, starts: NDArray[np.int64], frame: int) -> Samples:
    """Windows of ``frame`` samples at flat positions ``starts`` [n]: [n, frame]."""
    return np.asarray(flat[starts[:, None] + np.arange(frame, dtype=np.int64)])


class MemoryStore:
    """Everything in one array in memory."""

    def __init__(self, container_bits: int) -> None:
        self._dtype = np.dtype(f"<i{container_bits // 8}")
        self._parts: list[Samples] = []
        self._flat: Samples | None = None

    def add(self, key: str, length: int, make: Callable[[], Samples]) -> Samples:
        """Append a recording; see :class:`SampleStore`."""
        samples = make()
        self._parts.append(samples)
        self._flat = None
        return samples

    @property
    def flat(self) -> Samples:
        """All samples, recording after recording."""
        if self._flat is None:
            self._flat = np.concatenate([*self._parts, np.empty(0, self._dtype)])
            self._parts = [self._flat]
        return self._flat


class MappedStore:
    """Samples in a file that the operating system pages in as windows are drawn; for sets larger than memory."""

    def __init__(self, container_bits: int, folder: Path | None) -> None:
        """Start an empty file in ``folder``; without one, in a temporary folder that lasts as long as the store.

        Raises:
            DataError: the folder cannot be made or written.
        """
        self._dtype = np.dtype(f"<i{container_bits // 8}")
        self._bytes = 0
        self._mapped: Samples | None = None
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            place = tempfile.TemporaryDirectory(prefix="kit-samples-", dir=folder)
        except OSError as error:
            raise DataError(
                f"cannot make sample cache: {error.strerror}", "free space or use data.mode: memory"
            ) from None
        self._finalizer = weakref.finalize(self, place.cleanup)
        self._path = Path(place.name) / "samples.bin"

    def add(self, key: str, length: int, make: Callable[[], Samples]) -> Samples:
        """Append a recording; see :class:`SampleStore`.

        Raises:
            DataError: the disk is full.
        """
        samples = make()
        try:
            with self._path.open("ab") as stream:
                stream.write(samples.astype(self._dtype, copy=False).tobytes())
        except OSError as error:
            raise DataError(f"cannot write {self._path}: {error.strerror}", "free space on that disk") from None
        self._bytes += samples.nbytes
        self._mapped = None
        return samples

    @property
    def flat(self) -> Samples:
        """All samples as a read-only mapping of the file."""
        if self._bytes == 0:
            return np.empty(0, self._dtype)
        if self._mapped is None:
            self._mapped = np.memmap(self._path, dtype=self._dtype, mode="r")
        return self._mapped


class TfrecordStore(MemoryStore):
    """One TFRecord file per recording, reused by later builds; read back into memory at the start.

    A record is up to ``CHUNK`` samples, little-endian in the container's width. A file is named by the hash of all
    that decides its content, so that a changed recording, rate or filter is never mistaken for the cached one.
    """

    CHUNK = 1 << 15

    def __init__(self, container_bits: int, folder: Path | None) -> None:
        """Use ``folder``; without one, a temporary folder that lasts as long as the store."""
        super().__init__(container_bits)
        if folder is None:
            place = tempfile.TemporaryDirectory(prefix="kit-tfrecord-")
            self._finalizer = weakref.finalize(self, place.cleanup)
            folder = Path(place.name)
        self._folder = folder

    def add(self, key: str, length: int, make: Callable[[], Samples]) -> Samples:
        """Append a recording, from its file if there is a whole one; see :class:`SampleStore`.

        Raises:
            ArtifactError: the folder cannot be written.
            DataError: the file just written does not read back.
        """
        path = self._folder / f"{sha256_bytes(f'{key} {self._dtype.str}'.encode())[:32]}.tfrecord"
        samples = self._read(path, length)
        if samples is None:
            self._write(path, make())
            samples = self._read(path, length)
        if samples is None:
            raise DataError(f"{path} does not read back", "check that disk, or use data.mode: memory")
        return super().add(key, length, lambda: samples)

    def _write(self, path: Path, samples: Samples) -> None:
        import tensorflow as tf

        with atomic_path(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            for start in range(0, samples.size, self.CHUNK):
                writer.write(samples[start : start + self.CHUNK].astype(self._dtype, copy=False).tobytes())

    def _read(self, path: Path, length: int) -> Samples | None:
        """Samples of a whole file, or None when it is absent, damaged or short."""
        import tensorflow as tf

        if not path.is_file():
            return None
        try:
            records = [bytes(record) for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
        except tf.errors.OpError:
            return None
        data = b"".join(records)
        if len(data) != length * self._dtype.itemsize:
            return None
        return np.frombuffer(data, dtype=self._dtype)


def make_store(config: Config, folder: Path | None) -> SampleStore:
    """Store of the config's ``data.mode``; ``folder`` is the cache folder of the modes that have one."""
    bits = config.signal.container_bits
    if config.data.mode == "memory":
        return MemoryStore(bits)
    if config.data.mode == "streaming":
        return MappedStore(bits, folder)
    return TfrecordStore(bits, folder)
