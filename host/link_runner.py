"""Runs frames on a device over its serial link: a real board, an emulated one through its UART, or a simulated UART."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from kit.errors import LinkError
from kit.host.bench_link import read_profile, report_of
from kit.host.boards import NATIVE_UART
from kit.host.emulator import start
from kit.host.engines import DOUBLE
from kit.host.firmware import Firmware
from kit.host.link import Link
from kit.host.pipeline import EncodedFrames, device_counters, encode_frames
from kit.host.runners import LinkFigures, Progress, RunResult, check_frames, result_from_packets
from kit.host.uart_model import start_uart_model


class LinkRunner:
    """Sends frames (ENCODE_FRAME), as many at a time as the device has credits for, and collects the packets; latents
    do not travel."""

    def __init__(
        self,
        name: str,
        firmware: Firmware,
        connect: Callable[[], AbstractContextManager[Link]],
    ) -> None:
        """Args: ``connect`` gives a link for the time of a run."""
        self._name = name
        self._firmware = firmware
        self._connect = connect

    @property
    def name(self) -> str:
        """``serial:PORT`` or ``uart:BOARD``."""
        return self._name

    def run(self, frames: NDArray[Any], progress: Progress | None = None) -> RunResult:
        """See :class:`kit.host.runners.Runner`."""
        layout = self._firmware.layout
        data = check_frames(frames, layout)
        with self._connect() as link:
            greet(link, self._firmware)
            engine = check_engine(link, self._firmware)
            encoded = encode_frames(link, data, progress)
            figures = LinkFigures(_figures(link, encoded), self._ask_profile(link))
            build_hash = link.device.build_hash
        result = result_from_packets(build_hash, layout, encoded.bodies, None, encoded.time_us, figures)
        return replace(result, double=engine == DOUBLE)

    def _ask_profile(self, link: Link) -> dict[str, Any] | None:
        """What a device with probes measured of its embedded frames: the report of ``kit bench``."""
        if not link.device.probes:
            return None
        try:
            profile = read_profile(link, self._firmware.build_hash)
        except LinkError as error:
            # An emulator that does not count: no reason to doubt the packets.
            return {"missing": error.what}
        return report_of(profile, self._firmware, self._name).as_dict()


def greet(link: Link, firmware: Firmware) -> None:
    """Hello, the check that the device runs these artifacts, and an end to whatever it was doing.

    Raises:
        LinkError: no answer, or another build.
    """
    hello = link.hello()
    if hello.build_hash != firmware.build_hash:
        raise LinkError(
            f"{link.name}: the device runs build {hello.build_hash}, these artifacts are build {firmware.build_hash}",
            "flash this firmware, or name the run that the device was built from",
        )
    link.stream_stop()  # a host that was killed may have left it streaming


def check_engine(link: Link, firmware: Firmware) -> str:
    """The engine of the device, which has greeted; it must be the one that was chosen, or the double in its place.

    Raises:
        LinkError: it is another one.
    """
    engine, chosen = link.device.engine, firmware.chosen_engine
    if chosen and engine != chosen and not (chosen == "tflm" and engine == DOUBLE):
        raise LinkError(
            f"{link.name}: the device runs engine {engine}, not {chosen}",
            f"flash an image made with ENGINE={chosen}, or name --engine {engine}",
        )
    return engine


def _figures(link: Link, encoded: EncodedFrames) -> dict[str, Any]:
    return {**encoded.as_dict(), "device_counters": device_counters(link)}


def serial_runner(firmware: Firmware, port: str) -> LinkRunner:
    """A device at a serial port or pyserial URL."""
    return LinkRunner(f"serial:{port}", firmware, lambda: Link.open(port))


@contextmanager
def _booted(firmware: Firmware, board: str) -> Iterator[Link]:
    """A link to an emulated device, which runs as long as the link is used."""
    with start(firmware, board) as emulator, Link.open(emulator.port) as link:
        yield link


@contextmanager
def _simulated(firmware: Firmware) -> Iterator[Link]:
    """A link to a device with a simulated UART."""
    with start_uart_model(firmware) as model, Link(model, clock=model.clock) as link:
        yield link


def uart_runner(firmware: Firmware, board: str) -> LinkRunner:
    """An emulated board, ``native`` or ``native-uart``, driven through its UART like a real one."""
    if board == NATIVE_UART:
        return LinkRunner(f"uart:{board}", firmware, lambda: _simulated(firmware))
    return LinkRunner(f"uart:{board}", firmware, lambda: _booted(firmware, board))
