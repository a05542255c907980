"""Faulty lines to a device: over an open transport, and as a port of their own that stalls, is cut and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kit.cli.main import app
from kit.errors import KitError, LinkError, RunnerError
from kit.host.emulator import start
from kit.host.faults import FaultSpec, parse_faults
from kit.host.faulty_line import FaultyPort, FaultyTransport
from kit.host.firmware import Firmware
from kit.host.link import Link
from kit.host.soak_faults import FaultRun, request_run, stream_run
from kit.host.transport import open_transport
from kit.wire import framing
from kit.wire.messages import Decoded, TailSizes, WireError, crc16, decode
from tests.fake_device import HELLO, FakeDevice, body
from tests.firmware_folder import make_firmware
from tests.support import ROOT, need, seed

pytestmark = pytest.mark.alone

BAR = "ber=1e-4,loss=0.01"


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    need("gcc")
    return make_firmware(tmp_path_factory.mktemp("faults"))


def explain(run: FaultRun) -> str:
    return "; ".join(f"{claim.what}: {claim.found}" for claim in run.claims if not claim.holds)


@pytest.mark.parametrize("faults", [BAR, "ber=5e-4,insert=0.005,dup=0.005,reorder=0.005"])
def test_stream_through_a_faulty_line(firmware: Firmware, faults: str) -> None:
    spec = replace(parse_faults(faults), seed=seed())
    with start(firmware, "native") as device:
        run = stream_run(open_transport(device.port), spec, 1500)
    assert run.passed, explain(run)
    assert run.sent == 1500 and run.faults > 100 and 100 < run.intact < 1500


def test_stream_without_faults(firmware: Firmware) -> None:
    with start(firmware, "native") as device:
        run = stream_run(open_transport(device.port), FaultSpec(), 200)
    assert run.passed, explain(run)
    assert (run.faults, run.sent) == (0, 200) and run.intact == run.taken


def test_requests_through_a_faulty_line(firmware: Firmware) -> None:
    with start(firmware, "native") as device:
        run = request_run(open_transport(device.port), FaultSpec(seed=seed(), ber=1e-3, loss=0.01), 40)
    assert run.passed, explain(run)
    assert run.faults > 10


def test_a_broken_receiver_is_found_out(firmware: Firmware, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof must be able to fail: a host that does not look at the check value."""

    def lenient(data: bytes, sizes: TailSizes | None = None) -> Decoded:
        try:
            return decode(data, sizes)
        except WireError as error:
            if error.reason != "crc":
                raise
            return decode(data[:-2] + crc16(data[:-2]).to_bytes(2, "little"), sizes)

    monkeypatch.setattr(framing, "decode", lenient)
    with start(firmware, "native") as device:
        run = stream_run(open_transport(device.port), FaultSpec(seed=seed(), ber=1e-3), 300)
    broken = [claim.what for claim in run.claims if not claim.holds]
    assert "corrupt messages accepted" in broken and "host counters" in broken


def test_answers_that_are_damaged_are_never_taken() -> None:
    """Frames encoded over a line that fails both ways: every answer taken is the right one."""
    spec = FaultSpec(seed=seed(), ber=3e-4, loss=0.002, dup=0.001)
    with FakeDevice() as device:
        line = FaultyTransport(open_transport(device.port), spec)
        line.faults(False)
        answered = 0
        with Link(line) as link:
            link.hello()
            line.faults(True)
            for number in range(150):
                link.send("ENCODE_FRAME", frame=number, samples=np.full(16, number, "<i2").tobytes())
                while (message := link.receive(0.03)) is not None:
                    if message.name == "ENCODED":
                        assert message.data("body") == body(message.integer("frame"))
                        answered += 1
        assert 60 < answered < 150 and line.to_host.faults + line.to_device.faults > 10


def test_open_lines_cannot_be_cut() -> None:
    with FakeDevice() as device, pytest.raises(RunnerError, match="cannot be cut"):
        FaultyTransport(open_transport(device.port), FaultSpec(cut=0.1))


