"""The float autoencoder on the same frames: what quantization starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.data import FrameRef
from kit.data.batches import normalised
from kit.evaluate.path import FLOAT, Evaluation, evaluation
from kit.reference.normalise import lsb_bits, normalise, unit_codes

BATCH = 256


def evaluate_float(
    config: Config,
    autoencoder: Any,
    frames: NDArray[Any],
    refs: Sequence[FrameRef],
    *,
    split: str = "test",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Figures of the float autoencoder, with the side information that the device would send.

    Args:
        config: of the build.
        autoencoder: :class:`kit.model.autoencoder.RVQAutoencoder`; this is where TensorFlow comes in. Its search
            gets the beam of the device.
        frames: int16 or int32 [n, T].
        refs: origin of each frame.
        split: name of the split that the frames are.
        progress: called with (frames done, frames in all).
    """
    clip = config.quantize.input_clip
    if config.quantize.beam > 1:  # what the device is compared with searches as well as it does
        autoencoder.rvq.beam = config.quantize.beam
    y = normalised(frames, clip)
    found = np.empty_like(y)
    for start in range(0, len(y), BATCH):
        found[start : start + BATCH] = np.asarray(autoencoder(y[start : start + BATCH], training=False))
        if progress is not None:
            progress(min(start + BATCH, len(y)), len(y))
    side = normalise(frames, lsb_bits(clip))
    unit = unit_codes(side.scale_code, lsb_bits(clip))
    decoded = (side.mean[:, None] + unit[:, None] * found).astype(np.float32)
    return evaluation(config, frames, decoded, refs, path=FLOAT, split=split, engine="keras", target="python")
