"""Faulty lines to a device: around an open transport, or as a serial port or TCP server of their own."""

from __future__ import annotations

import os
import select
import socket
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

from kit.errors import RunnerError
from kit.host.faults import Direction, FaultPipe, FaultSpec, Ledger, Pause
from kit.host.transport import Transport

PENDING_BYTES_MAX = 1 << 16
"""Bytes that wait for a slow reader; beyond, the other side is not read, which is what flow control looks like."""
POLL_SECONDS = 0.05
OPPOSITE: dict[Direction, Direction] = {"host": "device", "device": "host"}


class FaultyTransport:
    """A transport whose two directions fail as ``spec`` says; stalls are slept through, cuts are refused.

    Attributes:
        to_host: pipe of what the device sends, with its ledger.
        to_device: pipe of what the host sends, with its ledger.
    """

    def __init__(self, inner: Transport, spec: FaultSpec) -> None:
        """Args: an open line, owned from now on.

        Raises:
            RunnerError: a spec with cuts: only a port of its own can be cut and come back.
        """
        if spec.cut:
            raise RunnerError("an open line cannot be cut and come back", "use kit emulate --faults for cuts")
        self.received, self.sent = Ledger(), Ledger()
        self.to_host = FaultPipe(spec, "host", self.received)
        self.to_device = FaultPipe(spec, "device", self.sent)
        self._inner = inner

    @property
    def name(self) -> str:
        """See :class:`~kit.host.transport.Transport`."""
        return self._inner.name

    def faults(self, active: bool) -> None:
        """Switch the faults of both directions on or off; off passes bytes on untouched, into the ledgers too."""
        self.to_host.active = self.to_device.active = active

    def read(self, timeout_s: float) -> bytes:
        """See :class:`~kit.host.transport.Transport`."""
        return _bytes_of(self.to_host.feed(self._inner.read(timeout_s)))

    def write(self, data: bytes) -> None:
        """See :class:`~kit.host.transport.Transport`."""
        rest = _bytes_of(self.to_device.feed(data))
        if rest:
            self._inner.write(rest)

    def close(self) -> None:
        """See :class:`~kit.host.transport.Transport`."""
        self._inner.close()


def _bytes_of(items: list[bytes | Pause]) -> bytes:
    data = bytearray()
    for item in items:
        if isinstance(item, Pause):
            time.sleep(item.seconds)
        else:
            data += item
    return bytes(data)


class _Front(Protocol):
    """The host's side of a faulty port: opened, cut and opened again under the same name."""

    @property
    def name(self) -> str: ...
    def open(self) -> None: ...
    def descriptor(self) -> int | None: ...
    def close(self) -> None: ...
    def remove(self) -> None: ...


class _PtyFront:
    """A pseudo-terminal behind a symbolic link, so that its name survives a cut."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kit-faulty-"))
        self.name: str = str(self._folder / "port")
        self._held: tuple[int, int] | None = None

    def open(self) -> None:
        import tty

        master, slave = os.openpty()
        # The slave stays open here: a host may close the port and open it again.
        self._held = (master, slave)
        tty.setraw(slave)
        os.set_blocking(master, False)
        os.symlink(os.ttyname(slave), self.name)

    def descriptor(self) -> int | None:
        return self._held[0] if self._held else None

    def close(self) -> None:
        if self._held is not None:
            with suppress(OSError):
                os.unlink(self.name)
            for descriptor in self._held:
                with suppress(OSError):
                    os.close(descriptor)
            self._held = None

    def remove(self) -> None:
        self.close()
        with suppress(OSError):
            self._folder.rmdir()


class _TcpFront:
    """A TCP server for one client at a time; its port number survives a cut."""

    def __init__(self) -> None:
        self._address: tuple[str, int] = ("127.0.0.1", 0)
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None
        self.open()
        assert self._listener is not None
        self._address = self._listener.getsockname()
        self.name: str = f"socket://127.0.0.1:{self._address[1]}"

    def open(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(self._address)
            self._listener.setblocking(False)

    def descriptor(self) -> int | None:
        if self._client is None and self._listener is not None:
            with suppress(OSError):
                self._client, _ = self._listener.accept()
                self._client.setblocking(False)
                self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._client.fileno() if self._client is not None else None

    def drop_client(self) -> None:
        """The client left; the next one may come."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        self.drop_client()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def remove(self) -> None:
        self.close()


