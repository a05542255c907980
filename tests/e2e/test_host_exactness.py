"""Many encoders on many targets: random architectures and configurations with random weights, against the golden."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kit.errors import RunnerError
from kit.host.boards import NATIVE
from kit.host.exactness import Case, Pool, architecture_cases, config_cases, exactness, recut
from kit.host.firmware import Firmware
from kit.host.validate import join, random_frames, vector_frames
from kit.reference.random_inputs import random_frames as made_frames
from tests.e2e.test_host_targets import invoke
from tests.firmware_folder import FRAMES, make_firmware
from tests.models import tiny_config
from tests.support import need_golden, need_target, seed

pytestmark = pytest.mark.alone

BOARDS = ("qemu:mps3-an547", "qemu:riscv-virt")


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(made_frames(np.random.default_rng(seed()), 40, 320, ("ppg", "noise")), 16, "made up")


@pytest.mark.parametrize("target", [NATIVE, *BOARDS])
def test_random_architectures(target: str, pool: Pool) -> None:
    need_target(target)
    need_golden()
    result = exactness(architecture_cases(2, seed(), pool, (6, 15)), [target])
    assert result.passed and result.truths == {"golden": 2}
    assert [tally.target for tally in result.tallies] == ["reference", target]
    for tally in result.tallies:
        assert (tally.cases, tally.failed, tally.skipped, tally.frames) == (2, 0, 0, 42)
        assert tally.latents[0] > 42 and tally.latents[1] == 0 and tally.packets[0] > 42 and tally.packets[1] == 0


def test_configurations_with_random_weights(pool: Pool) -> None:
    need_target(NATIVE)
    seen: list[str] = []
    cases = config_cases([tiny_config(), tiny_config(name="other", model={"num_stages": 3})], 3, pool, (4, 4))
    result = exactness(cases, [NATIVE], done=lambda name, report: seen.append(name))
    assert result.passed and seen == ["tiny (random weights)", "other (random weights)"]
    assert {report.frames for _, report in result.reports} == {8}
    assert "4 random, seed 3" in result.reports[0][1].source


def test_a_difference_and_an_absence_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_target(NATIVE)
    good = make_firmware(tmp_path / "good")
    shutil.copytree(good.folder, tmp_path / "bad", ignore=shutil.ignore_patterns("build"))
    source = tmp_path / "bad" / "generated" / "tiny_model.c"
    text = source.read_text()
    # The zero point of the head's output, which every kernel adds: each latent moves by one.
    at = text.rindex(", /* out_zero_point */")
    source.write_text(f"{text[:at]} + 1{text[at:]}")
    cases = [Case(name, Firmware(tmp_path / name / "firmware" if name == "good" else tmp_path / name),
                  vector_frames(good)) for name in ("good", "bad")]  # fmt: skip
    result = exactness(cases, [NATIVE])
    (tally,) = [tally for tally in result.tallies if tally.target == NATIVE]
    assert not result.passed and (tally.cases, tally.failed) == (2, 1) and tally.latents[1] > 0
    assert result.as_dict()["targets"][-1]["latents_different"] == tally.latents[1]
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("KIT_REQUIRE", raising=False)
    result = exactness(cases[:1], ["qemu:*"], skip_absent=True)
    assert all(tally.skipped == 1 and tally.cases == 0 for tally in result.tallies if tally.target != "reference")
    assert not exactness(cases[:1], ["qemu:microbit"]).passed
    with pytest.raises(RunnerError, match="no encoder"):
        exactness([], [NATIVE])


def test_real_frames_are_cut_to_the_configuration(pool: Pool) -> None:
    rng = np.random.default_rng(1)
    wide = recut(pool.frames, 16, 5, tiny_config(signal={"frame_samples": 48, "sample_bits": 20}), rng)
    assert wide.shape == (5, 48) and wide.dtype == np.int32 and not (wide % 16).any()
    narrow = recut(pool.frames, 16, 5, tiny_config(signal={"sample_bits": 10}), rng)
    assert narrow.dtype == np.int16 and -512 <= narrow.min() < narrow.max() <= 511
    with pytest.raises(RunnerError, match="less than one frame"):
        recut(pool.frames[:1, :10], 16, 1, tiny_config(), rng)


def test_joined_frames_keep_what_was_recorded(tmp_path: Path) -> None:
    firmware = make_firmware(tmp_path)
    both = join([vector_frames(firmware), random_frames(firmware, 5, 2)])
    assert len(both.frames) == FRAMES + 5 and both.recorded is not None and len(both.recorded.packets) == FRAMES
    assert both.label == "random and 5 random, seed 2"
    with pytest.raises(RunnerError, match="no frames"):
        join([])


def test_commands(tmp_path: Path) -> None:
    need_target(NATIVE)
    firmware = make_firmware(tmp_path / "build")
    where = ["--firmware", str(firmware.folder)]
    code, text = invoke("validate", *where, "--random-frames", "7")
    assert code == 0 and f"{FRAMES + 7} frames" in text and "vectors.npz" in text
    config = tmp_path / "tiny.yaml"
    shutil.copy(firmware.artifacts / "config.yaml", config)
    many = ["--config", str(config), "--architectures", "1", "--frames", "3", "--random-frames", "4"]
    code, text = invoke("validate", *many, "--json", str(tmp_path / "r.json"))
    assert code == 0 and "2 encoders" in text and "compared with: " in text
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["passed"] and [case["frames"] for case in report["cases"]] == [7, 7]
    assert report["targets"][-1]["target"] == NATIVE and report["targets"][-1]["latents_different"] == 0
    assert "--junit is for one build" in invoke("validate", *many, "--junit", "x.xml")[1]


def test_no_target_that_ran_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    firmware = make_firmware(tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("KIT_REQUIRE", raising=False)
    code, text = invoke("validate", "--firmware", str(firmware.folder), "--target", "uart:*")
    assert code == 1 and text.count("skipped") == 6 and "qemu-system-riscv32" in text
