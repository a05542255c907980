"""What each step from the float autoencoder to the device costs: reconstructions of the same frames, rung by rung.

The last rung before the packet is the device's own; from packet bytes on it is :mod:`kit.evaluate.path`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.data.batches import normalised, rounded
from kit.errors import ShapeError
from kit.model.rvq import nearest_indices
from kit.reference.device_path import DevicePath
from kit.reference.rvq import search
from kit.server.executor import decode_indices, run, sum_entries
from kit.server.spec import DecoderSpec

BATCH = 256

FLOAT, INPUT, LATENTS, SEARCH = "float", "INT8 input", "INT8 latents", "integer search"
"""Names of the rungs, in order."""

Decode = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Rung:
    """Reconstructions at one rung.

    Attributes:
        name: FLOAT (float encoder, float search, the trained decoder), INPUT (the same on the INT8 input), LATENTS
            (INT8 encoder, float search in the float codebook behind the device's, the final decoder) or SEARCH (INT8
            encoder, integer search, the final decoder). A codebook of the final decoder's own takes the place of what
            either search chose from.
        y: float32[n, T] in units of the frame's scale.
    """

    name: str
    y: NDArray[np.float32]


def float_latents(autoencoder: Any, y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Latents of the float encoder, in its own basis: float32[n, T] in units of the scale -> [n, P, D]."""
    parts = [np.asarray(autoencoder.encoder(y[at : at + BATCH, None, :, None])) for at in range(0, len(y), BATCH)]
    return np.concatenate(parts)[:, 0]


def int8_latents(path: DevicePath, frames: NDArray[Any]) -> NDArray[np.int8]:
    """Latents of the INT8 encoder for raw frames [n, T]: int8[n, P, C * D]."""
    return path.run(frames).latents


def float_search(
    latents: NDArray[np.float32], books: NDArray[np.float32], price: NDArray[np.float32] | None = None, beam: int = 1
) -> NDArray[np.float32]:
    """Sum of the chosen entries, level by level, in float: [n, P, D], books [M, K, D], price [M, K] -> [n, P, D].

    ``beam`` is the device's: a float autoencoder that is compared with it may search as well as it does.
    """
    return sum_entries(books, nearest_indices(latents, books, price, beam))


def ladder(autoencoder: Any, path: DevicePath, decoder: DecoderSpec, frames: NDArray[Any]) -> tuple[Rung, ...]:
    """Reconstructions of raw frames at every rung.

    Args:
        autoencoder: :class:`kit.model.autoencoder.RVQAutoencoder` as trained.
        path: the device path that was made of it.
        decoder: the final decoder, of the device's indices.
        frames: int16 or int32 [n, T].

    Raises:
        ShapeError: no frames.
    """
    if not len(frames):
        raise ShapeError("the ladder needs at least one frame")
    settings = path.config.quantize
    autoencoder.rvq.beam = path.codebook.beam  # it may search as well as the device does; prices go with the beam
    books, price = np.asarray(autoencoder.rvq.codebook, np.float32), autoencoder.rvq.bias()

    def trained(y: NDArray[np.float32]) -> NDArray[np.float32]:
        sent = float_search(float_latents(autoencoder, y), books, price, path.codebook.beam)
        parts = [np.asarray(autoencoder.decoder(sent[at : at + BATCH, None])) for at in range(0, len(y), BATCH)]
        return np.concatenate(parts)[:, 0, :, 0]

    latents, device = int8_latents(path, frames), path.codebook
    chosen = nearest_indices(device.real(latents), device.float, device.price(), device.beam)
    sent = sum_entries(device.float if decoder.codebook is None else decoder.codebook, chosen)
    return (
        Rung(FLOAT, trained(normalised(frames, settings.input_clip))),
        Rung(INPUT, trained(rounded(frames, settings))),
        Rung(LATENTS, run(decoder, sent)),
        Rung(SEARCH, decode_indices(decoder, device, search(latents, device))),
    )
