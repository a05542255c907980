"""A float autoencoder to what its device computes: INT8 encoder and codebooks, and a decoder of the same latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import QuantizeConfig
from kit.errors import ArtifactError, UnsupportedOpError
from kit.graph.ir import Encoder
from kit.graph.reader import read_tflite
from kit.model.rvq import nearest_indices
from kit.quantize.calibrate import Calibration, calibrate, search_frames
from kit.quantize.chain import QuantChain, input_columns
from kit.quantize.codebook_refit import CodebookRefit, entry_usage, refit_codebook
from kit.quantize.copies import CopyGain, mean_of_copies, repeated
from kit.quantize.finetune import TuneFrames, TuneResult, finetune
from kit.quantize.fold import FloatConv, fold_encoder, run_float
from kit.quantize.metric import can_change, change_decoder, change_encoder, decoder_sensitivity, measure_basis
from kit.quantize.prices import FREE, Rate
from kit.reference.encoder import encode

SENSITIVITY_FRAMES = 256
CODEBOOK_FRAMES = 4096
"""Training windows whose latents the codebooks are fitted to."""
CODEBOOK_VECTORS = (163840, 40960)
"""Their latents, and those of the validation frames that judge them: of more than twice as many, every second."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Int8Model:
    """The result.

    Attributes:
        tflite: content of encoder.tflite.
        encoder: its integer graph.
        books: float32[M, K, D] codebooks in the latents' real units.
        usage: int64[M, K], how often each entry is chosen on training windows.
        price: float32[M, K] in squared latent units, or None where bits have none.
        calibration: of the ranges.
        tuned: fine-tuning, or None without.
        copied: what giving latents several times does, or None where they are given once.
        refit: of the codebooks, or None without.
    """

    tflite: bytes
    encoder: Encoder
    books: NDArray[np.float32]
    usage: NDArray[np.int64]
    price: NDArray[np.float32] | None
    calibration: Calibration
    tuned: TuneResult | None
    copied: CopyGain | None
    refit: CodebookRefit | None

    @property
    def lines(self) -> list[str]:
        """What happened, for the console."""
        found = [f"calibrated on {self.calibration.frames} training frames by {self.calibration.summary}"]
        if self.tuned is not None:
            found.append(
                f"fine-tuned: PRD on validation frames {self.tuned.prd_before:.2f} % before, "
                f"{self.tuned.prd_after:.2f} % after {self.tuned.best_step} steps (float search)"
            )
        if self.copied is not None:
            found.append(
                f"latents given {self.copied.copies} times: their last layer off by {self.copied.repeated:.1f} per "
                f"mille, by {self.copied.once:.1f} given once"
            )
        if self.refit is not None:
            bits = f", {self.refit.bits_before:.2f} -> {self.refit.bits_after:.2f} bits a position"
            found.append(
                f"codebooks refit: {100 * (1 - self.refit.after / self.refit.before):.1f} % less error of the "
                f"validation latents after {self.refit.best_round} rounds{bits if self.price is not None else ''}"
            )
        return found


def foldable(encoder: Any) -> list[FloatConv] | None:
    """The folded chain of a Keras encoder; None where it is none, which the converter may still take."""
    try:
        return fold_encoder(encoder)
    except UnsupportedOpError:
        return None


def load_tuned(path: Path) -> Any:
    """The decoder that goes with the INT8 encoder's latents.

    Raises:
        ArtifactError: missing or damaged.
    """
    import keras

    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"cannot load {path}: {reason}", "run the quantize stage again") from None


