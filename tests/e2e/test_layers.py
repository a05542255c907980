"""Every layer of compiled firmware against the golden's, and the matrix of the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kit.errors import ArtifactError, EngineError
from kit.host.boards import emulated_boards
from kit.host.exactness import random_architecture
from kit.host.firmware import Firmware
from kit.host.random_firmware import random_firmware
from kit.host.validate import random_frames, validate, vector_frames
from tests.e2e.test_host_targets import invoke
from tests.firmware_folder import FRAMES, make_firmware
from tests.support import ROOT, need, need_target, seed


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    need("make")
    need("gcc")
    return make_firmware(tmp_path_factory.mktemp("layers"))


@pytest.mark.parametrize("target", ["native", *(f"qemu:{board}" for board in emulated_boards())])
def test_layers_of_every_board(firmware: Firmware, target: str) -> None:
    need_target(target)
    report = validate(firmware, [target], vector_frames(firmware), layers=True)
    assert report.passed, [outcome.detail for outcome in report.outcomes]
    explanation = report.outcomes[-1].explanation
    assert explanation is not None and explanation.layers is not None and explanation.layers.equal
    sizes = [tensor.bytes * FRAMES for tensor in firmware.encoder.graph.tensors[1:]]
    assert [count.compared for count in explanation.layers.counts] == sizes


@pytest.mark.parametrize("number", range(3))
def test_layers_of_random_architectures(tmp_path: Path, number: int) -> None:
    """Strides beyond the kernel, padding VALID: columns that no later layer reads may be left out, no others."""
    need("make")
    need("gcc")
    rng = np.random.default_rng(seed() + number)
    config, model = random_architecture(rng, f"random{number}")
    device = random_firmware(tmp_path, config, rng, model)
    report = validate(device, ["native"], random_frames(device, 40, 1), layers=True)
    assert report.passed, [outcome.detail for outcome in report.outcomes]
    explanation = report.outcomes[-1].explanation
    assert explanation is not None and explanation.layers is not None
    assert len(explanation.layers.counts) == len(device.encoder.graph.nodes)


def test_without_taps_nothing_of_them_is_compiled(firmware: Firmware) -> None:
    """What ships has no trace of them; the header declares nothing."""
    folder = firmware.folder
    command = ["gcc", "-E", "-P", "-Iruntime", "-Iengines/aot", "-Igenerated", "engines/aot/kit_aot.c"]
    plain = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    tapped = subprocess.run([*command, "-DKIT_TAPS"], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert "kit_tap" not in plain and "tap(" not in plain and "kit_tap(" in tapped
    firmware.build("runner")
    names = subprocess.run(
        ["nm", str(firmware.image("runner"))], capture_output=True, text=True, check=True
    ).stdout
    assert "kit_tap" not in names


def test_taps_have_an_image_of_their_own(firmware: Firmware, tmp_path: Path) -> None:
    image = firmware.build("runner", taps=True)
    assert image == firmware.folder / "build" / "native-taps" / "runner" and image.is_file()
    for arguments, words in (
        (["app"], "TAPS=1 is for the goal runner"),
        (["runner", "BOARD=mps2-an386", "PROBES=1"], "two different images"),
        (["runner", "TAPS=2"], "TAPS=2 is not 1"),
    ):
        command = ["make", "-C", str(firmware.folder), "TAPS=1", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0 and words in done.stderr
    old = tmp_path / "firmware"
    (old / "generated").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="has no taps: an older kit wrote it"):
        Firmware(old).build("runner", taps=True)


def test_the_matrix_on_the_command_line(firmware: Firmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFLM_ROOT", raising=False)
    where = ["--firmware", str(firmware.folder), "--frames", "5"]
    code, text = invoke("validate", *where, "--engine", "*", "--layers", "--json", str(tmp_path / "r.json"))
    assert code == 0, text
    facts = json.loads((tmp_path / "r.json").read_text())["outcomes"]
    states = {(outcome["engine"], outcome["target"]): outcome["state"] for outcome in facts}
    assert states["aot", "native"] == "passed" and states["tflm", "native"] == "skipped"
    assert states["tflm-wheel", "golden"] == states["reference", "reference"] == "passed"
    native = next(outcome for outcome in facts if outcome["engine"] == "aot")
    assert all(layer["different"] == 0 and layer["compared"] for layer in native["explanation"]["layers"]["layers"])
    for arguments in (["--engine", "tflm"], ["--engine", "aot,tflm"], ["--engine", "tflm", "--target", "qemu:*"]):
        code, text = invoke("validate", *where, *arguments)
        assert code == 1, "an engine that was named and cannot run is an error"
    assert "engines: aot, tflm, tflm-wheel, reference" in invoke("validate", *where, "--engine", "xnnpack")[1]
    assert "is no folder" in invoke("validate", *where, "--tflm-root", "absent")[1]
    assert invoke("validate", *where, "--engine", "reference")[0] == 0
    many = ["--config", str(ROOT / "configs" / "08x_ds8_l2.yaml"), "--layers"]
    assert "--engine and --layers are for one build" in invoke("validate", *many)[1]


def test_engine_tflm_says_what_is_missing(firmware: Firmware) -> None:
    with pytest.raises(EngineError, match=r"engine tflm|TFLM_ROOT"):
        Firmware(firmware.folder, chosen_engine="tflm").build("runner")
