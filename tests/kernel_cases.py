"""Random single layers with a window and the columns they must give, as a C header for ``tests/c/kernels_main.c``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.graph.ir import Conv, Encoder, EncoderGraph, Requant, TensorInfo, accumulator_bound, folded_bias
from kit.reference.encoder import run_node
from kit.render.layouts import ISA_LAYOUTS, Packed, rows

ACCUMULATOR_MAX = 2**31 - 129
_TYPES = {"int8": "int8_t", "int32": "int32_t"}


@dataclass(frozen=True)
class Case:
    """One layer, its input columns int8 [columns][in] and the output columns int8 [count][out]."""

    encoder: Encoder
    window: NDArray[np.int8]
    expected: NDArray[np.int8]

    @property
    def node(self) -> Conv:
        return self.encoder.graph.nodes[0]


def _requant(rng: np.random.Generator, bound: NDArray[np.int64], kind: str) -> Requant:
    """Multipliers and shifts: of an export, or anything that the bounds of NUMERICS.md allow."""
    channels = len(bound)
    multiplier = rng.integers(2**30, 2**31, channels)
    most = np.floor(np.log2(ACCUMULATOR_MAX / np.maximum(bound, 1))).astype(int)
    if kind == "usual":
        shift = 7 - np.ceil(np.log2(np.maximum(bound, 1))).astype(int) + rng.integers(-1, 4, channels)
        shift = np.minimum(shift, most)
    elif kind == "left":
        shift = rng.integers(0, np.maximum(most, 0) + 1)
    else:
        shift = rng.integers(-31, np.minimum(most, 30) + 1)
        extremes = np.array([0, 2**30, 2**31 - 1])
        multiplier = np.where(rng.random(channels) < 0.5, rng.choice(extremes, channels), multiplier)
    shift = np.clip(shift, -31, 30)
    return Requant(tuple(map(int, multiplier)), tuple(map(int, shift)), "double")


def _bytes(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> NDArray[np.int8]:
    if kind == "extreme":
        return rng.choice(np.array([-128, -127, 0, 127], np.int8), shape)
    return rng.integers(-128, 128, shape).astype(np.int8)


def random_case(
    rng: np.random.Generator, kernel: int, stride: int, inputs: int, outputs: int, count: int, depthwise: bool,
    kind: str = "usual",
) -> Case:  # fmt: skip
    """A layer that reads exactly the columns that ``count`` output columns need.

    Args:
        kind: ``usual``; ``left``, shifts to the left where the accumulator allows; or ``extreme``, values, multipliers
            and shifts at the ends of their ranges.
    """
    outputs = inputs if depthwise else outputs
    columns = kernel + (count - 1) * stride
    weights = _bytes(rng, (kernel, outputs) if depthwise else (outputs, kernel, inputs), kind)
    if kind == "left":
        weights = (weights // 43).astype(np.int8)
    spread = 2_000_000 if kind == "extreme" else 3_000
    bias = rng.integers(-spread, spread + 1, outputs).astype(np.int32)
    zero_in, zero_out = (int(z) for z in rng.choice([-128, -1, 0, 5, 127], 2))
    low = int(rng.choice([-128, zero_out, max(-128, zero_out - 20)]))
    high = int(rng.choice([127, max(low, 100)]))
    tensors = (TensorInfo("in", columns, inputs, 0.03125, zero_in), TensorInfo("out", count, outputs, 0.1, zero_out))
    node = Conv(
        "layer", "layer", 0, 1, kernel, stride, 0, 0, "w", "b", Requant((0,) * outputs, (0,) * outputs, "double"),
        low, high, depthwise,
    )  # fmt: skip
    arrays: dict[str, NDArray[Any]] = {"w": weights, "b": bias}
    bare = Encoder(EncoderGraph(tensors, (node,), 0, 1), arrays)
    requant = _requant(rng, accumulator_bound(bare, node), kind)
    node = Conv(
        "layer", "layer", 0, 1, kernel, stride, 0, 0, "w", "b", requant, low, high, depthwise
    )  # fmt: skip
    encoder = Encoder(EncoderGraph(tensors, (node,), 0, 1), arrays)
    window = _bytes(rng, (columns, inputs), kind)
    return Case(encoder, window, run_node(encoder, node, window[None])[0])


def random_cases(rng: np.random.Generator, n: int, batch: int) -> list[Case]:
    """Layers of every sort: kernels 1..9, strides 1..3, channels 1..70, one to ``batch`` columns."""
    cases = []
    for i in range(n):
        kernel, stride = int(rng.integers(1, 10)), int(rng.integers(1, 4))
        inputs, outputs = (int(v) for v in rng.choice([1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 40, 50, 64, 70], 2))
        cases.append(
            random_case(
                rng, kernel, stride, inputs, outputs, int(rng.integers(1, batch + 1)), i % 3 == 2,
                ("usual", "usual", "left", "extreme")[i % 4],
            )
        )  # fmt: skip
    cases.append(random_case(rng, 25, 2, 6, 9, batch, False))
    cases.append(random_case(rng, 25, 2, 11, 11, batch, True))
    return cases


def _array(name: str, values: NDArray[Any], align: int) -> str:
    flat = values.reshape(-1)
    numbers = ", ".join("INT32_MIN" if v == -(2**31) else str(v) for v in flat.tolist())
    return f"KIT_ALIGN({align}) static const {_TYPES[flat.dtype.name]} {name}[{flat.size}] = {{{numbers}}};\n"


def write_cases(path: Path, cases: list[Case], isa: str) -> None:
    """The header of the cases, with weights in the layout that an instruction set reads first."""
    text, layers = "", ""
    for i, case in enumerate(cases):
        node, graph = case.node, case.encoder.graph
        source, target = graph.tensors
        packed: Packed | None = next(
            (found for layout in ISA_LAYOUTS.get(isa, ()) if (found := layout(case.encoder, node)) is not None), None
        )
        packed = packed or rows(case.encoder, node)
        text += _array(f"weights{i}", packed.values, packed.align)
        text += _array(f"bias{i}", folded_bias(case.encoder, node).astype(np.int32), 4)
        text += _array(f"multiplier{i}", np.array(node.requant.multiplier, np.int32), 4)
        text += _array(f"shift{i}", np.array(node.requant.shift, np.int8), 4)
        text += _array(f"window{i}", case.window, 4)
        text += _array(f"expected{i}", case.expected, 4)
        count = target.length
        fields = {
            "weights": f"weights{i}", "bias": f"bias{i}", "multiplier": f"multiplier{i}", "shift": f"shift{i}",
            "in_channels": source.channels, "out_channels": target.channels, "in_columns": source.length,
            "in_pitch": source.channels, "out_pitch": target.channels,
            "out_columns": count, "kernel": node.kernel, "stride": node.stride, "batch": count,
            "columns": source.length, "depthwise": int(node.depthwise),
            "layout": f"KIT_AOT_LAYOUT_{packed.layout.upper()}", "in_zero_point": source.zero_point,
            "out_zero_point": target.zero_point, "act_min": node.act_min, "act_max": node.act_max,
        }  # fmt: skip
        layer = ", ".join(f".{name} = {value}" for name, value in fields.items())
        layers += f"    {{{{{layer}}}, window{i}, expected{i}, {count}}},\n"
    most = max(case.expected.size for case in cases)
    path.write_text(
        f"{text}#define CASES {len(cases)}\n#define OUTPUT_BYTES {most}\n"
        f"static const kernel_case_t cases[CASES] = {{\n{layers}}};\n"
    )
