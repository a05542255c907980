"""Finds a device again and again: at which speed its port talks, and under which name it returns after unplugging."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from kit.errors import LinkError, LinkTimeout
from kit.host.link import HELLO_ATTEMPTS, Link, OtherProtocolError, Trace
from kit.host.ports import Port, find_ports
from kit.host.transport import BAUD_RATE, open_transport

BAUD_RATES = (115200, 921600, 1000000, 460800, 230400, 57600, 38400, 9600)
"""Speeds that are tried in this order where the port has one and none is given."""
FIRST_ATTEMPTS = 4
"""Hellos at the first speed, half a second apart: a board that opening its port resets needs some of that to boot."""
OTHER_ATTEMPTS = 2
ROUNDS = 2
RECONNECT_ATTEMPTS = 6

_BRIDGE = re.compile("link|dap|debug|uart|serial|bridge|probe", re.IGNORECASE)
"""Names of USB products that have a real UART, with its speed, behind them."""

Cancelled = Callable[[], bool]


def speed_matters(port: str, ports: Callable[[], list[Port]] = find_ports) -> bool:
    """Whether a port has a real baud rate: not a socket, a pseudo-terminal or the device's own USB.

    A USB port of the kind that has no UART (``ttyACM``) counts as the device's own, unless its product is called like a
    bridge or a debug probe or has no name at all.
    """
    if "://" in port:
        return port.startswith("rfc2217://")
    device = os.path.realpath(port)
    if device.startswith(("/dev/pts/", "/dev/ttys")):
        return False
    if re.search(r"ttyACM|usbmodem", device) is None:
        return True
    try:
        products = [found.product for found in ports() if found.device == device]
    except LinkError:
        return True
    return not products or not products[0] or _BRIDGE.search(products[0]) is not None


def connect(
    port: str,
    baud: int | None = None,
    trace: Trace | None = None,
    cancelled: Cancelled = lambda: False,
    attempts: int = HELLO_ATTEMPTS,
) -> Link:
    """Open a port and greet its device, at the speed at which it answers.

    Args:
        port: serial port or pyserial URL.
        baud: speed; None tries :data:`BAUD_RATES` where the port has one.
        trace: called with a line of text per message.
        cancelled: asked before each hello; True gives up.
        attempts: hellos where there is only one speed.

    Raises:
        LinkError: it cannot be opened, nothing answers, or the device speaks another protocol.
    """
    link = Link(open_transport(port, baud or BAUD_RATE), trace)
    try:
        if baud is not None or not speed_matters(port):
            link.hello(attempts, cancelled)
        else:
            _search(link, cancelled)
    except BaseException:
        link.close()
        raise
    return link


def _search(link: Link, cancelled: Cancelled) -> None:
    """Greet at one speed after another.

    Raises:
        LinkError: as :func:`connect`.
    """
    heard: list[int] = []
    for _ in range(ROUNDS):
        for baud in BAUD_RATES:
            before = link.counters.line_bytes
            try:
                link.set_baud(baud)
                link.hello(FIRST_ATTEMPTS if baud == BAUD_RATES[0] else OTHER_ATTEMPTS, cancelled)
                return
            except OtherProtocolError:
                raise
            except LinkError:
                # Silence and garbage are what a wrong speed looks like; a line that is gone fails again at once.
                if cancelled():
                    raise
                if link.counters.line_bytes > before:
                    heard.append(baud)
    tried = ", ".join(str(baud) for baud in BAUD_RATES)
    if heard:
        raise LinkError(
            f"{link.name}: something sends bytes, but does not answer our hello at {tried} baud",
            "check port and firmware, or give its speed with --baud",
        )
    raise LinkTimeout(
        f"{link.name}: the device does not answer at {tried} baud",
        "check that it runs a firmware of this kit, then reset it; another speed: --baud",
    )


@dataclass(frozen=True, slots=True)
class PortIdentity:
    """What a port that vanished is known by when it returns.

    Attributes:
        given: name or URL that the user gave.
        names: lasting names (``/dev/serial/by-id``).
        usb: vendor id, product id and serial number; None where the system does not tell or there is no serial number.
    """

    given: str
    names: tuple[str, ...] = ()
    usb: tuple[int | None, int | None, str] | None = None

    @classmethod
    def of(cls, port: str, ports: Callable[[], list[Port]] = find_ports) -> PortIdentity:
        """Identity of a port that is there now."""
        if "://" in port:
            return cls(port)
        device = os.path.realpath(port)
        try:
            found = next((p for p in ports() if os.path.realpath(p.device) == device), None)
        except LinkError:
            found = None
        return cls(port) if found is None else cls(port, found.names, _usb(found))

    def find(self, ports: Callable[[], list[Port]] = find_ports) -> str | None:
        """Under which name the device may be opened now; None while it is away."""
        if "://" in self.given:
            return self.given
        for name in self.names:
            if os.path.exists(name):
                return name
        if self.usb is not None:
            try:
                return next((port.device for port in ports() if _usb(port) == self.usb), None)
            except LinkError:
                return None
        return self.given if os.path.exists(self.given) else None


def _usb(port: Port) -> tuple[int | None, int | None, str] | None:
    return (port.vendor_id, port.product_id, port.serial_number) if port.serial_number else None
