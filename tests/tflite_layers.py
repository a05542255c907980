"""Every layer's output as TensorFlow Lite computes it by default."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from kit.graph.container import open_model


def up_to(tensorflow: Any, model: bytes, operator: int) -> bytes:
    """The model's first operators, with the output of the last of them as its output."""
    from tensorflow.lite.python import schema_py_generated as schema

    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    graph = tree.subgraphs[0]
    graph.operators = graph.operators[: operator + 1]
    graph.outputs = [graph.operators[operator].outputs[0]]
    tree.signatureDefs = None
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def tflite_layers(tensorflow: Any, model: bytes, inputs: NDArray[np.int8]) -> tuple[NDArray[np.int8], ...]:
    """int8[n, W, C] of every operator. A delegate keeps no tensor within the graph, so each layer's output is taken
    from a model that ends with it."""
    found = []
    for number in range(len(open_model(model).operators)):
        interpreter = tensorflow.lite.Interpreter(model_content=up_to(tensorflow, model, number))
        interpreter.allocate_tensors()
        source, target = (details[0]["index"] for details in (
            interpreter.get_input_details(), interpreter.get_output_details(),
        ))  # fmt: skip
        outputs = []
        for frame in inputs:
            interpreter.set_tensor(source, frame.reshape(1, 1, -1, 1))
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(target)[0, 0].copy())
        found.append(np.stack(outputs))
    return tuple(found)
