"""Layer comparison and diagnosis: every known cause found by itself, nothing claimed of an unknown one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from kit.errors import MismatchError
from kit.graph.ir import Conv, Encoder, Requant
from kit.graph.reader import read_tflite
from kit.graph.taps import graph_taps
from kit.host.compare import Comparison, FieldCount
from kit.host.diagnose import Finding, diagnose
from kit.host.diagnose_arithmetic import rounding_hypotheses
from kit.host.explain import stage_of
from kit.host.hypothesis import Evidence, Output, changed
from kit.host.layer_compare import compare_layers, pattern
from kit.host.runners import Layers
from kit.reference.encoder import encode_layers, run_node
from tests.models import encoder_for, tiny_config

RNG = np.random.default_rng(20261128)
ENCODER = read_tflite(encoder_for(tiny_config(), np.random.default_rng(5)))
INPUTS = RNG.integers(-128, 128, (40, 64)).astype(np.int8)
Change = Callable[[Evidence], Output]


def observed(change: Change, number: int | None = None) -> Layers:
    """Layers of a runtime with ``change`` in one layer, or in all."""
    x: NDArray[np.int8] = INPUTS[:, :, None]
    found = []
    for index, node in enumerate(ENCODER.graph.nodes):
        evidence = Evidence(ENCODER, node, x, run_node(ENCODER, node, x), x)
        x = change(evidence)(x) if number in (None, index) else evidence.want
        found.append(x)
    return tuple(found)


def only(layers: Layers) -> Finding:
    (finding,) = diagnose(ENCODER, INPUTS, layers)
    return finding


def habit(key: str) -> Change:
    return lambda evidence: next(h.output for h in rounding_hypotheses(evidence) if h.key == key)


def stale(count: int) -> Change:
    """The last padding columns on the right hold anything, another in every frame."""

    def change(evidence: Evidence) -> Output:
        node = evidence.node

        def output(x: NDArray[np.int8]) -> NDArray[np.int8]:
            right = np.full((len(x), node.pad_right, x.shape[2]), evidence.zero_points[0], np.int8)
            right[:, node.pad_right - count :] = RNG.integers(-128, 128, (len(x), count, x.shape[2]))
            return changed(evidence, pad_right=0)(np.concatenate([x, right], axis=1))

        return output

    return change


def weights_of(evidence: Evidence) -> NDArray[np.int8]:
    return evidence.encoder.node_weights(evidence.node)


def offset(side: int, by: int) -> Change:
    def change(evidence: Evidence) -> Output:
        points = [*evidence.zero_points]
        points[side] += by
        return changed(evidence, zero_points=(points[0], points[1]))

    return change


DEFECTS: list[tuple[str, int, Change, str]] = [
    ("bias-missing", 1, lambda e: changed(e, bias=0 * e.encoder.node_bias(e.node)), "missing bias: it leaves"),
    ("bias-twice", 1, lambda e: changed(e, bias=2 * e.encoder.node_bias(e.node)), "doubled bias"),
    ("input-zero-point", 1, offset(0, 3), "wrong input zero point: it takes -125, the model says -128"),
    ("output-zero-point", 2, offset(1, 7), "wrong output zero point: it takes -121, the model says -128"),
    ("right-padding", 1, stale(1), "the outermost padding column on the right (of 3) holds stale memory"),
    ("right-padding", 1, stale(2), "the 2 outermost padding columns on the right (of 3) hold stale memory"),
    ("weight-layout", 1, lambda e: changed(e, weights=weights_of(e)[:, ::-1].copy()), "with the axis 'tap' reversed"),
    (
        "weight-layout", 1,
        lambda e: changed(e, weights=weights_of(e).transpose(2, 1, 0).reshape(weights_of(e).shape)),
        "swapped weight layout: it reads the weights as [out][tap][in], but they are stored as [in][tap][out]",
    ),
    ("weight-layout", 2, lambda e: changed(e, weights=weights_of(e)[[1, 0, 3, 2]]), "of the axis 'out' swapped"),
    ("padding-split", 1, lambda e: changed(e, pad_left=3, pad_right=2), "3 columns on the left and 2 on the right"),
    ("clamp", 2, lambda e: changed(e, act_max=126), "wrong activation clamp"),
    ("per-tensor-scale", 1, lambda e: changed(e, requant=first_scale(e.node)), "with the first channel's scale"),
]  # fmt: skip


def first_scale(node: Conv) -> Requant:
    channels = len(node.requant.multiplier)
    first = node.requant
    return replace(first, multiplier=first.multiplier[:1] * channels, shift=first.shift[:1] * channels)


IDS = [f"{key}-{i}" for i, (key, *_) in enumerate(DEFECTS)]


@pytest.mark.parametrize(("key", "number", "change", "words"), DEFECTS, ids=IDS)
def test_a_defect_of_one_layer(key: str, number: int, change: Change, words: str) -> None:
    finding = only(observed(change, number))
    assert (finding.key, finding.layers) == (key, (ENCODER.graph.nodes[number].name,)), str(finding)
    assert finding.exact and words in str(finding) and f"explains all {finding.differing:,} values" in str(finding)


@pytest.mark.parametrize(("key", "words"), [
    ("single-rounding", "rounds once where the golden rounds twice"),
    ("truncation", "cuts off where the golden rounds"),
])  # fmt: skip
def test_a_habit_shows_in_every_layer(key: str, words: str) -> None:
    finding = only(observed(habit(key)))
    assert finding.key == key and finding.exact and words in str(finding)
    assert finding.layers == tuple(node.name for node in ENCODER.graph.nodes)


def test_what_cannot_be_told_apart_is_said() -> None:
    """Float32 and single rounding differ in one value of a million: on few values both are named."""
    finding = only(observed(habit("xnnpack")))
    assert finding.exact and "XNNPACK" in str(finding) and "equally good" in str(finding)


def test_an_unknown_cause_is_not_explained_away() -> None:
    def noisy(evidence: Evidence) -> Output:
        return lambda x: (evidence.want ^ (RNG.random(evidence.want.shape) < 0.1)).astype(np.int8)

    finding = only(observed(noisy, 1))
    assert finding.key == "" and not finding.exact
    assert str(finding).startswith(f"conv1: no known cause explains the {finding.differing:,} values")


def test_a_clean_run_has_no_finding() -> None:
    assert diagnose(ENCODER, INPUTS, tuple(encode_layers(ENCODER, INPUTS).values())) == ()


def test_first_departure_is_named() -> None:
    taps = graph_taps(ENCODER.graph)
    want = tuple(encode_layers(ENCODER, INPUTS).values())
    assert compare_layers(taps, want, want).first is None
    got = tuple(layer.copy() for layer in want)
    got[1][3, 7, 2] += 1
    got[1][4, 2, 0] -= 4
    got[2][0, 0, 0] ^= 1
    found = compare_layers(taps, want, got)
    first = found.first
    assert first is not None and (first.frame, first.position, first.channel) == (3, 7, 2)
    value = int(want[1][3, 7, 2])
    assert str(first) == f"conv1 [t=7, c=2] want {value} got {value + 1}; 2 of {got[1].size} differ, max 4"
    assert [count.different for count in found.counts] == [0, 2, 1]
    assert found.as_dict()["first"]["text"] == str(first)


def test_layers_of_other_shapes_are_no_comparison() -> None:
    taps = graph_taps(ENCODER.graph)
    want = tuple(encode_layers(ENCODER, INPUTS).values())
    for bad in (want[:2], (want[0], want[1][:, :-1], want[2]), tuple(layer[:3] for layer in want), ()):
        with pytest.raises(MismatchError):
            compare_layers(taps, want, bad)


def test_columns_that_nothing_reads_may_be_missing() -> None:
    """Padding VALID at stride 2: the last input column of a layer may be read by no tap."""
    first, second, *_ = ENCODER.graph.nodes
    short = replace(second, pad_right=0)
    nodes = (first, short, *ENCODER.graph.nodes[2:])
    tensors = list(ENCODER.graph.tensors)
    length = (tensors[second.input].length + second.pad_left - second.kernel) // 2 + 1
    for node in nodes[1:]:
        tensors[node.output] = replace(tensors[node.output], length=length)
    graph = replace(ENCODER.graph, nodes=nodes, tensors=tuple(tensors))
    tap = graph_taps(graph)[0]
    assert tap.read == (length - 1) * 2 + second.kernel - second.pad_left < tap.columns
    encoder = Encoder(graph, ENCODER.weights)
    want = tuple(encode_layers(encoder, INPUTS).values())
    got = (want[0][:, : tap.read], *want[1:])
    assert compare_layers(graph_taps(graph), want, got).equal and diagnose(encoder, INPUTS, got) == ()
    with pytest.raises(MismatchError):
        compare_layers(graph_taps(graph), want, (want[0][:, : tap.read - 1], *want[1:]))


PATTERNS = {
    "the last column only, all channels; by one, up and down, as another rounding does": ([79], None, (1, -1)),
    "the first column only, channel 2 only; all by +5": ([0], 2, (5, 5)),
    "right edge only (columns 77 to 79), all channels; by up to 9": ([77, 78, 79], None, (9, -3)),
    "left edge only (columns 0 to 1), all channels; by one, all one way": ([0, 1], None, (1, 1)),
    "both edges only (2 of 80 columns), all channels; all by -2": ([0, 79], None, (-2, -2)),
    "all columns, channel 0 only; by up to 3": (list(range(80)), 0, (3, -3)),
}


@pytest.mark.parametrize("text", PATTERNS)
def test_patterns(text: str) -> None:
    columns, channel, values = PATTERNS[text]
    difference = np.zeros((2, 80, 4), np.int16)
    for frame, value in enumerate(values):
        for column in columns:
            difference[frame, column, slice(None) if channel is None else channel] = value
    assert pattern(difference) == text
    assert pattern(np.concatenate([difference, 0 * difference])).replace(", 2 of 4 frames", "") == text


def test_stages_outside_of_the_encoder() -> None:
    def comparison(**different: int) -> Comparison:
        names = ("mean", "scale_code", "latents", "indices", "packets")
        return Comparison(3, 1, {name: FieldCount(9, different.get(name, 0), 1) for name in names}, None)

    assert "normalisation" in stage_of(comparison(mean=1, latents=4))
    assert "RVQ search" in stage_of(comparison(indices=1, packets=1))
    assert "packing" in stage_of(comparison(packets=1))
    assert stage_of(comparison(latents=1, indices=1)) == stage_of(comparison()) == ""
    packets_only = Comparison(3, 1, {"indices": FieldCount(9, 1, 1)}, None)
    assert stage_of(packets_only) == "", "without latents the encoder cannot be ruled out"
