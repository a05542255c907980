"""Keras encoder to full-integer INT8 .tflite, in a fresh process.

Converting a saved model gives the same bytes in every process; converting one that this process trained does not. Run
as ``python -m kit.quantize.convert ENCODER.keras CALIBRATION.npz OUT.tflite`` by :func:`convert_encoder`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import ArtifactError, ShapeError, ToolchainError
from kit.files import atomic_write_bytes, read_npz, write_npz
from kit.graph.ir import Encoder
from kit.graph.reader import Engine, read_tflite
from kit.wire.scale import LSB_BITS

TIMEOUT_SECONDS = 1800


def convert_encoder(
    encoder: str | Path, calibration: NDArray[np.int8], bits: int, out: str | Path, engine: Engine = "aot"
) -> Encoder:
    """Quantize a saved encoder.

    Every activation gets the range that it takes on the calibration frames, after :mod:`kit.quantize.equalize`; the
    input gets scale 2^-L and zero point 0 exactly (NUMERICS.md section 2). Equal arguments give equal bytes.

    Args:
        encoder: ``encoder.keras``.
        calibration: int8[n, T], normalised training frames, n >= 1.
        bits: L, the input has 2^L LSB per unit.
        out: ``encoder.tflite``; written only when it is valid for ``engine``.
        engine: ``aot`` refuses operators that the integer graph does not have.

    Returns:
        the integer graph, read back from ``out``.

    Raises:
        ShapeError: calibration frames of another shape or dtype.
        ArtifactError: the encoder cannot be read.
        ToolchainError: TensorFlow is missing or refuses; carries the converter's reason.
        GraphError, UnsupportedOpError: the result is no encoder that ``engine`` can run.
    """
    encoder, out = Path(encoder), Path(out)
    if calibration.ndim != 2 or calibration.dtype != np.int8 or not calibration.size or bits not in LSB_BITS:
        raise ShapeError(f"calibration is {calibration.dtype}{list(calibration.shape)} with L = {bits}, not int8[n, T]")
    if not encoder.is_file():
        raise ArtifactError(f"cannot read {encoder}: no such file", "run the training stage first")
    with tempfile.TemporaryDirectory(prefix="kit-convert-") as folder:
        frames, made = Path(folder) / "calibration.npz", Path(folder) / "encoder.tflite"
        write_npz(frames, frames=spanning_frames(calibration), bits=np.int32(bits))
        _run_child(encoder, frames, made)
        model = made.read_bytes()
    graph = read_tflite(model, engine=engine)
    _check_shape(graph, calibration.shape[1], bits, encoder)
    atomic_write_bytes(out, model)
    return graph


def spanning_frames(calibration: NDArray[np.int8]) -> NDArray[np.int8]:
    """Calibration frames plus two that make the input span -128..127, for an input scale of exactly 2^-L.

    The two are the frames that already reach lowest and highest, with that one sample moved to the end of the range:
    a made-up frame would widen the ranges of the layers behind.
    """
    lowest = calibration[np.argmin(calibration.min(axis=1))].copy()
    highest = calibration[np.argmax(calibration.max(axis=1))].copy()
    lowest[np.argmin(lowest)] = -128
    highest[np.argmax(highest)] = 127
    return np.concatenate([calibration, lowest[None], highest[None]])


def _run_child(encoder: Path, frames: Path, out: Path) -> None:
    command = [sys.executable, "-m", "kit.quantize.convert", str(encoder), str(frames), str(out)]
    package_root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([package_root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ToolchainError(
            f"the TensorFlow Lite converter did not end within {TIMEOUT_SECONDS} s", "lower quantize.calibration_frames"
        ) from None
    if done.returncode or not out.is_file():
        raise ToolchainError(
            f"the TensorFlow Lite converter refused {encoder}: {_reason(done.stderr, done.returncode)}",
            "check that encoder.keras comes from this kit and that the train extra is installed",
        )


def _reason(text: str, code: int) -> str:
    """Last line of a traceback, which names the exception, in at most 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line.split(":")[0] and not line.startswith(("File", "W0", "I0"))]
    return (errors or lines or [f"exit code {code}"])[-1][:300]


def _check_shape(graph: Encoder, samples: int, bits: int, origin: Path) -> None:
    length, scale = graph.graph.input_tensor.length, graph.graph.input_tensor.scale
    if length != samples or scale != 2.0**-bits:
        raise ArtifactError(
            f"{origin} takes {length} samples at scale {scale:.9g}, expected {samples} at {2.0**-bits:.9g}",
            "rebuild with kit build-firmware",
        )


def convert_here(encoder: Path, frames: NDArray[np.int8], bits: int) -> bytes:
    """The conversion itself; :func:`convert_encoder` runs it in a process of its own.

    Args:
        encoder: ``encoder.keras``.
        frames: int8[n, T] that span -128..127.
        bits: L.
    """
    import keras
    import tensorflow as tf

    from kit.quantize.equalize import equalize

    model = keras.models.load_model(encoder, compile=False)
    real = frames.astype(np.float32) * np.float32(2.0**-bits)
    equalize(model, real)

    def representative() -> Iterator[list[Any]]:
        for frame in real:
            yield [frame[None, None, :, None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def main(arguments: list[str]) -> int:
    """Entry point of the child process."""
    encoder, frames, out = map(Path, arguments)
    arrays = read_npz(frames)
    atomic_write_bytes(out, convert_here(encoder, arrays["frames"], int(arrays["bits"])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
