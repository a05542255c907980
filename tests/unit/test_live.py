"""What watches a running capture: plot, heart rate, feed, newline-delimited JSON, Lab Streaming Layer, the view."""

from __future__ import annotations

import builtins
import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import kit.host.live_view as view_module
from kit.errors import KitError, ToolchainError
from kit.host.builds import KnownBuild
from kit.host.capture import CaptureOptions, CaptureState
from kit.host.capture_file import CaptureHeader, GapRecord, PacketRecord, SessionRecord
from kit.host.heart_rate import heart_rate_bpm
from kit.host.live_feed import LiveFeed, LivePacket
from kit.host.live_lsl import LslOutput
from kit.host.live_ndjson import NdjsonOutput
from kit.host.live_plot import GAP_MARK, braille_wave, index_shades
from kit.host.live_view import LiveView
from kit.server.bundle import Bundle
from tests.fake_device import BUILD_HASH, HELLO, LAYOUT, body, write_tiny_run
from tests.support import need_package

pytestmark = pytest.mark.alone

HEADER = CaptureHeader(HELLO, LAYOUT, "2026-01-02T03:04:05+00:00", "/dev/fake", "fast", "", "synthetic")


@pytest.fixture
def state(tmp_path: Path) -> CaptureState:
    server = write_tiny_run(tmp_path / "tiny") / "server"
    build = KnownBuild(BUILD_HASH, "tiny", server)
    return CaptureState(tmp_path / "a.kitcap", "/dev/fake", HELLO, build, Bundle.load(server), HEADER)


def pulse(bpm: float, rate: float, seconds: float) -> np.ndarray[Any, Any]:
    """A pulse wave with a second bump, on a wandering baseline, with noise."""
    time_s = np.arange(round(seconds * rate)) / rate
    phase = time_s * bpm / 60 % 1
    wave = np.exp(-(((phase - 0.25) / 0.08) ** 2)) + 0.4 * np.exp(-(((phase - 0.6) / 0.1) ** 2))
    noise = np.random.default_rng(1).normal(0, 0.03, len(time_s))
    return (1000 + 400 * wave + 150 * np.sin(time_s) + 400 * noise).astype(np.float32)


@pytest.mark.parametrize("rate", [64.0, 100.0, 360.0])
@pytest.mark.parametrize("bpm", [42.0, 60.0, 75.5, 110.0, 180.0])
def test_heart_rate(bpm: float, rate: float) -> None:
    found = heart_rate_bpm(pulse(bpm, rate, 10), rate)
    assert found is not None and found == pytest.approx(bpm, rel=0.02)


def test_no_heart_rate_where_there_is_none() -> None:
    wave = pulse(60, 64, 10)
    assert heart_rate_bpm(wave[:100], 64) is None
    assert heart_rate_bpm(np.zeros(640, np.float32), 64) is None
    assert heart_rate_bpm(np.random.default_rng(2).normal(size=640).astype(np.float32), 64) is None
    wave[300] = np.nan
    assert heart_rate_bpm(wave, 64) is None


def test_wave_is_drawn_joined_and_gaps_are_dotted() -> None:
    samples = np.sin(np.linspace(0, 20, 640)).astype(np.float32)
    lines = braille_wave(samples, 60, 8)
    assert len(lines) == 8 and all(len(line) == 60 for line in lines)
    assert all(any(line[x] != " " for line in lines) for x in range(60)), "every column has a dot"
    samples[320:] = np.nan
    middle = braille_wave(samples, 60, 8)[4]
    assert middle[31:] == GAP_MARK * 29 and GAP_MARK not in middle[:29]
    for special in (np.full(10, np.nan, np.float32), np.zeros(0, np.float32), np.full(9, 5, np.float32)):
        assert len(braille_wave(special, 20, 4)) == 4
    assert index_shades(np.array([0, 3, 1], np.uint16), 2).tolist() == [0, 255, 85]


class Collect:
    """An output that keeps what it is given."""

    def __init__(self, needs_signal: bool = True, slow: threading.Event | None = None) -> None:
        self.needs_signal = needs_signal
        self.packets: list[LivePacket] = []
        self.gaps: list[GapRecord] = []
        self.ended = False
        self._slow = slow

    def begin(self, state: CaptureState) -> None:
        pass

    def packet(self, packet: LivePacket) -> None:
        if self._slow is not None:
            self._slow.wait(5)
        self.packets.append(packet)

    def gap(self, gap: GapRecord) -> None:
        self.gaps.append(gap)

    def end(self) -> None:
        self.ended = True


def feed_all(feed: LiveFeed, count: int = 200) -> None:
    feed.record(SessionRecord(500_000, 0, {}))
    for number in range(count):
        feed.record(PacketRecord(500_000 + number, 0, number, 0, body(number)))
    feed.record(GapRecord(900_000, 1, "unplugged", 2.5))
    feed.record(SessionRecord(60_000_000, 1, {}))
    feed.record(PacketRecord(60_250_000, 1, 0, 0, body(0)))


def test_feed_decodes_like_the_bundle_and_keeps_time(state: CaptureState) -> None:
    output = Collect()
    feed = LiveFeed([output])
    feed.begin(state)
    feed_all(feed)
    feed.close()
    feed.close()
    assert len(output.packets) == 201 and feed.skipped == 0 and output.ended and len(output.gaps) == 1
    assert [p.start_s for p in output.packets[:3]] == [0.5, 0.75, 1.0] and output.packets[-1].start_s == 60.0
    fields = LAYOUT.unpack_packet(body(7))
    assert state.bundle is not None and output.packets[7].samples is not None
    expected = state.bundle.decode(fields.indices, fields.mean, fields.scale_code).ravel()
    assert output.packets[7].samples.tobytes() == expected.tobytes()
    assert (output.packets[7].indices == fields.indices).all()


