"""Firmware with a defect in it: the C of a build changed after rendering, the artifacts left as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.files import read_npz
from kit.graph.ir import Conv, Encoder
from kit.host.firmware import Firmware
from kit.render import Vectors, render_firmware

Edit = tuple[str, str, str]
"""File within the firmware folder, text in it, and what stands there instead."""

SINGLE_ROUNDING: tuple[Edit, ...] = (
    (
        "engines/aot/kit_aot_small.h",
        "const int32_t value = kit_asr32(kit_asr32(rounded, channel->bits), 1);",
        "(void)rounded;\n"
        "    const int32_t value = (int32_t)kit_asr64((int64_t)sum * channel->multiplier +\n"
        "        ((int64_t)1 << (31u + channel->bits)), 32u + channel->bits) +\n"
        "        kit_asr32(kit_asr32(channel->half, channel->bits), 1);",
    ),
    (
        "engines/aot/kit_aot_requantize.h",
        "const int32_t high = (int32_t)kit_asr64((int64_t)value * multiplier + half, 31);",
        "return (int32_t)kit_asr64((int64_t)value * multiplier + (half << -shift), 31u + (unsigned)-shift);\n"
        "    const int32_t high = 0;",
    ),
)
"""Portable kernels that round once."""

STALE_PADDING: tuple[Edit, ...] = (
    (
        "engines/aot/kit_aot.c",
        "    while (progress->held < needed) {\n        pad(engine, layer, progress);\n",
        "    while (progress->held < needed) {\n"
        "        if (layer->in_channels > 1u && layer->stride == 2u && !layer->depthwise &&\n"
        "            progress->produced + count == layer->out_columns && progress->held + 1u == needed) {\n"
        "            take(progress, 1u); /* one column too few is filled */\n"
        "            continue;\n"
        "        }\n"
        "        pad(engine, layer, progress);\n",
    ),
)
"""The last padding column on the right keeps what its memory held before."""


def edited(firmware: Firmware, folder: Path, edits: tuple[Edit, ...]) -> Firmware:
    """A copy of the firmware in ``folder`` with its C changed; each text must be there exactly once."""
    shutil.copytree(firmware.folder, folder, ignore=shutil.ignore_patterns("build"))
    for name, old, new in edits:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (name, old, text.count(old))
        path.write_text(text.replace(old, new), encoding="utf-8")
    return Firmware(folder)


def rendered_from(firmware: Firmware, folder: Path, mutate: Callable[[Encoder], Encoder]) -> Firmware:
    """A copy whose tables are those of another encoder; artifacts and build hash are the first one's."""
    shutil.copytree(firmware.folder, folder, ignore=shutil.ignore_patterns("build"))
    vectors = read_npz(firmware.artifacts / "vectors.npz")
    files = render_firmware(
        firmware.config,
        mutate(firmware.encoder),
        firmware.codebook,
        Vectors(vectors["frames"], vectors["packets"], "planted defect"),
        firmware.model_bytes(),
        firmware.build_hash,
    )
    for name, text in files.items():
        (folder / "generated" / name).write_text(text, encoding="utf-8")
    return Firmware(folder)


def with_weights(number: int, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Encoder], Encoder]:
    """Other weights of one layer."""

    def mutate(encoder: Encoder) -> Encoder:
        key = encoder.graph.nodes[number].weights
        other = np.ascontiguousarray(change(encoder.weights[key]))
        return Encoder(encoder.graph, {**encoder.weights, key: other})

    return mutate


def with_input_offset(number: int, by: int) -> Callable[[Encoder], Encoder]:
    """The input zero point that is folded into one layer's bias is wrong by ``by``; padding keeps the right one."""

    def mutate(encoder: Encoder) -> Encoder:
        node = encoder.graph.nodes[number]
        weights = encoder.node_weights(node).astype(np.int64)
        sums = weights.sum(axis=0 if node.depthwise else (1, 2))
        bias = (encoder.node_bias(node) - by * sums).astype(np.int32)
        return Encoder(encoder.graph, {**encoder.weights, node.bias: bias})

    return mutate


def with_node(number: int, **fields: Any) -> Callable[[Encoder], Encoder]:
    """Other fields of one layer."""

    def mutate(encoder: Encoder) -> Encoder:
        nodes: list[Conv] = list(encoder.graph.nodes)
        nodes[number] = replace(nodes[number], **fields)
        return Encoder(replace(encoder.graph, nodes=tuple(nodes)), encoder.weights)

    return mutate


def without_bias(number: int) -> Callable[[Encoder], Encoder]:
    """No bias in one layer."""

    def mutate(encoder: Encoder) -> Encoder:
        key = encoder.graph.nodes[number].bias
        return Encoder(encoder.graph, {**encoder.weights, key: np.zeros_like(encoder.weights[key])})

    return mutate