@pytest.mark.parametrize("kind", ["pty", "tcp"])
def test_port_without_faults(kind: str) -> None:
    with FakeDevice() as device, FaultyPort(device.port, FaultSpec(), kind) as line:  # type: ignore[arg-type]
        assert line.port.startswith("socket://" if kind == "tcp" else "/")
        for _ in range(2):
            with Link.open(line.port) as link:
                assert link.hello() == HELLO
                link.stream_start("fast", 50)
                seen = []
                while (message := link.receive(2.0)) is not None and message.name == "PACKET":
                    seen.append(message.integer("seq"))
                assert seen == list(range(50))
        assert line.faults == 0 and line.alive


def test_stalls_delay_and_lose_nothing() -> None:
    spec = parse_faults("stall=0.002,stall_ms=60,to=host,seed=1")
    with FakeDevice() as device, FaultyPort(device.port, spec) as line, Link.open(line.port) as link:
        link.hello()
        link.stream_start("fast", 100)
        begun = time.monotonic()
        count = 0
        while (message := link.receive(3.0)) is not None and message.name == "PACKET":
            count += 1
        assert count == 100 and link.counters.damaged == 0
        assert line.faults >= 2 and time.monotonic() - begun > 0.1


@pytest.mark.parametrize("kind", ["pty", "tcp"])
def test_cut_looks_like_a_pulled_cable_and_comes_back(kind: str) -> None:
    spec = parse_faults("cut=0.002,cut_ms=150,to=host,seed=4")
    with FakeDevice() as device, FaultyPort(device.port, spec, kind) as line:  # type: ignore[arg-type]
        cuts = 0
        deadline = time.monotonic() + 20.0
        while cuts < 3 and time.monotonic() < deadline:
            try:
                with Link.open(line.port) as link:
                    link.hello(attempts=2)
                    link.stream_start("fast")
                    while link.receive(2.0) is not None:
                        continue
            except LinkError:
                cuts = line.cuts
                time.sleep(0.05)
        assert line.cuts >= 3 and line.alive
    assert not Path(line.port).exists()


def test_device_that_goes_takes_the_port_with_it() -> None:
    with FakeDevice() as device, FaultyPort(device.port, FaultSpec()) as line, Link.open(line.port) as link:
        link.hello()
        device.unplug()
        with pytest.raises(LinkError, match="unplugged"):
            for _ in range(50):
                link.receive(0.1)
        line._thread.join(5)
        assert not line.alive and not os.path.lexists(line.port)
    with pytest.raises(RunnerError, match="cannot put a faulty line before /dev/kit-absent"):
        FaultyPort("/dev/kit-absent", FaultSpec())


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, KitError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_emulate_with_faults(firmware: Firmware) -> None:
    command = [sys.executable, "-m", "kit", "emulate", "--firmware", str(firmware.folder), "--faults", f"{BAR},seed=3"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        port = process.stdout.readline().strip()
        with Link.open(port) as link:
            assert link.hello(attempts=30).build_hash == firmware.build_hash
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "faults, 0 cuts" in process.stderr.read()
    finally:
        process.kill()
        process.wait()
    assert not os.path.lexists(port)


def test_command_line_refusals() -> None:
    assert "did you mean loss" in invoke("emulate", "--faults", "los=0.1")[1]
    assert "add --faults" in invoke("emulate", "--tcp")[1]
    assert "did you mean ber" in invoke("soak", "faults", "--faults", "be=0.1")[1]


def test_soak_command(firmware: Firmware, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "firmware").symlink_to(firmware.folder)
    code, text = invoke(
        "soak", "faults", "--packets", "300", "--requests", "5", "--seeds", "1", "--run", str(tmp_path / "run")
    )
    assert code == 0 and "every claim holds in 2 runs at ber=0.0001,loss=0.01" in text
    assert "seed 1, stream: 300 sent" in text and "FAILED" not in text
