"""Serial ports of this machine, and which of them lead to a device of this kit."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import LinkError, LinkTimeout
from kit.host.builds import KnownBuild, known_builds
from kit.host.link import Link
from kit.host.transport import BAUD_RATE, SerialTransport
from kit.wire.messages import Hello

BY_ID = Path("/dev/serial/by-id")
"""Where udev keeps names that stay the same whatever the order of plugging in."""
PROBE_ATTEMPTS = 6
"""Hellos half a second apart: a board that opening its port resets needs some of that for its boot loader."""
PROBE_SECONDS_MAX = 6.0
"""Longest wait for all ports together; a driver that blocks in open or close is left behind."""
_LIST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port; texts are empty and ids None where the system does not tell.

    Attributes:
        device: name to open.
        names: lasting names of the same port, from :data:`BY_ID`.
        vendor_id: of USB, 0..65535.
        product_id: of USB, 0..65535.
        vendor: as the device spells it.
        product: as the device spells it.
        serial_number: of the device.
    """

    device: str
    names: tuple[str, ...] = ()
    vendor_id: int | None = None
    product_id: int | None = None
    vendor: str = ""
    product: str = ""
    serial_number: str = ""

    @property
    def usb(self) -> bool:
        """Looks like USB: something that was plugged in, not a console or a modem of the machine."""
        return self.vendor_id is not None or bool(self.names)


