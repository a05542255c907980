"""Reading a .tflite: what comes out of a good one, and what is said about a bad one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tflite

from kit.errors import GraphError, KitError, UnsupportedOpError
from kit.graph.ir import OPAQUE_MODEL, accumulator_bound, folded_bias
from kit.graph.reader import read_tflite
from tests.models import random_encoder, random_encoder_tflite, with_operator, with_schema_version, with_tensor_type
from tests.models import write_tflite as write
from tests.support import seed
from tests.tflite_writer import with_contradicting_codes, with_options_type


def rng() -> np.random.Generator:
    return np.random.default_rng(seed())


@pytest.fixture(scope="module")
def model() -> bytes:
    return random_encoder_tflite(rng(), T=50, stages=3, filters=[4, 5, 6], D=3)


def test_reads_structure_and_quantization(model: bytes, tmp_path: Path) -> None:
    encoder = read_tflite(model)
    graph = encoder.graph
    assert [(n.name, n.keras_layer, n.depthwise, n.kernel, n.stride) for n in graph.nodes] == [
        ("conv0", "stage0_conv", False, 7, 2),
        ("conv1", "stage1_conv", False, 7, 2),
        ("depthwise2", "stage2_depthwise", True, 7, 2),
        ("conv3", "stage2_pointwise", False, 1, 1),
        ("conv4", "head", False, 1, 1),
    ]
    assert [(t.length, t.channels) for t in graph.tensors] == [(50, 1), (25, 4), (13, 5), (7, 5), (7, 6), (7, 3)]
    # 50 and 25 columns: TensorFlow Lite puts the odd column of padding on the right.
    assert [(n.pad_left, n.pad_right) for n in graph.nodes] == [(2, 3), (3, 3), (3, 3), (0, 0), (0, 0)]
    assert (graph.lsb_bits, graph.input_tensor.zero_point, graph.downsampling) == (5, 0, 7)
    assert [n.act_min for n in graph.nodes if not n.depthwise][:-1] == [-128] * 3
    assert graph.nodes[0].requant.rounding == "double"
    assert encoder.weights["conv0_weights"].shape == (4, 7, 1)
    assert encoder.weights["depthwise2_weights"].shape == (7, 5)
    assert graph.macs == 25 * 4 * 7 + 13 * 5 * 7 * 4 + 7 * 5 * 7 + 7 * 6 * 5 + 7 * 3 * 6
    path = tmp_path / "encoder.tflite"
    path.write_bytes(model)
    assert read_tflite(path) == encoder
    assert read_tflite(path, engine="tflm") == encoder


def test_absent_bias_is_zeros() -> None:
    encoder = read_tflite(random_encoder_tflite(rng(), bias=False))
    assert not any(encoder.node_bias(node).any() for node in encoder.graph.nodes)


def test_valid_padding_and_scale_per_tensor() -> None:
    source = random_encoder(rng(), T=40, stages=1)
    source.layers[0].padding = "VALID"
    source.layers[0].length = source.layers[1].length = (40 - 7) // 2 + 1
    source.layers[0].weight_scales = source.layers[0].weight_scales[:1]
    encoder = read_tflite(write(source))
    node = encoder.graph.nodes[0]
    assert (node.pad_left, node.pad_right, encoder.graph.tensors[1].length) == (0, 0, 17)
    assert len(set(node.requant.multiplier)) == 1


def test_accumulator_bound_is_what_the_worst_input_reaches(model: bytes) -> None:
    encoder = read_tflite(model)
    for node in encoder.graph.nodes:
        weights = encoder.node_weights(node).astype(np.int64)
        weights = weights.T if node.depthwise else weights.reshape(len(weights), -1)
        folded, bound = folded_bias(encoder, node), accumulator_bound(encoder, node)
        worst = np.where(weights < 0, -128, 127)
        reached = np.abs(folded + (weights * worst).sum(axis=1))
        assert (reached <= bound).all()
        assert bound.max() < 1 << 31


@pytest.mark.parametrize("op", ["ADD", "LOGISTIC", "MEAN", "RSQRT"])
def test_other_operators_are_refused_with_a_way_out(model: bytes, op: str) -> None:
    with pytest.raises(UnsupportedOpError, match=rf"{op} \(layer stage1_conv\).*firmware.engine: tflm") as caught:
        read_tflite(with_operator(model, 1, op))
    assert ("encoder_block_norm: batch" in str(caught.value)) == (op in ("MEAN", "RSQRT"))


def test_the_tflm_engine_takes_them_as_they_are(model: bytes) -> None:
    changed = with_operator(model, 1, "ADD")
    encoder = read_tflite(changed, engine="tflm")
    assert encoder.graph.opaque
    assert encoder.weights[OPAQUE_MODEL].tobytes() == changed
    assert (encoder.graph.input_tensor.length, encoder.graph.output_tensor.channels, encoder.graph.macs) == (50, 3, 0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"dilation": 2}, "dilation 2"),
        ({"activation": "RELU_N1_TO_1"}, "activation RELU_N1_TO_1"),
        ({"weights": np.ones((4, 3, 7, 1), np.int8)}, "not of height 1"),
        ({"weights": np.ones((4, 1, 7, 2), np.int8)}, "in one group"),
    ],
)
def test_uses_outside_the_graph_are_refused(change: dict[str, object], text: str) -> None:
    source = random_encoder(rng())
    for key, value in change.items():
        setattr(source.layers[0], key, value)
    with pytest.raises(UnsupportedOpError, match=text):
        read_tflite(write(source))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"weight_scales": np.ones(3, np.float32)}, "3 scales"),
        ({"bias": np.zeros(3, np.int32)}, r"INT32\[3\], expected INT32\[4\]"),
        ({"bias": np.full(4, 2**31 - 1, np.int32)}, "accumulator of channel . may reach"),
        ({"scale": 1e-9}, "accumulator of channel . may reach"),
        ({"scale": 1e-30}, "too large"),
        ({"scale": 0.0}, "scale 0.0"),
        ({"scale": float("nan")}, "scale nan"),
        ({"zero_point": 200}, "zero point 200"),
        ({"length": 31}, "gives 32 columns"),
    ],
)
def test_impossible_numbers_are_refused(change: dict[str, object], text: str) -> None:
    source = random_encoder(rng())
    for key, value in change.items():
        setattr(source.layers[0], key, value)
    with pytest.raises(GraphError, match=text):
        read_tflite(write(source))


@pytest.mark.parametrize(("scale", "zero_point"), [(0.112, 0), (1 / 4, 0), (1 / 128, 0), (1 / 32, -1)])
def test_input_must_be_a_power_of_two_around_zero(scale: float, zero_point: int) -> None:
    source = random_encoder(rng())
    source.input_scale, source.input_zero_point = scale, zero_point
    with pytest.raises(GraphError, match="export again"):
        read_tflite(write(source))


def test_float_model_is_refused(model: bytes) -> None:
    with pytest.raises(GraphError, match="FLOAT32, expected INT8"):
        read_tflite(with_tensor_type(model, 0, tflite.TensorType.FLOAT32))
    with pytest.raises(GraphError, match="INT16, expected an INT8 activation"):
        read_tflite(with_tensor_type(model, 3, tflite.TensorType.INT16))


def test_container_is_checked(model: bytes, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="schema version 2, expected 3"):
        read_tflite(with_schema_version(model, 2))
    with pytest.raises(GraphError, match="lacks the file identifier TFL3"):
        read_tflite(b"\x00" * 4096)
    with pytest.raises(GraphError, match=r"cannot read .*absent\.tflite: No such file"):
        read_tflite(tmp_path / "absent.tflite")


def test_truncated_anywhere_is_an_error(model: bytes) -> None:
    for length in [*range(64), *range(64, len(model), 97), len(model) - 4, len(model) - 1]:
        with pytest.raises(GraphError, match=r"truncated or damaged|file identifier"):
            read_tflite(model[:length])


def test_overwritten_bytes_never_escape_as_anything_else(model: bytes) -> None:
    generator = rng()
    for _ in range(400):
        damaged = bytearray(model)
        for _ in range(int(generator.integers(1, 6))):
            damaged[int(generator.integers(0, len(model)))] = int(generator.integers(0, 256))
        for engine in ("aot", "tflm"):
            try:
                encoder = read_tflite(bytes(damaged), engine=engine)
            except KitError:
                continue
            assert encoder.graph.output_tensor.length >= 1


def test_contradictions_that_runtimes_resolve_differently_are_refused(model: bytes) -> None:
    with pytest.raises(GraphError, match=r"damaged \(an operator is both 3 and 4\)"):
        read_tflite(with_contradicting_codes(model, 1, "DEPTHWISE_CONV_2D"))
    with pytest.raises(GraphError, match=r"damaged \(CONV_2D has no options, or those of another operator\)"):
        read_tflite(with_options_type(model, 1, tflite.BuiltinOptions.AddOptions))
