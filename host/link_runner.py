"""Runs frames on a device over its serial link: a real board, or an emulated one through its UART."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import LinkError
from kit.host.emulator import Emulator, start
from kit.host.firmware import Firmware
from kit.host.link import Link
from kit.host.runners import Progress, RunResult, check_frames, result_from_packets


class LinkRunner:
    """Sends frames one by one (ENCODE_FRAME) and collects the packets; latents do not travel."""

    def __init__(self, name: str, firmware: Firmware, port: Callable[[], AbstractContextManager[str]]) -> None:
        """Args: ``port`` gives the serial port for the time of a run."""
        self._name = name
        self._firmware = firmware
        self._port = port

    @property
    def name(self) -> str:
        """``serial:PORT`` or ``uart:BOARD``."""
        return self._name

    def run(self, frames: NDArray[Any], progress: Progress | None = None) -> RunResult:
        """See :class:`kit.host.runners.Runner`."""
        layout = self._firmware.layout
        data = check_frames(frames, layout)
        bodies, times = [], []
        with self._port() as port, Link.open(port) as link:
            hello = link.hello()
            if hello.build_hash != self._firmware.build_hash:
                raise LinkError(
                    f"{port}: the device runs build {hello.build_hash}, these artifacts are build "
                    f"{self._firmware.build_hash}",
                    "flash this firmware, or name the run that the device was built from",
                )
            link.stream_stop()  # a host that was killed may have left it streaming
            for number, samples in enumerate(data):
                answer = link.encode_frame(number & 0xFFFF, samples)
                bodies.append(np.frombuffer(answer.data("body"), np.uint8))
                times.append(float(answer.integer("time_us")))
                if progress is not None:
                    progress(number + 1, len(data))
        return result_from_packets(hello.build_hash, layout, np.stack(bodies), None, np.array(times))


def serial_runner(firmware: Firmware, port: str) -> LinkRunner:
    """A device at a serial port or pyserial URL."""
    return LinkRunner(f"serial:{port}", firmware, lambda: nullcontext(port))


class _Booted(AbstractContextManager[str]):
    """An emulated device for the time of a run; gives its port."""

    def __init__(self, firmware: Firmware, board: str) -> None:
        self._firmware, self._board = firmware, board
        self._emulator: Emulator | None = None

    def __enter__(self) -> str:
        self._emulator = start(self._firmware, self._board)
        return self._emulator.port

    def __exit__(self, *_: object) -> None:
        if self._emulator is not None:
            self._emulator.close()


def uart_runner(firmware: Firmware, board: str) -> LinkRunner:
    """An emulated board (or ``native``), driven through its UART like a real one."""
    return LinkRunner(f"uart:{board}", firmware, lambda: _Booted(firmware, board))
