"""A line that fails on purpose: seeded faults on a stream of bytes, and an exact ledger of what they did.

Which byte is hit depends on the seed, the direction and the byte's number alone, not on how the stream is cut into
reads, so that a run can be repeated to the bit.
"""

from __future__ import annotations

import difflib
import math
import random
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Literal

from kit.errors import ConfigError

Direction = Literal["host", "device"]
DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "both": ("host", "device"),
    "host": ("host",),
    "device": ("device",),
}
GRAMMAR = "ber=1e-4,loss=0.01,seed=3"


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """Rates of faults. Rates are probabilities per byte, except ``ber``, which is per bit.

    Attributes:
        seed: of everything random.
        ber: bits that flip.
        loss: bytes that vanish.
        insert: bytes of noise that appear.
        dup: bytes that arrive twice.
        reorder: bytes that change places with their successor.
        stall: bytes before which the line stands still.
        stall_ms: how long it does.
        cut: bytes at which the line is cut.
        cut_ms: how long it stays cut; what is sent meanwhile is lost.
        to: direction that suffers: towards the ``host``, towards the ``device``, or ``both``.
    """

    seed: int = 0
    ber: float = 0.0
    loss: float = 0.0
    insert: float = 0.0
    dup: float = 0.0
    reorder: float = 0.0
    stall: float = 0.0
    stall_ms: float = 200.0
    cut: float = 0.0
    cut_ms: float = 1000.0
    to: str = "both"

    def towards(self, direction: Direction) -> FaultSpec:
        """The same, without any fault where ``direction`` does not suffer."""
        return self if direction in DIRECTIONS[self.to] else FaultSpec(seed=self.seed)

    @property
    def text(self) -> str:
        """In the grammar of :func:`parse_faults`; what is at its default is left out."""
        parts = ((f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default)
        return ",".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in parts)


RATES = ("ber", "loss", "insert", "dup", "reorder", "stall", "cut")


def parse_faults(text: str) -> FaultSpec:
    """Read ``KEY=VALUE,KEY=VALUE...``; the keys are the attributes of :class:`FaultSpec`.

    Raises:
        ConfigError: no such form, an unknown or repeated key, or a value out of range.
    """
    values: dict[str, int | float | str] = {}
    known = [f.name for f in fields(FaultSpec)]
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not value:
            raise ConfigError(f"faults: {part.strip()!r} is not KEY=VALUE", f"for example --faults {GRAMMAR}")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"faults: unknown key {name!r}", f"{hint}known: {', '.join(known)}")
        if name in values:
            raise ConfigError(f"faults: {name} is given twice", "give it once")
        values[name] = _value(name, value)
    return FaultSpec(**values)  # type: ignore[arg-type]


def _value(name: str, text: str) -> int | float | str:
    if name == "to":
        if text not in DIRECTIONS:
            raise ConfigError(f"faults: to={text}", f"known directions: {', '.join(DIRECTIONS)}")
        return text
    try:
        number = int(text) if name == "seed" else float(text)
    except ValueError:
        raise ConfigError(f"faults: {name}={text} is not a number", f"for example --faults {GRAMMAR}") from None
    if name in RATES and not 0 <= number < 1:
        raise ConfigError(f"faults: {name}={text} is outside 0..1", "it is a probability, below 1")
    if name in ("stall_ms", "cut_ms") and not 0 <= number <= 3_600_000:
        raise ConfigError(f"faults: {name}={text} is outside 0..3600000", "it is a time in milliseconds")
    return number


@dataclass(frozen=True, slots=True)
class Pause:
    """The line stands still, or is cut: what a :class:`FaultPipe` hands out between bytes."""

    kind: Literal["stall", "cut"]
    seconds: float


class _Kind:
    """Where one kind of fault strikes next, as a number of the units (bytes or bits) that went before."""

    __slots__ = ("at", "random", "rate")

    def __init__(self, rate: float, seed: str) -> None:
        self.rate = rate
        self.random = random.Random(seed)
        self.at = -1
        self.advance()

    def advance(self) -> None:
        if self.rate <= 0:
            self.at = 1 << 62
            return
        # The gap between two events of a memoryless process has a geometric distribution.
        self.at += 1 + int(math.log(1.0 - self.random.random()) / math.log1p(-self.rate))


