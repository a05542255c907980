"""Latents in the decoder's own measure: distances between them become distances between reconstructions.

The search takes the entry nearest in Euclidean distance, as if an error counted alike in every direction of the latent
space. It does not: a decoder is tens of times more sensitive along some directions than along others. With G the mean
of J^T J, J the decoder's Jacobian of one latent position, e^T G e is what a latent error e costs the reconstruction. A
linear change of basis A with A^T A near G makes that cost the plain distance; it folds into the encoder's last
convolution, the codebooks and the decoder's first convolution, so that it costs the device nothing, and INT8 latents
spend their steps where they count. A rotation behind it evens out the channels (:mod:`kit.model.basis`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.model.basis import spreading_rotation
from kit.quantize.fold import FloatArray, FloatConv, with_arrays

STEP = 0.02
"""Size of the change that measures the Jacobian, in units of the latents' deviation."""

SPREAD_MAX = 64.0
"""Largest ratio of two directions' scales: a direction that the decoder hardly reads keeps some precision."""

BATCH = 256


def decoder_sensitivity(decoder: Any, latents: NDArray[np.float32], frames: NDArray[np.float32]) -> FloatArray:
    """Mean of J^T J over positions, each frame in units of its own deviation: float64[D, D].

    All positions of a frame are moved at once, each by its own sign; what two positions have in common averages out.

    Args:
        decoder: Keras model [B, 1, P, D] -> [B, 1, T, 1].
        latents: float32[n, P, D], as the decoder gets them.
        frames: float32[n, T], the frames they are of.
    """
    count, positions, dims = latents.shape
    signs = np.random.default_rng(1).choice(np.array([-1, 1], np.float32), (count, positions))
    step = np.float32(STEP * (float(latents.std()) or 1.0))
    deviation = frames.std(axis=1).astype(np.float64)
    weight = np.where(deviation > 1e-3, 1.0 / np.maximum(deviation, 1e-3), 0.0)
    changes = []
    for channel in range(dims):
        moved = np.zeros_like(latents)
        moved[:, :, channel] = step * signs
        change = (_decode(decoder, latents + moved) - _decode(decoder, latents - moved)) / (2.0 * step)
        changes.append((change * weight[:, None]).ravel())
    matrix = np.stack(changes)
    return np.asarray(matrix @ matrix.T / (count * positions), np.float64)


def measure_basis(sensitivity: FloatArray, latents: NDArray[np.float32], exponent: float) -> FloatArray:
    """Basis change M, float64[D, D], for row vectors: ``latents @ M``.

    Args:
        sensitivity: G, from :func:`decoder_sensitivity`.
        latents: float32[n, D], over which the rotation evens out the channels.
        exponent: 0 leaves distances as they are, 1 makes them those of reconstructions.
    """
    values, vectors = np.linalg.eigh(sensitivity)
    top = float(values.max())
    if not top > 0 or exponent == 0:
        return np.eye(len(values))
    scales = np.maximum(values / top, SPREAD_MAX**-2) ** (exponent / 2)
    scales = scales / np.exp(np.log(scales).mean())
    measured = (vectors * scales) @ vectors.T
    return np.asarray(measured @ spreading_rotation((latents @ measured).astype(np.float32)))


def first_convolution(decoder: Any) -> Any:
    """The decoder's first convolution if only nearest upsampling lies before it and nothing passes by; else None."""
    for layer in decoder.layers:
        kind = type(layer).__name__
        if kind == "Conv2D":
            return layer
        if kind not in ("InputLayer", "UpSampling2D") or len(layer._outbound_nodes) != 1:
            return None
    return None


def change_encoder(layers: list[FloatConv], basis: FloatArray) -> list[FloatConv]:
    """The chain whose latents are ``latents @ basis``; its last layer must be a dense one without rectifier."""
    last = layers[-1]
    weights = np.einsum("oki,od->dki", last.weights, basis)
    return [*layers[:-1], with_arrays(last, weights, last.bias @ basis)]


def change_decoder(decoder: Any, basis: FloatArray) -> None:
    """Make a decoder take ``latents @ basis`` instead of ``latents``, in place."""
    kernel = first_convolution(decoder).kernel
    kernel.assign(np.einsum("ed,hkdo->hkeo", np.linalg.inv(basis), np.asarray(kernel, np.float64)))


def can_change(layers: list[FloatConv], decoder: Any) -> bool:
    """Both neighbours of the latents are linear."""
    return not layers[-1].relu and not layers[-1].depthwise and first_convolution(decoder) is not None


def _decode(decoder: Any, latents: NDArray[np.float32]) -> NDArray[np.float64]:
    parts = [decoder(latents[at : at + BATCH, None], training=False) for at in range(0, len(latents), BATCH)]
    return np.concatenate([np.asarray(part, np.float64)[:, 0, :, 0] for part in parts])
