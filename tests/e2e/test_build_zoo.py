"""A newcomer's build: trained weights, no recordings of their own, no TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kit.build.zoo import WEIGHTS, entries
from kit.config import load_config
from kit.data import build_dataset
from kit.evaluate.path import evaluate_path
from kit.files import asset, read_json, read_npz, sha256_file
from kit.graph.codebook import IntegerCodebook
from kit.graph.store import load
from kit.host.boards import emulated_boards
from kit.host.emulator import start
from kit.host.firmware import Firmware
from kit.reference.device_path import DevicePath
from kit.server.bundle import Bundle
from kit.wire.coding import load_coding
from tests.support import data_root, need, need_target

NAME = "08x_ds8_l2"
BLOCKED = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
sys.argv[0] = "kit"
from kit.cli.main import main
main()
"""


def kit_without_tensorflow(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line where importing TensorFlow fails and no data folder is known."""
    environment = {k: v for k, v in os.environ.items() if k != "KIT_DATA"}
    command = [sys.executable, "-c", BLOCKED, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished run of the recommended configuration."""
    need("gcc")
    need("make")
    folder = tmp_path_factory.mktemp("zoo")
    done = kit_without_tensorflow(
        "build-firmware", "--config", asset("configs", f"{NAME}.yaml"), "--out", folder / "run",
        "--export", folder / "exported", "--layout", "arduino", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_device_weights_are_the_zoos(folder: Path) -> None:
    for name in WEIGHTS:
        assert sha256_file(folder / "run" / name) == sha256_file(asset("zoo", NAME, name)), name


def test_export_is_of_the_run_and_names_whose_data_it_holds(folder: Path) -> None:
    library = folder / "exported"
    facts = read_json(library / "kit-export.json")
    assert (facts["layout"], facts["engine"]) == ("arduino", "aot")
    assert facts["build"] == read_json(folder / "run" / "manifest.json")["facts"]["build_hash"]
    assert (library / "src" / "ppg_model.c").read_bytes() == (
        folder / "run" / "firmware" / "generated" / "ppg_model.c"
    ).read_bytes()
    notice = (library / "NOTICE").read_text()
    assert "BIDMC PPG and Respiration Dataset" in notice and "Stress-Predict Dataset" in notice


def test_build_hash_is_that_of_the_model_card(folder: Path) -> None:
    figures = read_json(asset("zoo", NAME, "figures.json"))
    assert read_json(folder / "run" / "manifest.json")["facts"]["build_hash"] == figures["build_hash"]
    assert figures["build_hash"] in asset("zoo", NAME, "model_card.md").read_text()


def test_frames_are_labelled_demo_or_synthetic(folder: Path) -> None:
    source = read_json(folder / "run" / "manifest.json")["facts"]["vectors"]["source"]
    assert "demo" in source or "synthetic" in source
    assert source.split(",")[0] in (folder / "run" / "report.json").read_text()


def test_validation_ran_frames_on_native(folder: Path) -> None:
    validation = read_json(folder / "run" / "validation.json")
    outcome = {o["target"]: o for o in validation["outcomes"]}["native"]
    assert outcome["state"] == "passed"
    assert validation["frames"] > 0


def test_picture_and_report_are_there(folder: Path) -> None:
    assert (folder / "run" / "reconstruction.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in (folder / "run" / "report.html").read_text()


def test_second_build_is_all_unchanged(folder: Path) -> None:
    done = kit_without_tensorflow(
        "build-firmware", "--config", asset("configs", f"{NAME}.yaml"), "--out", folder / "run", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("unchanged") == len(read_json(folder / "run/manifest.json")["stages"])


def test_other_model_settings_than_trained_are_refused(folder: Path) -> None:
    text = asset("configs", f"{NAME}.yaml").read_text().replace("encoder_taps: 63", "encoder_taps: 64")
    (folder / "other.yaml").write_text(text)
    done = kit_without_tensorflow("build-firmware", "--config", "other.yaml", cwd=folder)
    assert done.returncode != 0
    assert "model.encoder_taps = 64, but the weights" in done.stderr
    assert "--train" in done.stderr


def test_every_entry_is_whole_and_listed() -> None:
    listed = entries()
    assert NAME in {entry.name for entry in listed}
    for entry in listed:
        entry.check()
    done = subprocess.run([sys.executable, "-m", "kit", "zoo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for entry in listed:
        assert entry.name in done.stdout


@pytest.mark.parametrize("board", emulated_boards())
def test_captured_and_decoded_from_a_board_as_python_does(folder: Path, board: str) -> None:
    need_target(board)
    run = folder / "run"
    count, decoded = 200, folder / f"{board}.npz"
    with start(Firmware(run / "firmware"), board) as emulator:
        done = kit_without_tensorflow(
            "serial-capture", emulator.port, "--packets", str(count), "--mode", "fast", "--run", run,
            "--out", folder / f"{board}.kitcap", "--decode", decoded, cwd=folder,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found, vectors = read_npz(decoded), read_npz(run / "vectors.npz")
    order = np.arange(count) % Firmware(run / "firmware").config.firmware.embedded_frames
    bundle = Bundle.load(run / "server")
    side = bundle.layout.unpack_batch(vectors["packets"][order])
    signal = bundle.decode(vectors["indices"][order], side.mean, side.scale_code)
    assert found["valid"].all()
    assert np.array_equal(found["indices"], vectors["indices"][order])
    assert np.array_equal(found["signal"].reshape(count, -1), signal)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "nowhere"], "data folder nowhere (--data) does not exist"),
        (["--target", "qemu:nothing"], "no board 'nothing'"),
        (["--target", ""], "no target given"),
        (["--train"], "none was given; add --data DIR"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_work_is_said_before_anything_is_written(tmp_path: Path, options: list[str], words: str) -> None:
    done = kit_without_tensorflow("build-firmware", "--config", NAME, *options, cwd=tmp_path)
    assert done.returncode != 0
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_ecg_without_recordings_says_how_to_give_them_before_anything_is_written(tmp_path: Path) -> None:
    done = kit_without_tensorflow("build-firmware", "--config", "ecg_32x_ds16_l1", cwd=tmp_path)
    assert done.returncode != 0 and len(done.stderr.strip().splitlines()) == 1
    assert "ecg_32x_ds16_l1 needs recordings" in done.stderr and "add --data DIR with ECG recordings" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_real_frames_agree_on_every_runtime(folder: Path) -> None:
    done = kit_without_tensorflow(
        "validate", "--run", folder / "run", "--data", data_root().resolve(), "--frames", "400", cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "400 frames of bidmc + stress_predict" in " ".join(done.stdout.split())


def test_model_cards_figure_is_what_the_weights_give(folder: Path) -> None:
    """The device path on the test subjects, decoded from packet bytes, against the figures that the zoo publishes."""
    run = folder / "run"
    config = load_config(run / "config.yaml")
    dataset = build_dataset(config, data_root())
    coding = load_coding(config, run)
    path = DevicePath(load(run), IntegerCodebook.load(run / "codebook.npz"), config, coding=coding)
    frames, refs = dataset.frames("test", "bidmc"), dataset.frame_refs("test", "bidmc")
    found = evaluate_path(config, Bundle.load(run / "server"), path.run(frames), frames, refs).datasets["bidmc"]
    published = read_json(asset("zoo", NAME, "figures.json"))["figures"][0]
    assert (published["dataset"], published["frames"]) == ("bidmc", found.frames)
    assert found.prd == pytest.approx(published["device_prd_percent"], abs=1e-3)
