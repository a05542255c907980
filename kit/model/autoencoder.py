"""The autoencoder: encoder, residual vector quantizer and decoder as one trainable Keras model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from kit.config import Config
from kit.errors import ArtifactError, ShapeError
from kit.files import atomic_path
from kit.model.decoder import build_decoder
from kit.model.encoder import build_encoder
from kit.model.rvq import FloatArray, ResidualVectorQuantizer

VARIANCE_MIN = 1e-6
"""Frames of a smaller variance (all zero: flat) have no PRD and carry no weight."""


@keras.saving.register_keras_serializable(package="kit")
class RVQAutoencoder(keras.Model):  # type: ignore[misc]
    """Normalised frames float32 [B, T] to their reconstruction, same shape and units.

    The training loss is ``mse + codebook loss + beta * commitment loss``. ``mse`` is the mean squared error of frames
    scaled to unit variance, so that the pooled PRD in percent is ``100 * sqrt(mse)``.
    """

    def __init__(self, encoder: Any, rvq: ResidualVectorQuantizer, decoder: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder, self.rvq, self.decoder = encoder, rvq, decoder
        self.mse_tracker = keras.metrics.Mean(name="mse")
        self.rvq_tracker = keras.metrics.Mean(name="rvq_loss")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Reconstruction through the quantized latents."""
        ops = keras.ops
        x = ops.expand_dims(ops.expand_dims(inputs, 1), -1)
        latents = self.rvq(self.encoder(x, training=training), training=training)
        return ops.squeeze(self.decoder(latents, training=training), (1, 3))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Scalar loss; updates the epoch's ``mse`` and ``rvq_loss``. y, y_pred: float32 [B, T]."""
        frames = keras.ops.shape(y)[0]
        mse, rvq_loss = unit_variance_mse(y, y_pred), sum(self.losses)
        self.mse_tracker.update_state(mse, sample_weight=frames)
        self.rvq_tracker.update_state(rvq_loss, sample_weight=frames)
        return mse + rvq_loss

    def get_config(self) -> dict[str, Any]:
        """The three parts, serialised: a saved model loads whatever defaults the kit has by then."""
        parts = {"encoder": self.encoder, "rvq": self.rvq, "decoder": self.decoder}
        return {
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RVQAutoencoder:
        """Rebuild from :meth:`get_config`."""
        parts = {k: keras.saving.deserialize_keras_object(config[k]) for k in ("encoder", "rvq", "decoder")}
        return cls(**parts, name=config["name"])


def unit_variance_mse(y: Any, reconstruction: Any) -> Any:
    """Mean over frames of the squared error relative to the frame's variance.

    Args:
        y: float32 [B, T], the frames; those of variance below ``VARIANCE_MIN`` count as error-free.
        reconstruction: float32 [B, T].
    """
    ops = keras.ops
    variance = ops.var(y, axis=1)
    weight = ops.where(variance > VARIANCE_MIN, 1.0 / ops.maximum(variance, VARIANCE_MIN), 0.0)
    return ops.mean(weight * ops.mean(ops.square(y - reconstruction), axis=1))


def build_autoencoder(config: Config) -> RVQAutoencoder:
    """A new autoencoder with seeded weights; set the global Keras seed first for repeatable ones."""
    model, settings = config.model, config.train
    rvq = ResidualVectorQuantizer(
        model.num_levels,
        model.latent_width,
        model.embedding_dim,
        model.beta,
        update=settings.codebook,
        decay=settings.ema_decay,
        level_dropout=settings.level_dropout,
        rate_weight=settings.rate_weight,
        rate_bits=settings.rate_bits,
        beam=settings.beam,
        seed=settings.seed,
        name="rvq",
    )
    autoencoder = RVQAutoencoder(build_encoder(config), rvq, build_decoder(config), name="autoencoder")
    autoencoder(np.zeros((1, config.signal.frame_samples), np.float32))
    return autoencoder


def codebooks(autoencoder: RVQAutoencoder) -> FloatArray:
    """Trained codebooks, float32 [M, K, D] in latent units: exactly M of them.

    Raises:
        ShapeError: the quantizer holds anything else, or a value that is not finite.
    """
    rvq = autoencoder.rvq
    books = np.asarray(rvq.codebook, dtype=np.float32)
    expected = (rvq.levels, rvq.entries, autoencoder.encoder.output_shape[-1])
    if books.shape != expected or len(rvq.trainable_variables) != int(rvq.update == "gradient"):
        raise ShapeError(f"codebooks have shape {books.shape}, expected {expected}", "retrain with kit train")
    if not np.isfinite(books).all():
        raise ShapeError("a codebook holds values that are not finite", "retrain with a lower train.learning_rate")
    return books


def save_model(model: Any, path: str | Path) -> None:
    """Write a Keras model to ``path`` (.keras) atomically.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    with atomic_path(path) as temporary:
        model.save(temporary)


def load_autoencoder(path: str | Path) -> RVQAutoencoder:
    """Read ``autoencoder.keras`` for inference.

    Raises:
        ArtifactError: missing, damaged, or another kind of model.
    """
    fix = "train it with kit train"
    if not Path(path).is_file():
        raise ArtifactError(f"{path} does not exist", fix)
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ArtifactError(f"cannot load {path}: {reason[0]}", fix) from None
    if not isinstance(model, RVQAutoencoder):
        raise ArtifactError(f"{path} holds a {type(model).__name__}, not an RVQ autoencoder", fix)
    return model
