"""Training and validation batches.

All randomness of step ``k`` comes from a generator keyed by (``train.seed``, ``k``), so that training can resume at
any step and every ``data.mode`` gives the same batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config, QuantizeConfig
from kit.data.ahead import Ahead
from kit.data.augment import Windows, augmented
from kit.data.dataset import Dataset
from kit.data.store import Samples, gather
from kit.errors import DataError
from kit.reference.normalise import encoder_input, input_values, lsb_bits, normalise, unit_codes

if TYPE_CHECKING:
    import tensorflow as tf

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


def normalised(frames: Samples, input_clip: int) -> NDArray[np.float32]:
    """Frames as the float encoder sees them, neither rounded nor clamped (NUMERICS.md section 2).

    Args:
        frames: int16[n, T] or int32[n, T] ADC codes.
        input_clip: ``quantize.input_clip``; 128 / input_clip LSB per unit.

    Returns:
        float32[n, T]: (frame - its rounded mean) / its quantized scale; zeros where the frame is flat.
    """
    bits = lsb_bits(input_clip)
    side = normalise(frames, bits)
    # A flat frame has scale code 0 and no unit; its deviations are all zero already.
    unit = unit_codes(np.maximum(side.scale_code, 1), bits)
    return ((frames - side.mean[:, None]) / unit[:, None]).astype(np.float32)


def rounded(frames: Samples, settings: QuantizeConfig) -> NDArray[np.float32]:
    """Frames as the INT8 encoder sees them, in units of their scale: float32[n, T] of int16[n, T] or int32[n, T]."""
    y = encoder_input(frames, settings).y
    return input_values(y, lsb_bits(settings.input_clip), settings.input_remainder_bits)


_FRAMES_STREAM = 1
"""Keeps the windows of :func:`training_frames` apart from those of the batches."""

_AUGMENT_STREAM = 2
"""Augmentation has draws of its own: windows and noise of a step are the same with and without it."""


@dataclass(frozen=True, slots=True, eq=False)
class CropTable:
    """Every permitted start of a training window, as runs over all recordings, grouped by dataset.

    Attributes:
        share: float64[d], cumulated probability of each dataset; the last is 1.
        first: int64[d + 1], number of permitted starts before each dataset's.
        before: int64[r], number of permitted starts before each run.
        begin: int64[r], flat position of each run's first start.
    """

    share: NDArray[np.float64]
    first: NDArray[np.int64]
    before: NDArray[np.int64]
    begin: NDArray[np.int64]

    def locate(self, which: NDArray[np.float64], where: NDArray[np.float64]) -> NDArray[np.int64]:
        """Flat start positions from two uniform draws each in [0, 1): the dataset by weight, then a start in it."""
        run, ordinal = self._pick(which, where)
        return np.asarray(self.begin[run] + ordinal - self.before[run])

    def windows(self, which: NDArray[np.float64], where: NDArray[np.float64], frame: int) -> Windows:
        """The windows of ``frame`` samples that :meth:`locate` starts, with the permitted samples around them."""
        run, ordinal = self._pick(which, where)
        begin, length = self.begin[run], np.diff(self.before, append=self.first[-1:])[run]
        return Windows(begin + ordinal - self.before[run], begin, begin + length + frame - 2)

    def _pick(
        self, which: NDArray[np.float64], where: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Run and number of the permitted start, counted over all runs."""
        chosen = np.minimum(np.searchsorted(self.share, which, side="right"), self.share.size - 1)
        low, high = self.first[chosen], self.first[chosen + 1]
        ordinal = np.minimum(low + (where * (high - low)).astype(np.int64), high - 1)
        return np.searchsorted(self.before, ordinal, side="right") - 1, ordinal


def crop_table(dataset: Dataset, random_crop: bool, *, weighted: bool = True) -> CropTable:
    """Starts that training may draw: every gated one, or only the non-overlapping frames.

    Args:
        weighted: draw from datasets by their weights; otherwise from each as often.

    Raises:
        DataError: no training window in any dataset.
    """
    weights, sizes = [], []
    begins, lengths = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for name in dataset.datasets:
        size = 0
        for entry in dataset.select("train", name):
            begin = entry.crops[:, 0] if random_crop else entry.starts
            length = entry.crops[:, 1] - begin + 1 if random_crop else np.ones_like(begin)
            begins.append(begin + entry.offset)
            lengths.append(length)
            size += int(length.sum())
        if size:
            weights.append(dataset.weights[name] if weighted else 1.0)
            sizes.append(size)
    if not sizes:
        raise DataError(
            f"no training frame in {dataset.label}",
            "give recordings of at least three subjects, or relax data.gates",
        )
    share = np.cumsum(np.array(weights, np.float64) / float(sum(weights)))
    length = np.concatenate(lengths)
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return CropTable(share, first, (np.cumsum(length) - length).astype(np.int64), np.concatenate(begins))


