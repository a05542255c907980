"""``kit soak replug``: a device that is unplugged and returns, again and again, in one capture."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kit.errors import KitError, RunnerError
from kit.host.capture import CaptureOptions, CaptureState, capture
from kit.host.capture_file import CaptureReader, GapRecord, SessionRecord
from kit.host.emulator import Emulator, start_native
from kit.host.firmware import Firmware
from kit.host.soak_stream import compare_capture

AWAY_SECONDS = (0.3, 3.0)
"""Shortest and longest absence."""
RETURN_SECONDS_MAX = 3.0
"""Longest time from the port's return to the new stream: a look for it, a greeting, and a busy machine."""
WAIT_SECONDS = 60.0


@dataclass(slots=True)
class ReplugSoak:
    """What a run showed.

    Attributes:
        cycles: of unplugging and plugging in.
        mode: ``realtime`` or ``fast``.
        sessions: streams in the file.
        packets: stored.
        lost: missing within a stream.
        wrong: packets that differ from the vectors of the build.
        away_s: how long the port was away, cycle by cycle.
        gaps_s: lengths of the recorded gaps.
        bad_gaps: of these, those that are shorter than the absence, or longer than absence, one packet and
            :data:`RETURN_SECONDS_MAX` together, or of another reason than ``unplugged``.
        ended: why the capture ended.
    """

    cycles: int
    mode: str
    sessions: int = 0
    packets: int = 0
    lost: int = 0
    wrong: int = 0
    away_s: list[float] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    bad_gaps: int = 0
    ended: str = ""

    @property
    def failures(self) -> list[str]:
        """What misses its bar, empty when all is well."""
        found = []
        if self.sessions != self.cycles + 1:
            found.append(f"{self.sessions} sessions instead of {self.cycles + 1}")
        if len(self.gaps_s) != self.cycles:
            found.append(f"{len(self.gaps_s)} gaps recorded instead of {self.cycles}")
        for name in ("lost", "wrong", "bad_gaps"):
            if getattr(self, name):
                found.append(f"{getattr(self, name)} {name.replace('_', ' ')}")
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "failures": self.failures}


class Plug:
    """A native device behind a name that stays the same, as udev gives one, and leads nowhere while it is away."""

    def __init__(self, image: Path, port: Path) -> None:
        self.port = port
        self._image = image
        self._emulator: Emulator | None = None

    def insert(self) -> None:
        """Boot the device and give it the name."""
        self._emulator = start_native(self._image)
        self.port.symlink_to(self._emulator.port)

    def pull(self) -> None:
        """Take name and device away at once; may be called twice."""
        self.port.unlink(missing_ok=True)
        if self._emulator is not None:
            self._emulator.unplug()
            self._emulator = None


def soak_replug(
    firmware: Firmware,
    cycles: int,
    fast: bool = False,
    seed: int = 1,
    progress: Callable[[int, CaptureState], None] | None = None,
) -> ReplugSoak:
    """Unplug and re-plug a native device that many times during one capture.

    Raises:
        ToolchainError, RunnerError: the device does not start, or the capture ends by itself.
    """
    result, chance = ReplugSoak(cycles, "fast" if fast else "realtime"), random.Random(seed)
    image = firmware.build("app")
    with TemporaryDirectory(prefix="kit-soak-") as folder:
        plug = Plug(image, Path(folder) / "board")
        out = Path(folder) / "soak.kitcap"
        plug.insert()
        runner = _Runner(CaptureOptions(str(plug.port), out, result.mode, any_build=True))
        try:
            for cycle in range(cycles):
                runner.wait_for_packet()
                time.sleep(chance.uniform(0.0, 0.5))
                plug.pull()
                away = chance.uniform(*AWAY_SECONDS)
                result.away_s.append(round(away, 3))
                time.sleep(away)
                plug.insert()
                if progress is not None and runner.state is not None:
                    progress(cycle + 1, runner.state)
            runner.wait_for_packet()
            result.ended = runner.stop()
        finally:
            runner.abandon()
            plug.pull()
        _judge(out, firmware, result)
    return result


class _Runner:
    """A capture in a thread."""

    def __init__(self, options: CaptureOptions) -> None:
        self.state: CaptureState | None = None
        self._options = options
        self._error: KitError | None = None
        self._seen = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            capture(self._options, self._note)
        except KitError as error:
            self._error = error

    def _note(self, state: CaptureState) -> None:
        self.state = state

    def wait_for_packet(self) -> None:
        """Return when a session that was not seen before has stored a packet.

        Raises:
            RunnerError: none comes.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline and self._thread.is_alive():
            state = self.state
            # The number of the next packet begins at 0 in every session.
            if state is not None and state.sessions > self._seen and state.tracker.next_number > 0:
                self._seen = state.sessions
                return
            time.sleep(0.02)
        raise RunnerError(f"the capture did not go on: {self._error or 'no packet came'}")

    def stop(self) -> str:
        """End the capture cleanly; why it ended."""
        self.abandon()
        if self._error is not None:
            raise RunnerError(f"the capture failed: {self._error}")
        return self.state.ended if self.state is not None else ""

    def abandon(self) -> None:
        """End the capture; may be called twice."""
        self._options.stop.set()
        self._thread.join(WAIT_SECONDS)


def _judge(path: Path, firmware: Firmware, result: ReplugSoak) -> None:
    """Compare the file with what was done to the device."""
    result.packets, result.lost, result.wrong = compare_capture(path, firmware.artifacts / "vectors.npz")
    gaps: list[GapRecord] = []
    with CaptureReader(path) as reader:
        packet_s = reader.header.hello.packet_seconds if result.mode == "realtime" else 0.0
        for record in reader:
            if isinstance(record, SessionRecord):
                result.sessions += 1
            elif isinstance(record, GapRecord):
                gaps.append(record)
    result.gaps_s = [round(gap.seconds, 3) for gap in gaps]
    for gap, away in zip(gaps, result.away_s, strict=False):
        longest = away + packet_s + RETURN_SECONDS_MAX
        result.bad_gaps += gap.reason != "unplugged" or not away <= gap.seconds <= longest
