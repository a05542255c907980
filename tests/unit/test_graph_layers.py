"""Keras layer names from the tensor names of real exports."""

from __future__ import annotations

import pytest

from kit.graph.layers import keras_layer, trace_suffix


@pytest.mark.parametrize(
    ("names", "layer"),
    [
        (["functional/stage0_norm/FusedBatchNormV3;functional/stage0_conv/convolution;x"], "stage0_conv"),
        (["StatefulPartitionedCall_1:0", "encoder/head/convolution", "arith.constant1"], "head"),
        (["encoder/stage2_depthwise/depthwise1"], "stage2_depthwise"),
        (["encoder/stage1_norm/moments/mean"], "stage1_norm"),
        (["tfl.dequantize"], "tfl.dequantize"),
        ([], "unknown"),
    ],
)
def test_most_telling_component(names: list[str], layer: str) -> None:
    assert keras_layer(names) == layer


def test_suffix_of_a_second_trace_is_dropped_only_where_every_scope_has_it() -> None:
    names = ["encoder_1/stage0_conv_1/convolution", "encoder_1/head_1/convolution", "arith.constant"]
    assert trace_suffix(names) == "_1"
    assert keras_layer(names[:1], "_1") == "stage0_conv"
    assert trace_suffix(["encoder/conv_1/convolution", "encoder/head/convolution"]) == ""
    assert trace_suffix([]) == ""
