"""Memory plan: windows without gaps, bounds of the engine's counters, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kit.config import parse_config
from kit.errors import UnsupportedOpError
from kit.graph.ir import EncoderGraph
from kit.graph.reader import read_tflite
from kit.render.plan import ACTIVATION_BYTES_MAX, plan_memory
from tests.models import encoder_for, tiny_config


def graph_of(**overrides: object) -> EncoderGraph:
    return read_tflite(encoder_for(tiny_config(**overrides), np.random.default_rng(3))).graph


def test_the_described_model_needs_its_last_columns_only() -> None:
    config = parse_config({"name": "described"})
    graph = read_tflite(encoder_for(config, np.random.default_rng(1))).graph
    plan = plan_memory(graph)
    assert [window.batch for window in plan.windows] == [2, 2, 1, 2, 2]
    assert [window.bytes for window in plan.windows] == [9, 9 * 32, 7 * 40, 2 * 40, 2 * 50]
    assert plan.output == 12 + 9 * 32 + 7 * 40 + 2 * 40 + 2 * 50
    assert plan.activation_bytes == plan.output + 2 * 16 <= 800


def test_windows_follow_each_other() -> None:
    for stages in range(1, 6):
        graph = graph_of(model={"num_stages": stages})
        plan = plan_memory(graph)
        at = 0
        for node, window in zip(graph.nodes, plan.windows, strict=True):
            assert window.offset == -(-at // 4) * 4
            assert window.batch == (1 if node.depthwise else min(2, graph.tensors[node.output].length))
            assert window.columns == node.kernel + (window.batch - 1) * node.stride
            assert window.bytes == window.columns * graph.tensors[node.input].channels
            at = window.end
        assert plan.output == -(-at // 4) * 4
        assert plan.activation_bytes == plan.output + plan.windows[-1].batch * graph.output_tensor.channels


def test_a_batch_that_the_counters_cannot_hold_is_not_made() -> None:
    graph = graph_of()
    node, rest = graph.nodes[0], graph.nodes[1:]
    window = plan_memory(replace(graph, nodes=(replace(node, kernel=254), *rest))).windows[0]
    assert (window.batch, window.columns) == (1, 254)


def test_what_the_engine_cannot_hold_is_refused() -> None:
    graph = graph_of()
    node, rest = graph.nodes[0], graph.nodes[1:]
    single = replace(node, requant=replace(node.requant, rounding="single"))
    with pytest.raises(UnsupportedOpError, match=f"{node.name}.*single rounding"):
        plan_memory(replace(graph, nodes=(single, *rest)))
    with pytest.raises(UnsupportedOpError, match=r"kernel 256, the aot engine holds up to 255; use firmware\.engine"):
        plan_memory(replace(graph, nodes=(replace(node, kernel=256), *rest)))
    wide = tuple(replace(tensor, channels=4096) for tensor in graph.tensors)
    fat = tuple(replace(n, kernel=7) for n in graph.nodes)
    with pytest.raises(UnsupportedOpError, match=f"activations, the aot engine holds {ACTIVATION_BYTES_MAX}"):
        plan_memory(replace(graph, tensors=wide, nodes=fat))
