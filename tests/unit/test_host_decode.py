"""Decoding: every format, read back by the format's own reader, says what came, what is missing and when it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import kit.host.decode as decode_module
from kit.cli.main import app
from kit.errors import ArtifactError, CaptureError, KitError, ToolchainError
from kit.host import decode_blocks
from kit.host.capture_file import CaptureHeader, CaptureWriter
from kit.host.conceal import conceal, predictor_order
from kit.host.decode import FORMATS, check_format, decode_capture, decode_source
from kit.host.decode_bare import BareSource
from kit.host.decode_edf import record_samples
from kit.host.decode_source import DeviceClock
from kit.server.bundle import Bundle
from kit.wire.bare import BarePacket, encode_bare
from tests.captures import decode
from tests.fake_device import HELLO, LAYOUT, body, write_tiny_run
from tests.support import ROOT, need_package

STARTED = "2026-01-02T03:04:05+00:00"
T, RATE = 16, 64.0
SENT = (0, 1, 3, 4, 7, 8)
"""Of the first session; 2 is lost alone, 5 and 6 together."""
PAUSE = 40
LOST_AT = [2, 5, 6]


def write_capture(path: Path, pause_s: float = PAUSE / RATE) -> Path:
    """A session with losses, a pause, and a second session that begins with a lost packet."""
    with CaptureWriter(path, CaptureHeader(HELLO, LAYOUT, STARTED, "/dev/fake", "realtime", "", "synthetic")) as writer:
        writer.begin_session(HELLO, "/dev/fake")
        for number in SENT:
            writer.packet(number, (65000 + (number + 1) * 250) & 0xFFFF, body(number))
        writer.gap("unplugged", pause_s)
        writer.begin_session(HELLO, "/dev/fake")
        for number in (1, 2):
            writer.packet(number, (number + 1) * 250, body(number))
        writer.end("stopped by the user")
    return path


@pytest.fixture
def server(tmp_path: Path) -> Path:
    return write_tiny_run(tmp_path / "runs" / "tiny") / "server"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write_capture(tmp_path / "a.kitcap")


def expected(decoded: dict[str, np.ndarray]) -> np.ndarray:
    """The line of time that formats without sessions show: all frames, NaN in gaps and in the pause."""
    signal = decoded["signal"].ravel()
    return np.concatenate([signal[: 9 * T], np.full(PAUSE, np.nan), signal[9 * T :]])


def test_npz(capture: Path, server: Path) -> None:
    found = decode(capture, server)
    missing = [i in (*LOST_AT, 9) for i in range(12)]
    assert (~found["valid"]).tolist() == missing and not found["concealed"].any()
    assert np.isnan(found["signal"]).any(axis=1).tolist() == missing
    starts = [i * T / RATE for i in range(9)] + [(9 * T + PAUSE + i * T) / RATE for i in range(3)]
    assert found["time_s"].tolist() == starts and found["session"].tolist() == [0] * 9 + [1] * 3
    assert found["gap_start_s"].tolist() == [0.5, 1.25, 2.25, 2.875]
    assert found["gap_seconds"].tolist() == [0.25, 0.5, 0.625, 0.25]
    assert found["gap_frames"].tolist() == [1, 2, 0, 1] and not found["gap_concealed"].any()
    assert found["gap_reason"].tolist() == [b"lost", b"lost", b"unplugged", b"lost"]
    # The clock of the device went around within the first session, and began anew with the second.
    np.testing.assert_allclose(found["device_time_s"][found["valid"]], found["time_s"][found["valid"]], atol=1e-9)
    assert str(found["started"]) == STARTED and str(found["label"]) == "synthetic"
    assert found["measured_rate_hz"] == pytest.approx(RATE)


def test_blocks_of_any_size_give_the_same(capture: Path, server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = decode(capture, server, conceal=True)
    for size in (1, 2, 3):
        monkeypatch.setattr(decode_blocks, "BLOCK_FRAMES", size)
        pieces = decode(capture, server, conceal=True)
        assert pieces.keys() == whole.keys()
        for name, values in whole.items():
            np.testing.assert_array_equal(pieces[name], values, err_msg=name)


def test_concealed_frames_are_marked(capture: Path, server: Path) -> None:
    plain, found = decode(capture, server), decode(capture, server, conceal=True)
    assert np.flatnonzero(found["concealed"]).tolist() == [2] and not found["valid"][2]
    assert np.isfinite(found["signal"][2]).all() and np.isnan(found["signal"][5:7]).all()
    # The first frame of a session has nothing before it.
    assert np.isnan(found["signal"][9]).all()
    assert found["gap_concealed"].tolist() == [True, False, False, False]
    received = plain["valid"]
    assert found["signal"][received].tobytes() == plain["signal"][received].tobytes()


def test_csv(capture: Path, server: Path, tmp_path: Path) -> None:
    decode_capture(capture, server, tmp_path / "a.csv", conceal=True)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert (
        lines[0].startswith("# build 0123456789abcdef, decoder of synthetic, started 2026-01-02") and "64" in lines[1]
    )
    assert lines[2] == "time_s,device_time_s,value,valid,concealed"
    rows = [line.split(",") for line in lines[3:]]
    values = np.array([float(row[2]) if row[2] else np.nan for row in rows])
    np.testing.assert_allclose(values, expected(decode(capture, server, conceal=True)), atol=0.0006)
    assert [float(row[0]) for row in rows] == pytest.approx((np.arange(len(rows)) / RATE).tolist(), abs=1e-6)
    assert {tuple(row[3:]) for row in rows} == {("1", "0"), ("0", "1"), ("0", "0")}
    assert float(rows[-1][1]) == pytest.approx(float(rows[-1][0])) and rows[2 * T][1] == ""


def test_parquet(capture: Path, server: Path, tmp_path: Path) -> None:
    need_package("pyarrow")
    from pyarrow import parquet

    decode_capture(capture, server, tmp_path / "a.parquet", conceal=True)
    table = parquet.read_table(tmp_path / "a.parquet")
    about = table.schema.metadata
    assert (about[b"build_hash"], about[b"started"], about[b"units"]) == (
        b"0123456789abcdef",
        STARTED.encode(),
        b"ADC codes",
    )
    columns = {name: table[name].to_numpy() for name in table.column_names}
    whole = decode(capture, server, conceal=True)
    np.testing.assert_array_equal(columns["value"], expected(whole).astype(np.float32))
    np.testing.assert_allclose(columns["time_s"], np.arange(len(columns["value"])) / RATE)
    assert columns["valid"].sum() == whole["valid"].sum() * T and columns["concealed"].sum() == T
    known = columns["valid"]
    np.testing.assert_allclose(columns["device_time_s"][known], columns["time_s"][known], atol=1e-9)
    assert np.isnan(columns["device_time_s"][~known]).all()


def test_edf(capture: Path, server: Path, tmp_path: Path) -> None:
    edfio = need_package("edfio")
    decode_capture(capture, server, tmp_path / "a.edf", conceal=True)
    edf = edfio.read_edf(tmp_path / "a.edf")
    (signal,) = edf.signals
    assert (signal.label, signal.physical_dimension, signal.sampling_frequency) == ("PPG", "codes", RATE)
    assert edf.startdatetime.isoformat() == "2026-01-02T03:04:05" and edf.is_continuous
    wanted = expected(decode(capture, server, conceal=True))
    step = (signal.physical_max - signal.physical_min) / 65535
    values = np.where(signal.digital == -32768, np.nan, signal.data)[: len(wanted)]
    np.testing.assert_allclose(values, wanted, atol=step)
    assert (signal.digital[len(wanted) :] == -32768).all()
    found = [(a.onset, a.duration, a.text) for a in edf.annotations]
    assert found == [
        (0.5, 0.25, "1 frame lost, concealed"),
        (1.25, 0.5, "2 frames lost"),
        (2.25, 0.625, "pause (unplugged)"),
        (2.875, 0.25, "1 frame lost"),
    ]


def test_wfdb(capture: Path, server: Path, tmp_path: Path) -> None:
    wfdb = need_package("wfdb")
    decode_capture(capture, server, tmp_path / "a.hea", conceal=True)
    record = wfdb.rdrecord(str(tmp_path / "a"))
    wanted = expected(decode(capture, server, conceal=True))
    assert (record.fs, record.sig_len, record.units, record.sig_name) == (RATE, len(wanted), ["codes"], ["PPG"])
    assert record.base_datetime.isoformat() == "2026-01-02T03:04:05" and "concealed" in record.comments[0]
    np.testing.assert_allclose(record.p_signal[:, 0], wanted, atol=1.01 / record.adc_gain[0])
    digital = wfdb.rdrecord(str(tmp_path / "a"), physical=False).d_signal[:, 0]
    assert (digital.astype(np.int64).sum() - record.checksum[0]) % 65536 == 0
    marks = wfdb.rdann(str(tmp_path / "a"), "gap")
    assert marks.sample.tolist() == [32, 80, 144, 184]
    assert marks.aux_note[0] == "1 frame lost, concealed, 0.25 s" and marks.aux_note[2] == "pause (unplugged), 0.625 s"


def test_wfdb_replaces_all_its_files(capture: Path, server: Path, tmp_path: Path) -> None:
    need_package("wfdb")
    for name in ("a.hea", "a.dat", "a.gap"):
        (tmp_path / name).write_text("old")
    whole = tmp_path / "whole.kitcap"
    with CaptureWriter(whole, CaptureHeader(HELLO, LAYOUT, "", "", "fast")) as writer:
        writer.begin_session(HELLO, "")
        writer.packet(0, 0, body(0))
    decode_capture(whole, server, tmp_path / "a.hea")
    assert (tmp_path / "a.dat").stat().st_size == 2 * T and not (tmp_path / "a.gap").exists()
    with pytest.raises(CaptureError, match="cannot be called 'a b'"):
        check_format(tmp_path / "a b.hea")


@pytest.mark.parametrize("name", FORMATS)
def test_interrupted_leaves_nothing(
    name: str, capture: Path, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "made" / f"a{FORMATS[name].suffix}"
    if FORMATS[name].package:
        need_package(FORMATS[name].package)
    monkeypatch.setattr(decode_blocks, "BLOCK_FRAMES", 2)
    seen: list[list[str]] = []

    def progress(done: int, total: int) -> None:
        seen.append(sorted(path.name for path in out.parent.iterdir()))
        if done > 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode_capture(capture, server, out, progress)
    assert list(out.parent.iterdir()) == []
    assert seen and all(out.name not in names for names in seen), "the output must not appear before it is whole"


@pytest.mark.parametrize("name", FORMATS)
def test_unwritable_output(name: str, capture: Path, server: Path, tmp_path: Path) -> None:
    if FORMATS[name].package:
        need_package(FORMATS[name].package)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        decode_capture(capture, server, tmp_path / "file" / f"a{FORMATS[name].suffix}")


def test_formats_are_checked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_format(tmp_path / "a.npz").name == "npz" and check_format(tmp_path / "a.EDF").name == "edf"
    with pytest.raises(CaptureError, match="no format 'xls'; formats: npz"):
        check_format(tmp_path / "a.npz", "xls")
    with pytest.raises(CaptureError, match="contradict"):
        check_format(tmp_path / "a.csv", "npz")
    monkeypatch.setattr(decode_module.importlib.util, "find_spec", lambda name: None)
    for suffix in (".edf", ".hea", ".parquet"):
        with pytest.raises(ToolchainError, match=r"needs the Python package .*rvq-firmware-kit\[formats\]"):
            check_format(tmp_path / f"a{suffix}")
    check_format(tmp_path / "a.csv")


def test_long_pauses_fit_a_table_only(tmp_path: Path, server: Path) -> None:
    path = write_capture(tmp_path / "long.kitcap", pause_s=30 * 86400.0)
    assert decode(path, server)["gap_seconds"].max() == 30 * 86400
    with pytest.raises(CaptureError, match=r"pause of 30\.0 days .* format csv; decode to npz"):
        decode_capture(path, server, tmp_path / "a.csv")


def test_impossible_content_is_missing(tmp_path: Path, server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding bits that are not 0: a wrong packet with a right check value."""
    from kit.wire import packet

    real = packet.unpack_indices

    def refuse(data: np.ndarray, count: int, bits: int) -> np.ndarray:
        if any(bytes(row) == bad for row in data):
            raise packet.ShapeError("padding")
        return real(data, count, bits)

    bad = body(3)[LAYOUT.side_bytes :]
    monkeypatch.setattr(packet, "unpack_indices", refuse)
    path = write_capture(tmp_path / "b.kitcap")
    found = decode(path, server)
    # Packets 3 and 7 have the same indices.
    assert found["gap_start_s"][found["gap_reason"] == b"unreadable"].tolist() == [0.75, 1.75]
    assert not found["valid"][3] and found["valid"][4]


