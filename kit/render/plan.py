"""Memory plan of the ahead-of-time engine: one window of input columns per layer, then the output column."""

from __future__ import annotations

from dataclasses import dataclass

from kit.errors import UnsupportedOpError
from kit.graph.ir import Conv, EncoderGraph

KERNEL_MAX = 255
"""Columns of a window are counted in uint8 on the device."""

STRIDE_MAX = 255
CHANNELS_MAX = 4096
COLUMNS_MAX = 4096
"""Bounds of a layer's geometry for which every product of two of them fits the device's 32-bit indices."""

ACTIVATION_BYTES_MAX = 65535
"""Offsets into the activations are uint16 on the device."""

_WAY_OUT = "use firmware.engine: tflm, or a smaller encoder"


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Where each layer's window lies in the engine's activation memory.

    Attributes:
        windows: offset of each layer's input window, bytes, in layer order; a window is ``kernel`` columns.
        output: offset of the output column, bytes.
        activation_bytes: size of everything, bytes.
    """

    windows: tuple[int, ...]
    output: int
    activation_bytes: int


def window_bytes(graph: EncoderGraph, node: Conv) -> int:
    """Size of a layer's input window: a layer never looks further back than its kernel."""
    return node.kernel * graph.tensors[node.input].channels


def plan_memory(graph: EncoderGraph) -> MemoryPlan:
    """Lay out the activations of a checked encoder (:func:`kit.graph.check.check`).

    Raises:
        UnsupportedOpError: an opaque graph, or a size that exceeds what the engine's counters hold.
    """
    if graph.opaque:
        raise UnsupportedOpError(
            "the encoder has operators that the aot engine cannot run", "set firmware.engine: tflm"
        )
    at = 0
    windows = []
    for node in graph.nodes:
        _check(graph, node)
        windows.append(at)
        at += window_bytes(graph, node)
    total = at + graph.output_tensor.channels
    if total > ACTIVATION_BYTES_MAX:
        raise UnsupportedOpError(
            f"the encoder needs {total} bytes of activations, the aot engine holds {ACTIVATION_BYTES_MAX}", _WAY_OUT
        )
    return MemoryPlan(tuple(windows), at, total)


def _check(graph: EncoderGraph, node: Conv) -> None:
    """One layer against what the engine's counters and kernels can run."""
    where = f"{node.name} (Keras layer {node.keras_layer})"
    if node.requant.rounding != "double":
        raise UnsupportedOpError(f"{where}: {node.requant.rounding} rounding; the aot engine rounds twice", _WAY_OUT)
    source, target = graph.tensors[node.input], graph.tensors[node.output]
    limits = {
        "kernel": (node.kernel, KERNEL_MAX),
        "stride": (node.stride, STRIDE_MAX),
        "input channels": (source.channels, CHANNELS_MAX),
        "output channels": (target.channels, CHANNELS_MAX),
        "input columns": (source.length, COLUMNS_MAX),
        "output columns": (target.length, COLUMNS_MAX),
    }
    for name, (value, limit) in limits.items():
        if value > limit:
            raise UnsupportedOpError(f"{where}: {name} {value}, the aot engine holds up to {limit}", _WAY_OUT)