class FaultPipe:
    """One direction of a faulty line: bytes in, damaged bytes and pauses out.

    While :attr:`active` is False bytes pass untouched and the positions of faults do not move.
    """

    def __init__(self, spec: FaultSpec, direction: Direction, ledger: Ledger | None = None) -> None:
        self.active = True
        self.faults = 0
        self._spec = spec.towards(direction)
        self._ledger = ledger
        self._kinds = {name: _Kind(getattr(self._spec, name), f"{spec.seed}/{direction}/{name}") for name in RATES}
        self._noise = random.Random(f"{spec.seed}/{direction}/noise")
        self._position = 0
        self._held: tuple[int, int] | None = None
        self._out = bytearray()
        self._items: list[bytes | Pause] = []

    def feed(self, data: bytes) -> list[bytes | Pause]:
        """What comes out for ``data``, in order. A byte that changes places waits for its successor."""
        if self._ledger is not None:
            self._ledger.sent += data
        at = 0
        while at < len(data):
            run = len(data) - at
            if self.active:
                run = min(run, self._next() - self._position)
            if run > 0:
                self._plain(data[at : at + run])
                at += run
                continue
            self._strike(data[at])
            at += 1
        items, self._items = self._items, []
        if self._out:
            items.append(bytes(self._out))
            self._out.clear()
        return items

    def flush(self) -> bytes:
        """The byte that still waits for its successor, if any."""
        if self._held is None:
            return b""
        value, source = self._held
        self._held = None
        self._put(value, source)
        data = bytes(self._out)
        self._out.clear()
        return data

    def _next(self) -> int:
        """Number of the next byte that something happens to."""
        return min(kind.at // 8 if name == "ber" else kind.at for name, kind in self._kinds.items())

    @property
    def _source(self) -> int:
        """Number, in the ledger, of the byte that is being handled."""
        return self._ledger.handled if self._ledger is not None else 0

    def _plain(self, data: bytes) -> None:
        if self._held is not None:
            first, data = data[0], data[1:]
            self._put(first, self._source)
            self._step()
            self._put(*self._held)
            self._held = None
        if self.active:
            self._position += len(data)
        self._out += data
        if self._ledger is not None:
            self._ledger.copy(data)

    def _step(self) -> None:
        if self.active:
            self._position += 1
        if self._ledger is not None:
            self._ledger.handled += 1

    def _put(self, value: int, source: int) -> None:
        self._out.append(value)
        if self._ledger is not None:
            self._ledger.put(value, source)

    def _due(self, name: str) -> bool:
        kind = self._kinds[name]
        if kind.at != self._position:
            return False
        kind.advance()
        self.faults += 1
        return True

    def _pause(self, kind: Literal["stall", "cut"], milliseconds: float) -> None:
        if self._out:
            self._items.append(bytes(self._out))
            self._out.clear()
        self._items.append(Pause(kind, milliseconds / 1000.0))

    def _strike(self, value: int) -> None:
        """Handle one byte that at least one fault hits."""
        source = self._source
        flips = self._kinds["ber"]
        while flips.at // 8 == self._position:
            value ^= 1 << (flips.at % 8)
            source = -1
            flips.advance()
            self.faults += 1
        if self._due("stall"):
            self._pause("stall", self._spec.stall_ms)
        if self._due("cut"):
            self._pause("cut", self._spec.cut_ms)
        if self._due("insert"):
            self._put(self._noise.randrange(256), -1)
        lost, twice, late = self._due("loss"), self._due("dup"), self._due("reorder")
        self._step()
        if lost:
            return
        if late and self._held is None:
            self._held = (value, source)
            return
        self._put(value, source)
        if self._held is not None:
            self._put(*self._held)
            self._held = None
        if twice:
            self._put(value, source)


def faulty(spec: FaultSpec, data: bytes, direction: Direction = "host") -> bytes:
    """``data`` after the faults of ``spec``, pauses left out."""
    pipe = FaultPipe(replace(spec, stall=0.0, cut=0.0), direction)
    return b"".join(item for item in pipe.feed(data) if isinstance(item, bytes)) + pipe.flush()


@dataclass(slots=True)
class Ledger:
    """Everything that went into and came out of one direction of a line, byte for byte.

    Attributes:
        sent: bytes that went in.
        received: bytes that came out.
        source: for each byte that came out, its number in ``sent``; -1 where it was altered or is noise.
        handled: bytes of ``sent`` that are dealt with.
    """

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    source: array[int] = field(default_factory=lambda: array("q"))
    handled: int = 0

    def put(self, value: int, source: int) -> None:
        """One byte came out."""
        self.received.append(value)
        self.source.append(source)

    def copy(self, data: bytes) -> None:
        """The next bytes of ``sent`` came out as they are."""
        self.received += data
        self.source.extend(range(self.handled, self.handled + len(data)))
        self.handled += len(data)

    def sent_frames(self) -> list[bytes]:
        """Whole frames that went in, without delimiters; what stands behind the last delimiter is none."""
        return [bytes(self.sent[start:end]) for start, end in _spans(self.sent)]

    def pieces(self) -> list[tuple[int, int]]:
        """Spans of ``received`` that a receiver must judge: what stands between delimiters, the empty left out."""
        return list(_spans(self.received))

    def intact(self, piece: tuple[int, int]) -> bool:
        """Whether a piece is a sent frame of which every byte and both delimiters came out untouched and in order."""
        start, end = piece
        first = self.source[start]
        if first < 0 or self.source[end] != first + (end - start):
            return False
        if self.source[start:end] != array("q", range(first, first + (end - start))):
            return False
        # The line's beginning stands for the first frame's first delimiter.
        return first == 0 if start == 0 else self.source[start - 1] == first - 1 and self.sent[first - 1] == 0

    def clean_runs(self) -> list[tuple[int, int]]:
        """Longest spans of ``received`` in which bytes follow each other as they were sent."""
        breaks = [0]
        source = self.source
        breaks += [i for i in range(1, len(source)) if source[i] != source[i - 1] + 1 or source[i] < 0]
        breaks.append(len(source))
        return [(a, b) for a, b in pairwise(breaks) if b > a and source[a] >= 0]

    def resync_bytes_max(self, taken: list[tuple[int, int]]) -> int:
        """Most bytes between the end of a damage and the next piece a receiver took, where no other damage came first.

        Args:
            taken: pieces a receiver accepted, ascending.

        Returns:
            0 without damage; a clean run that is longer than this and yields nothing counts with its whole length.
        """
        starts = [start for start, _ in taken]
        longest = 0
        for begin, end in self.clean_runs()[1:]:
            at = bisect_right(starts, begin - 1)
            if at < len(taken) and taken[at][1] <= end:
                longest = max(longest, starts[at] - begin)
        return longest


def _spans(data: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Spans between zeros, the empty ones and the unfinished last one left out."""
    start = 0
    while (end := data.find(0, start)) >= 0:
        if end > start:
            yield start, end
        start = end + 1
