"""Run a model read from standard input once, on a frame of zeros: ``python -m kit.golden.trial < model``."""

from __future__ import annotations

import sys

import numpy as np

from kit.golden.interpreter import interpreter_of
from kit.graph.reader import read_tflite


def main() -> None:
    """Exit status 0 when the model runs, with and without readable intermediate tensors."""
    model = sys.stdin.buffer.read()
    length = read_tflite(model, engine="tflm").graph.input_tensor.length
    for preserve in (False, True):
        interpreter = interpreter_of(model, preserve)
        interpreter.set_input(np.zeros((1, 1, length, 1), np.int8), 0)
        interpreter.invoke()


if __name__ == "__main__":
    main()