def batch_maker(dataset: Dataset, config: Config) -> Callable[[int], Batch]:
    """Function from step number to (seen, clean) float32[B, T] of that step; seen may be rounded and noisy.

    Raises:
        DataError: no training window in any dataset.
    """
    table = crop_table(dataset, config.preprocess.random_crop)
    flat = dataset.store.flat
    size, frame, noise = config.train.batch_size, config.signal.frame_samples, config.preprocess.noise_std
    clip, seed, augment = config.quantize.input_clip, config.train.seed, config.preprocess.augment

    def draw(rng: np.random.Generator, step: int) -> Samples:
        which, where = rng.random((2, size))
        if not augment.active:
            return gather(flat, table.locate(which, where), frame)
        own = _generator(seed, step, _AUGMENT_STREAM)
        return augmented(flat, table.windows(which, where, frame), config.signal, augment, own)

    def make(step: int) -> Batch:
        rng = _generator(seed, int(step))
        frames = draw(rng, int(step))
        clean = normalised(frames, clip)
        seen = rounded(frames, config.quantize) if config.preprocess.rounded_input else clean
        if noise == 0.0:
            return seen, clean
        return seen + np.float32(noise) * rng.standard_normal((size, frame), dtype=np.float32), clean

    return make


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def training_frames(dataset: Dataset, config: Config, count: int, *, weighted: bool = True) -> Samples:
    """``count`` raw training windows, drawn like those of a batch: integers [count, T] in ADC codes.

    Args:
        weighted: as for :func:`crop_table`.

    Raises:
        DataError: no training window in any dataset.
    """
    table = crop_table(dataset, config.preprocess.random_crop, weighted=weighted)
    rng = _generator(config.train.seed, count, _FRAMES_STREAM)
    starts = table.locate(*rng.random((2, count)))
    dtype = np.int16 if config.signal.container_bits == 16 else np.int32
    return gather(dataset.store.flat, starts, config.signal.frame_samples).astype(dtype, copy=False)


def training_batches(dataset: Dataset, config: Config, start_step: int = 0) -> tf.data.Dataset:
    """Infinite batches (noisy, clean), each float32[B, T] in units of the frame's scale.

    A dataset is drawn by its weight, then one of its permitted windows uniformly; ``noise_std`` Gaussian noise is
    added to the first element. Batch ``k`` from ``start_step = s`` is batch ``s + k`` from the start.

    Raises:
        DataError: no training window in any dataset.
    """
    return _pipeline(batch_maker(dataset, config), config, start_step, None)


def validation_batches(dataset: Dataset, config: Config) -> tf.data.Dataset:
    """All validation frames once, in order: (x, x), each float32[up to B, T].

    Raises:
        DataError: no validation frame.
    """
    starts = np.concatenate([np.empty(0, np.int64), *(e.offset + e.starts for e in dataset.select("val"))])
    if not starts.size:
        raise DataError(f"no validation frame in {dataset.label}", "give recordings of at least three subjects")
    size, frame, clip = config.train.batch_size, config.signal.frame_samples, config.quantize.input_clip
    flat = dataset.store.flat

    def make(step: int) -> Batch:
        frames = normalised(gather(flat, starts[step * size : (step + 1) * size], frame), clip)
        return frames, frames

    return _pipeline(make, config, 0, -(-starts.size // size))


def _pipeline(make: Callable[[int], Batch], config: Config, first: int, steps: int | None) -> tf.data.Dataset:
    """Batches ``first``, ``first + 1``, ... as a tf.data pipeline; endless without ``steps``.

    Deliberately without tf.data's prefetching: its background thread enters Python while the interpreter shuts down
    and hangs the process, in about one exit of four (TensorFlow 2.21). :class:`kit.data.ahead.Ahead` does it instead.
    """
    import tensorflow as tf

    ahead = Ahead(make, None if steps is None else first + steps)
    shape = (config.train.batch_size if steps is None else None, config.signal.frame_samples)

    def batch(step: Any) -> Any:
        noisy, clean = tf.numpy_function(ahead, [step], (tf.float32, tf.float32))
        return tf.ensure_shape(noisy, shape), tf.ensure_shape(clean, shape)

    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.inject_prefetch = False
    last = tf.int64.max if steps is None else first + steps
    return tf.data.Dataset.range(first, last).map(batch).with_options(options)
