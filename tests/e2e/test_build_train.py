"""The whole path with training, small: synthetic recordings in, validated firmware, server bundle and report out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kit.build.manifest import sha256_tree
from kit.build.zoo_add import add_run
from kit.build.zoo_scorecard import run_scorecard
from kit.errors import ArtifactError
from kit.files import read_json, read_npz, sha256_file
from kit.graph.codebook import IntegerCodebook
from kit.server.bundle import Bundle
from kit.wire.coding import CodingModel
from tests.support import missing, need

CONFIG = """
name: tiny
signal: {kind: ppg, sample_rate_hz: 32, frame_samples: 64, sample_bits: 12}
model:
  {embedding_dim: 3, latent_width: 16, num_levels: 2, num_stages: 3, base_filters: 6, decoder: wide, decoder_width: 8,
   decoder_blocks: 1}
data: {sources: [{type: synthetic, subjects: 6, seconds_per_subject: 40, seed: 3}]}
train: {epochs: 2, steps_per_epoch: 12, batch_size: 16, codebook: ema, rate_bits: 6.5}
quantize:
  calibration_frames: 32
  input_shaping: first
  input_remainder_bits: 2
  latent_copies: 3
  rate_bits: 6.0
  finetune_steps: 20
  refit_steps: 20
packet: {coding: range, context: network}
firmware: {symbol_prefix: tiny, embedded_frames: 3, ring_margin_samples: 8}
"""

ARTIFACTS = {
    "config.yaml", "dataset.json", "autoencoder.keras", "history.csv", "encoder.keras", "encoder.tflite", "encoder.h",
    "codebook.npz", "coding.npz", "codebook.h", "tuned_decoder.keras", "arena.json", "decoder.keras", "graph.json",
    "weights.npz", "vectors.npz", "firmware", "server", "report.html", "report.json", "manifest.json",
}  # fmt: skip


def kit(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, as a user starts it."""
    return subprocess.run(
        [sys.executable, "-m", "kit", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


def keras_weights(path: Path) -> bytes:
    """The architecture and every weight of a .keras file, in a form that can be compared."""
    import keras

    model = keras.saving.load_model(path, compile=False)
    return model.to_json().encode() + b"".join(np.ascontiguousarray(w).tobytes() for w in model.get_weights())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the config and the finished run ``runs/tiny``."""
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        missing("tensorflow", "TensorFlow is not installed")
    need("gcc")
    need("make")
    folder = tmp_path_factory.mktemp("build")
    (folder / "tiny.yaml").write_text(CONFIG)
    done = kit("build-firmware", "--config", "tiny.yaml", "--train", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "compression" in done.stdout
    assert "on the wire" in done.stdout
    assert "synthetic" in done.stdout
    return folder


def test_every_artifact_is_there_and_in_the_manifest(folder: Path) -> None:
    run = folder / "runs" / "tiny"
    assert {p.name for p in run.iterdir()} >= ARTIFACTS
    manifest = read_json(run / "manifest.json")
    for name, digest in manifest["artifacts"].items():
        assert sha256_tree(run / name) == digest, name
    assert set(manifest["artifacts"]) >= ARTIFACTS - {"config.yaml", "manifest.json"}
    assert len(manifest["facts"]["build_hash"]) == 16


def test_report_states_where_its_figures_come_from(folder: Path) -> None:
    report = (folder / "runs" / "tiny" / "report.json").read_text()
    assert "synthetic" in report
    assert "synthetic" in (folder / "runs" / "tiny" / "report.html").read_text()
    assert json.loads(report)


def test_codebooks_stand_in_the_order_of_their_coding_model(folder: Path) -> None:
    run = folder / "runs" / "tiny"
    model = CodingModel.load(run / "coding.npz")
    assert model.levels[0].network is not None and all(level.uniform or level.in_place for level in model.levels)
    assert "_slot" not in (run / "firmware" / "generated" / "coding.h").read_text()
    assert "#define KIT_CODING_NETWORK 1" in (run / "firmware" / "generated" / "kit_config.h").read_text()


def test_the_server_has_entries_of_its_own(folder: Path) -> None:
    run = folder / "runs" / "tiny"
    served, device = Bundle.load(run / "server"), IntegerCodebook.load(run / "codebook.npz")
    own = served.decoder.codebook
    assert own is not None and own.shape == (2, 16, 3)
    # They began at those of the device, and the refit is short.
    assert 0 < np.abs(own - device.entry_values()).max() < 0.1


def test_nothing_names_this_machine(folder: Path) -> None:
    run = folder / "runs" / "tiny"
    for path in run.rglob("*"):
        if path.is_file() and "build" not in path.relative_to(run).parts and "logs" not in path.relative_to(run).parts:
            data = path.read_bytes()
            assert str(folder).encode() not in data, path
            assert str(Path.home()).encode() + b"/" not in data, path


def test_second_build_runs_no_stage(folder: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (folder / "runs" / "tiny").glob("*.npz")}
    done = kit("build-firmware", "--config", "tiny.yaml", "--train", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("unchanged") == len(read_json(folder / "runs/tiny/manifest.json")["stages"])
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_export_and_render_again_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tiny"
    shutil.copytree(folder / "runs" / "tiny", copy)
    for stage in ("quantize", "graph", "vectors", "render", "server"):
        done = kit(
            "build-firmware", "--config", folder / "tiny.yaml", "--train", "--out", copy, "--stage", stage, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    runs = (folder / "runs" / "tiny", copy)
    old, new = (read_json(p / "manifest.json")["artifacts"] for p in runs)
    # A .keras container states when it was written; what is in it must be the same.
    assert old.pop("tuned_decoder.keras") and new.pop("tuned_decoder.keras")
    weights = [keras_weights(p / "tuned_decoder.keras") for p in runs]
    assert weights[0] == weights[1]
    assert old == new


def test_host_test_in_the_self_contained_folder(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "firmware"
    shutil.copytree(folder / "runs" / "tiny" / "firmware", copy)
    done = kit("validate", "--firmware", copy, "--target", "reference,native", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_validation_names_a_planted_difference(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "firmware"
    shutil.copytree(folder / "runs" / "tiny" / "firmware", copy)
    weights = copy / "generated" / "tiny_model.c"
    text = weights.read_text()
    assert "multiplier" in text
    vectors = read_npz(copy / "generated" / "artifacts" / "vectors.npz")
    vectors["indices"][1, 2, 0] ^= 1
    np.savez(copy / "generated" / "artifacts" / "vectors.npz", **vectors)
    done = kit("validate", "--firmware", copy, "--target", "native", cwd=tmp_path)
    assert done.returncode != 0


def test_edited_artifact_is_named(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tiny"
    shutil.copytree(folder / "runs" / "tiny", copy)
    (copy / "encoder.tflite").write_bytes((copy / "encoder.tflite").read_bytes()[:-100])
    done = kit(
        "build-firmware", "--config", folder / "tiny.yaml", "--train", "--out", copy, "--stage", "graph", cwd=tmp_path
    )
    assert done.returncode != 0
    assert "encoder.tflite is not what was recorded" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_layer_norm_is_refused_for_aot_with_the_way_out(folder: Path, tmp_path: Path) -> None:
    text = CONFIG.replace("base_filters: 6", "base_filters: 6, encoder_block_norm: layer").replace(
        "name: tiny", "name: ln"
    )
    (tmp_path / "ln.yaml").write_text(text)
    done = kit("build-firmware", "--config", "ln.yaml", "--train", cwd=tmp_path)
    assert done.returncode != 0
    line = done.stderr.strip().splitlines()[-1]
    assert "batch" in line or "tflm" in line
    assert "Traceback" not in done.stderr


def test_output_folder_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = kit(
        "build-firmware", "--config", folder / "tiny.yaml", "--train", "--out", tmp_path / "file" / "x", cwd=tmp_path
    )
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1
    assert "cannot" in done.stderr


def test_training_without_recordings_says_how_to_give_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KIT_DATA", raising=False)
    text = CONFIG.split("data:")[0] + "data: {sources: [{type: npz, folder: ppg, dataset: mine}]}\n"
    (tmp_path / "npz.yaml").write_text(text)
    done = kit("build-firmware", "--config", "npz.yaml", "--train", cwd=tmp_path)
    assert done.returncode != 0
    assert "--data DIR" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_config_without_trained_weights(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    done = kit("build-firmware", "--config", "tiny.yaml", cwd=tmp_path)
    assert done.returncode != 0
    assert "no trained weights for config tiny" in done.stderr
    assert "--train" in done.stderr


def test_device_artifacts_equal_their_recorded_hash(folder: Path) -> None:
    run = folder / "runs" / "tiny"
    bundle = read_json(run / "server" / "bundle.json")
    for name, digest in bundle["files"].items():
        assert sha256_file(run / "server" / name) == digest
    assert bundle["build_hash"] == read_json(run / "manifest.json")["facts"]["build_hash"]


@pytest.fixture(scope="module")
def scorecard(folder: Path) -> Path:
    """The scorecard of the run, with its ladder."""
    done = kit("evaluate", "--run", "tiny", "--ladder", "--json", "runs/tiny/scorecard.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "INT8 ladder" in done.stdout
    return folder / "runs" / "tiny" / "scorecard.json"


def test_run_becomes_a_zoo_entry(
    folder: Path, scorecard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.build.zoo_add.checkout", lambda: tmp_path)
    entry = add_run(folder / "runs" / "tiny")
    entry.check()
    facts = entry.summary()
    assert facts["trained_on"] == "synthetic"
    (figure,) = facts["figures"]
    (scored,) = read_json(scorecard)["sets"][0]["runs"]
    assert figure["frames"] > 0
    assert figure["payload_bytes"] == pytest.approx(scored["figures"]["synthetic"]["payload_bytes"], abs=0.001)
    assert figure["payload_bytes"] <= 8 and figure["wire_bytes"] > figure["payload_bytes"]
    kept = (entry.folder / "scorecard.json").read_text()
    assert '"ladder"' in kept and '"examples"' not in kept and '"picture"' not in kept
    card = (entry.folder / "model_card.md").read_text()
    assert facts["build_hash"] in card
    assert "| integer search |" in card and "| zeros |" in card and "DCT" in card
    assert "synthetic recordings" in card
    assert "BIDMC" not in card
    damaged = entry.folder / "encoder.tflite"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"encoder\.tflite is missing or damaged"):
        entry.check()


def test_training_without_tensorflow_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    code = "import sys; sys.modules['tensorflow'] = None\nfrom kit.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "build-firmware", "--config", "tiny.yaml", "--train"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1
    assert "TensorFlow" in done.stderr and "[train]" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_zoo_entry_needs_the_scorecard_of_its_build(folder: Path, scorecard: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"has no none\.json"):
        run_scorecard(tmp_path / "none.json", "tiny", "0" * 16)
    with pytest.raises(ArtifactError, match="no figures of build 0000000000000000"):
        run_scorecard(scorecard, "tiny", "0" * 16)
    (tmp_path / "list.json").write_text('{"sets": 3}')
    with pytest.raises(ArtifactError, match="is no scorecard"):
        run_scorecard(tmp_path / "list.json", "tiny", "0" * 16)
    build = read_json(folder / "runs" / "tiny" / "manifest.json")["facts"]["build_hash"]
    document = read_json(scorecard)
    document["sets"][0]["quick"] = True
    (tmp_path / "quick.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="not of the whole test split"):
        run_scorecard(tmp_path / "quick.json", "tiny", build)


def test_scorecard_shows_the_ladder_of_a_trained_run(folder: Path, scorecard: Path) -> None:
    (run,) = read_json(scorecard)["sets"][0]["runs"]
    (rungs,) = run["ladder"].values()
    assert [rung["rung"] for rung in rungs] == ["float", "INT8 input", "INT8 latents", "integer search", "packet"]
    report = read_json(folder / "runs" / "tiny" / "report.json")
    device, floating = (found["overall"]["prd"] for found in report["evaluations"])
    assert rungs[0]["prd"] == pytest.approx(floating, rel=1e-4) and rungs[0]["ratio"] == 1.0
    assert rungs[-1]["prd"] == pytest.approx(device, rel=1e-4)
    assert all(rung["frames"] == rungs[0]["frames"] > 0 for rung in rungs)
