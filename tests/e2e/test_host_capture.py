"""Capture and decode, from a device over a pseudo-terminal to files; and every way it can go wrong."""

from __future__ import annotations

import datetime
import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import kit.host.capture as capture_module
from kit.cli.main import app
from kit.errors import ArtifactError, CaptureError, KitError, LinkError, LinkTimeout
from kit.host.builds import find_build
from kit.host.capture import CaptureOptions, CaptureState, capture
from kit.host.capture_file import CaptureReader, EndRecord
from kit.host.decode import check_format, decode_capture, decode_source
from kit.host.decode_source import CaptureSource
from kit.server.bundle import Bundle
from tests.captures import decode, read_packets
from tests.fake_device import BUILD_HASH, LAYOUT, FakeDevice, body, other_build, write_tiny_run

pytestmark = pytest.mark.alone


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_tiny_run(tmp_path / "runs" / "tiny")


def options(device: FakeDevice, tmp_path: Path, run: Path | None, **more: object) -> CaptureOptions:
    return CaptureOptions(device.port, tmp_path / "a.kitcap", "fast", run=run, **more)  # type: ignore[arg-type]


def end_note(path: Path) -> dict[str, object]:
    with CaptureReader(path) as reader:
        return [record.values for record in reader if isinstance(record, EndRecord)][-1]


def test_packets_limit(tmp_path: Path, run: Path) -> None:
    states: list[int] = []
    with FakeDevice() as device:
        state = capture(options(device, tmp_path, run, packets=30), lambda s: states.append(s.tracker.received))
    assert state.ended in ("packet limit reached", "finished by the device")
    assert (state.tracker.received, state.tracker.lost, state.damaged) == (30, 0, 0)
    assert states and "30 packets (8 s of signal), 0 lost" in state.text
    packets = read_packets(tmp_path / "a.kitcap")
    assert packets.numbers.tolist() == list(range(30)) and packets.header.label == "synthetic"
    assert "frame_samples: 16" in packets.header.config and packets.header.layout == LAYOUT
    assert end_note(tmp_path / "a.kitcap")["packets"] == 30


def test_lost_duplicate_and_damaged_packets(tmp_path: Path, run: Path) -> None:
    def fault(name: str, number: int, data: bytes) -> bytes:
        if name == "PACKET" and number in (3, 4):
            return b""
        if name == "PACKET" and number == 7:
            return data + data
        if name == "PACKET" and number == 9:
            return data[:4] + data[6:]
        return data

    with FakeDevice(fault=fault) as device:
        state = capture(options(device, tmp_path, run, packets=20))
    assert state.ended == "finished by the device"
    assert (state.tracker.received, state.tracker.lost, state.tracker.duplicates, state.damaged) == (17, 3, 1, 1)
    decoded = decode(tmp_path / "a.kitcap", run / "server")
    missing = [i in (3, 4, 9) for i in range(20)]
    assert (~decoded["valid"]).tolist() == missing
    assert np.isnan(decoded["signal"]).all(axis=1).tolist() == missing
    assert decoded["time_s"].tolist() == [i * 0.25 for i in range(20)] and str(decoded["units"]) == "ADC codes"
    fields = LAYOUT.unpack(body(8))
    assert fields.mean is not None and fields.scale_code is not None
    expected = Bundle.load(run / "server").decode(fields.indices, fields.mean, fields.scale_code)
    assert decoded["signal"][8].tobytes() == expected.tobytes()


def test_lost_at_the_start_keeps_the_clock(tmp_path: Path, run: Path) -> None:
    with FakeDevice(fault=lambda name, n, data: b"" if name == "PACKET" and n < 3 else data) as device:
        capture(options(device, tmp_path, run, packets=6))
    decoded = decode(tmp_path / "a.kitcap", run / "server")
    assert decoded["valid"].tolist() == [False] * 3 + [True] * 3