def write_bare(path: Path, numbers: tuple[int, ...]) -> Path:
    packets = [BarePacket(n & 0xFFFF, (n + 1) * 250 & 0xFFFF, body(n)) for n in numbers]
    path.write_bytes(b"".join(encode_bare(packet) for packet in packets))
    return path


def test_bare_packets(tmp_path: Path, server: Path) -> None:
    path = write_bare(tmp_path / "radio.bin", (0, 1, 1, 3, 6))
    bundle = Bundle.load(server)
    summary = decode_source(BareSource(path, bundle), bundle, tmp_path / "a.npz", FORMATS["npz"])
    assert (summary.frames, summary.lost, summary.duplicates, summary.pauses) == (7, 3, 1, 0)
    with np.load(tmp_path / "a.npz") as arrays:
        assert np.flatnonzero(arrays["valid"]).tolist() == [0, 1, 3, 6] and np.isnan(arrays["host_time_s"]).all()
        np.testing.assert_allclose(arrays["device_time_s"][6], 1.5)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CaptureError, match="no whole number of bare packets of 9 bytes"):
        BareSource(path, bundle)
    with pytest.raises(CaptureError, match="cannot read"):
        BareSource(tmp_path / "absent", bundle)


def test_command_line(tmp_path: Path, server: Path, capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["decode", *arguments])
        assert result.exception is None or isinstance(result.exception, (KitError, SystemExit)), result.exception
        return str(result.exception) if isinstance(result.exception, KitError) else result.output

    text = invoke(str(capture), "--format", "csv", "--conceal")
    assert "a.csv: 12 frames (4 s), 4 missing, 1 of them concealed, 1 pause, ADC codes, build 0123456789abcdef" in text
    write_bare(tmp_path / "radio.bin", (0, 1))
    assert "radio.npz: 2 frames" in invoke("--bare", "radio.bin", "--bundle", str(server))
    assert "do not say which build" in invoke("--bare", "radio.bin")
    assert "no format 'wav'" in invoke(str(capture), "--format", "wav")
    assert "contradict" in invoke(str(capture), "--format", "edf", "--out", "a.csv")


