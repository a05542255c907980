"""What ``kit capture-info`` says of whole, killed, torn and foreign captures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kit.cli.main import app
from kit.config import dump_config
from kit.errors import CaptureError
from kit.host import capture_records
from kit.host.capture_file import CaptureHeader, CaptureWriter
from kit.host.capture_info import inspect_capture
from tests.fake_device import BUILD_HASH, HELLO, LAYOUT, body, tiny_config

CONFIG = dump_config(tiny_config())


def write(path: Path, config: str = CONFIG, closing: bool = True) -> Path:
    """Packets 0, 1, 1, 4 of a stream."""
    header = CaptureHeader(HELLO, LAYOUT, "2026-01-02T03:04:05+00:00", "/dev/fake", "fast", config, "synthetic")
    with CaptureWriter(path, header) as writer:
        writer.begin_session(HELLO, "/dev/fake")
        for seq in (0, 1, 1, 4):
            writer.packet(seq, seq * 250, body(seq))
        if closing:
            writer.note(event="remark", text="hello")
            writer.end("stopped by the user", packets=3)
    return path


def text_of(path: Path) -> str:
    result = CliRunner().invoke(app, ["capture-info", str(path)])
    assert result.exit_code == 0, result.exception
    return result.output


def test_facts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.kitcap")
    info = inspect_capture(path)
    assert (info.packets, info.lost, info.duplicates, info.left_out_bytes) == (3, 2, 1, 0)
    assert (info.config_name, info.signal_s, info.ended) == ("tiny", 0.75, "stopped by the user")
    assert 0 < info.duration_s < 60 and info.file_bytes == path.stat().st_size
    text = text_of(path)
    assert f"{BUILD_HASH} (tiny)" in text and "fake, engine aot, protocol 2" in text and "damage" not in text
    assert "3 (0.8 s of signal), 2 lost, 1 duplicate" in text and "note     remark: text hello" in text
    result = CliRunner().invoke(app, ["capture-info", str(path), "--json"])
    values = json.loads(result.output)
    assert values == info.as_dict() and values["config"] == "tiny" and values["sample_rate_hz"] == 64


def test_killed_and_torn(tmp_path: Path) -> None:
    path = write(tmp_path / "a.kitcap", closing=False)
    assert inspect_capture(path).ended == "" and "killed, or still runs" in text_of(path)
    path.write_bytes(path.read_bytes()[:-5])
    info = inspect_capture(path)
    assert (info.packets, info.lost, info.duplicates) == (2, 0, 1) and info.left_out_bytes > 0
    assert f"the last {info.left_out_bytes} bytes" in text_of(path)


def test_empty(tmp_path: Path) -> None:
    header = CaptureHeader(HELLO, LAYOUT, "2026-01-02T03:04:05+00:00", "/dev/fake", "fast")
    CaptureWriter(tmp_path / "a.kitcap", header).close()
    info = inspect_capture(tmp_path / "a.kitcap")
    assert (info.packets, info.signal_s, info.config_name) == (0, 0.0, "")
    assert info.as_dict()["config"] is None and "unknown configuration" in text_of(tmp_path / "a.kitcap")


@pytest.mark.parametrize("config", ["", "name: [1", "just text", "name: 5\n"])
def test_configuration_that_cannot_be_read(tmp_path: Path, config: str) -> None:
    assert inspect_capture(write(tmp_path / "a.kitcap", config)).config_name == ""


def test_refusals(tmp_path: Path) -> None:
    for name, data in (("other", b"PK\3\4" * 9), ("short", b"KITCAP\x01\n"), ("newer", b"KITCAP\x03\n")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CaptureError):
            inspect_capture(tmp_path / name)
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CaptureError, match="cannot read"):
            inspect_capture(path)
    path = write(tmp_path / "a.kitcap")
    with path.open("ab") as stream:
        stream.write(capture_records.encode_record(capture_records.NOTE, 1, b"\xff no JSON"))
    with pytest.raises(CaptureError, match="note of another kit version"):
        inspect_capture(path)
    result = CliRunner().invoke(app, ["capture-info", str(tmp_path / "absent")])
    assert isinstance(result.exception, CaptureError)


def test_sessions_gaps_and_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.kitcap")
    with CaptureWriter.append(path, HELLO) as writer:
        writer.gap("unplugged", 3.25)
        writer.begin_session(HELLO, "/dev/fake")
        writer.gap("lost", 0.25, 1)
        writer.packet(1, 250, body(1))
        writer.counters(packets=4)
    data = path.read_bytes()
    at = data.index(body(1))
    path.write_bytes(data[:at] + b"~" + data[at + 1 :])
    info = inspect_capture(path)
    assert (info.sessions, info.packets, info.lost, info.damaged_places) == (2, 4, 3, 1)
    assert [(gap.reason, gap.seconds) for gap in info.gaps] == [("unplugged", 3.25)]
    assert info.ended == "" and info.counters == {"packets": 4}
    text = text_of(path)
    assert "sessions 2, 3.2 s between them" in text and "gap      3.25 s at" in text and "s: unplugged" in text
    assert "bytes in 1 places are damaged" in text
