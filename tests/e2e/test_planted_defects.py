"""Defects planted in compiled firmware, and TensorFlow's own XNNPACK: each must be named by the right diagnosis."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kit.files import read_npz, write_npz
from kit.graph.ir import Encoder
from kit.host.explain import explain_layers, normalised
from kit.host.firmware import Firmware
from kit.host.outcome import Outcome
from kit.host.runners import golden_runner
from kit.host.validate import join, random_frames, validate, vector_frames
from tests.firmware_folder import make_firmware
from tests.planted import (
    SINGLE_ROUNDING,
    STALE_PADDING,
    edited,
    rendered_from,
    with_input_offset,
    with_node,
    with_weights,
    without_bias,
)
from tests.support import need, need_golden, need_package
from tests.tflite_layers import tflite_layers


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """Layers: (1,7)/2 1 -> 8, (1,7)/2 8 -> 10, depthwise and pointwise, head."""
    need("make")
    need("gcc")
    need_golden()
    model = {"embedding_dim": 8, "latent_width": 16, "num_levels": 2, "num_stages": 3, "base_filters": 8}
    return make_firmware(tmp_path_factory.mktemp("planted"), signal={"frame_samples": 128}, model=model)


def outcome_of(firmware: Firmware, layers: bool = True, frames: int = 60) -> Outcome:
    chosen = join([vector_frames(firmware), random_frames(firmware, frames, 1)])
    report = validate(firmware, ["native"], chosen, engines=["aot"], layers=layers)
    return report.outcomes[-1]


def diagnosis(outcome: Outcome) -> str:
    """The only finding, which must explain everything, and no other cause as well."""
    assert outcome.state == "failed" and outcome.explanation is not None
    assert len(outcome.explanation.findings) == 1, outcome.explanation.lines
    finding = outcome.explanation.findings[0]
    assert finding.exact and not finding.also, str(finding)
    return str(finding)


def names(firmware: Firmware) -> list[str]:
    return [node.name for node in firmware.encoder.graph.nodes]


def test_clean_run_says_so_with_counts(firmware: Firmware) -> None:
    outcome = outcome_of(firmware)
    assert outcome.state == "passed" and outcome.explanation is not None and not outcome.explanation.lines
    layers = outcome.explanation.layers
    assert layers is not None and layers.first is None and [count.name for count in layers.counts] == names(firmware)
    tensors = firmware.encoder.graph.tensors[1:]
    assert layers.compared == sum(tensor.bytes for tensor in tensors) * 74
    assert outcome.layers_text == f"all {len(tensors)} layers equal ({layers.compared:,} values)"


def test_single_rounding(firmware: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-DKIT_NO_SIMD")
    outcome = outcome_of(edited(firmware, tmp_path / "single", SINGLE_ROUNDING))
    assert outcome.explanation is not None
    (finding,) = outcome.explanation.findings
    assert finding.key == "single-rounding" and finding.exact
    # The two differ in one value of a million; no more than that may be said to explain as much.
    assert all(text.startswith("XNNPACK") for text in finding.also)
    text = str(finding)
    assert "single against double rounding: it rounds once where the golden rounds twice" in text
    assert outcome.explanation.layers is not None
    first = outcome.explanation.layers.first
    assert first is not None and first.count.name == "conv0" and first.count.largest == 1


@pytest.mark.parametrize("layers", [True, False])
def test_stale_right_padding(firmware: Firmware, tmp_path: Path, layers: bool) -> None:
    """As CMSIS-NN's Helium convolution has it: the layer of stride 2 reads one column of stale memory at the right."""
    outcome = outcome_of(edited(firmware, tmp_path / "stale", STALE_PADDING), layers)
    text = diagnosis(outcome)
    assert text.startswith("conv1: wrong right-edge padding: the outermost padding column on the right (of 3) holds st")
    assert "CMSIS-NN's Helium kernel" in text
    assert outcome.explanation is not None and outcome.explanation.layers is not None
    first = outcome.explanation.layers.first
    assert first is not None and first.count.name == "conv1" and first.pattern.startswith("the last column only")
    width = firmware.encoder.graph.tensors[firmware.encoder.graph.nodes[1].output].length
    assert str(first).startswith(f"conv1 [t={width - 1}, c=")


