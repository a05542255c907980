"""``kit bench`` on emulated boards: exact, repeatable, the same through the serial line, and gone without probes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kit.build.configs import find_config
from kit.cli.bench_modes import generated_frames
from kit.cli.main import app
from kit.config import load_config
from kit.errors import ArtifactError, KitError, LinkError
from kit.files import read_npz
from kit.host.bench import BenchReport, bench_board, load_reports
from kit.host.bench_link import bench_link, read_profile
from kit.host.bench_scaling import scaling_configs, size_of
from kit.host.boards import BOARDS, emulated_boards
from kit.host.emulator import start, start_qemu
from kit.host.firmware import Firmware
from kit.host.link import Link
from kit.host.probes import stage_numbers
from kit.host.profile_runner import ProfileRunner
from kit.host.random_firmware import random_firmware
from tests.firmware_folder import make_firmware
from tests.support import need

pytestmark = pytest.mark.alone

BOARD = "mps2-an386"


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    need("make")
    return make_firmware(tmp_path_factory.mktemp("bench"), model={"num_stages": 3})


def tools(board: str) -> None:
    for tool in BOARDS[board].tools:
        need(tool)


def bench(firmware: Firmware, board: str) -> BenchReport:
    vectors = read_npz(firmware.artifacts / "vectors.npz")
    return bench_board(firmware, board, vectors["frames"][:2], str(vectors["source"]))


def test_counts_are_exact_and_repeat(firmware: Firmware) -> None:
    tools(BOARD)
    vectors = read_npz(firmware.artifacts / "vectors.npz")
    runner = ProfileRunner(firmware, BOARD)
    first, second = (runner.profile(vectors["frames"][:2], "1") for _ in range(2))
    assert first.unit == "instructions"
    assert np.array_equal(first.count, second.count) and np.array_equal(first.visits, second.visits)
    assert np.array_equal(first.packets, vectors["packets"][:2])
    numbers, config = stage_numbers(), firmware.config
    visits = first.visits[0]
    assert visits[numbers.fixed["input"]] == config.signal.frame_samples
    assert visits[numbers.level[0] + 1] == config.latent_positions
    assert visits[numbers.layer[0] + len(firmware.encoder.graph.nodes)] == 0
    whole = runner.profile(vectors["frames"][:2], "frame")
    assert np.abs(first.total / whole.total - 1.0).max() < 0.02


def test_a_layer_costs_the_same_whatever_the_frame(firmware: Firmware) -> None:
    """Kernels have few branches that depend on data: only requantization and clamps may."""
    tools(BOARD)
    report = bench(firmware, BOARD)
    for cost in report.stages:
        if cost.part == "encoder":
            assert cost.low is not None and cost.high <= 1.05 * cost.low + 50


@pytest.mark.parametrize("board", emulated_boards())
def test_every_board_counts(firmware: Firmware, board: str) -> None:
    tools(board)
    report = bench(firmware, board)
    assert report.unit == "instructions" and report.core is not None and report.footprint is not None
    codec = report.total("codec")
    assert codec.mean == pytest.approx(sum(cost.mean for cost in report.stages))
    assert codec.low is not None and codec.low <= codec.mean <= codec.high
    assert report.total("encoder").macs == firmware.encoder.graph.macs
    assert report.footprint["encoder_ram"] < report.footprint["codec_ram"]


def test_images_without_probes_hold_none(firmware: Firmware) -> None:
    tools(BOARD)
    for kind in ("runner", "app"):
        assert b"kit_probe" not in firmware.build(kind, BOARD).read_bytes()  # type: ignore[arg-type]
        assert b"kit_probe" in firmware.build(kind, BOARD, "1").read_bytes()  # type: ignore[arg-type]


@pytest.mark.parametrize("board", [BOARD, "riscv-virt"])
def test_the_serial_line_tells_the_same(firmware: Firmware, board: str) -> None:
    tools(board)
    count = firmware.config.firmware.embedded_frames
    vectors = read_npz(firmware.artifacts / "vectors.npz")
    bulk = bench_board(firmware, board, vectors["frames"][:count], "embedded")
    line = bench_link(firmware, f"uart:{board}")
    assert (line.unit, line.frames, line.board) == ("instructions", count, board)
    for one, other in zip(bulk.stages, line.stages, strict=True):
        # The application pushes many samples at a time, and its polls hold other remainders.
        if one.key not in ("input", "rest", "normalise"):
            assert (one.key, one.mean, one.high) == (other.key, other.mean, other.high)


def test_an_emulator_that_does_not_count_is_refused(firmware: Firmware) -> None:
    tools(BOARD)
    image = firmware.build("app", BOARD, "1")
    with start_qemu(BOARD, image) as device, Link.open(device.port) as link, pytest.raises(LinkError, match="icount"):
        read_profile(link, firmware.build_hash)


def test_firmware_without_probes_is_refused(firmware: Firmware) -> None:
    tools(BOARD)
    with start(firmware, BOARD) as device, Link.open(device.port) as link:
        with pytest.raises(LinkError, match="no probes"):
            read_profile(link, firmware.build_hash)
        with pytest.raises(LinkError, match="unknown message type"):
            link.request("PROFILE_REQUEST", stage=0)


def test_the_command_writes_table_json_and_picture(firmware: Firmware, tmp_path: Path) -> None:
    tools(BOARD)
    arguments = ["--firmware", str(firmware.folder), "--target", BOARD, "--frames", "2"]
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["bench", *arguments, "--out", str(out), "--json", str(tmp_path / "a.json")])
    assert done.exit_code == 0, done.output
    assert "Summary" in done.stdout and "layer 3" in done.stdout
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "bench.txt").read_text() == done.stdout
    assert load_reports(out / "bench.json") == load_reports(tmp_path / "a.json")
    compared = ["bench", "--compare", str(tmp_path / "a.json"), BOARD, *arguments, "--json", str(tmp_path / "c.json")]
    done = CliRunner().invoke(app, compared)
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "c.json").read_text())["comparisons"][0]["stages"]
    assert all(row["change"] == 0 for row in rows)


def test_a_firmware_of_an_older_kit_is_explained(firmware: Firmware, tmp_path: Path) -> None:
    (tmp_path / "generated").mkdir()
    with pytest.raises(ArtifactError, match="older kit"):
        Firmware(tmp_path).build("runner", BOARD, "1")


def test_missing_tools_are_named(firmware: Firmware, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(KitError, match="qemu-system-arm"):
        bench(firmware, BOARD)


def test_sizes_of_the_sweep() -> None:
    configs = scaling_configs(load_config(find_config(Path("bench_seed"))))
    assert len(configs) == 8
    assert {config.signal.frame_samples for config in configs} == {320, 640, 1280, 2560}
    assert {config.model.base_filters for config in configs} == {16, 24, 32, 48, 64}
    longest = next(config for config in configs if config.signal.frame_samples == 2560)
    assert generated_frames(longest, 2).shape == (2, 2560)


def test_cost_grows_with_the_frame_and_memory_does_not(tmp_path: Path) -> None:
    tools(BOARD)
    base = load_config(find_config(Path("bench_seed")))
    chosen = [config for config in scaling_configs(base) if config.signal.frame_samples in (320, 640)]
    sizes = []
    for config in (config for config in chosen if config.model.base_filters == 32):
        frames = generated_frames(config, 2)
        built = random_firmware(tmp_path / config.name, config, np.random.default_rng(1), frames=frames)
        sizes.append(size_of(built, bench_board(built, BOARD, frames, "generated")))
    short, long = sizes
    assert long.macs == 2 * short.macs
    assert long.encoder == pytest.approx(2 * short.encoder, rel=0.03)
    assert long.fixed_ram == pytest.approx(short.fixed_ram, abs=4)
