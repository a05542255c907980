"""The terminal view of a running capture: waveform, heart rate, rates, losses and what happened."""

from __future__ import annotations

import datetime
import threading
import time
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.align import Align
from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kit.host.capture import CaptureOptions, CaptureState, capture
from kit.host.capture_file import WITHIN_SESSION, GapRecord
from kit.host.heart_rate import heart_rate_bpm
from kit.host.live_feed import LiveFeed, LiveOutput, LivePacket
from kit.host.live_plot import braille_wave, index_shades
from kit.host.ports import clean

WINDOW_SECONDS = 10.0
"""Signal shown at a time."""
HISTORY_SECONDS = 60.0
RATE_SECONDS = 30.0
"""Stretch over which rates are averaged."""
DELAY_SECONDS = 0.4
"""How far the view runs behind a packet's arrival, so that it scrolls evenly through late ones."""
FRAMES_PER_SECOND = 10
EVENTS = 4
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


class LiveView:
    """What the view knows; one thread feeds it, another draws it."""

    needs_signal = False

    def __init__(self, options: CaptureOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._state: CaptureState | None = None
        self._signal: deque[tuple[float, NDArray[np.float32]]] = deque()
        self._indices: deque[NDArray[np.uint16]] = deque(maxlen=64)
        self._events: deque[tuple[datetime.datetime, str, str]] = deque(maxlen=EVENTS)
        self._rates: deque[tuple[float, int, int]] = deque()
        self._end_s = 0.0
        self._clock_offset: float | None = None
        self._bpm: float | None = None
        self._bpm_at = 0.0

    def begin(self, state: CaptureState) -> None:
        """See :class:`kit.host.live_feed.LiveOutput`."""
        self._state = state

    def packet(self, packet: LivePacket) -> None:
        """See :class:`kit.host.live_feed.LiveOutput`."""
        assert self._state is not None
        with self._lock:
            self._clock_offset = time.monotonic() - packet.record.time_us / 1e6
            self._end_s = packet.start_s + self._state.hello.packet_seconds
            self._indices.append(packet.indices.reshape(-1, packet.indices.shape[-1]))
            if packet.samples is not None:
                self._signal.append((packet.start_s, packet.samples))
                while self._signal[0][0] < packet.start_s - HISTORY_SECONDS:
                    self._signal.popleft()

    def gap(self, gap: GapRecord) -> None:
        """See :class:`kit.host.live_feed.LiveOutput`."""
        what = f"{gap.packets} packets lost" if gap.reason in WITHIN_SESSION else gap.reason
        style = "yellow" if gap.reason in WITHIN_SESSION else "magenta"
        with self._lock:
            self._events.append((datetime.datetime.now(), f"{what}: {gap.seconds:.1f} s of signal missing", style))

    def end(self) -> None:
        """See :class:`kit.host.live_feed.LiveOutput`."""

    def update(self, state: CaptureState) -> None:
        """Note how far things are; see :data:`kit.host.capture.Update`."""
        now = time.monotonic()
        with self._lock:
            self._rates.append((now, state.tracker.received, state.line_bytes))
            while len(self._rates) > 2 and self._rates[0][0] < now - RATE_SECONDS:
                self._rates.popleft()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.size.height
        with self._lock:
            yield self._draw(width, height)

    def _draw(self, width: int, height: int) -> RenderableType:
        state = self._state
        if state is None:
            return Align.center(
                Panel(Text(f"{self._options.port}: asking who is there", "bold"), box=ROUNDED, padding=(1, 4)),
                vertical="middle",
                height=height,
            )
        rows = max(4, min(18, height - 13 - EVENTS))
        columns = max(20, width - 6)
        plot = self._wave(columns, rows) if state.bundle is not None else self._raster(columns, rows)
        hello, build = state.hello, state.build
        title = f"[bold]{clean(hello.target)}[/] on {state.port}"
        name = build.name if build else "unknown build"
        subtitle = f"{hello.sample_rate_mhz / 1000:g} Hz · {clean(hello.engine)} · build {hello.build_hash} ({name})"
        border = "magenta" if state.waiting else "cyan"
        return Group(
            Panel(plot, title=title, subtitle=subtitle, box=ROUNDED, border_style=border, padding=(0, 2)),
            self._tiles(state, width),
            self._log(state),
            Align.center(Text(f"{state.path}  ·  Ctrl-C ends the capture", "dim")),
        )

    def _window(self) -> NDArray[np.float32]:
        """The samples to show, NaN where there are none."""
        assert self._state is not None
        rate = self._state.hello.sample_rate_mhz / 1000
        end_s = self._end_s
        if self._options.mode == "realtime" and self._clock_offset is not None:
            # A packet's signal ends when it arrives: one packet behind the clock there is always something to show.
            now_s = time.monotonic() - self._clock_offset
            end_s = now_s - self._state.hello.packet_seconds - DELAY_SECONDS
        window = np.full(round(WINDOW_SECONDS * rate), np.nan, np.float32)
        for start_s, samples in self._signal:
            first = round((start_s - (end_s - WINDOW_SECONDS)) * rate)
            skip = max(0, -first)
            part = samples[skip : max(skip, len(window) - first)]
            if len(part):
                window[first + skip : first + skip + len(part)] = part
        return window

    def _wave(self, columns: int, rows: int) -> RenderableType:
        window = self._window()
        assert self._state is not None
        if time.monotonic() - self._bpm_at >= 1.0:
            self._bpm_at = time.monotonic()
            missing = np.flatnonzero(np.isnan(window))
            whole = window[missing[-1] + 1 :] if len(missing) else window
            self._bpm = heart_rate_bpm(whole, self._state.hello.sample_rate_mhz / 1000)
        text = Text(no_wrap=True)
        for line in braille_wave(window, columns, rows):
            fresh = columns // 6
            text.append(line[: columns // 3], "#2e7d46")
            text.append(line[columns // 3 : -fresh], "#3fc46a")
            text.append(line[-fresh:] + "\n", "bold #c4ffd2")
        behind = self._state.hello.packet_seconds + DELAY_SECONDS if self._options.mode == "realtime" else 0.0
        right = f"{behind:.1f} s ago" if behind else "latest"
        text.append(f"{behind + WINDOW_SECONDS:.1f} s ago".ljust(columns - len(right)) + right, "dim")
        return text

    def _raster(self, columns: int, rows: int) -> RenderableType:
        """Index activity: a line per level, newest at the right, in the place of a waveform."""
        assert self._state is not None
        hello = self._state.hello
        text = Text(no_wrap=True)
        if self._indices:
            stream = np.concatenate(list(self._indices))[-columns:]
            high = max(1, rows // max(1, hello.num_levels) - 1)
            for level in range(min(hello.num_levels, rows // 2)):
                shades = index_shades(stream[:, level], hello.index_bits)
                for _ in range(high):
                    text.append(" " * (columns - len(shades)))
                    for shade in shades.tolist():
                        text.append("█", f"rgb({shade // 3},{80 + shade // 2},{130 + shade // 3})")
                    text.append("\n")
                text.append("\n")
        why = f"no waveform: the decoder of build {hello.build_hash} is not known here; name it with --run"
        text.append(f"indices\n{why}", "yellow")
        return text

    def _tiles(self, state: CaptureState, width: int) -> RenderableType:
        table = Table(box=SIMPLE_HEAD, expand=True, header_style="dim", padding=(0, 1), pad_edge=False)
        hello, tracker = state.hello, state.tracker
        packets_s, bytes_s = self._rate()
        raw_s = hello.sample_rate_mhz / 1000 * hello.sample_bits / 8
        line = f"{bytes_s:.0f} of {raw_s:.0f} B/s · {raw_s / bytes_s:.1f}x smaller" if bytes_s else "–"
        missing = tracker.lost + state.damaged + state.malformed
        lost_style = "bold red" if missing else "bold green"
        gaps = f"{len(state.gaps)} · {sum(state.gaps):.1f} s" if state.gaps else "none"
        cells: list[tuple[str, RenderableType]] = [
            ("heart rate", self._heart()),
            ("packets", Text(f"{tracker.received} · {packets_s:.2f}/s", "bold")),
            ("line against raw", Text(line, "bold cyan")),
            ("lost · damaged", Text(f"{tracker.lost} · {state.damaged + state.malformed}", lost_style)),
            ("gaps", Text(gaps, "bold magenta" if state.gaps else "bold green")),
            ("running", Text(f"{_clock(state.seconds)} · {_size(state.file_bytes)}", "bold")),
        ]
        for name, _ in cells if width >= 90 else cells[:4]:
            table.add_column(name, justify="center", no_wrap=True)
        table.add_row(*(cell for _, cell in (cells if width >= 90 else cells[:4])))
        return table

    def _heart(self) -> Text:
        if self._bpm is None:
            return Text("♡  – bpm", "dim")
        # The heart beats at the rate that it shows.
        beats = time.monotonic() * self._bpm / 60
        return Text.assemble(("♥", "bold red" if beats % 1 < 0.35 else "red4"), (f"  {self._bpm:.0f} bpm", "bold"))

    def _rate(self) -> tuple[float, float]:
        """Packets per second, and line bytes per second of signal, whatever part of a packet has passed; 0 unknown."""
        if len(self._rates) < 2:
            return 0.0, 0.0
        (begun, packets_0, bytes_0), (now, packets_1, bytes_1) = self._rates[0], self._rates[-1]
        packets = packets_1 - packets_0
        if packets == 0 or self._state is None:
            return 0.0, 0.0
        return packets / max(now - begun, 1e-6), (bytes_1 - bytes_0) / (packets * self._state.hello.packet_seconds)

    def _log(self, state: CaptureState) -> RenderableType:
        lines = [
            Text.assemble((f"  {moment:%H:%M:%S}  ", "dim"), (what, style)) for moment, what, style in self._events
        ]
        if state.waiting:
            lines.append(Text(f"  {state.waiting}", "bold magenta"))
        elif not lines:
            lines.append(Text("  nothing lost, nothing interrupted", "dim"))
        lines = lines[-EVENTS:]
        return Group(*lines, *[Text("")] * (EVENTS - len(lines)))


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _size(count: int) -> str:
    for unit, name in _SIZES:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def capture_live(options: CaptureOptions, outputs: Sequence[LiveOutput], console: Console) -> CaptureState:
    """Capture with the view on the whole terminal.

    Raises:
        KitError: as :func:`kit.host.capture.capture`.
    """
    view = LiveView(options)
    feed = LiveFeed([view, *outputs])
    try:
        with Live(view, console=console, screen=True, refresh_per_second=FRAMES_PER_SECOND):
            return capture(options, view.update, observer=feed)
    finally:
        feed.close()
