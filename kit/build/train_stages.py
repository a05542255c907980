"""Stages that follow training: INT8 export and the decoder's refit on what the device really sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kit.build.frames import shares
from kit.build.pipeline import Context
from kit.build.progress import bar

if TYPE_CHECKING:
    from kit.quantize.refit import RefitFrames

REFIT_FRAMES = 24576
"""Random training windows the decoder is refit on, drawn from each dataset by its weight."""

VALIDATION_FRAMES = 4096
"""Validation frames that decide which of the refit weights are kept, in equal parts of each dataset."""


def export_int8(context: Context) -> None:
    """Encoder to INT8 (calibrated on training frames), codebooks to integers."""
    from kit.data.batches import normalised
    from kit.model.autoencoder import codebooks, load_autoencoder
    from kit.quantize.codebook import quantize_codebook
    from kit.quantize.encoder import quantize_encoder
    from kit.reference.normalise import lsb_bits, normalise

    config, folder = context.config, context.folder
    bits = lsb_bits(config.quantize.input_clip)
    frames = shares(context.dataset, "train", config.quantize.calibration_frames)
    encoder, found = quantize_encoder(
        folder / "encoder.keras",
        normalised(frames, config.quantize.input_clip),
        normalise(frames, bits).y,
        bits,
        folder / "encoder.tflite",
        engine=config.firmware.engine,
        method=config.quantize.calibration,
    )
    latent = encoder.graph.output_tensor
    autoencoder = load_autoencoder(folder / "autoencoder.keras")
    codebook = quantize_codebook(
        codebooks(autoencoder),
        latent.scale,
        latent.zero_point,
        config.quantize.codebook_bits,
        autoencoder.rvq.bias() if config.train.rate_weight else None,
    )
    codebook.save(folder / "codebook.npz")
    context.console.print(
        f"  calibrated on {len(frames)} training frames by {'range' if found is None else found.summary}; "
        f"encoder.tflite {(folder / 'encoder.tflite').stat().st_size:,} bytes",
        highlight=False,
    )


def refit_weights(context: Context) -> None:
    """Continue training the decoder on the indices of the INT8 path; write it for Keras and for the server."""
    from kit.data.batches import training_frames
    from kit.model.autoencoder import load_autoencoder, save_model
    from kit.quantize.export import export_decoder
    from kit.quantize.refit import refit_decoder
    from kit.server.decoder_io import save_decoder

    config, folder = context.config, context.folder
    decoder = load_autoencoder(folder / "autoencoder.keras").decoder
    path = context.device_path()
    train = _refit_frames(path, training_frames(context.dataset, config, REFIT_FRAMES), "training windows")
    validation = _refit_frames(path, shares(context.dataset, "val", VALIDATION_FRAMES), "validation frames")
    with bar("refit", config.quantize.refit_steps) as progress:
        result = refit_decoder(
            decoder,
            path.codebook,
            train,
            validation,
            steps=config.quantize.refit_steps,
            seed=config.train.seed,
            progress=progress,
        )
    context.console.print(
        f"  PRD on {result.validation_frames} validation frames: {result.prd_before:.2f} % before, "
        f"{result.prd_after:.2f} % after {result.best_step} steps",
        highlight=False,
    )
    save_model(decoder, folder / "decoder.keras")
    save_decoder(export_decoder(decoder), folder)


def _refit_frames(path: Any, frames: NDArray[Any], what: str) -> RefitFrames:
    """Indices the device emits for ``frames``, and the frames in units of their scale; flat ones are left out."""
    from kit.data.batches import normalised
    from kit.quantize.refit import RefitFrames

    with bar(what, len(frames)) as progress:
        result = path.run(frames, progress)
    moving = result.scale_code > 0
    y = normalised(frames[moving], path.config.quantize.input_clip)
    return RefitFrames(result.indices[moving], np.ascontiguousarray(y))