def test_feed_without_a_decoder(state: CaptureState) -> None:
    bare = replace(state, bundle=None)
    with pytest.raises(KitError, match=r"need the decoder of the device's build"):
        LiveFeed([Collect()]).begin(bare)
    output = Collect(needs_signal=False)
    feed = LiveFeed([output])
    feed.begin(bare)
    feed_all(feed, 3)
    feed.close()
    assert [p.samples for p in output.packets] == [None] * 4


def test_slow_output_never_holds_the_capture(state: CaptureState) -> None:
    release = threading.Event()
    output = Collect(slow=release)
    feed = LiveFeed([output])
    feed.begin(state)
    feed_all(feed, 5000)
    assert feed.skipped > 0
    release.set()
    feed.close()
    assert len(output.packets) + feed.skipped >= 5001 and output.ended


def test_ndjson(state: CaptureState) -> None:
    stream = io.StringIO()
    feed = LiveFeed([NdjsonOutput(stream, lambda: None)])
    feed.begin(state)
    feed_all(feed, 2)
    feed.close()
    start, *samples, last, end = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (start["event"], start["sample_rate_hz"], start["units"]) == ("start", 64, "ADC codes")
    assert (end["event"], end["packets"]) == ("end", 3)
    assert [line["event"] for line in samples] == ["samples", "samples", "gap"]
    assert samples[0]["t"] == 0.5 and samples[1]["t"] == 0.75 and len(samples[0]["values"]) == 16
    assert samples[1]["unix"] - samples[0]["unix"] == pytest.approx(0.25)
    assert (samples[2]["reason"], samples[2]["seconds"]) == ("unplugged", 2.5)
    assert (last["session"], last["packet"], last["t"]) == (1, 0, 60.0)


def test_ndjson_reader_that_leaves_ends_the_capture(state: CaptureState) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    gone = threading.Event()
    feed = LiveFeed([NdjsonOutput(Gone(), gone.set)])
    feed.begin(state)
    feed_all(feed, 2)
    feed.close()
    assert gone.is_set()


def test_lsl_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "pylsl":
            raise ImportError
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ToolchainError, match=r"not installed; pip install .*\[lsl\]"):
        LslOutput()


def test_lsl_pushes_every_sample(state: CaptureState, monkeypatch: pytest.MonkeyPatch) -> None:
    pylsl = need_package("pylsl")
    chunks: list[tuple[int, float]] = []
    infos: list[Any] = []

    class Outlet:
        def __init__(self, info: Any) -> None:
            infos.append(info)

        def push_chunk(self, chunk: list[list[float]], stamp: float) -> None:
            chunks.append((len(chunk), stamp))

    monkeypatch.setattr(pylsl, "StreamOutlet", Outlet)
    feed = LiveFeed([LslOutput()])
    feed.begin(state)
    feed_all(feed, 5)
    feed.close()
    assert [count for count, _ in chunks] == [16] * 6
    stamps = [stamp for _, stamp in chunks]
    assert stamps == sorted(stamps)
    (info,) = infos
    assert (info.channel_count(), info.nominal_srate(), info.type()) == (1, 64.0, "biosignal")
    assert info.source_id() == f"kit-{BUILD_HASH}-/dev/fake"


def draw(view: LiveView, width: int = 110, height: int = 32) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=False, legacy_windows=False)
    console.print(view, height=height)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_view(state: CaptureState, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=1000.0)
    monkeypatch.setattr(view_module, "time", clock)
    view = LiveView(CaptureOptions("/dev/fake"))
    assert "/dev/fake: asking who is there" in draw(view)
    view.begin(state)
    view.update(state)
    wave = pulse(72, 64, 20)
    for number in range(80):
        clock.now += 0.25
        record = PacketRecord((number + 1) * 250_000, 0, number, 0, body(number))
        view.packet(
            LivePacket(record, number * 0.25, LAYOUT.unpack_packet(record.body).indices, wave[number * 16 :][:16])
        )
    state.tracker.received, state.line_bytes, state.seconds, state.file_bytes = 80, 1040, 20.0, 12_345
    view.update(state)
    text = draw(view)
    assert "72 bpm" in text and "80 · 4.00/s" in text and "52 of 128 B/s · 2.5x smaller" in text
    assert "nothing lost" in text and "0:00:20 · 12.3 kB" in text and "fake on /dev/fake" in text
    assert all(len(line) <= 110 for line in text.splitlines()) and len(text.splitlines()) <= 32
    assert any(0x2800 < ord(c) < 0x2900 for c in text)
    view.gap(GapRecord(0, 0, "lost", 0.5, 2))
    state.gaps.append(3.25)
    state.waiting = "unplugged; waiting for /dev/fake"
    text = draw(view, width=80)
    assert "2 packets lost: 0.5 s" in text and "waiting for /dev/fake" in text
    assert "1 · 3.2 s" in draw(view)


def test_view_without_a_decoder_shows_indices(state: CaptureState) -> None:
    view = LiveView(CaptureOptions("/dev/fake", mode="fast"))
    view.begin(replace(state, bundle=None))
    for number in range(10):
        record = PacketRecord(number, 0, number, 0, body(number))
        view.packet(LivePacket(record, number * 0.25, LAYOUT.unpack_packet(record.body).indices, None))
    text = draw(view)
    assert "█" in text and f"no waveform: the decoder of build {BUILD_HASH} is not known here" in text
    assert "– bpm" in text
