"""``kit soak stream``: hours of streaming into one capture, every packet compared, memory and CPU metered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kit.errors import RunnerError
from kit.files import read_npz
from kit.host.capture_file import CaptureReader, PacketRecord
from kit.host.emulator import start
from kit.host.firmware import Firmware
from kit.host.process_meter import Reading, read_process

WARM_UP_SECONDS = 5.0
"""Memory and processor time count from here on: imports and the first packets are not growth."""
METER_SECONDS = 1.0
END_SECONDS = 60.0
GROWTH_BYTES_MAX = 5_000_000
CPU_MAX = 0.10


@dataclass(frozen=True, slots=True)
class StreamSoak:
    """What a run showed.

    Attributes:
        board: that streamed.
        mode: ``realtime`` or ``fast``.
        wall_s: length of the capture.
        packets: stored in the file.
        expected: that the device must have sent.
        lost: missing between the first and the last one.
        wrong: stored packets that differ from the vectors of the build.
        duplicates: that came twice.
        damaged: messages thrown away.
        dropped_by_device: packets the device left out.
        memory_start_bytes: resident set of the capture process after the warm-up.
        memory_peak_bytes: largest one afterwards.
        memory_end_bytes: last one.
        cpu: processor time of the capture process after the warm-up over wall time, 1 = one core.
        samples: how often the process was metered.
        ended: why the capture ended.
    """

    board: str
    mode: str
    wall_s: float
    packets: int
    expected: int
    lost: int
    wrong: int
    duplicates: int
    damaged: int
    dropped_by_device: int
    memory_start_bytes: int
    memory_peak_bytes: int
    memory_end_bytes: int
    cpu: float
    samples: int
    ended: str

    @property
    def growth_bytes(self) -> int:
        """Largest resident set beyond that after the warm-up."""
        return self.memory_peak_bytes - self.memory_start_bytes

    @property
    def failures(self) -> list[str]:
        """What misses its bar, empty when all is well."""
        found = []
        if self.packets < self.expected:
            found.append(f"{self.packets} of {self.expected} packets")
        for name in ("lost", "wrong", "duplicates", "damaged", "dropped_by_device"):
            if getattr(self, name):
                found.append(f"{getattr(self, name)} {name.replace('_', ' ')}")
        if self.growth_bytes >= GROWTH_BYTES_MAX:
            found.append(f"memory grew by {self.growth_bytes / 1e6:.2f} MB")
        # As fast as it can is meant to use a whole core.
        if self.mode == "realtime" and self.cpu >= CPU_MAX:
            found.append(f"{100 * self.cpu:.1f} % of one core")
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "growth_bytes": self.growth_bytes, "failures": self.failures}


Progress = Callable[[float, Reading], None]


@dataclass(frozen=True, slots=True)
class StreamSoakOptions:
    """How to soak.

    Attributes:
        board: emulated board or ``native``.
        seconds: length of a realtime run.
        packets: number of packets instead; None with ``seconds``.
        fast: stream as fast as the device can.
        keep: copy the capture here; None deletes it.
    """

    board: str
    seconds: float | None = None
    packets: int | None = None
    fast: bool = False
    keep: Path | None = None


def soak_stream(firmware: Firmware, options: StreamSoakOptions, progress: Progress | None = None) -> StreamSoak:
    """Boot the firmware, capture its stream with ``kit serial-capture`` as a process of its own, and judge the file.

    Raises:
        ToolchainError, RunnerError: the board or the capture does not start, or the capture fails.
    """
    packets = _packets(firmware, options)
    mode = "fast" if options.fast else "realtime"
    with tempfile.TemporaryDirectory(prefix="kit-soak-") as folder, start(firmware, options.board) as emulator:
        out = options.keep or Path(folder) / "soak.kitcap"
        command = [
            *(sys.executable, "-m", "kit", "serial-capture", emulator.port, "--out", str(out), "--mode", mode),
            *("--packets", str(packets), "--any-build", "--no-decode", "--no-reconnect", "--json"),
        ]
        meter = _Meter(progress)
        begun = time.monotonic()
        output = _run(command, meter)
        wall_s = time.monotonic() - begun
        summary = json.loads(output)
        stored, lost, wrong = compare_capture(out, firmware.artifacts / "vectors.npz")
    return StreamSoak(
        board=options.board,
        mode=mode,
        wall_s=round(wall_s, 3),
        packets=stored,
        expected=packets,
        lost=lost,
        wrong=wrong,
        duplicates=summary["duplicates"],
        damaged=summary["damaged"],
        dropped_by_device=summary["dropped_by_device"],
        memory_start_bytes=meter.start_bytes,
        memory_peak_bytes=meter.peak_bytes,
        memory_end_bytes=meter.end_bytes,
        cpu=round(meter.cpu, 5),
        samples=meter.samples,
        ended=summary["ended"],
    )


def _packets(firmware: Firmware, options: StreamSoakOptions) -> int:
    """How many packets to ask for."""
    if (options.packets is None) == (options.seconds is None):
        raise RunnerError("a soak lasts either so many seconds or so many packets", "give one of them")
    if options.packets is not None:
        return options.packets
    assert options.seconds is not None
    if options.fast:
        raise RunnerError("a fast soak is measured in packets", "give --packets with --fast")
    return max(
        1, int(options.seconds / (firmware.config.signal.frame_seconds * firmware.config.packet.frames_per_packet))
    )


class _Meter:
    """Follows the memory and processor time of a process."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._begun = time.monotonic()
        self._first: tuple[float, Reading] | None = None
        self._last: tuple[float, Reading] | None = None
        self.peak_bytes = 0
        self.samples = 0

    def read(self, pid: int) -> None:
        now = time.monotonic()
        reading = read_process(pid)
        if reading is None:
            return
        if self._progress is not None:
            self._progress(now - self._begun, reading)
        # A run shorter than the warm-up is metered from wherever it got.
        if self._first is None or (now - self._begun < WARM_UP_SECONDS):
            self._first, self.peak_bytes, self.samples = (now, reading), 0, 0
        self._last = (now, reading)
        self.peak_bytes = max(self.peak_bytes, reading.memory_bytes)
        self.samples += 1

    @property
    def start_bytes(self) -> int:
        return self._first[1].memory_bytes if self._first else 0

    @property
    def end_bytes(self) -> int:
        return self._last[1].memory_bytes if self._last else 0

    @property
    def cpu(self) -> float:
        """Share of one core between the first and the last reading; 0 where there is only one."""
        if self._first is None or self._last is None or self._last[0] <= self._first[0]:
            return 0.0
        return (self._last[1].cpu_seconds - self._first[1].cpu_seconds) / (self._last[0] - self._first[0])