def test_swapped_weight_layout(firmware: Firmware, tmp_path: Path) -> None:
    """Taps and input channels of the second layer swapped, as where OHWI is taken for OIHW."""
    swapped = with_weights(1, lambda w: w.transpose(0, 2, 1).reshape(w.shape))
    text = diagnosis(outcome_of(rendered_from(firmware, tmp_path / "swapped", swapped)))
    assert text.startswith("conv1: swapped weight layout: it reads the weights as [")


@pytest.mark.parametrize("by", [-5, 9])
def test_wrong_input_zero_point(firmware: Firmware, tmp_path: Path, by: int) -> None:
    node = firmware.encoder.graph.nodes[1]
    right = firmware.encoder.graph.tensors[node.input].zero_point
    text = diagnosis(outcome_of(rendered_from(firmware, tmp_path / "offset", with_input_offset(1, by))))
    assert text.startswith(f"conv1: wrong input zero point: it takes {right + by}, the model says {right}")


def test_missing_bias_and_wrong_clamp(firmware: Firmware, tmp_path: Path) -> None:
    bare = rendered_from(firmware, tmp_path / "bias", without_bias(len(names(firmware)) - 1))
    assert diagnosis(outcome_of(bare)).startswith(f"{names(firmware)[-1]}: missing bias")
    clamped = rendered_from(firmware, tmp_path / "clamp", with_node(len(names(firmware)) - 1, act_min=0))
    assert diagnosis(outcome_of(clamped)).startswith(f"{names(firmware)[-1]}: wrong activation clamp")


def test_two_defects_are_told_apart(firmware: Firmware, tmp_path: Path) -> None:
    """A departing layer is judged by the input it had: what it passes on is not held against the next."""

    def mutate(encoder: Encoder) -> Encoder:
        return with_input_offset(2, 4)(with_weights(0, lambda w: w[:, ::-1])(encoder))

    outcome = outcome_of(rendered_from(firmware, tmp_path / "two", mutate))
    assert outcome.explanation is not None
    keys = {finding.layers: finding.key for finding in outcome.explanation.findings}
    assert keys == {("conv0",): "weight-layout", (names(firmware)[2],): "input-zero-point"}


def test_a_defect_that_is_none_of_the_known_ones(firmware: Firmware, tmp_path: Path) -> None:
    """Random weights in one layer: nothing may be claimed."""
    rng = np.random.default_rng(3)
    noise = with_weights(1, lambda w: rng.permutation(w.reshape(-1)).reshape(w.shape))
    outcome = outcome_of(rendered_from(firmware, tmp_path / "noise", noise))
    assert outcome.explanation is not None
    (finding,) = outcome.explanation.findings
    assert finding.key == "" and "conv1: no known cause explains the" in str(finding)


def test_xnnpack(firmware: Firmware) -> None:
    """What TensorFlow Lite computes by default, layer by layer."""
    tensorflow = need_package("tensorflow")
    frames = join([vector_frames(firmware), random_frames(firmware, 2000, 2)]).frames
    want = golden_runner(firmware, layers=True).run(frames)
    observed = tflite_layers(tensorflow, firmware.model_bytes(), normalised(firmware, frames))
    assert want.layers is not None
    explanation = explain_layers(firmware, frames, want.layers, observed)
    (finding,) = explanation.findings
    assert finding.key == "xnnpack" and finding.exact, explanation.lines
    assert "XNNPACK instead of the golden" in str(finding) and "conv0" in finding.layers


def test_latents_that_xnnpack_made(firmware: Firmware, tmp_path: Path) -> None:
    """Recorded vectors whose encoder was TensorFlow Lite's default: told from the latents alone."""
    tensorflow = need_package("tensorflow")
    folder = tmp_path / "firmware"
    shutil.copytree(firmware.folder, folder)
    path = folder / "generated" / "artifacts" / "vectors.npz"
    frames = random_frames(firmware, 200, 4).frames
    observed = tflite_layers(tensorflow, firmware.model_bytes(), normalised(firmware, frames))
    truth = golden_runner(firmware).run(frames)
    write_npz(
        path, frames=frames, latents=observed[-1], indices=truth.indices, packets=truth.packets,
        source=read_npz(path)["source"],
    )  # fmt: skip
    changed = Firmware(folder)
    outcome = validate(changed, ["golden"], vector_frames(changed)).outcomes[0]
    assert outcome.state == "failed" and outcome.explanation is not None
    (finding,) = outcome.explanation.findings
    assert finding.key == "xnnpack" and finding.exact
    assert all(text.startswith("single against double rounding") for text in finding.also)
