"""Random architectures: repeatable, small enough for every board, and as different as the graph allows."""

from __future__ import annotations

import numpy as np

from kit.graph.container import open_model
from kit.graph.random_graph import MACS_MAX, WEIGHT_BYTES_MAX, random_architecture
from kit.graph.reader import read_tflite
from kit.reference.random_inputs import UNUSUAL_KINDS, random_frames
from kit.render.plan import plan_memory


def test_random_architectures() -> None:
    operators, layers, shapes = set(), 0, set()
    for seed in range(12):
        config, model = random_architecture(np.random.default_rng(seed), f"random_{seed}")
        assert random_architecture(np.random.default_rng(seed), f"random_{seed}") == (config, model)
        encoder = read_tflite(model)
        graph = encoder.graph
        assert (graph.input_tensor.length, graph.output_tensor.length) == (
            config.signal.frame_samples, config.latent_positions,
        )  # fmt: skip
        assert graph.output_tensor.channels == config.latent_channels
        assert graph.macs <= MACS_MAX and sum(w.nbytes for w in encoder.weights.values()) <= 2 * WEIGHT_BYTES_MAX
        assert plan_memory(graph).activation_bytes > 0
        operators |= {(op.op, op.padding, op.activation, len(op.inputs)) for op in open_model(model).operators}
        shapes |= {(node.kernel, node.stride, node.depthwise) for node in graph.nodes}
        layers += len(graph.nodes)
    assert {op for op, *_ in operators} == {"CONV_2D", "DEPTHWISE_CONV_2D"}
    assert {padding for _, padding, *_ in operators} == {"SAME", "VALID"}
    assert {"NONE", "RELU", "RELU6"} <= {activation for *_, activation, _ in operators}
    assert {inputs for *_, inputs in operators} == {2, 3}
    assert layers > 30 and len(shapes) > 20 and {stride for _, stride, _ in shapes} == {1, 2, 4, 8}


def test_unusual_frames() -> None:
    rng = np.random.default_rng(1)
    kinds = {kind: random_frames(rng, 20, 64, (kind,)) for kind in UNUSUAL_KINDS}
    assert "ppg" not in kinds and len(set(UNUSUAL_KINDS)) == len(UNUSUAL_KINDS)
    assert kinds["noise"].min() < -32000 and kinds["noise"].max() > 32000
    assert not kinds["zero"].any() and not np.ptp(kinds["flat"], axis=1).any()
    assert 1 <= np.ptp(kinds["faint"], axis=1).min() <= np.ptp(kinds["faint"], axis=1).max() <= 6
    spread = kinds["loud"].std(axis=1)
    assert spread.min() < 100 < 1000 < spread.max()
    assert (kinds["loud"] == 32767).any() or (kinds["loud"] == -32768).any()
    wide = random_frames(rng, len(UNUSUAL_KINDS), 32, UNUSUAL_KINDS, sample_bits=24)
    assert wide.dtype == np.int32 and np.abs(wide.astype(np.int64)).max() in ((1 << 23) - 1, 1 << 23)
