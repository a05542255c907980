"""A better basis for the latents: the same autoencoder, whose latents spread evenly over their channels.

INT8 latents have one scale for all channels, set by the largest value of any. A channel that swings wide makes all
others coarse. Residual vector quantization only measures Euclidean distances, which no rotation changes, and both
neighbours of the latents are linear: a rotation folds into the encoder's last convolution, the codebooks and the
decoder's first convolution, and costs nothing. The idea of rotating activations before quantization is that of QuaRot
(Ashkboos et al., 2024); here the rotation is searched for, one plane at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.model.rvq import FloatArray

SWEEPS = 3
EXTREMES = 8000
"""Latent vectors of largest norm that decide; the others cannot set a range."""

ANGLES = np.linspace(-np.pi / 4, np.pi / 4, 17)
BATCH = 256

Matrix = NDArray[np.float64]


def spread_latents(autoencoder: Any, frames: FloatArray) -> float:
    """Rotate the latents of an autoencoder in place; reconstruction and indices stay the same up to float rounding.

    Args:
        autoencoder: :class:`kit.model.autoencoder.RVQAutoencoder`.
        frames: float32 [n, T], training frames in units of their scale.

    Returns:
        largest latent magnitude after over before, at most 1; 1 where encoder or decoder end in something that cannot
        take up a rotation (layer normalisation behind the encoder's last convolution).
    """
    encoder, decoder = autoencoder.encoder, autoencoder.decoder
    first = _first_convolution(decoder)
    if first is None or not _can_rotate(encoder):
        return 1.0
    x = frames[:, None, :, None]
    parts = [np.asarray(encoder(x[i : i + BATCH], training=False)) for i in range(0, len(x), BATCH)]
    latents = np.concatenate(parts).reshape(-1, parts[0].shape[-1])
    matrix = spreading_rotation(latents)
    before, after = float(np.abs(latents).max()), float(np.abs(latents @ matrix).max())
    if not after < before:
        return 1.0
    _rotate_encoder(encoder, matrix)
    autoencoder.rvq.change_basis(matrix)
    kernel = np.asarray(first.kernel, np.float64)
    first.kernel.assign(np.einsum("de,hkdo->hkeo", matrix, kernel))
    return after / before


def spreading_rotation(latents: FloatArray) -> Matrix:
    """Orthogonal matrix Q, float64 [D, D], that makes the largest magnitude of ``latents @ Q`` small.

    Args:
        latents: float32 [n, D].
    """
    order = np.argsort(-np.square(latents).sum(axis=1), kind="stable")[:EXTREMES]
    turned = latents[order].astype(np.float64)
    matrix = np.eye(latents.shape[1])
    for _ in range(SWEEPS):
        for i in np.argsort(-np.abs(turned).max(axis=0), kind="stable"):
            for j in range(len(matrix)):
                if i != j:
                    angle = _best_angle(turned[:, i], turned[:, j])
                    _turn(turned, i, j, angle)
                    _turn(matrix, i, j, angle)
    return matrix


def _best_angle(a: Matrix, b: Matrix) -> float:
    """Angle whose rotation of the plane (a, b) has the smallest peak; 0 where none is better than none at all."""
    turned = ((np.cos(t) * a - np.sin(t) * b, np.sin(t) * a + np.cos(t) * b) for t in ANGLES)
    peaks = [max(np.abs(first).max(), np.abs(second).max()) for first, second in turned]
    best = int(np.argmin(peaks))
    return float(ANGLES[best]) if peaks[best] < peaks[len(ANGLES) // 2] else 0.0


def _turn(columns: Matrix, i: int, j: int, angle: float) -> None:
    cosine, sine = np.cos(angle), np.sin(angle)
    a, b = columns[:, i].copy(), columns[:, j].copy()
    columns[:, i], columns[:, j] = cosine * a - sine * b, sine * a + cosine * b


def _can_rotate(encoder: Any) -> bool:
    """The encoder ends in a linear convolution, or in one and a batch normalisation."""
    last = encoder.layers[-1]
    conv = encoder.layers[-2] if type(last).__name__ == "BatchNormalization" else last
    return type(conv).__name__ == "Conv2D" and conv.activation.__name__ == "linear"


def _first_convolution(decoder: Any) -> Any:
    """The decoder's first convolution when only nearest upsampling lies before it, else None."""
    for layer in decoder.layers:
        kind = type(layer).__name__
        if kind == "Conv2D":
            return layer
        if kind not in ("InputLayer", "UpSampling2D"):
            return None
    return None


def _rotate_encoder(encoder: Any, matrix: Matrix) -> None:
    last = encoder.layers[-1]
    if type(last).__name__ == "Conv2D":
        last.kernel.assign(np.asarray(last.kernel, np.float64) @ matrix)
        if last.use_bias:
            last.bias.assign(np.asarray(last.bias, np.float64) @ matrix)
        return
    conv = encoder.layers[-2]
    mean, variance = np.asarray(last.moving_mean, np.float64), np.asarray(last.moving_variance, np.float64)
    gain = np.asarray(last.gamma, np.float64) / np.sqrt(variance + last.epsilon)
    if conv.use_bias:
        mean = mean - np.asarray(conv.bias, np.float64)
        conv.bias.assign(np.zeros(len(mean)))
    conv.kernel.assign((np.asarray(conv.kernel, np.float64) * gain) @ matrix)
    # What is left of the normalisation is its offset: a mean of 0 and a variance that cancels epsilon.
    last.moving_mean.assign(np.zeros(len(mean)))
    last.moving_variance.assign(np.full(len(mean), 1.0 - last.epsilon))
    last.gamma.assign(np.ones(len(mean)))
    last.beta.assign((np.asarray(last.beta, np.float64) - mean * gain) @ matrix)