def quantize_autoencoder(
    layers: list[FloatConv],
    autoencoder: Any,
    settings: QuantizeConfig,
    bits: int,
    calibration: TuneFrames,
    train: TuneFrames,
    validation: TuneFrames,
    *,
    seed: int,
    batch: int = 64,
    rate: Rate = FREE,
    progress: Progress | None = None,
) -> Int8Model:
    """Change the latents' basis, calibrate, fine-tune, repeat latents and refit the codebooks; as ``settings`` asks.

    Args:
        layers: the folded encoder.
        autoencoder: :class:`~kit.model.autoencoder.RVQAutoencoder`; its quantizer and decoder are changed in place and
            afterwards belong to the result's latents, its encoder is left as it is.
        settings: section quantize.
        bits: L.
        calibration: evenly spaced training frames.
        train: training windows.
        validation: validation frames.
        seed: of the fine-tuning.
        batch: frames of a step of it.
        rate: of the bits on the device.
        progress: of the fine-tuning: called with (steps done, steps in all).

    Raises:
        ShapeError, TrainingError, GraphError: as the steps that it calls.
    """
    rvq, decoder = autoencoder.rvq, autoencoder.decoder
    rvq.beam = settings.beam  # of the device, from here on
    layers = _measured(layers, rvq, decoder, settings.latent_metric, calibration)
    if rvq.priced:
        rvq.rate_weight, rvq.rate_bits = rate.weight, rate.bits  # of the device, from here on
        latents = run_float(layers, calibration.y[:, :, None])
        rvq.settle(latents.reshape(-1, latents.shape[2]).astype(np.float32))
    chain, found = calibrate(layers, calibration.y, calibration.frames, bits, settings.input_remainder_bits)
    tuned = None
    if settings.finetune_steps:
        chain, tuned = finetune(
            chain,
            rvq,
            decoder,
            train,
            validation,
            steps=settings.finetune_steps,
            seed=seed,
            peak_rate=settings.finetune_learning_rate,
            batch=batch,
            progress=progress,
        )
    copied, copies = None, settings.latent_copies
    if copies > 1:
        few = calibration.frames[search_frames(len(calibration.frames))]
        chain, copied = repeated(chain, input_columns(few, chain.input_scale), copies)
    model = chain.tflite(calibration.frames.shape[1])
    encoder = read_tflite(model)
    books, refit = np.asarray(rvq.codebook, np.float32), None
    wanted = [real_latents(encoder, frames[:CODEBOOK_FRAMES], copies) for frames in (train.frames, validation.frames)]
    flat = [latents.reshape(-1, latents.shape[2]) for latents in wanted]
    flat = [rows[:: max(1, len(rows) // most)] for rows, most in zip(flat, CODEBOOK_VECTORS, strict=True)]
    if settings.codebook_rounds:
        books, refit = refit_codebook(books, flat[0], flat[1], settings.codebook_rounds, rate, settings.beam)
    price = rate.settled(books.astype(np.float64), flat[0], beam=settings.beam)
    usage = entry_usage(books, flat[0], price, settings.beam)
    device_price = None if price is None else price.astype(np.float32)
    return Int8Model(model, encoder, books, usage, device_price, found, tuned, copied, refit)


def _measured(
    layers: list[FloatConv], rvq: Any, decoder: Any, exponent: float, calibration: TuneFrames
) -> list[FloatConv]:
    """The chain in the decoder's measure of the latents; quantizer and decoder change with it."""
    if exponent == 0 or not can_change(layers, decoder):
        return layers
    latents = run_float(layers, calibration.y[:, :, None])
    books = np.asarray(rvq.codebook, np.float32)
    few = np.linspace(0, len(latents) - 1, min(len(latents), SENSITIVITY_FRAMES)).round().astype(np.int64)
    indices = nearest_indices(latents[few], books)
    sent = np.sum([book[indices[..., level]] for level, book in enumerate(books)], axis=0)
    sensitivity = decoder_sensitivity(decoder, sent.astype(np.float32), calibration.y[few])
    basis = measure_basis(sensitivity, latents.reshape(-1, latents.shape[2]), exponent)
    change_decoder(decoder, basis)
    rvq.change_basis(basis)
    return change_encoder(layers, basis)


def real_latents(encoder: Encoder, frames: NDArray[np.int8], copies: int = 1) -> NDArray[np.float32]:
    """Latents of the INT8 encoder in real units: int8[n, T] or [n, T, 2] -> float32[n, P, D]."""
    out = encoder.graph.output_tensor
    return mean_of_copies((encode(encoder, frames).astype(np.float32) - out.zero_point) * np.float32(out.scale), copies)


def simulated_latents(chain: QuantChain, frames: NDArray[np.int8]) -> NDArray[np.float32]:
    """Latents of a chain in real units as fine-tuning sees them; the device's differ by at most an LSB, in a few."""
    return chain.run(input_columns(frames, chain.input_scale))
