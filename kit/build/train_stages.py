"""Stages that follow training: INT8 export and the decoder's refit on what the device really sends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kit.build.frames import shares
from kit.build.pipeline import Context
from kit.build.progress import bar
from kit.errors import ConfigError
from kit.files import atomic_write_bytes

if TYPE_CHECKING:
    from kit.config import Config, QuantizeConfig
    from kit.graph.codebook import IntegerCodebook
    from kit.graph.ir import Encoder
    from kit.quantize.finetune import TuneFrames
    from kit.quantize.int8 import Int8Model
    from kit.quantize.refit import RefitFrames

REFIT_FRAMES = 65536
"""Random training windows the decoder is refit on, at most, drawn from each dataset by its weight."""

ORDER_FRAMES = 8192
"""Random training windows whose indices say which entries of the codebook stand together."""

TUNE_FRAMES = 65536
"""Random training windows of the fine-tuning, drawn like those of the refit."""

TUNE_VALIDATION_FRAMES = 1024
"""Validation frames that decide which of the fine-tuned weights are kept, in equal parts of each dataset."""

VALIDATION_FRAMES = 4096
"""Validation frames that decide which of the refit weights are kept, in equal parts of each dataset."""


def export_int8(context: Context) -> None:
    """Encoder to INT8 (calibrated and fine-tuned on training frames), codebooks to integers."""
    from kit.model.autoencoder import codebooks, load_autoencoder, save_model
    from kit.quantize.codebook import quantize_codebook
    from kit.quantize.convert import convert_encoder
    from kit.quantize.int8 import foldable
    from kit.reference.normalise import lsb_bits

    config, folder = context.config, context.folder
    settings, bits = config.quantize, lsb_bits(config.quantize.input_clip)
    calibration = _tune_frames(config, shares(context.dataset, "train", settings.calibration_frames))
    autoencoder = load_autoencoder(folder / "autoencoder.keras")
    usage: NDArray[Any] | None = None
    price: NDArray[np.float32] | None = None
    books, target = codebooks(autoencoder), folder / "encoder.tflite"
    layers = foldable(autoencoder.encoder) if settings.calibration == "error" else None
    if layers is None:
        _refuse_unfolded(settings)
        encoder = convert_encoder(folder / "encoder.keras", calibration.frames, bits, target, config.firmware.engine)
        lines = [f"calibrated on {len(calibration.y)} training frames by range"]
        price = autoencoder.rvq.bias() if autoencoder.rvq.priced else None
    else:
        made = _int8_model(context, layers, autoencoder, calibration, bits)
        encoder, books, usage, price, lines = made.encoder, made.books, made.usage, made.price, made.lines
        atomic_write_bytes(target, made.tflite)
    latent = encoder.graph.output_tensor
    codebook = quantize_codebook(
        books, latent.scale, latent.zero_point, settings.codebook_bits, usage, price, settings.beam,
        settings.latent_copies,
    )  # fmt: skip
    _in_coding_order(context, encoder, codebook).save(folder / "codebook.npz")
    save_model(autoencoder.decoder, folder / "tuned_decoder.keras")
    for line in [*lines, f"encoder.tflite {target.stat().st_size:,} bytes"]:
        context.console.print(f"  {line}", highlight=False)


def _refuse_unfolded(settings: QuantizeConfig) -> None:
    """Refuse settings that only an encoder of convolutions can follow.

    Raises:
        ConfigError: there is one; names it.
    """
    needs = "needs an encoder of convolutions, and this one has other layers"
    for key, plain in (("input_remainder_bits", 0), ("latent_copies", 1)):
        if getattr(settings, key) != plain:
            raise ConfigError(
                f"quantize.{key} {needs}", f"set it to {plain}, or the encoder's normalisation to batch or none"
            )


def _in_coding_order(context: Context, encoder: Encoder, codebook: IntegerCodebook) -> IntegerCodebook:
    """The codebook in the order in which range coding needs no table of places."""
    from kit.data.batches import training_frames
    from kit.quantize.coding import coding_order

    config = context.config
    path = context.path_of(encoder, codebook, packets=False)
    with bar("order of the codebook", ORDER_FRAMES) as progress:
        indices = path.run(training_frames(context.dataset, config, ORDER_FRAMES), progress).indices
    return codebook.reordered(coding_order(indices, config.model.index_bits))


def _int8_model(context: Context, layers: Any, autoencoder: Any, calibration: TuneFrames, bits: int) -> Int8Model:
    from kit.data.batches import training_frames
    from kit.quantize.int8 import quantize_autoencoder
    from kit.quantize.prices import Rate

    config = context.config
    with bar("fine-tuning", config.quantize.finetune_steps) as progress:
        return quantize_autoencoder(
            layers,
            autoencoder,
            config.quantize,
            bits,
            calibration,
            _tune_frames(config, training_frames(context.dataset, config, TUNE_FRAMES)),
            _tune_frames(config, shares(context.dataset, "val", TUNE_VALIDATION_FRAMES)),
            seed=config.train.seed,
            batch=config.train.batch_size,
            rate=Rate(config.device_rate_weight, config.device_rate_bits),
            progress=progress,
        )


def _tune_frames(config: Config, frames: NDArray[Any]) -> TuneFrames:
    """Frames in units of their scale and as the device rounds them."""
    from kit.data.batches import normalised
    from kit.quantize.finetune import TuneFrames
    from kit.reference.normalise import encoder_input

    return TuneFrames(normalised(frames, config.quantize.input_clip), encoder_input(frames, config.quantize).y)


def refit_weights(context: Context) -> None:
    """Continue training the decoder on the indices of the INT8 path; write it for the server.

    ``decoder.keras`` holds its layers alone, which read latents; a codebook of its own is in ``decoder.npz``.
    """
    from kit.data.batches import training_frames
    from kit.model.autoencoder import save_model
    from kit.quantize.export import export_decoder
    from kit.quantize.int8 import load_tuned
    from kit.quantize.refit import refit_decoder
    from kit.server.decoder_io import save_decoder

    config, folder = context.config, context.folder
    decoder = load_tuned(folder / "tuned_decoder.keras")
    path = context.device_path()
    windows = min(REFIT_FRAMES, max(1, config.quantize.refit_steps) * config.train.batch_size)
    train = _refit_frames(path, training_frames(context.dataset, config, windows), "training windows")
    validation = _refit_frames(path, shares(context.dataset, "val", VALIDATION_FRAMES), "validation frames")
    with bar("refit", config.quantize.refit_steps) as progress:
        result = refit_decoder(
            decoder,
            path.codebook,
            train,
            validation,
            steps=config.quantize.refit_steps,
            seed=config.train.seed,
            batch=config.train.batch_size,
            with_codebook=config.quantize.refit_codebook,
            progress=progress,
        )
    context.console.print(
        f"  PRD on {result.validation_frames} validation frames: {result.prd_before:.2f} % before, "
        f"{result.prd_after:.2f} % after {result.best_step} steps",
        highlight=False,
    )
    save_model(decoder, folder / "decoder.keras")
    save_decoder(replace(export_decoder(decoder), codebook=result.codebook), folder)


def _refit_frames(path: Any, frames: NDArray[Any], what: str) -> RefitFrames:
    """Indices the device emits for ``frames``, and the frames in units of their scale; flat ones are left out."""
    from kit.data.batches import normalised
    from kit.quantize.refit import RefitFrames

    with bar(what, len(frames)) as progress:
        result = path.run(frames, progress)
    moving = result.scale_code > 0
    y = normalised(frames[moving], path.config.quantize.input_clip)
    return RefitFrames(result.indices[moving], np.ascontiguousarray(y))
