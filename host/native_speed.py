"""Frames per second of a build on this machine beside TensorFlow Lite with XNNPACK on one thread.

Both run as processes of their own, which speak alike (``host/runner/speed.c``, :mod:`kit.quantize.tflite_speed`), and
take turns, so that whatever else the machine does meets both. Time is processor time: both use one thread. TensorFlow
is started by name only.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import RunnerError, ToolchainError
from kit.host.firmware import Firmware
from kit.host.runners import check_frames
from kit.reference.encoder import encode
from kit.reference.normalise import encoder_input

FRAMES_MAX = 256
"""Frames that ``speed.c`` holds."""

_TFLITE = "kit.quantize.tflite_speed"


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True, slots=True)
class NativeSpeed:
    """What :func:`native_speed` found. Rates are frames per second; ratios are of rounds that follow each other.

    Attributes:
        encoder: the AOT engine alone, from normalised samples to latents.
        codec: everything from raw samples to the packet.
        tflite: TensorFlow Lite, XNNPACK, one thread: from normalised samples to latents.
        ratio: encoder over tflite.
        rounds: turns that each of them took.
        frames: different frames.
        latents: values compared per runtime.
        mismatches: latents of the AOT engine that differ from the reference; anything but 0 is refused.
        tflite_mismatches: the same for TensorFlow Lite, whose default runtime rounds otherwise.
        tflite_largest: largest of those differences.
    """

    encoder: Spread
    codec: Spread
    tflite: Spread
    ratio: Spread
    rounds: int
    frames: int
    latents: int
    mismatches: int
    tflite_mismatches: int
    tflite_largest: int

    def to_json(self) -> dict[str, Any]:
        """Plain numbers under the names above."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The result in words."""
        share = 100.0 * self.tflite_mismatches / self.latents
        return [
            f"encoder, aot        {_rate(self.encoder)}",
            f"encoder, XNNPACK    {_rate(self.tflite)}",
            f"whole codec, aot    {_rate(self.codec)}",
            f"aot / XNNPACK       {self.ratio.median:.2f}x (quartiles {self.ratio.low:.2f} .. {self.ratio.high:.2f}, "
            f"{self.rounds} alternating rounds, one thread)",
            f"latents unlike the reference: aot {self.mismatches}, XNNPACK {self.tflite_mismatches} of {self.latents} "
            f"({share:.1f} %, up to {self.tflite_largest})",
        ]


def _rate(spread: Spread) -> str:
    return (
        f"{spread.median:9.0f} frames/s ({1e6 / spread.median:.1f} us; quartiles {spread.low:.0f} .. {spread.high:.0f})"
    )


class SpeedProcess:
    """One side of the comparison, kept running between its turns."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        """Start it and wait until it has encoded its frames once.

        Raises:
            RunnerError: it fails; carries its last line.
        """
        self._name = name
        root = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment, text=True
        )
        self._answer("ready")

    def __enter__(self) -> SpeedProcess:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _answer(self, wanted: str = "") -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line != wanted if wanted else not line.isdigit():
            self._process.kill()
            self._process.wait()
            self._errors.seek(0)
            text = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            raise RunnerError(f"{self._name}: no measurement: {text[-1] if text else line or 'no answer'}")
        return line

    def rate(self, what: str, frames: int) -> float:
        """Frames per second over so many frames of ``encoder`` or ``codec``.

        Raises:
            RunnerError: the process fails.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{what} {frames}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it wrote before it ended says why
        return 1e9 * frames / max(1, int(self._answer()))


def compare(found: NDArray[np.int8], wanted: NDArray[np.int8]) -> tuple[int, int]:
    """Number of values that differ, and the largest difference."""
    difference = np.abs(found.reshape(-1).astype(int) - wanted.reshape(-1))
    return int(np.count_nonzero(difference)), int(difference.max(initial=0))


def _frames_for(seconds: float, rate: float) -> int:
    return max(1, round(seconds * rate))


def native_speed(
    firmware: Firmware,
    frames: NDArray[Any],
    rounds: int = 15,
    seconds: float = 0.1,
    progress: Callable[[int, int], None] | None = None,
) -> NativeSpeed:
    """Measure a build natively against TensorFlow Lite.

    Args:
        firmware: rendered with the aot engine.
        frames: integers [n, T], raw; the first :data:`FRAMES_MAX` are used.
        rounds: turns of each, at least 1.
        seconds: length of a turn.
        progress: called with (rounds done, rounds in all).

    Raises:
        ToolchainError: make, the compiler or TensorFlow is missing.
        RunnerError: a process fails, or the firmware's latents are not the reference's.
    """
    samples = check_frames(frames[:FRAMES_MAX], firmware.layout)
    inputs = encoder_input(samples, firmware.config.quantize).y
    wanted = encode(firmware.encoder, inputs)
    program = firmware.build("speed")
    with tempfile.TemporaryDirectory(prefix="kit-speed-") as name, ExitStack() as stack:
        folder = Path(name)
        samples.tofile(folder / "samples")
        inputs.tofile(folder / "inputs")
        (folder / "model").write_bytes(firmware.model_bytes())
        files = [str(folder / part) for part in ("inputs", "latents")]
        aot = stack.enter_context(SpeedProcess("native", [str(program.resolve()), str(folder / "samples"), *files]))
        mismatches, _ = compare(np.fromfile(files[1], np.int8), wanted)
        if mismatches:
            raise RunnerError(f"native: {mismatches} of {wanted.size} latents are wrong", "run kit validate")
        tflite = stack.enter_context(_tflite([sys.executable, "-m", _TFLITE, str(folder / "model"), *files]))
        tflite_mismatches, largest = compare(np.fromfile(files[1], np.int8), wanted)
        turns = [(aot, "encoder"), (tflite, "encoder"), (aot, "codec")]
        counts = [_frames_for(seconds, process.rate(what, len(samples))) for process, what in turns]
        rates: list[list[float]] = [[], [], []]
        for number in range(rounds):
            for (process, what), count, found in zip(turns, counts, rates, strict=True):
                found.append(process.rate(what, count))
            if progress is not None:
                progress(number + 1, rounds)
    encoder, other, codec = rates
    return NativeSpeed(
        encoder=Spread.of(encoder),
        codec=Spread.of(codec),
        tflite=Spread.of(other),
        ratio=Spread.of([mine / theirs for mine, theirs in zip(encoder, other, strict=True)]),
        rounds=rounds,
        frames=len(samples),
        latents=wanted.size,
        mismatches=mismatches,
        tflite_mismatches=tflite_mismatches,
        tflite_largest=largest,
    )


def _tflite(command: Sequence[str]) -> SpeedProcess:
    try:
        return SpeedProcess("TensorFlow Lite", command)
    except RunnerError as error:
        if "No module named" in str(error):
            raise ToolchainError(f"no TensorFlow Lite here: {error}", "pip install 'rvq-firmware-kit[train]'") from None
        raise
