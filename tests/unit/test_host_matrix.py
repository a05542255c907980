"""Engines by targets: cells, libraries, the runner's taps, and the table."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from kit.errors import LinkError, RunnerError
from kit.host.compare import Comparison, FieldCount
from kit.host.diagnose import Finding
from kit.host.engines import ENGINES, Cell, cells, parse_engines, parse_tflm_roots
from kit.host.explain import Explanation
from kit.host.layer_compare import Departure, LayerComparison, LayerCount
from kit.host.link import Link
from kit.host.link_runner import check_engine
from kit.host.matrix_table import matrix_table, notes, summary
from kit.host.outcome import Outcome, Report
from kit.host.report_files import junit_bytes
from kit.host.runner_files import parse_output
from tests.fake_device import HELLO, FakeDevice
from tests.firmware_folder import make_firmware


def test_engines() -> None:
    assert parse_engines("aot, tflm,aot") == ("aot", "tflm") and parse_engines("*") == ENGINES
    for bad in ("", ",", "xnnpack", "aot,xnnpack"):
        with pytest.raises(RunnerError, match="engines: aot, tflm, tflm-wheel, reference"):
            parse_engines(bad)


def test_cells() -> None:
    targets = ("native", "qemu:microbit")
    assert cells((), targets, "aot") == (Cell("aot", "native"), Cell("aot", "qemu:microbit"))
    assert cells((), ("golden", "native"), "tflm") == (Cell("tflm-wheel", "golden"), Cell("tflm", "native"))
    found = cells(ENGINES, targets, "aot")
    assert [(cell.engine, cell.place) for cell in found] == [
        ("aot", "native"), ("aot", "qemu:microbit"), ("tflm", "native"), ("tflm", "qemu:microbit"),
        ("tflm-wheel", "host"), ("reference", "host"),
    ]  # fmt: skip
    assert len(cells(("reference",), ("reference", "native"), "aot")) == 1, "named twice is one cell"


def test_tflm_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFLM_ROOT", raising=False)
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert parse_tflm_roots([]) == ()
    assert dict(parse_tflm_roots([str(one), f"mps2-an386={other}"])) == {"": one, "mps2-an386": other}
    monkeypatch.setenv("TFLM_ROOT", str(other))
    assert dict(parse_tflm_roots([])) == {"": other} and dict(parse_tflm_roots([str(one)])) == {"": one}
    for bad, words in (
        ([str(tmp_path / "absent")], "is no folder"),
        ([f"toaster={one}"], "no board 'toaster'"),
        ([str(one), str(other)], "two folders for every board"),
    ):
        with pytest.raises(RunnerError, match=words):
            parse_tflm_roots(bad)


def tap(layer: int, position: int, values: list[int]) -> bytes:
    return struct.pack("<BHH", layer, position, len(values)) + np.array(values, np.int8).tobytes()


HEAD = struct.pack("<4sI8sIII", b"KITT", 1, bytes(8), 2, 1, 1)


def test_taps_of_the_runner() -> None:
    """Layers take turns as the engine likes; each has its columns in order."""
    frames = [tap(0, 0, [1, 2]) + tap(2, 0, [base]) + tap(0, 1, [3, -4]) + b"\xff" + b"\x07\x08" for base in (5, 6)]
    found = parse_output(HEAD + b"".join(frames), 2, 1, 1, taps=True)
    assert {layer: values.tolist() for layer, values in found.layers.items()} == {
        0: [[[1, 2], [3, -4]], [[1, 2], [3, -4]]], 2: [[[5]], [[6]]],
    }  # fmt: skip
    assert found.latents.tolist() == [[7], [7]] and found.packets.tolist() == [[8], [8]]


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (b"\xff\0\0" * 2, "handed out no column"),
        (tap(0, 0, [1]), "ends within the columns"),
        (tap(0, 0, [1])[:-2], "ends within the columns"),
        ((tap(0, 1, [1]) + b"\xff\0\0") * 2, "column 1 of 1 channels follows 0 columns"),
        ((tap(0, 0, [1]) + tap(0, 1, [1, 2]) + b"\xff\0\0") * 2, "column 1 of 2 channels follows 1 columns"),
        (tap(0, 0, [1]) + b"\xff\0\0" + tap(1, 0, [1]) + b"\xff\0\0", "differ in the order"),
        (tap(0, 0, [1]) + b"\xff\0\0" + tap(0, 0, [1]) + b"\0\0\0", "differ in their number"),
        (tap(0, 0, [1]) + b"\xff\0\0", "bytes, want"),
    ],
)
def test_taps_that_make_no_layers(frames: bytes, words: str) -> None:
    with pytest.raises(RunnerError, match=words):
        parse_output(HEAD + frames, 2, 1, 1, taps=True)
    with pytest.raises(RunnerError, match="begins with"):
        parse_output(HEAD + frames, 2, 1, 1)


def report() -> Report:
    fields = {
        "latents": FieldCount(1_920_000, 0, 0), "indices": FieldCount(240_000, 0, 0),
        "packets": FieldCount(249_000, 0, 0),
    }  # fmt: skip
    equal = Comparison(3000, 0, fields, None)
    wrong = Comparison(3000, 17, {**fields, "latents": FieldCount(1_920_000, 88, 24)}, None)
    counts = (LayerCount("conv0", 100, 0, 0), LayerCount("conv1", 50, 12, 70))
    first = Departure(1, counts[1], 0, 79, 2, -69, -79, "the last column only, all channels; by up to 75")
    finding = Finding(("conv1",), "right-padding", "wrong right-edge padding: it is stale", 12, 12, 3, 20)
    outcomes = (
        Outcome("golden", "passed", "", engine="tflm-wheel", truth=True),
        Outcome("native", "passed", "", comparison=equal, engine="aot"),
        Outcome("qemu:mps3-an547", "failed", "17 of 3000 frames differ", comparison=wrong, engine="tflm",
                explanation=Explanation(LayerComparison(counts, first), (finding,))),
        Outcome("qemu:riscv-virt", "skipped", "no library", engine="tflm"),
        Outcome("qemu:microbit", "skipped", "no library", engine="tflm"),
    )  # fmt: skip
    return Report("seed", "00" * 8, "aot", 3000, "random", "golden", outcomes)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits(width: int) -> None:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(matrix_table(report()))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert len(lines) == 2 + len(report().outcomes), "no row is broken"
    assert lines[2].split() == ["tflm-wheel", "host", "3,000", "-", "-", "-", "-", "truth"]
    assert lines[3].split() == ["aot", "native", "3,000", "1,920,000", "0", "equal", "-", "passed"]
    want = ["tflm", "qemu:mps3-an547", "3,000", "1,920,000", "88", "equal", "1", "of", "2", "FAILED"]
    assert lines[4].split() == want and lines[5].split()[-1] == "skipped"


def test_notes_and_summary() -> None:
    found = notes(report())
    assert list(found) == ["tflm on qemu:mps3-an547", "tflm on qemu:riscv-virt, tflm on qemu:microbit"]
    detail, first, diagnosis = found["tflm on qemu:mps3-an547"]
    assert detail == "17 of 3000 frames differ"
    assert first == (
        "first layer to depart: conv1 [t=79, c=2] want -69 got -79; 12 of 50 differ, max 70; the last column only, all "
        "channels; by up to 75"
    )
    assert diagnosis.startswith("diagnosis: conv1: wrong right-edge padding")
    assert summary(report()).startswith("1 of 2 runs depart; compared with golden in all: 3,840,000 latents")
    clean = replace(report(), outcomes=report().outcomes[:2])
    assert summary(clean).startswith("no departure in 1 runs; compared with golden in all: 1,920,000 latents")
    assert summary(replace(clean, outcomes=())) == "nothing was compared"
    facts = report().as_dict()["outcomes"][2]
    assert facts["first_layer_mismatch"].startswith("conv1 [t=79, c=2] want -69 got -79")
    assert facts["explanation"]["findings"][0]["exact"] is True and facts["engine"] == "tflm"


def test_the_double_is_never_taken_for_tensorflow_lite_micro() -> None:
    equal = report().outcomes[1]
    both = replace(report(), outcomes=(replace(equal, engine="tflm"), replace(equal, engine="tflm", double=True)))
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(matrix_table(both))
    rows = console.export_text().splitlines()[2:]
    assert rows[0].startswith("tflm ") and "double" not in rows[0] and rows[1].startswith("tflm (double) ")
    assert notes(both) == {
        "tflm (double) on native": ["the API double of the kit's tests: no evidence about TensorFlow Lite Micro"]
    }
    assert [facts["double"] for facts in both.as_dict()["outcomes"]] == [False, True]
    text = junit_bytes(both).decode()
    assert 'name="native"' in text and 'name="native, engine tflm (double)"' in text


@pytest.mark.parametrize(("engine", "double"), [("tflm", False), ("double", True)])
def test_a_device_names_its_engine(engine: str, double: bool, tmp_path: Path) -> None:
    """What the hello says decides, not what was asked for."""
    firmware = make_firmware(tmp_path)
    hello = replace(HELLO, build_hash=firmware.build_hash, engine=engine)
    with FakeDevice(hello) as device, Link.open(device.port) as link:
        link.hello()
        chosen = replace(firmware, chosen_engine="tflm")
        assert (check_engine(link, chosen) == "double") == double
        assert check_engine(link, firmware) == engine, "nothing was chosen"
        with pytest.raises(LinkError, match=f"the device runs engine {engine}, not aot"):
            check_engine(link, replace(firmware, chosen_engine="aot"))
