"""Speed of an encoder on TensorFlow Lite's default runtime: XNNPACK, one thread.

``python -m kit.quantize.tflite_speed MODEL INPUTS LATENTS`` speaks as ``host/runner/speed.c`` does: it encodes the
frames in INPUTS (int8) once, writes the latents (int8) to LATENTS, says ``ready``, and answers every line ``encoder N``
with the nanoseconds of processor time that N frames took.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TfliteEncoder:
    """An encoder in TensorFlow Lite with its default delegate, on one thread."""

    def __init__(self, model: bytes) -> None:
        """Prepare a .tflite."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf

        self._interpreter: Any = tf.lite.Interpreter(model_content=model, num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]

    @property
    def frame_samples(self) -> int:
        """T."""
        return int(np.prod(self._input["shape"]))

    def latents(self, inputs: NDArray[np.int8]) -> NDArray[np.int8]:
        """Latents of int8[n, T]: int8[n, P, C * D]."""
        columns = []
        for frame in inputs:
            self._interpreter.set_tensor(self._input["index"], frame.reshape(self._input["shape"]))
            self._interpreter.invoke()
            columns.append(self._interpreter.get_tensor(self._output["index"])[0, 0].copy())
        return np.array(columns, np.int8)

    def nanoseconds(self, frames: int) -> int:
        """Processor time of so many invocations, ns; what passes tensors in and out is left out."""
        invoke = self._interpreter.invoke
        start = time.process_time_ns()
        for _ in range(frames):
            invoke()
        return time.process_time_ns() - start


def main(arguments: list[str]) -> int:
    """Entry point of the process that is measured."""
    model, inputs, latents = map(Path, arguments)
    encoder = TfliteEncoder(model.read_bytes())
    encoder.latents(np.fromfile(inputs, np.int8).reshape(-1, encoder.frame_samples)).tofile(latents)
    print("ready", flush=True)
    for line in sys.stdin:
        print(encoder.nanoseconds(int(line.split()[1])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
