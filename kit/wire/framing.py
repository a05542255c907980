"""Framing: COBS with a zero delimiter, so that a receiver finds the next message after any damage."""

from __future__ import annotations

from dataclasses import dataclass

from cobs import cobs

from kit.wire.messages import Decoded, TailSizes, WireError, decode
from kit.wire.packet import cobs_bytes_max

DELIMITER = b"\0"
MESSAGE_BYTES_MAX = 65536 + 16
"""Longest message a device can send: a body of 65535 bytes with header and CRC."""


def frame(message: bytes) -> bytes:
    """Line bytes of one message: COBS coding and delimiter."""
    return bytes(cobs.encode(message)) + DELIMITER


@dataclass(slots=True)
class LinkCounters:
    """What a :class:`Deframer` met; a message thrown away is counted once, under the first check that failed."""

    line_bytes: int = 0
    frames: int = 0
    bad_cobs: int = 0
    bad_crc: int = 0
    bad_length: int = 0
    bad_type: int = 0
    bad_value: int = 0
    overlong: int = 0

    @property
    def damaged(self) -> int:
        """Messages thrown away."""
        return self.bad_cobs + self.bad_crc + self.bad_length + self.bad_type + self.bad_value + self.overlong


class Deframer:
    """Turns line bytes, cut anywhere, into messages; never raises, never buffers more than one message.

    Damage costs at most the message it hits and, when a delimiter is lost, the next one. Empty frames (idle or
    resynchronising delimiters) are skipped silently.
    """

    def __init__(self, message_bytes_max: int = MESSAGE_BYTES_MAX, sizes: TailSizes | None = None) -> None:
        """An empty receiver; the arguments are those of :meth:`expect`."""
        self.counters = LinkCounters()
        self.other_protocol: int | None = None
        """Version of the last HELLO that was thrown away because its version lays it out in another way."""
        self._buffer = bytearray()
        self._skipping = False
        self.expect(message_bytes_max, sizes or TailSizes())

    def expect(self, message_bytes_max: int, sizes: TailSizes) -> None:
        """From now on, the longest message to accept (bytes before COBS) and the exact tail lengths where known."""
        self._limit = cobs_bytes_max(message_bytes_max)
        self._sizes = sizes

    def feed(self, data: bytes) -> list[Decoded]:
        """Messages that ``data`` completes, in order."""
        self.counters.line_bytes += len(data)
        found: list[Decoded] = []
        pieces = data.split(DELIMITER)
        for number, piece in enumerate(pieces):
            self._collect(piece)
            if number < len(pieces) - 1:
                decoded = self._finish()
                if decoded is not None:
                    found.append(decoded)
        return found

    def _collect(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._buffer) + len(piece) > self._limit:
            self.counters.overlong += 1
            self._buffer.clear()
            self._skipping = True
            return
        self._buffer += piece

    def _finish(self) -> Decoded | None:
        """What the buffer held when a delimiter came."""
        if self._skipping:
            self._skipping = False
            return None
        if not self._buffer:
            return None
        coded = bytes(self._buffer)
        self._buffer.clear()
        try:
            decoded = decode(cobs.decode(coded), self._sizes)
        except cobs.DecodeError:
            self.counters.bad_cobs += 1
            return None
        except WireError as error:
            name = f"bad_{error.reason}"
            setattr(self.counters, name, getattr(self.counters, name) + 1)
            if error.other_protocol is not None:
                self.other_protocol = error.other_protocol
            return None
        self.counters.frames += 1
        return decoded
