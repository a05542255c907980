"""The host's end of the serial protocol (firmware/PROTOCOL.md): requests with deadlines, hello, and the stream."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from kit.errors import KitError, LinkError, LinkTimeout
from kit.host.transport import WRITE_BYTES_PER_SECOND_MIN, SerialTransport, Transport, open_transport
from kit.wire.framing import MESSAGE_BYTES_MAX, Deframer, LinkCounters, frame
from kit.wire.messages import Decoded, Hello, TailSizes, Value, encode
from kit.wire.registry import BY_NAME, PROTOCOL_VERSION, STREAM_MODES
from kit.wire.status import find_status

ANSWER_SECONDS = 2.0
"""Deadline for the answer to a short request."""
ENCODE_SECONDS = 30.0
"""Deadline for the answer to ENCODE_FRAME beyond the transfer: the slowest core in an emulator on a busy machine."""
SELF_TEST_SECONDS_PER_FRAME = 30.0
ATTEMPTS = 3
HELLO_ATTEMPTS = 12
HELLO_SECONDS = 0.5
"""Between hellos. The first byte after a boot can wait a second in an emulator; 12 of these cover a slow boot."""
FIXED_BYTES_MAX = 128
"""More than any message has beside its tail."""

Trace = Callable[[str], None]


class OtherProtocolError(LinkError):
    """The device is of another version of the protocol; no second attempt will change that."""


class Link:
    """A device that was opened; :meth:`hello` comes first, everything else after it.

    Usable as a context manager, which closes the port.
    """

    def __init__(
        self, transport: Transport, trace: Trace | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args: an open line; ``trace`` is called with one line of text per message; ``clock`` gives seconds."""
        self._transport = transport
        self._clock = clock
        self._deframer = Deframer()
        self._waiting: deque[Decoded] = deque()
        self._request = 0
        self._trace = trace
        self._hello: Hello | None = None

    @classmethod
    def open(cls, port: str | int, trace: Trace | None = None) -> Link:
        """Open a port name, a pyserial URL or a descriptor.

        Raises:
            LinkError: it cannot be opened.
        """
        return cls(open_transport(port), trace)

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the port; may be called twice."""
        self._transport.close()

    @property
    def name(self) -> str:
        """Port, as messages call it."""
        return self._transport.name

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of its deadlines, in seconds: that of this machine, or a simulated one."""
        return self._clock

    @property
    def counters(self) -> LinkCounters:
        """What this end received, good and damaged."""
        return self._deframer.counters

    @property
    def device(self) -> Hello:
        """What the device said in its hello.

        Raises:
            LinkError: there was no hello yet.
        """
        if self._hello is None:
            raise LinkError(f"{self.name}: no hello yet")
        return self._hello

    def set_baud(self, baud: int) -> None:
        """Change the speed of a serial port; other lines have none.

        Raises:
            LinkError: the line is gone, or cannot do it.
        """
        if isinstance(self._transport, SerialTransport):
            self._transport.set_baud(baud)

    def ask(self, name: str, **values: Value) -> int:
        """Send a request without waiting; its answer comes out of :meth:`receive`. Returns its number.

        Raises:
            LinkError: as :meth:`send`.
        """
        number = self._next_request()
        self.send(name, request=number, **values)
        return number

    def send(self, name: str, **values: Value) -> None:
        """Send one message.

        Raises:
            LinkError: the line is gone, or does not take the bytes.
        """
        if self._trace is not None:
            self._trace(f"> {name} {_short(values)}")
        # The leading delimiter ends whatever noise the device has in its buffer.
        self._transport.write(b"\0" + frame(encode(name, **values)))

    def receive(self, timeout_s: float) -> Decoded | None:
        """Next message, or None when none arrived in time.

        Raises:
            LinkError: the line is gone.
        """
        deadline = self._clock() + timeout_s
        while not self._waiting:
            left = deadline - self._clock()
            if left <= 0:
                return None
            self._waiting.extend(self._deframer.feed(self._transport.read(left)))
        message = self._waiting.popleft()
        if self._trace is not None:
            self._trace(f"< {message.name} {_short(message.values)}")
        return message

    def hello(self, attempts: int = HELLO_ATTEMPTS, cancelled: Callable[[], bool] = lambda: False) -> Hello:
        """Ask the device who it is; repeated, because the first bytes after a boot may be lost.

        Args:
            attempts: how often to ask, half a second apart.
            cancelled: asked before each attempt; True gives up.

        Raises:
            LinkError: no answer, no sensible answer, another protocol version, or cancelled.
        """
        self._deframer.expect(MESSAGE_BYTES_MAX, TailSizes())
        for _ in range(attempts):
            if cancelled():
                raise LinkError(f"{self.name}: given up before the device answered")
            number = self._next_request()
            self.send("HELLO_REQUEST", request=number, protocol=PROTOCOL_VERSION)
            deadline = self._clock() + HELLO_SECONDS
            while (message := self.receive(deadline - self._clock())) is not None:
                if message.name == "ERROR" and message.integer("request") == number:
                    self.raise_refusal("HELLO_REQUEST", message, 0)
                if message.name == "HELLO" and message.integer("request") == number:
                    return self._accept(message)
            if self._deframer.other_protocol is not None:
                raise self._other_protocol(self._deframer.other_protocol)
        raise self._no_hello()

    def _accept(self, message: Decoded) -> Hello:
        version = message.integer("protocol")
        if version != PROTOCOL_VERSION:
            raise self._other_protocol(version)
        try:
            hello = Hello.from_message(message)
        except KitError as error:
            raise LinkError(
                f"{self.name}: the device contradicts itself: {error.what}", "rebuild its firmware"
            ) from None
        self._hello = hello
        self._deframer.expect(hello.packet_bytes + FIXED_BYTES_MAX, hello.sizes)
        return hello

    def _no_hello(self) -> LinkError:
        counters = self.counters
        if counters.line_bytes == 0:
            return LinkTimeout(
                f"{self.name}: the device does not answer", "check that it runs a firmware of this kit, then reset it"
            )
        return LinkError(
            f"{self.name}: something sends bytes ({counters.line_bytes}, {counters.damaged} damaged messages), "
            "but does not answer our hello",
            "check port, speed and firmware",
        )

    def request(
        self,
        name: str,
        timeout_s: float = ANSWER_SECONDS,
        others: Callable[[Decoded], None] | None = None,
        **values: Value,
    ) -> Decoded:
        """Send a request and return its answer; asked again, under a new number, when none comes.

        Messages that arrive in between and answer something else go to ``others``, or are dropped.

        Raises:
            LinkTimeout: no answer.
            LinkError: the line is gone, or the device refused.
        """
        answer = BY_NAME[name].answer
        asked: set[int] = set()
        for attempt in range(ATTEMPTS):
            number = self._next_request()
            # A late answer to an earlier attempt will do, except that every STREAM_START begins a new stream.
            asked = {number} if name == "STREAM_START" else asked | {number}
            self.send(name, request=number, **values)
            deadline = self._clock() + timeout_s
            while (message := self.receive(deadline - self._clock())) is not None:
                if message.name == answer and message.integer("request") in asked:
                    return message
                if message.name == "ERROR" and message.integer("request") in asked:
                    self.raise_refusal(name, message, attempt)
                elif others is not None:
                    others(message)
        raise LinkTimeout(
            f"{self.name}: no answer to {name} in {ATTEMPTS} attempts of {timeout_s:g} s", "reset the device"
        )

    def encode_frame(self, number: int, samples: NDArray[np.generic]) -> Decoded:
        """Have the device encode one frame.

        Args:
            number: 0..65535, repeated in the answer.
            samples: int16 or int32 [T], the device's container type.

        Returns:
            the ENCODED message.

        Raises:
            LinkError: as :meth:`request`; also samples that do not fit the device.
        """
        timeout = self.send_frame(number, samples)
        for attempt in range(ATTEMPTS):
            if attempt > 0:
                self.send_frame(number, samples)
            deadline = self._clock() + timeout
            while (message := self.receive(deadline - self._clock())) is not None:
                if message.name == "ENCODED" and message.integer("frame") == number:
                    return message
                if message.name == "ERROR" and message.integer("request") == number & 0xFF:
                    self.raise_refusal("ENCODE_FRAME", message, attempt)
        raise LinkTimeout(f"{self.name}: no answer to ENCODE_FRAME {number}", "reset the device")

    def send_frame(self, number: int, samples: NDArray[np.generic]) -> float:
        """Send ENCODE_FRAME and do not wait; see :meth:`encode_frame`.

        Returns:
            seconds within which the answer is due when nothing else was sent before it.

        Raises:
            LinkError: the line is gone, or the samples do not fit the device.
        """
        hello = self.device
        if samples.shape != (hello.frame_samples,) or samples.dtype.kind != "i":
            raise LinkError(
                f"{self.name}: the device encodes frames of {hello.frame_samples} samples, got {samples.shape}"
            )
        data = samples.astype(f"<i{hello.layout.sample_bytes}").tobytes()
        self.send("ENCODE_FRAME", frame=number, samples=data)
        return ENCODE_SECONDS + len(data) / WRITE_BYTES_PER_SECOND_MIN

    def self_test(self) -> Decoded:
        """Have the device encode its embedded frames; returns SELF_TEST_RESULT.

        Raises:
            LinkError: as :meth:`request`.
        """
        return self.request("SELF_TEST", ANSWER_SECONDS + SELF_TEST_SECONDS_PER_FRAME * self.device.embedded_frames)

    def stream_start(self, mode: str = "realtime", packets: int = 0) -> int:
        """Start the replay stream; afterwards :meth:`receive` gives its packets.

        Args:
            mode: ``realtime`` or ``fast``.
            packets: how many; 0 = until :meth:`stream_stop`.

        Returns:
            request number, which the STREAM_STATE at the stream's end repeats.

        Raises:
            LinkError: as :meth:`request`; also an unknown mode.
        """
        if mode not in STREAM_MODES:
            raise LinkError(f"no stream mode {mode!r}", f"modes: {', '.join(STREAM_MODES)}")
        answer = self.request("STREAM_START", mode=STREAM_MODES[mode], packets=packets)
        return answer.integer("request")

    def stream_stop(self, others: Callable[[Decoded], None] | None = None) -> Decoded:
        """Stop the stream; returns STREAM_STATE. Packets still on their way go to ``others``.

        Raises:
            LinkError: as :meth:`request`.
        """
        return self.request("STREAM_STOP", others=others)

    def _next_request(self) -> int:
        self._request = (self._request + 1) & 0xFF
        return self._request

    def raise_refusal(self, name: str, message: Decoded, attempt: int) -> None:
        """Raise what an ERROR says; returns when it only says that an earlier attempt is still being worked on."""
        status, detail = find_status(message.integer("status")), message.integer("detail")
        if attempt > 0 and status.name == "ERR_STATE":
            return
        if status.name == "ERR_PROTOCOL":
            raise self._other_protocol(detail)
        raise LinkError(
            f"{self.name}: the device refused {name}: {status.text} (status {status.value}, detail {detail})",
            "" if status.name != "ERR_STATE" else "wait until it is idle, or reset it",
        )

    def _other_protocol(self, version: int) -> LinkError:
        return OtherProtocolError(
            f"{self.name}: the device speaks protocol {version}, this kit {PROTOCOL_VERSION}",
            "rebuild the firmware with this kit, or use the kit that built it",
        )


def _short(values: dict[str, Value]) -> str:
    """Values for a trace line: long byte strings by their length."""
    shown = ((k, f"{len(v)} bytes" if isinstance(v, bytes) and len(v) > 8 else repr(v)) for k, v in values.items())
    return " ".join(f"{key}={value}" for key, value in shown)