def test_stop_and_time_limit(tmp_path: Path, run: Path) -> None:
    stop = threading.Event()

    def update(state: CaptureState) -> None:
        if state.tracker.received > 5:
            stop.set()

    with FakeDevice() as device:
        state = capture(options(device, tmp_path, run, stop=stop), update)
        assert state.ended == "stopped by the user" and state.tracker.received > 5
        assert not device.streaming and device.got("STREAM_STOP")
    with FakeDevice() as device:
        state = capture(CaptureOptions(device.port, tmp_path / "b.kitcap", run=run, duration_s=0.3))
        assert state.ended == "time limit reached" and not device.streaming


def test_unplugged_in_the_middle(tmp_path: Path, run: Path) -> None:
    with FakeDevice() as device:
        timer = threading.Timer(0.5, device.unplug)
        timer.start()
        with pytest.raises(LinkError, match=r"unplugged.*packets are safe in .*a\.kitcap"):
            capture(options(device, tmp_path, run, reconnect=False))
        timer.join()
    packets = read_packets(tmp_path / "a.kitcap")
    assert packets.numbers.tolist() == list(range(len(packets.numbers))) and len(packets.numbers) > 10
    assert packets.left_out_bytes == 0 and "unplugged" in str(end_note(tmp_path / "a.kitcap")["why"])
    assert decode_capture(tmp_path / "a.kitcap", run / "server", tmp_path / "a.npz").frames == len(packets.numbers)


def test_device_that_falls_silent(tmp_path: Path, run: Path) -> None:
    with FakeDevice(hangs_after=5) as device:
        with pytest.raises(LinkTimeout, match=r"no packet for 0\.5 s; 5 packets are safe"):
            capture(options(device, tmp_path, run, silence_s=0.5, reconnect=False))
        assert device.got("STREAM_STOP")