def test_device_clock() -> None:
    clock = DeviceClock(realtime=True, packet_seconds=5.0)
    clock.begin()
    times = [clock.push(n, 0, (60000 + int(n * 5001)) & 0xFFFF, 5.0 * (n + 1)) for n in (0, 1, 2, 40, 41)]
    assert times == pytest.approx([5.0 + n * 5.001 for n in (0, 1, 2, 40, 41)])
    fast = DeviceClock(realtime=False, packet_seconds=5.0)
    fast.begin()
    assert fast.push(0, 0, 65530, 5.0) == 5.0
    assert fast.push(1, 12_000, 6, 10.0) == pytest.approx(5.012)


def test_concealment_continues_what_is_periodic() -> None:
    """A beat-like signal: the gap must be filled far better than by nothing or by the last value."""
    time = np.arange(5 * 320) / 64.0
    beat = np.sin(2 * np.pi * 1.21 * time) + 0.4 * np.sin(2 * np.pi * 2.42 * time + 1.0)
    signal = (1000 * beat + 5000).astype(np.float32)
    before, lost, after = signal[: 3 * 320], signal[3 * 320 : 4 * 320], signal[4 * 320 :]
    filled = conceal(before, after, 320, predictor_order(64.0))
    spread = float(np.std(lost))
    assert np.sqrt(np.mean((filled - lost) ** 2)) < 0.1 * spread
    flat = conceal(np.full(320, 7, np.float32), np.full(320, 7, np.float32), 320, 64)
    assert (flat == 7).all()
    assert np.isfinite(conceal(np.zeros(16, np.float32), np.ones(16, np.float32), 16, 64)).all()
    assert (predictor_order(1.0), predictor_order(64.0), predictor_order(4000.0)) == (16, 64, 128)


