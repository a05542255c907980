"""Memory plan of the ahead-of-time engine: a window of input columns per layer, and the output columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kit.errors import UnsupportedOpError
from kit.graph.ir import Conv, EncoderGraph
from kit.render.schedule import Schedule, Stage

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

DOUBLE_WORD = 8
"""Kernels read windows of int16 in whole units of this many bytes."""

ACTIVATION_BYTES_MAX = 65535
"""Offsets into the activations are uint16 on the device."""

_WAY_OUT = "use firmware.engine: tflm, or a smaller encoder"


@dataclass(frozen=True, slots=True)
class Window:
    """Input columns that a layer keeps.

    Attributes:
        offset: first byte in the engine's activation memory, a multiple of :data:`WINDOW_ALIGN`.
        columns: ``kernel + (batch - 1) * stride``: what ``batch`` output columns read.
        pitch: bytes from one column to the next.
        bytes: all columns, and what kernels that read whole words or double words see behind them.
        batch: output columns that the layer computes at a time.
        wide: values are int16; else int8.
    """

    offset: int
    columns: int
    pitch: int
    bytes: int
    batch: int
    wide: bool

    @property
    def end(self) -> int:
        """First byte behind the window."""
        return self.offset + self.bytes


@dataclass(frozen=True, slots=True)
class Apart:
    """Two buffers, by number (the output columns are the last), and what must not overlap: the first ``first_bytes`` of
    one while the other is needed, and the first ``second_bytes`` of the other while the one is needed."""

    first: int
    second: int
    first_bytes: int
    second_bytes: int

    def holds(self, first_offset: int, second_offset: int) -> bool:
        """Whether buffers at these offsets keep apart."""
        return second_offset >= first_offset + self.first_bytes or first_offset >= second_offset + self.second_bytes


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Where each layer's window lies in the engine's activation memory.

    Attributes:
        windows: input window of each layer, in layer order.
        output: offset of the output columns, bytes.
        output_bytes: size of one batch of output columns.
        activation_bytes: size of everything, bytes.
        apart: which parts of which buffers are needed at the same time.
    """

    windows: tuple[Window, ...]
    output: int
    output_bytes: int
    activation_bytes: int
    apart: tuple[Apart, ...]


def batch_of(graph: EncoderGraph, node: Conv) -> int:
    """Output columns of a layer that are computed together: as many as share the loads of its weights.

    A depthwise layer has a weight for each channel and gains nothing; its window stays small instead.
    """
    if node.depthwise or node.kernel + (BATCH_MAX - 1) * node.stride > COLUMNS_HELD_MAX:
        return 1
    return min(BATCH_MAX, graph.tensors[node.output].length)


def _aligned(offset: int, align: int = WINDOW_ALIGN) -> int:
    return -(-offset // align) * align


def _window(graph: EncoderGraph, node: Conv, wide: int) -> Window:
    """A window, not placed yet; ``wide`` is the number of int16 values per column, 0 for int8 columns."""
    batch = batch_of(graph, node)
    columns = node.kernel + (batch - 1) * node.stride
    pitch = 2 * wide if wide else graph.tensors[node.input].channels
    read = columns * pitch
    if node.depthwise and not wide:
        read += -pitch % WINDOW_ALIGN
    if wide:
        read = max(read, (batch - 1) * node.stride * pitch + _aligned(node.kernel * pitch, DOUBLE_WORD))
    return Window(0, columns, pitch, read, batch, wide > 0)


def _stage(graph: EncoderGraph, node: Conv, window: Window) -> Stage:
    source, target = graph.tensors[node.input], graph.tensors[node.output]
    return Stage(
        node.kernel, node.stride, window.batch, window.columns, window.pitch, node.pad_left, source.length,
        target.length,
    )  # fmt: skip


def _place(sizes: Sequence[int], apart: Sequence[Apart]) -> list[int]:
    """Offsets of the buffers, the largest first, each at the lowest multiple of 4 that keeps apart from the others."""
    offsets: dict[int, int] = {}
    for buffer in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        rules = [rule for rule in apart if buffer in (rule.first, rule.second)]
        near = [(rule.first, rule.first_bytes) for rule in rules if rule.second == buffer]
        near += [(rule.second, rule.second_bytes) for rule in rules if rule.first == buffer]
        candidates = {0, *(_aligned(offsets[other] + used) for other, used in near if other in offsets)}
        for offset in sorted(candidates):
            trial = {**offsets, buffer: offset}
            placed = [rule for rule in rules if rule.first in trial and rule.second in trial]
            if all(rule.holds(trial[rule.first], trial[rule.second]) for rule in placed):
                offsets = trial
                break
    return [offsets[i] for i in range(len(sizes))]


def plan_memory(graph: EncoderGraph, wide: Mapping[str, int] | None = None) -> MemoryPlan:
    """Lay out the activations of a checked encoder (:func:`kit.graph.check.check`).

    Args:
        graph: a chain of layers.
        wide: layers whose window holds int16, with the values of a column.

    Raises:
        UnsupportedOpError: an opaque graph, or a size that exceeds what the engine's counters hold.
    """
    if graph.opaque:
        raise UnsupportedOpError(
            "the encoder has operators that the aot engine cannot run", "set firmware.engine: tflm"
        )
    for node in graph.nodes:
        _check(graph, node)
    windows = [_window(graph, node, (wide or {}).get(node.name, 0)) for node in graph.nodes]
    stages = [_stage(graph, node, window) for node, window in zip(graph.nodes, windows, strict=True)]
    channels = graph.output_tensor.channels
    together = Schedule(stages, channels).together
    apart = tuple(
        Apart(i, j, together[i][j], together[j][i]) for j in range(len(together)) for i in range(j) if together[i][j]
    )
    sizes = [window.bytes for window in windows] + [windows[-1].batch * channels]
    offsets = _place(sizes, apart)
    total = max(_aligned(offset + size) for offset, size in zip(offsets, sizes, strict=True))
    if total > ACTIVATION_BYTES_MAX:
        raise UnsupportedOpError(
            f"the encoder needs {total} bytes of activations, the aot engine holds {ACTIVATION_BYTES_MAX}", _WAY_OUT
        )
    placed = tuple(replace(window, offset=offset) for window, offset in zip(windows, offsets, strict=False))
    return MemoryPlan(placed, offsets[-1], sizes[-1], total, apart)


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
