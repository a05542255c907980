"""Comparison, runner files, boards, tools and report files."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from kit.errors import ArtifactError, MismatchError, RunnerError, ToolchainError
from kit.host.boards import BOARDS, emulated_boards, find_board, parse_board
from kit.host.compare import compare
from kit.host.report_files import junit_bytes, write_junit, write_report_json
from kit.host.runner_files import input_bytes, parse_output
from kit.host.runners import RunResult, check_frames
from kit.host.targets import parse_targets
from kit.host.toolchain import TOOLS, find_tool, require_tool
from kit.host.validate import Outcome, Report
from kit.wire.packet import PacketLayout
from tests.support import need

LAYOUT = PacketLayout(16, 16, 4, 2, 2, True)


def result(count: int = 3) -> RunResult:
    rng = np.random.default_rng(1)
    indices = rng.integers(0, 4, (count, 4, 2)).astype(np.uint16)
    mean, scale = np.arange(count, dtype=np.int32), np.ones(count, np.uint8)
    packets = LAYOUT.pack_batch(indices, mean, scale)
    return RunResult("00" * 8, rng.integers(-9, 9, (count, 4, 2)).astype(np.int8), indices, mean, scale, packets)


def test_equal_runs() -> None:
    outcome = compare(result(), result())
    assert outcome.equal and outcome.first is None
    assert str(outcome) == "3 frames equal (mean, scale_code, 24 latents, 24 indices, 15 packet bytes)"
    assert outcome.as_dict()["equal"] is True


def test_first_mismatch_is_named() -> None:
    got = result()
    assert got.latents is not None
    latents = got.latents.copy()
    latents[1, 2, 1] += 3
    latents[2] += 1
    indices = got.indices.copy()
    indices[1, 2, 0] ^= 1
    outcome = compare(result(), replace(got, latents=latents, indices=indices))
    want = int(got.latents[1, 2, 1])
    assert str(outcome.first) == f"frame 1, latents [position 2, channel 1]: want {want}, got {want + 3}"
    assert outcome.different_frames == 2 and outcome.fields["latents"].different == 9
    assert "indices: 1 of 24 differ, max" in str(outcome)


def test_fields_that_one_side_lacks_are_not_compared() -> None:
    outcome = compare(result(), replace(result(), latents=None))
    assert outcome.equal and "latents" not in outcome.fields


def test_nothing_to_compare_is_a_failure() -> None:
    with pytest.raises(MismatchError, match="zero vectors"):
        compare(result(0), result(0))
    with pytest.raises(MismatchError, match="2 frames came back of 3"):
        compare(result(3), result(2))
    with pytest.raises(MismatchError, match="shape"):
        compare(result(), replace(result(), indices=np.zeros((3, 4, 1), np.uint16)))


def test_runner_files() -> None:
    data = input_bytes(np.array([[1, -2]], np.int16), 2)
    assert data == b"KITV" + struct.pack("<III", 1, 2, 1) + b"\x01\0\xfe\xff"
    assert input_bytes(np.array([[1, -2]], np.int32), 4)[16:] == b"\x01\0\0\0\xfe\xff\xff\xff"
    head = struct.pack("<4sI8sIII", b"KITR", 1, bytes(range(8)), 2, 3, 1)
    out = parse_output(head + bytes([255, 2, 3, 4, 5, 6, 7, 8]), 2, 3, 1)
    assert out.build_hash == "0001020304050607"
    assert out.latents.tolist() == [[-1, 2, 3], [5, 6, 7]] and out.packets.tolist() == [[4], [8]]
    for bad in (b"", head, head + bytes(7), head + bytes(9), b"X" + head[1:] + bytes(8)):
        with pytest.raises(RunnerError):
            parse_output(bad, 2, 3, 1)
    with pytest.raises(RunnerError, match="want"):
        parse_output(head + bytes(8), 2, 2, 2)


@pytest.mark.parametrize(
    "frames", [np.zeros((0, 16), np.int16), np.zeros((1, 15), np.int16), np.zeros((1, 16)), np.full((1, 16), 40000)]
)
def test_frames_that_do_not_fit(frames: np.ndarray) -> None:
    with pytest.raises(RunnerError):
        check_frames(frames, LAYOUT)


def test_boards() -> None:
    emulated = {"microbit", "mps2-an385", "mps2-an386", "mps2-an500", "mps3-an547", "riscv-virt"}
    assert emulated == set(emulated_boards()) <= set(BOARDS)
    assert "native" not in BOARDS
    microbit = find_board("microbit")
    assert (microbit.flash_bytes, microbit.ram_bytes) == (256 * 1024, 16 * 1024)
    assert "-mcpu=cortex-m0" in microbit.cpu_flags and microbit.title
    assert microbit.tools == ("arm-none-eabi-gcc", "qemu-system-arm")
    command = microbit.emulate(Path("app.elf"))
    assert command[:5] == ["qemu-system-arm", "-M", "microbit", "-kernel", "app.elf"]
    riscv = find_board("riscv-virt")
    assert riscv.tools == ("riscv64-unknown-elf-gcc", "qemu-system-riscv32") and riscv.flash_start == 0x80000000
    assert riscv.emulate(Path("x"))[1:7] == ["-M", "virt", "-cpu", "rv32", "-bios", "none"]
    assert {board.family for board in BOARDS.values()} == {"cortexm", "riscv"}
    assert {tool for board in BOARDS.values() for tool in board.tools} <= {tool.name for tool in TOOLS}
    with pytest.raises(RunnerError, match="boards: microbit"):
        find_board("nonsense")


def test_incomplete_board(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="cannot read"):
        parse_board(tmp_path)
    (tmp_path / "board.mk").write_text("CROSS := x-\nCPU_FLAGS := -mthumb\n")
    (tmp_path / "board.h").write_text("/* A board. */\n")
    (tmp_path / "memory.ld").write_text("MEMORY\n{\n FLASH (rx) : ORIGIN = 0x0, LENGTH = 2K\n}\n")
    with pytest.raises(RunnerError, match="does not say RAM"):
        parse_board(tmp_path)
    (tmp_path / "memory.ld").write_text(
        "MEMORY\n{\n FLASH (rx) : ORIGIN = 0x0, LENGTH = 2K\n RAM (rw) : ORIGIN = 4096, LENGTH = 16\n}\n"
    )
    board = parse_board(tmp_path)
    assert (board.flash_bytes, board.ram_bytes, board.tools) == (2048, 16, ("x-gcc",))
    with pytest.raises(RunnerError, match="QEMU does not emulate"):
        board.emulate(tmp_path)


def test_targets() -> None:
    assert parse_targets("native, qemu:microbit,native,mps2-an386") == ("native", "qemu:microbit", "qemu:mps2-an386")
    assert parse_targets("microbit,qemu:*,native") == (
        "qemu:microbit", *(f"qemu:{name}" for name in emulated_boards() if name != "microbit"), "native",
    )  # fmt: skip
    assert parse_targets("uart:*") == tuple(f"uart:{name}" for name in emulated_boards())
    assert parse_targets("uart:native,serial:/dev/ttyACM0,golden,reference")[1] == "serial:/dev/ttyACM0"
    for bad in ("", ",", "qemu", "qemu:native", "qemu:nonsense", "tcp:1", "native:x", "serial:"):
        with pytest.raises(RunnerError):
            parse_targets(bad)


def test_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    need("gcc")
    found = find_tool("gcc")
    assert found is not None and found.version[0].isdigit()
    assert len({tool.name for tool in TOOLS}) == len(TOOLS) and all(tool.purpose and tool.how for tool in TOOLS)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_tool("gcc") is None
    with pytest.raises(ToolchainError, match="qemu-system-arm, which emulates Cortex-M boards, is not installed; apt"):
        require_tool("qemu-system-arm")


def report(*states: str) -> Report:
    outcomes = tuple(Outcome(f"t{i}", state, "why <&>", 1.0) for i, state in enumerate(states))  # type: ignore[arg-type]
    return Report("tiny", "00" * 8, "aot", 5, "random", "golden", outcomes)


def test_only_targets_that_ran_pass() -> None:
    assert report("passed", "skipped").passed
    assert not report("passed", "failed").passed
    assert not report("skipped").passed and not report().passed


def test_report_files(tmp_path: Path) -> None:
    write_junit(tmp_path / "r.xml", report("passed", "failed", "skipped"))
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert [child.tag for case in suite for child in case] == ["system-out", "failure", "skipped"]
    assert b"no target ran" in junit_bytes(report("skipped"))
    write_report_json(tmp_path / "r.json", report("passed"))
    assert '"passed": true' in (tmp_path / "r.json").read_text()
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        write_report_json(tmp_path / "file" / "r.json", report("passed"))