def test_disk_full(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = os.write, []

    def full(descriptor: int, data: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".kitcap"):
            sizes.append(os.fstat(descriptor).st_size)
            header = next((size for size in sizes if size), 0)  # it holds the configuration, of whatever length
            if header and sizes[-1] > header + 1500:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    with FakeDevice() as device:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(CaptureError, match=r"No space left on device; the \d+ packets before are safe"):
            capture(options(device, tmp_path, run))
        monkeypatch.undo()
        assert device.got("STREAM_STOP"), "a full disk must not leave the device streaming"
    assert len(read_packets(tmp_path / "a.kitcap").numbers) > 5


def test_unknown_build_is_refused_unless_allowed(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with FakeDevice(other_build()) as device:
        with pytest.raises(LinkError, match=r"build fedcba9876543210, which is not known here.*tiny \(0123"):
            capture(options(device, tmp_path, None))
        with pytest.raises(LinkError, match=r"tiny is build 0123456789abcdef"):
            capture(options(device, tmp_path, run))
        assert not (tmp_path / "a.kitcap").exists()
        state = capture(options(device, tmp_path, None, any_build=True, packets=3))
        assert state.build is None
    packets = read_packets(tmp_path / "a.kitcap")
    assert packets.header.config == "" and LAYOUT.unpack_batch(packets.bodies).indices.shape == (3, 4, 2)
    source, bundle, out = CaptureSource(tmp_path / "a.kitcap"), Bundle.load(run / "server"), tmp_path / "a.npz"
    with pytest.raises(CaptureError, match="build fedc"):
        decode_source(source, bundle, out, check_format(out))


def test_find_build(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_build(BUILD_HASH)
    assert found.name == "tiny" and found.server is not None
    assert find_build(BUILD_HASH, server=run / "server").server == run / "server"
    bare = tmp_path / "runs" / "bare"
    bare.mkdir()
    (bare / "manifest.json").write_text(json.dumps({"facts": {"build_hash": "aa" * 8}}))
    assert find_build("aa" * 8).server is None
    with pytest.raises(ArtifactError, match="holds no build"):
        find_build(BUILD_HASH, run=tmp_path)
    with pytest.raises(ArtifactError, match="two builds"):
        find_build(BUILD_HASH, run=run, server=run / "server")


def test_damaged_bundle_is_found_before_anything_is_stored(tmp_path: Path, run: Path) -> None:
    (run / "server" / "codebook.npz").write_bytes(b"")
    with FakeDevice() as device, pytest.raises(ArtifactError, match="changed since"):
        capture(options(device, tmp_path, run))
    assert not (tmp_path / "a.kitcap").exists()


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_decode_files(tmp_path: Path, run: Path, suffix: str) -> None:
    with FakeDevice(fault=lambda name, n, data: b"" if (name, n) == ("PACKET", 1) else data) as device:
        capture(options(device, tmp_path, run, packets=3))
    out = tmp_path / f"a{suffix}"
    summary = decode_capture(tmp_path / "a.kitcap", run / "server", out)
    assert (summary.frames, summary.lost, summary.seconds) == (3, 1, 0.75)
    if suffix == ".npz":
        with np.load(out) as arrays:
            assert arrays["signal"].shape == (3, 16) and arrays["valid"].tolist() == [True, False, True]
            assert arrays["mean"].tolist() == [0, 0, 2] and str(arrays["units"]) == "ADC codes"
            assert np.isnan(arrays["host_time_s"]).tolist() == [False, True, False]
    else:
        lines = out.read_text().splitlines()
        assert lines[2] == "time_s,device_time_s,value,valid,concealed" and len(lines) == 3 + 48
        assert lines[3 + 16] == "0.250000,,,0,0" and lines[3 + 47].startswith("0.734375,0.734375,")
        assert lines[3].endswith(",1,0")


def test_decode_refusals(tmp_path: Path, run: Path) -> None:
    with FakeDevice() as device:
        capture(options(device, tmp_path, run, packets=2))
    with pytest.raises(CaptureError, match=r"must end in \.npz, \.csv, "):
        decode_capture(tmp_path / "a.kitcap", run / "server", tmp_path / "a.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        decode_capture(tmp_path / "a.kitcap", run / "server", tmp_path / "file" / "a.npz")
    data = (tmp_path / "a.kitcap").read_bytes()
    with CaptureReader(tmp_path / "a.kitcap") as reader:
        header_end = reader.whole_bytes
    (tmp_path / "empty.kitcap").write_bytes(data[:header_end])
    with pytest.raises(CaptureError, match="no packet"):
        decode_capture(tmp_path / "empty.kitcap", run / "server", tmp_path / "a.npz")


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, KitError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_command_line(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with FakeDevice() as device:
        code, text = invoke("serial-capture", device.port, "--packets", "4")
    assert code == 0 and "4 packets" in text and "4 frames (1 s), 0 missing" in text and BUILD_HASH in text
    (stored,) = (tmp_path / "captures").glob("fake-*.kitcap")
    assert stored.with_suffix(".npz").is_file()
    code, text = invoke("decode", str(stored), "--out", "again.csv")
    assert code == 0 and "again.csv: 4 frames (1 s), 0 missing" in text
    stored.write_bytes(stored.read_bytes()[:-3])
    code, text = invoke("decode", str(stored), "--run", str(run))
    assert code == 0 and "damaged and were left out" in text


def test_command_line_for_programs(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with FakeDevice() as device:
        result = CliRunner().invoke(app, ["serial-capture", device.port, "--packets", "4", "--json"])
        summary = json.loads(result.stdout)
        assert (summary["packets"], summary["lost"], summary["sessions"], summary["gaps_s"]) == (4, 0, 1, [])
        assert summary["decoded"] == str(Path(summary["file"]).with_suffix(".npz"))
        # The reader of a pipe gets nothing but lines of JSON; whoever sits at the terminal reads the rest.
        code = "from kit.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "serial-capture", device.port, "--packets", "4", "--ndjson", "--no-decode"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
        assert events == ["start", *["samples"] * 4, "end"] and "4 packets" in done.stderr
        quiet = invoke(
            "serial-capture", device.port, "--packets", "4", "--quiet", "--out", "q.kitcap", "--baud", "9600"
        )
        assert quiet == (0, "")
        code, text = invoke("serial-capture", device.port, "--packets", "2", "--append", "--out", "q.kitcap")
        assert code == 0 and "6 frames" in text and "1 pause" in text
        monkeypatch.setattr("kit.cli.serial_capture._seconds_until", lambda text: 0.3)
        assert "time limit reached" in invoke("serial-capture", device.port, "--until", "17:30", "--no-decode")[1]


def test_decoded_samples_of_an_unknown_build_are_refused_before_there_is_a_file(tmp_path: Path) -> None:
    with FakeDevice(other_build()) as device:
        code, text = invoke(
            "serial-capture", device.port, "--any-build", "--ndjson", "--out", str(tmp_path / "a.kitcap")
        )
    assert code == 1 and "need the decoder of the device's build" in text and not list(tmp_path.iterdir())


def test_until_is_the_next_time_a_clock_shows_it() -> None:
    from kit.cli.serial_capture import _seconds_until

    now = datetime.datetime.now()
    soon, before = now + datetime.timedelta(minutes=90), now - datetime.timedelta(minutes=90)
    assert 80 * 60 < _seconds_until(f"{soon:%H:%M}") <= 90 * 60
    assert 22 * 3600 < _seconds_until(f"{before:%H:%M}") <= 22.5 * 3600
    for text in ("25:00", "noon", "12", ""):
        with pytest.raises(CaptureError, match="no time of day"):
            _seconds_until(text)


def test_command_line_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("serial-capture", "/dev/kit-absent")[0] == 1
    assert "modes: realtime, fast" in invoke("serial-capture", "/dev/kit-absent", "--mode", "slow")[1]
    assert "must end in" in invoke("serial-capture", "/dev/kit-absent", "--decode", "x.wav")[1]
    assert "contradict" in invoke("serial-capture", "/dev/kit-absent", "--decode", "x.npz", "--no-decode")[1]
    for first, second in (("--live", "--quiet"), ("--ndjson", "--json"), ("--live", "--json"), ("--quiet", "--trace")):
        assert f"{first} and {second} contradict" in invoke("serial-capture", "/dev/kit-absent", first, second)[1]
    assert "draws on a terminal" in invoke("serial-capture", "/dev/kit-absent", "--live")[1]
    assert "--append needs the file" in invoke("serial-capture", "/dev/kit-absent", "--append")[1]
    assert "cannot read" in invoke("decode", "absent.kitcap")[1]
    with FakeDevice(other_build()) as device:
        assert "not known here; known builds" in invoke("serial-capture", device.port)[1]
        code, text = invoke("serial-capture", device.port, "--any-build", "--packets", "2", "--out", "x.kitcap")
        assert code == 0 and "not decoded" in text
        assert "exists already" in invoke("serial-capture", device.port, "--any-build", "--out", "x.kitcap")[1]


def test_default_names_never_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    monkeypatch.chdir(tmp_path)
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    first = capture_module.default_path("fake", moment)
    assert first.as_posix() == "captures/fake-20260102-030405.kitcap"
    first.parent.mkdir()
    first.touch()
    assert capture_module.default_path("fake", moment).name == "fake-20260102-030405-2.kitcap"


def test_stop_before_the_device_answers(tmp_path: Path) -> None:
    with FakeDevice() as device:
        device.ignore["HELLO_REQUEST"] = 99
        wanted = options(device, tmp_path, None)
        timer = threading.Timer(0.1, wanted.stop.set)
        timer.start()
        with pytest.raises(LinkError, match="given up before the device answered"):
            capture(wanted)
        timer.join()
    assert device.received.count("HELLO_REQUEST") == 1
