"""Stages of a benchmark: which rows a build has, where the probes count them, and how much work each does."""

from __future__ import annotations

from dataclasses import dataclass

from kit.errors import RunnerError
from kit.graph.ir import Conv, EncoderGraph
from kit.host.firmware import Firmware
from kit.host.probes import StageNumbers

ENCODER, SEARCH, REST = "encoder", "search", "other"
PARTS = (ENCODER, SEARCH, REST)

INTERPRETER = "encoder, TFLM"
"""Key of the one stage that TensorFlow Lite Micro has: its operators run where probes do not reach."""

AOT = "aot"
"""The engine whose layers have a stage each; every other one takes the model as a whole."""


def describe_layer(graph: EncoderGraph, node: Conv) -> str:
    """What a layer computes, in words."""
    source, sink = graph.tensors[node.input], graph.tensors[node.output]
    kind = (
        f"depthwise, {sink.channels} channels" if node.depthwise else f"{source.channels} to {sink.channels} channels"
    )
    stride = f", stride {node.stride}" if node.stride != 1 else ""
    return f"{kind}, kernel {node.kernel}{stride}, {sink.length} columns"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One row of the report to be: where its counts are found, and what it is."""

    number: int
    key: str
    part: str
    label: str
    macs: int


def _encoder_plans(firmware: Firmware, numbers: StageNumbers, engine: str) -> list[StagePlan]:
    graph, schedule = firmware.encoder.graph, numbers.fixed["schedule"]
    if engine != AOT:
        return [StagePlan(schedule, INTERPRETER, ENCODER, f"TensorFlow Lite Micro, {_operators(graph)}", graph.macs)]
    plans = [StagePlan(schedule, "schedule", ENCODER, "which layer goes next, windows", 0)]
    for index, node in enumerate(graph.nodes):
        label, macs = describe_layer(graph, node), graph.node_macs(node)
        plans.append(StagePlan(numbers.layer[0] + index, f"layer {index}", ENCODER, label, macs))
    return plans


def _operators(graph: EncoderGraph) -> str:
    return f"{len(graph.nodes)} layers" if graph.nodes else "the whole model"


def plan_stages(firmware: Firmware, numbers: StageNumbers, engine: str = "") -> tuple[StagePlan, ...]:
    """Every stage that a build can pass, in order.

    Args:
        firmware: the build.
        numbers: stages of the probes.
        engine: what runs the encoder; empty: that of the build.

    Raises:
        RunnerError: more layers than the probes can tell apart.
    """
    engine = engine or firmware.engine
    layers = len(firmware.encoder.graph.nodes) if engine == AOT else 1
    levels, entries, dims = firmware.codebook.integer.shape
    if layers > numbers.layer[1] or levels > numbers.level[1]:
        raise RunnerError(f"probes tell {numbers.layer[1]} layers and {numbers.level[1]} levels apart, not {layers}")
    fixed = numbers.fixed
    plans = [
        StagePlan(fixed["input"], "input", REST, "samples into the ring, one at a time", 0),
        StagePlan(fixed["normalise"], "normalise", REST, "statistics, scale, samples to INT8", 0),
        *_encoder_plans(firmware, numbers, engine),
    ]
    macs = firmware.config.latent_positions * entries * dims
    for level in range(levels):
        label = f"{entries} entries of {dims}, {firmware.config.latent_positions} positions"
        plans.append(StagePlan(numbers.level[0] + level, f"level {level}", SEARCH, label, macs))
    plans.append(StagePlan(fixed["pack"], "pack", REST, "bits into the packet", 0))
    plans.append(StagePlan(fixed["rest"], "rest", REST, "sample ring, steps of a poll", 0))
    return tuple(plans)