@dataclass(frozen=True, slots=True)
class PortFinding:
    """A port and what a hello found there.

    Attributes:
        port: the port.
        probed: it was asked.
        hello: the answer, None without one.
        run: name of the known run that the device was built from, empty where none is known.
        problem: why there is no answer.
        fix: what to do about it.
    """

    port: Port
    probed: bool = False
    hello: Hello | None = None
    run: str = ""
    problem: str = ""
    fix: str = ""

    @property
    def text(self) -> str:
        """What answered, or why nothing did; one line, empty for a port that was not asked."""
        if self.hello is None:
            return self.problem
        name = self.run or "unknown run"
        return f"{clean(self.hello.target)}, engine {clean(self.hello.engine)}, build {self.hello.build_hash} ({name})"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ids as four hex digits, None for what is not known."""
        port, hello = self.port, self.hello
        return {
            "device": port.device,
            "names": list(port.names),
            "usb": port.usb,
            "vendor_id": None if port.vendor_id is None else f"{port.vendor_id:04x}",
            "product_id": None if port.product_id is None else f"{port.product_id:04x}",
            "vendor": port.vendor,
            "product": port.product,
            "serial_number": port.serial_number,
            "probed": self.probed,
            "answers": hello is not None,
            "target": None if hello is None else hello.target,
            "engine": None if hello is None else hello.engine,
            "build_hash": None if hello is None else hello.build_hash,
            "run": self.run or None,
            "problem": self.problem or None,
            "fix": self.fix or None,
        }


def clean(text: object) -> str:
    """Text that a device chose, without what would steer a terminal; empty for None."""
    return "".join(c for c in str(text) if c.isprintable()).strip() if text is not None else ""


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Sort key: ttyACM2 before ttyACM10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]


def _system_ports() -> list[Any]:
    """What pyserial lists; asked again when a device leaves while its description is being read."""
    from serial.tools import list_ports

    for attempt in range(_LIST_ATTEMPTS):
        try:
            return list(list_ports.comports())
        except (OSError, TypeError, ValueError) as error:
            if attempt == _LIST_ATTEMPTS - 1:
                raise LinkError(f"cannot list the serial ports: {error}", "give the port by name") from None
    return []


def _lasting_names(folder: Path) -> dict[str, list[str]]:
    """Device to its names in ``folder``; empty where the system has no such folder."""
    found: dict[str, list[str]] = {}
    try:
        links = sorted(folder.iterdir())
    except OSError:
        return found
    for link in links:
        if link.exists():
            found.setdefault(os.path.realpath(link), []).append(str(link))
    return found


def find_ports(by_id: Path | None = None) -> list[Port]:
    """Serial ports of this machine, sorted by name; pseudo-terminals (``kit emulate``) are not among them.

    Args:
        by_id: folder of lasting names; :data:`BY_ID` when None.

    Raises:
        LinkError: the system does not tell.
    """
    names = _lasting_names(by_id or BY_ID)
    ports = []
    for info in _system_ports():
        ports.append(
            Port(
                device=info.device,
                names=tuple(names.pop(os.path.realpath(info.device), ())),
                vendor_id=info.vid,
                product_id=info.pid,
                vendor=clean(info.manufacturer),
                product=clean(info.product),
                serial_number=clean(info.serial_number),
            )
        )
    # Drivers whose device names pyserial does not look for; udev knows them all the same.
    ports.extend(Port(device, tuple(links)) for device, links in names.items())
    return sorted(ports, key=lambda port: _natural(port.device))


def probe(device: str, cancelled: Callable[[], bool] = lambda: False, baud: int = BAUD_RATE) -> Hello:
    """Ask one port who is there, at one speed. Opening it resets some boards.

    Raises:
        LinkError: it cannot be opened, is silent, or something else answers.
    """
    transport = SerialTransport(device, baud)
    try:
        return Link(transport).hello(PROBE_ATTEMPTS, cancelled)
    finally:
        transport.abandon()


def _ask(port: Port, builds: Sequence[KnownBuild], cancelled: Callable[[], bool], baud: int) -> PortFinding:
    try:
        hello = probe(port.device, cancelled, baud)
    except LinkError as error:
        silent = isinstance(error, LinkTimeout)
        problem = error.what.removeprefix(f"{port.device}: ")
        return PortFinding(port, True, problem=problem, fix="" if silent else error.fix)
    except Exception as error:
        # A driver can fail in ways of its own (termios.error); the other ports still count.
        return PortFinding(port, True, problem=f"cannot be asked: {clean(error)}")
    # Several folders can hold one build; a run that can decode is the better name for it.
    matches = sorted((b for b in builds if b.build_hash == hello.build_hash), key=lambda b: b.server is None)
    return PortFinding(port, True, hello, matches[0].name if matches else "")


def survey(
    ports: Sequence[Port],
    wanted: Callable[[Port], bool] = lambda port: port.usb,
    seconds_max: float = PROBE_SECONDS_MAX,
    baud: int = BAUD_RATE,
) -> list[PortFinding]:
    """Ask the wanted ports all at once, and wait for the answers no longer than ``seconds_max``.

    Args:
        ports: of :func:`find_ports`.
        wanted: which of them to ask; the others are listed as not asked.
        seconds_max: after this a port without a result counts as blocked.
        baud: speed of all of them; the time does not suffice to try several.

    Returns:
        one finding per port, in the same order.
    """
    asked = [port for port in ports if wanted(port)]
    builds = known_builds() if asked else []
    results: dict[str, PortFinding] = {}
    late = threading.Event()

    def work(port: Port) -> None:
        results[port.device] = _ask(port, builds, late.is_set, baud)

    # Daemons: a thread that a driver holds must not keep the process.
    threads = [threading.Thread(target=work, args=(port,), daemon=True) for port in asked]
    deadline = time.monotonic() + seconds_max
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late.set()
    done = dict(results)
    blocked = {
        port.device: PortFinding(
            port, True, problem=f"blocked for {seconds_max:g} s", fix="plug it in again, or restart what uses it"
        )
        for port in asked
        if port.device not in done
    }
    return [done.get(port.device) or blocked.get(port.device) or PortFinding(port) for port in ports]


def only_device(findings: Sequence[PortFinding]) -> PortFinding:
    """The one finding with an answer.

    Raises:
        LinkError: none or several answered; the message names them.
    """
    answers = [finding for finding in findings if finding.hello is not None]
    if len(answers) == 1:
        return answers[0]
    if answers:
        names = "; ".join(f"{finding.port.device} ({finding.text})" for finding in answers)
        raise LinkError(f"{len(answers)} devices answer: {names}", "name one of these ports")
    asked = [f"{finding.port.device} ({finding.text})" for finding in findings if finding.probed]
    others = [finding.port.device for finding in findings if not finding.probed]
    fixes = dict.fromkeys(finding.fix for finding in findings if finding.fix)
    if asked:
        raise LinkError(
            f"no device of this kit answers; asked: {', '.join(asked)}",
            "; ".join(fixes) or "check its firmware and its cable, or name the port",
        )
    raise LinkError(
        f"no USB serial port here to look for a device on; other ports: {', '.join(others) or 'none'}",
        "plug the board in, or name the port",
    )
