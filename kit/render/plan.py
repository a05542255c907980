"""Memory plan of the ahead-of-time engine: one window of input columns per layer, then the output columns."""

from __future__ import annotations

from dataclasses import dataclass

from kit.errors import UnsupportedOpError
from kit.graph.ir import Conv, EncoderGraph

BATCH_MAX = 2
"""Output columns that a layer computes at a time, at most; KIT_AOT_BATCH of the engine."""

COLUMNS_HELD_MAX = 255
"""Columns of a window are counted in uint8 on the device."""

KERNEL_MAX = COLUMNS_HELD_MAX

STRIDE_MAX = 255
CHANNELS_MAX = 4096
COLUMNS_MAX = 4096
"""Bounds of a layer's geometry for which every product of two of them fits the device's 32-bit indices."""

WINDOW_ALIGN = 4
"""Windows begin at multiples of this many bytes, so that kernels may load words."""

ACTIVATION_BYTES_MAX = 65535
"""Offsets into the activations are uint16 on the device."""

_WAY_OUT = "use firmware.engine: tflm, or a smaller encoder"


@dataclass(frozen=True, slots=True)
class Window:
    """Input columns that a layer keeps.

    Attributes:
        offset: first byte in the engine's activation memory, a multiple of :data:`WINDOW_ALIGN`.
        columns: ``kernel + (batch - 1) * stride``: what ``batch`` output columns read.
        bytes: columns times input channels.
        batch: output columns that the layer computes at a time.
    """

    offset: int
    columns: int
    bytes: int
    batch: int

    @property
    def end(self) -> int:
        """First byte behind the window."""
        return self.offset + self.bytes


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Where each layer's window lies in the engine's activation memory.

    Attributes:
        windows: input window of each layer, in layer order.
        output: offset of the output columns, bytes.
        output_bytes: size of one batch of output columns.
        activation_bytes: size of everything, bytes.
    """

    windows: tuple[Window, ...]
    output: int
    output_bytes: int
    activation_bytes: int


def batch_of(graph: EncoderGraph, node: Conv) -> int:
    """Output columns of a layer that are computed together: as many as share the loads of its weights.

    A depthwise layer has a weight for each channel and gains nothing; its window stays small instead.
    """
    if node.depthwise or node.kernel + (BATCH_MAX - 1) * node.stride > COLUMNS_HELD_MAX:
        return 1
    return min(BATCH_MAX, graph.tensors[node.output].length)


def _aligned(offset: int) -> int:
    return -(-offset // WINDOW_ALIGN) * WINDOW_ALIGN


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
        batch = batch_of(graph, node)
        columns = node.kernel + (batch - 1) * node.stride
        window = Window(_aligned(at), columns, columns * graph.tensors[node.input].channels, batch)
        windows.append(window)
        at = window.end
    output, output_bytes = _aligned(at), windows[-1].batch * graph.output_tensor.channels
    total = output + output_bytes
    if total > ACTIVATION_BYTES_MAX:
        raise UnsupportedOpError(
            f"the encoder needs {total} bytes of activations, the aot engine holds {ACTIVATION_BYTES_MAX}", _WAY_OUT
        )
    return MemoryPlan(tuple(windows), output, output_bytes, total)


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
