"""Layers whose output validation can look at: operators that write int8 columns (``firmware/runtime/kit_tap.h``)."""

from __future__ import annotations

from dataclasses import dataclass

from kit.graph.container import ModelView
from kit.graph.ir import EncoderGraph


@dataclass(frozen=True, slots=True)
class Tap:
    """One operator's output.

    Attributes:
        number: of the operator, in execution order; counts operators without a tap too.
        name: ``conv0``, ``depthwise2``... as in the integer graph; the operator's name and number in an opaque one.
        columns: W of the output.
        channels: C of the output.
        read: columns, counted from the first, that the layers behind it need; an engine may leave out the others.
        tensor: number of the tensor in the .tflite; -1 for a graph that was read without it.
    """

    number: int
    name: str
    columns: int
    channels: int
    read: int
    tensor: int = -1


def graph_taps(graph: EncoderGraph) -> tuple[Tap, ...]:
    """Taps of a chain of convolutions: one for every node."""
    found = []
    read = graph.output_tensor.length
    for number, node in reversed(list(enumerate(graph.nodes))):
        target, source = graph.tensors[node.output], graph.tensors[node.input]
        found.append(Tap(number, node.name, target.length, target.channels, read))
        read = min(source.length, max(0, (read - 1) * node.stride + node.kernel - node.pad_left))
    return tuple(reversed(found))


def model_taps(view: ModelView) -> tuple[Tap, ...]:
    """Taps of any model: operators whose first output is int8 of the shape [1, 1, W, C]."""
    found = []
    for number, operator in enumerate(view.operators):
        tensor = view.tensors[operator.outputs[0]]
        if tensor.type_name == "INT8" and len(tensor.shape) == 4 and tensor.shape[:2] == (1, 1):
            columns, channels = tensor.shape[2:]
            name = f"{operator.op.lower()}{number}"
            found.append(Tap(number, name, columns, channels, columns, operator.outputs[0]))
    return tuple(found)
