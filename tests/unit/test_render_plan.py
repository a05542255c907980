"""Memory plan: windows without gaps, bounds of the engine's counters, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kit.config import parse_config
from kit.errors import UnsupportedOpError
from kit.graph.ir import Encoder, EncoderGraph
from kit.graph.reader import read_tflite
from kit.render.layouts import wide_windows
from kit.render.plan import ACTIVATION_BYTES_MAX, MemoryPlan, plan_memory
from tests.architectures import random_architecture
from tests.models import encoder_for, tiny_config


def graph_of(**overrides: object) -> EncoderGraph:
    return read_tflite(encoder_for(tiny_config(**overrides), np.random.default_rng(3))).graph


def described() -> Encoder:
    config = parse_config({"name": "described"})
    return read_tflite(encoder_for(config, np.random.default_rng(1)))


def test_the_described_model_needs_its_last_columns_only() -> None:
    graph = described().graph
    plan = plan_memory(graph)
    assert [window.batch for window in plan.windows] == [2, 2, 1, 2, 2]
    assert [window.bytes for window in plan.windows] == [9, 9 * 32, 7 * 40, 2 * 40, 2 * 50]
    # The windows of the last layer and of the output lie where the others have room when they are needed.
    assert plan.activation_bytes == 660 < sum(window.bytes for window in plan.windows) + plan.output_bytes


def test_the_described_model_in_int16() -> None:
    encoder = described()
    plan = plan_memory(encoder.graph, wide_windows(encoder)["KIT_ISA_DSP"])
    assert [window.wide for window in plan.windows] == [True, True, False, True, True]
    assert [window.bytes for window in plan.windows] == [20, 2 * 9 * 32, 7 * 40, 2 * 2 * 40, 2 * 50 + 104]
    assert plan.activation_bytes == 1036


def replay(encoder: Encoder, plan: MemoryPlan) -> None:
    """Play a frame through the plan's memory, a token for every byte: each layer reads what was meant for it."""
    graph, memory = encoder.graph, [None] * plan.activation_bytes  # type: list[object]
    count = len(graph.nodes)
    held: list[list[object]] = [[] for _ in range(count)]
    received, produced, skip = [0] * count, [0] * count, [0] * count

    def put(i: int, token: object) -> None:
        window = plan.windows[i]
        assert len(held[i]) < window.columns
        at = window.offset + len(held[i]) * window.pitch
        memory[at : at + window.pitch] = [token] * window.pitch
        if skip[i]:
            skip[i] -= 1
        else:
            held[i].append(token)

    def check(i: int) -> None:
        window = plan.windows[i]
        for n, token in enumerate(held[i]):
            at = window.offset + n * window.pitch
            assert memory[at : at + window.pitch] == [token] * window.pitch, f"layer {i}, column {n}"

    def run(i: int) -> bool:
        node, window = graph.nodes[i], plan.windows[i]
        batch = min(window.batch, graph.tensors[node.output].length - produced[i])
        needed = window.columns - (window.batch - batch) * node.stride
        if batch and received[i] == graph.tensors[node.input].length:
            while len(held[i]) < needed:
                put(i, ("right", i, len(held[i])))
        if not batch or len(held[i]) < needed:
            return False
        if i + 1 < count:
            batch = min(batch, 1 if skip[i + 1] else plan.windows[i + 1].columns - len(held[i + 1]))
            for n in range(batch):
                put(i + 1, ("column", i, produced[i] + n))
            received[i + 1] += batch
        else:
            pitch = graph.output_tensor.channels
            memory[plan.output : plan.output + batch * pitch] = [("output", produced[i])] * (batch * pitch)
        check(i)
        produced[i] += batch
        skip[i] = max(0, batch * node.stride - len(held[i]))
        held[i] = held[i][batch * node.stride :]
        for n, token in enumerate(held[i]):
            at = window.offset + n * window.pitch
            memory[at : at + window.pitch] = [token] * window.pitch
        return True

    for i, node in enumerate(graph.nodes):
        for n in range(node.pad_left):
            put(i, ("left", i, n))
    while produced[-1] < graph.output_tensor.length:
        if not any(run(i) for i in reversed(range(count))):
            put(0, ("sample", received[0]))
            received[0] += 1


@pytest.mark.parametrize("number", range(24))
def test_no_window_is_overwritten_while_it_is_needed(number: int) -> None:
    rng = np.random.default_rng(number)
    encoder = random_architecture(rng, number) if number else described()
    for plan in (plan_memory(encoder.graph), plan_memory(encoder.graph, wide_windows(encoder)["KIT_ISA_DSP"])):
        assert all(window.offset % 4 == 0 and window.end <= plan.activation_bytes for window in plan.windows)
        replay(encoder, plan)


def test_memory_does_not_depend_on_the_frame_length() -> None:
    sizes = {plan_memory(graph_of(signal={"frame_samples": samples})).activation_bytes for samples in (64, 128, 1024)}
    assert len(sizes) == 1


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
