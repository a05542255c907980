"""A device behind a UART as real as it gets without hardware: the port ``native-uart``, in simulated time.

The firmware runs as a process of this machine whose clock is a number (``firmware/ports/native-uart/uart_model.h``):
a byte takes ten bit times, a byte that finds the one-byte receive register full is lost, and a turn of the main loop
costs what it is told to cost. Nothing depends on how fast this machine is: the same frames give the same times, to the
nanosecond.
"""

from __future__ import annotations

import math
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from kit.errors import LinkError, RunnerError
from kit.host.boards import NATIVE_UART
from kit.host.firmware import Firmware

_READ_FOREVER_S = 1e6


@dataclass(frozen=True, slots=True)
class Processor:
    """How fast the simulated processor is.

    The defaults are slower than a Cortex-M0 at 16 MHz, on which a frame of the description's encoder takes about half a
    second in some 500 turns; the longest turn is the one that `microbit`'s receive ring is checked for.

    Attributes:
        turn_us: cost of a turn of the main loop, with one step of the codec in it.
        turn_us_max: cost of the longest one; one turn in sixteen costs that.
        polled: no receive interrupt: the main loop looks into the receive register once per turn.
    """

    turn_us: int = 1000
    turn_us_max: int = 13000
    polled: bool = False


class UartModel:
    """A running simulated device: a :class:`kit.host.transport.Transport` with a clock. A context manager."""

    def __init__(self, image: Path, processor: Processor | None = None) -> None:
        """Start ``image``, the application built for ``native-uart``.

        Raises:
            RunnerError: it does not start.
        """
        chosen = processor or Processor()
        try:
            self._process = subprocess.Popen(
                [str(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise RunnerError(f"cannot start {image}: {error.strerror}", "rebuild it") from None
        self._now_ns = 0
        self._command(b"C" + struct.pack("<III", chosen.turn_us, chosen.turn_us_max, chosen.polled))

    def __enter__(self) -> UartModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """What messages call it."""
        return NATIVE_UART

    def clock(self) -> float:
        """Simulated seconds since the start."""
        return self._now_ns / 1e9

    def read(self, timeout_s: float) -> bytes:
        """What comes out of the line: returns with the end of a message, or empty-handed after ``timeout_s``.

        Raises:
            LinkError: the process ended.
        """
        wait_ns = max(1, math.ceil(min(timeout_s, _READ_FOREVER_S) * 1e9))
        self._command(b"R" + struct.pack("<Q", self._now_ns + wait_ns))
        self._now_ns, count = struct.unpack("<QI", self._get(12))
        return self._get(count)

    def write(self, data: bytes) -> None:
        """Put bytes on the line, right behind those that are still on it.

        Raises:
            LinkError: the process ended.
        """
        self._command(b"W" + struct.pack("<I", len(data)) + data)

    def close(self) -> None:
        """End the process; may be called twice."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            try:
                stream.close()
            except OSError:
                # Bytes for a process that is gone.
                continue

    def _command(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise self._ended() from None

    def _get(self, count: int) -> bytes:
        assert self._process.stdout is not None
        data = self._process.stdout.read(count)
        if len(data) < count:
            raise self._ended()
        return data

    def _ended(self) -> LinkError:
        code = self._process.wait()
        assert self._process.stderr is not None
        words = "" if self._process.stderr.closed else self._process.stderr.read().decode("utf-8", "replace").strip()
        return LinkError(f"{self.name}: the simulation ended with code {code}{': ' + words if words else ''}")


def start_uart_model(firmware: Firmware, processor: Processor | None = None) -> UartModel:
    """Build the application for ``native-uart`` and start it.

    Raises:
        ToolchainError: make or the compiler is missing or fails.
        RunnerError: it does not start.
    """
    return UartModel(firmware.build("app", NATIVE_UART), processor)
