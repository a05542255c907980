"""INT8 frames in, latents (and layers) out, computed by TensorFlow Lite Micro's reference kernels.

The package is C++ that trusts its model: a damaged file or an arena too small ends the process. Every model is
therefore read by :mod:`kit.graph` first; one that is no chain of convolutions is tried out in a process of its own.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import GraphError, ToolchainError, UnsupportedOpError
from kit.files import sha256_bytes
from kit.graph.container import ModelView, open_model
from kit.graph.ir import Encoder, input_array
from kit.graph.reader import read_tflite
from kit.graph.taps import model_taps

PACKAGE = "tflite_micro"
TRIAL_SECONDS = 60
_ARENA_SLACK_BYTES = 1 << 19
_RUNTIME_BYTES_PER_ITEM = 1024


def available() -> str | None:
    """None where the golden can run, else the reason why not."""
    if importlib.util.find_spec(PACKAGE) is None:
        return "the tflite-micro package is not installed (wheels exist for Linux on x86-64, CPython 3.10 to 3.13)"
    try:
        _runtime()
    except ImportError as error:
        return f"the tflite-micro package does not load: {error}"
    return None


def golden_latents(
    model: bytes, inputs: NDArray[np.int8], progress: Callable[[int, int], None] | None = None
) -> NDArray[np.int8]:
    """Latents of normalised frames.

    Args:
        model: content of a full-integer .tflite, of any operators that TensorFlow Lite Micro has.
        inputs: int8[n, T], or int8[n, T, 2] where the encoder reads remainders too.
        progress: called with (frames done, frames in all) after each frame.

    Returns:
        int8[n, P, C * D].

    Raises:
        ToolchainError: the package is missing.
        GraphError: not a valid model.
        ShapeError: ``inputs`` has another shape or dtype.
    """
    encoder, interpreter = _prepare(model, inputs, preserve=False)
    target = encoder.graph.output_tensor
    latents = np.empty((len(inputs), target.length, target.channels), np.int8)
    for i, frame in enumerate(inputs):
        interpreter.set_input(frame.reshape(1, 1, len(frame), -1), 0)
        interpreter.invoke()
        latents[i] = interpreter.get_output(0)[0, 0]
        if progress is not None:
            progress(i + 1, len(inputs))
    return latents


def golden_layers(model: bytes, frame: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
    """Output of every layer for one frame.

    Args:
        model: content of a full-integer .tflite.
        frame: int8[T] or [T, 2].

    Returns:
        by tensor name, in execution order: int8[W, C]. Names are those of the integer graph
        (:func:`kit.reference.encoder.encode_layers` has the same); of an opaque one, the int8 tensors of height 1.

    Raises:
        as :func:`golden_latents`.
    """
    graph = _prepare(model, frame[None], preserve=True)[0].graph
    outputs = golden_taps(model, frame[None])
    tensors = open_model(model).tensors
    taps = model_taps(open_model(model))
    if graph.opaque:
        return {tensors[tap.tensor].name: output[0] for tap, output in zip(taps, outputs, strict=True)}
    return {graph.tensors[i + 1].name: output[0] for i, output in enumerate(outputs)}


def golden_taps(
    model: bytes, inputs: NDArray[np.int8], progress: Callable[[int, int], None] | None = None
) -> tuple[NDArray[np.int8], ...]:
    """Outputs of every layer that has a tap (:func:`kit.graph.taps.model_taps`), for many frames.

    Args:
        model: content of a full-integer .tflite.
        inputs: int8[n, T] or [n, T, 2].
        progress: called with (frames done, frames in all) after each frame.

    Returns:
        int8[n, W, C] of each.

    Raises:
        as :func:`golden_latents`.
    """
    _, interpreter = _prepare(model, inputs, preserve=True)
    taps = model_taps(open_model(model))
    outputs = tuple(np.empty((len(inputs), tap.columns, tap.channels), np.int8) for tap in taps)
    for i, frame in enumerate(inputs):
        interpreter.set_input(frame.reshape(1, 1, len(frame), -1), 0)
        interpreter.invoke()
        for tap, output in zip(taps, outputs, strict=True):
            output[i] = _tensor(interpreter, tap.tensor)
        if progress is not None:
            progress(i + 1, len(inputs))
    return outputs


def _tensor(interpreter: Any, number: int) -> NDArray[np.int8]:
    """Content of an intermediate tensor, int8[W, C]."""
    info = interpreter.GetTensor(number, 0)
    columns: NDArray[np.int8] = np.array(info["tensor_data"], np.int8).reshape(tuple(info["shape"]))[0, 0]
    return columns


def _runtime() -> Any:
    from tflite_micro.python.tflite_micro import runtime

    return runtime


def _prepare(model: bytes, inputs: NDArray[np.int8], preserve: bool) -> tuple[Encoder, Any]:
    """The checked model and an interpreter that cannot fail on it."""
    reason = available()
    if reason is not None:
        raise ToolchainError(
            f"no golden: {reason}", "validate against kit.reference, or use a Linux x86-64 machine for this step"
        )
    encoder = _checked(bytes(model))
    input_array(encoder, inputs)
    try:
        return encoder, interpreter_of(model, preserve)
    except Exception as error:  # the package walks parts of the file that open_model does not, with what comes of it
        raise GraphError(f"TensorFlow Lite Micro refuses the model: {error}", "export the encoder again") from None


@functools.lru_cache(maxsize=8)
def _checked(model: bytes) -> Encoder:
    try:
        return read_tflite(model)
    except UnsupportedOpError:
        encoder = read_tflite(model, engine="tflm")
    _trial(model)
    return encoder


def interpreter_of(model: bytes, preserve: bool) -> Any:
    """An interpreter whose arena holds every tensor of the model at once, with room for its own records.

    Args:
        model: content of a .tflite that :func:`kit.graph.container.open_model` accepts.
        preserve: keep intermediate tensors readable.
    """
    runtime = _runtime()
    kinds = runtime.InterpreterConfig
    return runtime.Interpreter.from_bytes(
        model,
        arena_size=_arena_bytes(open_model(model)),
        intrepreter_config=kinds.kPreserveAllTensors if preserve else kinds.kAllocationRecording,
    )


def _arena_bytes(view: ModelView) -> int:
    # Eight bytes an element cover every type; scales cost a multiplier and a shift each, and widened copies.
    elements = sum(int(np.prod(t.shape, dtype=object)) for t in view.tensors if t.data is None)
    scales = sum(t.scales.size for t in view.tensors)
    items = len(view.tensors) + len(view.operators)
    return 8 * elements + 64 * scales + _RUNTIME_BYTES_PER_ITEM * items + _ARENA_SLACK_BYTES


def _trial(model: bytes) -> None:
    """Run the model once in another process, so that a crash of the C++ code is only that process's.

    Raises:
        GraphError: it fails or crashes there; carries the first line that it wrote.
    """
    command = [sys.executable, "-m", "kit.golden.trial"]
    try:
        done = subprocess.run(command, input=model, capture_output=True, timeout=TRIAL_SECONDS, check=False)
        failed, text = done.returncode != 0, done.stderr.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        failed, text = True, f"it did not end within {TRIAL_SECONDS} s"
    if failed:
        # The C++ code names the operator first; the Python exception behind it only says that something failed.
        reason = next((line.strip() for line in text.splitlines() if line.strip()), "it crashed")
        raise GraphError(
            f"TensorFlow Lite Micro cannot run model {sha256_bytes(model)[:16]}: {reason}",
            "export the encoder again, or simplify it",
        )
