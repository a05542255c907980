"""What a device measures itself, over a line: asked for, checked, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import LinkError, RunnerError
from kit.host.bench_link import bench_link, read_profile, report_of
from kit.host.link import Link
from kit.host.probes import stage_numbers
from tests.fake_device import BUILD_HASH, HELLO, FakeDevice
from tests.firmware_folder import make_firmware

pytestmark = pytest.mark.alone

NUMBERS = stage_numbers()
PROBED = replace(HELLO, probes=True, target="mps2-an386")
STAGES = {
    NUMBERS.fixed["rest"]: (4_000, 1_100, 80),
    NUMBERS.fixed["normalise"]: (800, 100, 64),
    NUMBERS.fixed["schedule"]: (80, 10, 8),
    NUMBERS.layer[0]: (8 * (1 << 31), 1 << 31, 64),
    NUMBERS.level[0]: (1_600, 300, 32),
}


def test_a_profile_is_read_stage_by_stage() -> None:
    with FakeDevice(PROBED, profile=STAGES) as device, Link.open(device.port) as link:
        profile = read_profile(link, BUILD_HASH)
    assert (profile.unit, profile.frames) == ("cycles", 8)
    assert profile.stages[NUMBERS.layer[0]].total == 1 << 34
    assert profile.stages[NUMBERS.layer[0]].worst == 1 << 31
    assert profile.stages[NUMBERS.fixed["pack"]].visits == 0


def test_a_report_of_cycles(tmp_path: Path) -> None:
    firmware = make_firmware(tmp_path)
    hello = replace(PROBED, build_hash=firmware.build_hash)
    with FakeDevice(hello, profile=STAGES) as device, Link.open(device.port) as link:
        report = report_of(read_profile(link, firmware.build_hash), firmware, f"serial:{device.port}")
    assert (report.board, report.unit, report.frames, report.footprint) == ("mps2-an386", "cycles", 8, None)
    by_key = {cost.key: cost for cost in report.stages}
    assert (by_key["normalise"].mean, by_key["normalise"].low, by_key["normalise"].high) == (100, None, 100)
    assert by_key["layer 0"].mean == 1 << 31
    assert report.total("codec").mean == sum(cost.mean for cost in report.stages)
    assert report.estimate_ms(by_key["normalise"]) == pytest.approx(100 / 64_000)
    with (
        pytest.raises(RunnerError, match="which this build does not have"),
        FakeDevice(hello, profile={NUMBERS.layer[0] + 20: (1, 1, 1)}) as device,
        Link.open(device.port) as link,
    ):
        report_of(read_profile(link, firmware.build_hash), firmware, "serial:x")


def test_a_device_without_probes_is_explained() -> None:
    with FakeDevice(HELLO) as device, Link.open(device.port) as link, pytest.raises(LinkError, match="PROBES=1"):
        read_profile(link, BUILD_HASH)


def test_another_build_is_refused() -> None:
    with FakeDevice(PROBED) as device, Link.open(device.port) as link, pytest.raises(LinkError, match="runs build"):
        read_profile(link, "f" * 16)


def test_a_counter_that_counts_nothing_is_refused() -> None:
    fake = FakeDevice(PROBED, profile=STAGES, profile_unit=0)
    with fake as device, Link.open(device.port) as link, pytest.raises(LinkError, match="icount"):
        read_profile(link, BUILD_HASH)


def test_a_dead_port_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LinkError):
        bench_link(make_firmware(tmp_path), f"serial:{tmp_path}/ttyNone")
