"""The float encoder to encoder.tflite, by the calibration that the configuration asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError, UnsupportedOpError
from kit.files import atomic_write_bytes
from kit.graph.ir import Encoder
from kit.graph.reader import Engine, read_tflite
from kit.quantize.calibrate import Calibration, calibrate
from kit.quantize.convert import convert_encoder
from kit.quantize.fold import FloatConv, fold_encoder
from kit.wire.scale import LSB_BITS

Method = Literal["error", "minmax"]


def quantize_encoder(
    path: str | Path,
    real: NDArray[np.float32],
    frames: NDArray[np.int8],
    bits: int,
    out: str | Path,
    *,
    engine: Engine = "aot",
    method: Method = "error",
) -> tuple[Encoder, Calibration | None]:
    """Quantize a saved encoder; equal arguments give equal bytes.

    ``error`` is :mod:`kit.quantize.calibrate`. ``minmax`` is the TensorFlow Lite converter, which also takes encoders
    that are no chain of convolutions (layer normalisation).

    Args:
        path: ``encoder.keras``.
        real: float32[n, T], calibration frames in units of their scale, not rounded.
        frames: int8[n, T], the same as the device sees them.
        bits: L, the input has 2^L LSB per unit.
        out: ``encoder.tflite``; written only when it is valid for ``engine``.
        engine: ``aot`` refuses operators that the integer graph does not have.
        method: how ranges are chosen.

    Returns:
        the integer graph, read back from ``out``, and how the calibration went; None for the converter's.

    Raises:
        as :func:`~kit.quantize.convert.convert_encoder`.
    """
    if bits not in LSB_BITS:
        raise ShapeError(f"L is {bits}, expected 3..6")
    chain = _chain(Path(path)) if method == "error" else None
    if chain is None:
        return convert_encoder(path, frames, bits, out, engine), None
    return write_chain(chain, real, frames, bits, out)


def write_chain(
    chain: list[FloatConv], real: NDArray[np.float32], frames: NDArray[np.int8], bits: int, out: str | Path
) -> tuple[Encoder, Calibration]:
    """Calibrate a folded encoder by error and write it; arguments and errors as :func:`quantize_encoder`."""
    quantized, found = calibrate(chain, real, frames, bits)
    model = quantized.tflite(frames.shape[1])
    encoder = read_tflite(model)
    atomic_write_bytes(out, model)
    return encoder, found


def _chain(path: Path) -> list[FloatConv] | None:
    """The folded encoder; None where it is no chain, or cannot be read: the converter says what is wrong with it."""
    model = load_encoder(path)
    if model is None:
        return None
    try:
        return fold_encoder(model)
    except UnsupportedOpError:
        return None


def load_encoder(path: Path) -> Any:
    """The Keras model of ``encoder.keras``, or None."""
    import keras

    try:
        return keras.models.load_model(path, compile=False)
    except Exception:  # whatever a damaged file makes of the loader
        return None