class FaultyPort:
    """A serial port or TCP server in front of a device's port, with a faulty line between. A context manager.

    Attributes:
        port: what the host opens; the same after every cut.
        cuts: how often the line was cut.
    """

    def __init__(self, device_port: str, spec: FaultSpec, kind: Literal["pty", "tcp"] = "pty") -> None:
        """Open the device's port and serve it.

        Raises:
            RunnerError: the device's port cannot be opened, or this system has no pseudo-terminals.
        """
        self.cuts = 0
        self._spec = spec
        try:
            self._device = os.open(device_port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            self._front: _Front = _PtyFront() if kind == "pty" else _TcpFront()
            self._front.open()
        except (OSError, AttributeError, ImportError) as error:
            raise RunnerError(f"cannot put a faulty line before {device_port}: {error}", "see kit doctor") from None
        self.port = self._front.name
        self._pipes: dict[Direction, FaultPipe] = {}
        self._waiting: dict[Direction, deque[bytes | Pause]] = {"host": deque(), "device": deque()}
        self._resume: dict[Direction, float] = {"host": 0.0, "device": 0.0}
        for direction in OPPOSITE:
            self._pipes[direction] = FaultPipe(spec, direction)
        self._cut_until = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True, name=f"faulty line to {device_port}")
        self._thread.start()

    def __enter__(self) -> FaultyPort:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def faults(self) -> int:
        """Faults so far, both directions."""
        return sum(pipe.faults for pipe in self._pipes.values())

    @property
    def alive(self) -> bool:
        """False when the device is gone."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the line; may be called twice."""
        self._stop.set()
        self._thread.join(5.0)

    def _serve(self) -> None:
        try:
            while not self._stop.is_set():
                self._turn()
        except OSError:
            # The device's side is gone: to the host it looks like a pulled cable, which closing the front makes it.
            return
        finally:
            self._front.remove()
            os.close(self._device)

    def _turn(self) -> None:
        now = time.monotonic()
        if self._cut_until:
            if now < self._cut_until:
                self._discard(min(POLL_SECONDS, self._cut_until - now))
                return
            self._cut_until = 0.0
            self._front.open()
        front = self._front.descriptor()
        ends: dict[Direction, int | None] = {"host": front, "device": self._device}
        open_ends = [(to, end) for to, end in ends.items() if end is not None]
        readers = [end for to, end in open_ends if self._pending(OPPOSITE[to]) < PENDING_BYTES_MAX]
        writers = [end for to, end in open_ends if self._ready(to, now)]
        readable, writable, _ = select.select(readers, writers, [], POLL_SECONDS if front is not None else 0.01)
        for to, end in open_ends:
            if end in readable:
                self._take(OPPOSITE[to], end)
        for to, end in open_ends:
            if end in writable and not self._cut_until:
                self._give(to, end)

    def _discard(self, seconds: float) -> None:
        """What the device sends into a cut cable is lost."""
        if select.select([self._device], [], [], seconds)[0]:
            os.read(self._device, 65536)

    def _pending(self, to: Direction) -> int:
        return sum(len(item) for item in self._waiting[to] if isinstance(item, bytes))

    def _ready(self, to: Direction, now: float) -> bool:
        return bool(self._waiting[to]) and now >= self._resume[to]

    def _take(self, to: Direction, end: int) -> None:
        """Read from the other side of ``to``."""
        try:
            data = os.read(end, 4096)
        except BlockingIOError:
            return
        except OSError:
            if end == self._device:
                raise
            data = b""
        if data:
            self._waiting[to].extend(self._pipes[to].feed(data))
        elif end == self._device:
            raise OSError("the device closed its port")
        elif isinstance(self._front, _TcpFront):
            self._front.drop_client()

    def _give(self, to: Direction, end: int) -> None:
        queue = self._waiting[to]
        item = queue.popleft()
        if isinstance(item, Pause):
            if item.kind == "stall":
                self._resume[to] = time.monotonic() + item.seconds
            else:
                self._cut(item.seconds)
            return
        try:
            written = os.write(end, item)
        except BlockingIOError:
            written = 0
        except OSError:
            if end == self._device:
                raise
            written = len(item)
        if written < len(item):
            queue.appendleft(item[written:])

    def _cut(self, seconds: float) -> None:
        self.cuts += 1
        self._front.close()
        for queue in self._waiting.values():
            queue.clear()
        self._cut_until = time.monotonic() + seconds
