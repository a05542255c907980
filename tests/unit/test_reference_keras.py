"""The described encoder, built by Keras and quantized by TensorFlow, through reader, reference and golden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.errors import ToolchainError, UnsupportedOpError
from kit.golden import available, golden_latents, golden_layers
from kit.graph.container import open_model
from kit.graph.reader import read_tflite
from kit.host.arena import arena_of_wheel
from kit.host.random_firmware import random_firmware
from kit.host.validate import validate, vector_frames
from kit.reference.encoder import encode, encode_layers
from kit.reference.normalise import normalise
from kit.render.tflm import tflm_view
from tests.models import random_frames, tiny_config
from tests.support import missing, need, need_golden, need_package, seed
from tests.tflm_support import DOUBLE, REAL, tflm_root

Export = Callable[[str], bytes]


def _keras_encoder(norm: str) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    norms = {"batch": layers.BatchNormalization, "layer": layers.LayerNormalization}
    x = frame = keras.Input((1, 320, 1), name="frame")
    for stage, width in enumerate((32, 40, 50)):
        if stage < 2:
            x = layers.Conv2D(width, (1, 7), 2, "same", use_bias=False, name=f"stage{stage}_conv")(x)
        else:
            x = layers.DepthwiseConv2D((1, 7), 2, "same", use_bias=False, name=f"stage{stage}_depthwise")(x)
            x = layers.Conv2D(width, 1, use_bias=False, name=f"stage{stage}_pointwise")(x)
        x = layers.ReLU(name=f"stage{stage}_relu")(norms[norm](name=f"stage{stage}_norm")(x))
    model = keras.Model(frame, layers.Conv2D(16, 1, name="head")(x), name="encoder")
    rng = np.random.default_rng(seed())
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            width = layer.gamma.shape
            layer.set_weights(
                [rng.uniform(0.5, 1.5, width), rng.normal(0, 0.3, width), rng.normal(0, 0.3, width),
                 rng.uniform(0.5, 1.5, width)]
            )  # fmt: skip
    return model


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """norm -> full-integer .tflite whose input is calibrated to exactly 1/32 around 0."""
    tf = need_package("tensorflow")

    @cache
    def make(norm: str) -> bytes:
        folder = str(tmp_path_factory.mktemp(norm))
        _keras_encoder(norm).export(folder, format="tf_saved_model", verbose=False)
        frames = normalise(random_frames(np.random.default_rng(seed()), 32, 320, ("ppg",)), 5).y / 32

        def calibration() -> Iterator[list[Any]]:
            frames[0, :2] = (-4, 127 / 32)
            for frame in frames:
                yield [frame.astype(np.float32).reshape(1, 1, 320, 1)]

        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return bytes(converter.convert())

    return make


def frames() -> np.ndarray[Any, np.dtype[np.int8]]:
    """Normalised ordinary and extreme frames."""
    return normalise(random_frames(np.random.default_rng(seed()), 60, 320), 5).y


def test_described_encoder(export: Export, tmp_path: Path) -> None:
    model = export("batch")
    (tmp_path / "encoder.tflite").write_bytes(model)
    assert 20_000 < len(model) < 23_000
    assert [op.op for op in open_model(model).operators] == [
        "CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "CONV_2D",
    ]  # fmt: skip
    encoder = read_tflite(tmp_path / "encoder.tflite")
    assert [node.keras_layer for node in encoder.graph.nodes] == [
        "stage0_conv", "stage1_conv", "stage2_depthwise", "stage2_pointwise", "head",
    ]  # fmt: skip
    assert encoder.graph.macs == 875_840
    for length in range(0, len(model), 1999):
        with pytest.raises(Exception, match=r"truncated or damaged|file identifier"):
            read_tflite(model[:length])
    if (reason := available()) is not None:
        missing("tflite-micro", reason)
    y = frames()
    assert np.count_nonzero(golden_latents(model, y) != encode(encoder, y)) == 0
    layers, mine = golden_layers(model, y[0]), encode_layers(encoder, y[:1])
    assert list(layers) == list(mine)
    assert all(np.array_equal(layers[name], mine[name][0]) for name in layers)


def test_layer_norm_is_refused_by_aot_and_runs_in_tflm(export: Export) -> None:
    model = export("layer")
    with pytest.raises(
        UnsupportedOpError, match=r"MEAN \(layer stage0_norm\).*tflm, or model.encoder_block_norm: batch"
    ):
        read_tflite(model)
    encoder = read_tflite(model, engine="tflm")
    assert encoder.graph.opaque
    if (reason := available()) is not None:
        missing("tflite-micro", reason)
    latents = golden_latents(model, frames()[:4])
    assert latents.shape == (4, 40, 16)
    assert latents.std() > 1
    assert list(golden_layers(model, frames()[0]).values())[-1].shape == (40, 16)


@pytest.mark.parametrize("which", [DOUBLE, REAL])
def test_layer_norm_in_the_tflm_harness(export: Export, which: str, tmp_path: Path) -> None:
    """Every operator that the converter emits is registered; the double has not got them, and its build says so."""
    need_golden()
    need("g++")
    root = tflm_root(which)
    model = export("layer")
    arena = arena_of_wheel(model)
    view = tflm_view(model, arena)
    assert {"MEAN", "SQUARED_DIFFERENCE", "RSQRT", "MUL", "ADD"} <= {operator.name for operator in view.operators}
    assert [each.name for each in view.operators if each.int8 and each.name.endswith("CONV_2D")]
    config = tiny_config(
        signal={"frame_samples": 320},
        model={"num_stages": 3, "base_filters": 32, "embedding_dim": 16, "encoder_block_norm": "layer"},
        firmware={"engine": "tflm"},
    )
    made = random_firmware(tmp_path, config, np.random.default_rng(seed()), model, arena=arena)
    firmware = replace(made, tflm_roots=(("", root),))
    if which == DOUBLE:
        with pytest.raises(ToolchainError, match="the headers of TFLM_ROOT have no Add"):
            firmware.build("runner")
        return
    report = validate(firmware, ["native"], vector_frames(firmware), layers=True)
    assert report.passed, [outcome.detail for outcome in report.outcomes]
    assert report.outcomes[-1].engine == "tflm"
