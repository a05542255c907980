"""Short versions of the soaks: streaming, kills and unplugging with real firmware."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kit.cli.main import app
from kit.errors import RunnerError
from kit.host.firmware import Firmware
from kit.host.process_meter import read_process
from kit.host.soak_kill import KillSoak, soak_kill
from kit.host.soak_replug import ReplugSoak, soak_replug
from kit.host.soak_stream import StreamSoakOptions, compare_capture, soak_stream
from tests.firmware_folder import make_firmware
from tests.support import need, need_target

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    need("make")
    need("gcc")
    return make_firmware(tmp_path_factory.mktemp("device"))


@pytest.mark.parametrize("target", ["native", "mps2-an386"])
def test_stream_as_fast_as_it_can(firmware: Firmware, target: str, tmp_path: Path) -> None:
    need_target(target if target == "native" else f"uart:{target}")
    keep = tmp_path / "a.kitcap"
    result = soak_stream(firmware, StreamSoakOptions(target, packets=300, fast=True, keep=keep))
    assert result.failures == [] and (result.packets, result.lost, result.wrong) == (300, 0, 0)
    # A soak that could not see a wrong packet would show nothing.
    data = keep.read_bytes()
    assert compare_capture(keep, firmware.artifacts / "vectors.npz") == (300, 0, 0)
    keep.write_bytes(data[: len(data) // 2] + data[len(data) // 2 + 40 :])
    stored, lost, _ = compare_capture(keep, firmware.artifacts / "vectors.npz")
    assert stored < 300 and lost == 300 - stored


def test_stream_in_real_time(firmware: Firmware) -> None:
    seconds: list[float] = []
    options = StreamSoakOptions("native", seconds=3.0)
    result = soak_stream(firmware, options, lambda at, reading: seconds.append(reading.cpu_seconds))
    assert result.packets == result.expected > 0 and result.wall_s >= 2.5 and seconds
    assert [text for text in result.failures if "core" not in text] == [], "a busy machine may slow the first seconds"


def test_stream_refusals(firmware: Firmware) -> None:
    with pytest.raises(RunnerError, match="either so many seconds or so many packets"):
        soak_stream(firmware, StreamSoakOptions("native"))
    with pytest.raises(RunnerError, match="give --packets with --fast"):
        soak_stream(firmware, StreamSoakOptions("native", seconds=1, fast=True))


def test_kills(firmware: Firmware) -> None:
    result = soak_kill(firmware, 5, seed=3)
    assert result.failures == [] and result.kills == 5 and result.reported > 0 and result.lost == 0


def test_replug(firmware: Firmware) -> None:
    result = soak_replug(firmware, 2, fast=True)
    assert result.failures == [] and (result.sessions, len(result.gaps_s)) == (3, 2) and result.packets > 2


def test_what_fails_a_soak() -> None:
    assert KillSoak(1).failures == ["no packet was reported at all"]
    assert KillSoak(1, reported=5, lost=2, unreadable=1).failures == [
        "1 files do not open",
        "2 reported packets are lost",
    ]
    broken = ReplugSoak(2, "fast", sessions=2, gaps_s=[1.0], bad_gaps=1)
    assert broken.failures == ["2 sessions instead of 3", "1 gaps recorded instead of 2", "1 bad gaps"]


def test_own_process_is_metered() -> None:
    before = read_process(os.getpid())
    assert before is not None and 5e6 < before.memory_bytes < 20e9
    sum(range(3_000_000))
    after = read_process(os.getpid())
    assert after is not None and after.cpu_seconds > before.cpu_seconds and read_process(2**22 + 1) is None


def test_command_line(firmware: Firmware) -> None:
    done = CliRunner().invoke(
        app, ["soak", "stream", "--firmware", str(firmware.folder), "--board", "native", "--packets", "20", "--fast"]
    )
    assert done.exit_code == 0, done.exception
    assert "20 of 20 stored, 0 lost, 0 wrong" in done.output and "soak stream: passed" in done.output
    done = CliRunner().invoke(app, ["soak", "kill", "--firmware", str(firmware.folder), "--times", "2", "--json"])
    assert done.exit_code in (0, 1) and json.loads(done.stdout.splitlines()[0])["kills"] == 2