def _run(command: list[str], meter: _Meter) -> str:
    """Standard output of a process that is metered while it runs.

    Raises:
        RunnerError: it fails.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment
        )
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=METER_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    meter.read(process.pid)
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise
        errors.seek(0)
        text = errors.read().decode("utf-8", "replace").strip()
    if process.returncode != 0:
        raise RunnerError(f"the capture failed: {(text or 'no output').splitlines()[-1]}")
    return output.decode()


def compare_capture(path: Path, vectors: Path) -> tuple[int, int, int]:
    """Stored, lost and wrong packets of a capture, against the packets that the build's replay must send.

    Raises:
        CaptureError: not a capture.
        ArtifactError: the vectors cannot be read.
    """
    rows = np.asarray(read_npz(vectors)["packets"], np.uint8)
    stored = lost = wrong = 0
    session, following = -1, 0
    with CaptureReader(path) as reader:
        per_packet = reader.header.layout.frames_per_packet
        embedded = reader.header.hello.embedded_frames
        expected = reader.header.layout.bodies(rows)
        for record in reader:
            if not isinstance(record, PacketRecord):
                continue
            if record.session != session:
                session, following = record.session, 0
            lost += record.number - following
            following = record.number + 1
            stored += 1
            first = record.number * per_packet
            frames = enumerate(reader.header.frames(record.body), first)
            wrong += any(body != expected[frame % embedded] for frame, body in frames)
    return stored, lost, wrong
