"""Run a model read from standard input once, on a frame of zeros: ``python -m kit.golden.trial < model``."""

from __future__ import annotations

import sys

import numpy as np

from kit.golden.interpreter import interpreter_of
from kit.graph.reader import read_tflite


def main() -> None:
    """Exit status 0 when the model runs, with and without readable intermediate tensors."""
    model = sys.stdin.buffer.read()
    frame = read_tflite(model, engine="tflm").graph.input_tensor
    for preserve in (False, True):
        interpreter = interpreter_of(model, preserve)
        interpreter.set_input(np.zeros((1, 1, frame.length, frame.channels), np.int8), 0)
        interpreter.invoke()


if __name__ == "__main__":
    main()
