"""Bytes over a serial port, a pyserial URL or a file descriptor, with every way a port can fail named."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from typing import Protocol

import serial

from kit.errors import LinkError, LinkTimeout

BAUD_RATE = 115200
WRITE_BYTES_PER_SECOND_MIN = 4000
"""Slowest reader that is still waited for; emulated boards take 10-50 kB/s, a line of 115200 baud 11 kB/s."""

_UNPLUGGED_FIX = "plug it in again; if another program reads this port (ModemManager probes new ones), stop it"


class Transport(Protocol):
    """A line to a device."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def read(self, timeout_s: float) -> bytes:
        """What has arrived, waiting at most ``timeout_s`` for the first byte; empty when nothing came.

        Raises:
            LinkError: the line is gone.
        """

    def write(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            LinkError: the line is gone.
            LinkTimeout: the device does not take the bytes.
        """

    def close(self) -> None:
        """Release the line; may be called twice."""


def write_seconds(count: int) -> float:
    """Time allowed for writing ``count`` bytes."""
    return 2.0 + count / WRITE_BYTES_PER_SECOND_MIN


def _gone(name: str) -> LinkError:
    return LinkError(f"{name}: the device was unplugged, or another program reads the port", _UNPLUGGED_FIX)


class SerialTransport:
    """A serial port or URL through pyserial, opened exclusively."""

    def __init__(self, port: str, baud: int = BAUD_RATE) -> None:
        """Open ``port``.

        Raises:
            LinkError: missing, busy, not permitted or not a serial port.
        """
        self._name = port
        try:
            self._serial = serial.serial_for_url(port, baud, timeout=0, write_timeout=write_seconds(0), exclusive=True)
        except (OSError, ValueError) as error:
            raise _open_error(port, error) from None

    @property
    def name(self) -> str:
        """Port or URL."""
        return self._name

    def read(self, timeout_s: float) -> bytes:
        """See :class:`Transport`."""
        try:
            # One blocking byte, then whatever stands behind it: a larger read would wait for its full size.
            self._serial.timeout = timeout_s
            first = bytes(self._serial.read(1))
            if not first:
                return b""
            self._serial.timeout = 0
            return first + bytes(self._serial.read(max(1, self._serial.in_waiting)))
        except (OSError, TypeError):
            # pyserial raises TypeError when the port was closed under a read.
            raise _gone(self._name) from None

    def write(self, data: bytes) -> None:
        """See :class:`Transport`."""
        try:
            self._serial.write_timeout = write_seconds(len(data))
            self._serial.write(data)
        except serial.SerialTimeoutException:
            raise LinkTimeout(f"{self._name}: the device does not take our bytes", "reset it") from None
        except (OSError, TypeError):
            raise _gone(self._name) from None

    def set_baud(self, baud: int) -> None:
        """Change the speed; the port stays open, so that the device is not reset.

        Raises:
            LinkError: the line is gone, or the port cannot do it.
        """
        try:
            self._serial.baudrate = baud
            self._serial.reset_input_buffer()
        except (ValueError, NotImplementedError):
            raise LinkError(f"{self._name}: the port cannot do {baud} baud", "give another --baud") from None
        except Exception:
            # Not only OSError: termios has an error class of its own, which not every system has.
            raise _gone(self._name) from None

    def close(self) -> None:
        """See :class:`Transport`."""
        try:
            self._serial.close()
        except OSError:
            return

    def abandon(self) -> None:
        """Close without the wait (up to 30 s on Linux) for bytes that the device has not taken; they are dropped."""
        # Not only OSError: termios has an error class of its own, which not every system has.
        with contextlib.suppress(Exception):
            self._serial.reset_output_buffer()
        self.close()


def _open_error(port: str, error: Exception) -> LinkError:
    code = getattr(error, "errno", None)
    text = str(error)
    if code in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "FileNotFoundError" in text:
        return LinkError(f"serial port {port} does not exist", f"ports here: {_ports_text()}")
    if code in (errno.EACCES, errno.EPERM):
        return LinkError(f"permission denied: this user may not open {port}", _permission_fix(port))
    # Windows, where pyserial gives no code, denies access to a port that another program has.
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text or "PermissionError" in text:
        return LinkError(f"serial port {port} is in use by another program", "close that program")
    if code == errno.ECONNREFUSED or "refused" in text:
        return LinkError(f"nothing listens at {port}", "start the emulator or the serial server first")
    if isinstance(error, ValueError):
        return LinkError(f"{port} is no serial port and no URL pyserial knows: {text}", f"ports here: {_ports_text()}")
    reason = os.strerror(code) if isinstance(code, int) else text
    return LinkError(f"cannot open serial port {port}: {reason}", f"ports here: {_ports_text()}")


def _permission_fix(port: str) -> str:
    """What lets this user open the port, from who owns it."""
    try:
        import grp

        status = os.stat(port)
        group = grp.getgrgid(status.st_gid).gr_name
    except (ImportError, OSError, KeyError):
        return _join_group("dialout")
    if os.geteuid() == 0 or (status.st_gid in (os.getegid(), *os.getgroups()) and status.st_mode & 0o060 == 0o060):
        return "its mode would let this user in, something else does not: in a container, pass the device in"
    # No advice to join root: a port without a group of its own needs a udev rule.
    if status.st_gid == 0 or status.st_mode & 0o060 != 0o060:
        return "no group would help; give it a udev rule (docs/serial.md)"
    return _join_group(group)


def _join_group(group: str) -> str:
    return f"join its group: sudo usermod -aG {group} $USER, then log in again"


def _ports_text() -> str:
    from serial.tools.list_ports import comports

    names = sorted(str(port.device) for port in comports())
    return ", ".join(names) if names else "none"


class DescriptorTransport:
    """A file descriptor that is read and written, for example one end of a socket pair. Closed with the transport."""

    def __init__(self, descriptor: int, name: str = "") -> None:
        self._descriptor: int | None = descriptor
        self._name = name or f"descriptor {descriptor}"
        os.set_blocking(descriptor, False)

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    def read(self, timeout_s: float) -> bytes:
        """See :class:`Transport`."""
        if self._descriptor is None:
            raise _gone(self._name)
        try:
            readable, _, _ = select.select([self._descriptor], [], [], timeout_s)
            if not readable:
                return b""
            data = os.read(self._descriptor, 65536)
        except OSError:
            raise _gone(self._name) from None
        if not data:
            raise _gone(self._name)
        return data

    def write(self, data: bytes) -> None:
        """See :class:`Transport`."""
        if self._descriptor is None:
            raise _gone(self._name)
        deadline = time.monotonic() + write_seconds(len(data))
        rest = memoryview(data)
        try:
            while rest:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([], [self._descriptor], [], left)[1]:
                    raise LinkTimeout(f"{self._name}: the device does not take our bytes", "reset it")
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            raise _gone(self._name) from None

    def close(self) -> None:
        """See :class:`Transport`."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def open_transport(port: str | int, baud: int = BAUD_RATE) -> Transport:
    """A transport for a port name, a pyserial URL (``socket://host:port``, ``rfc2217://...``) or a descriptor.

    Raises:
        LinkError: it cannot be opened.
    """
    return DescriptorTransport(port) if isinstance(port, int) else SerialTransport(port, baud)