def test_edf_records() -> None:
    assert record_samples(64.0, 320) == 320 and record_samples(62.5, 320) == 250 and record_samples(100.4, 320) == 502
    assert record_samples(64.001, 320) == 320


@pytest.fixture
def memory_script(tmp_path: Path) -> Iterator[Any]:
    def run(capture: Path, server: Path, out: Path) -> int:
        script = (
            "import sys, resource; from pathlib import Path; from kit.host.decode import decode_capture\n"
            "decode_capture(*(Path(a) for a in sys.argv[1:4]))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        arguments = [sys.executable, "-c", script, str(capture), str(server), str(out)]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    yield run


def test_memory_does_not_grow(tmp_path: Path, server: Path, memory_script: Any) -> None:
    """Twenty times the frames, 40 MB more of signal; the peak of the process stays where it was."""
    peaks = []
    for count in (2000, 40000):
        path = tmp_path / f"{count}.kitcap"
        with CaptureWriter(path, CaptureHeader(HELLO, LAYOUT, "", "", "fast")) as writer:
            writer.begin_session(HELLO, "")
            for number in range(count):
                writer.packet(number, 0, body(number % 300))
        peaks.append(memory_script(path, server, tmp_path / "a.npz"))
    assert peaks[1] - peaks[0] < 3000, f"{peaks} KiB"
