"""Embedded coding: CDF 9/7 wavelet and SPIHT (set partitioning in hierarchical trees) in one dimension.

After Said and Pearlman, IEEE Trans. Circuits Syst. Video Technol. 6(3), 1996, and its use on biosignals by Lu, Kim and
Pearlman, IEEE Trans. Biomed. Eng. 47(7), 2000; without the optional arithmetic coding of its bits. The stream of a
frame is real: one byte that names the top bit plane, then decisions that the decoder replays. It can be cut anywhere.

Tree: approximation coefficient i (of n0) has one child, n0 + i; detail i has the children 2 i and 2 i + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kit.evaluate.baselines.coded import Coded, Frames, Progress
from kit.evaluate.baselines.wavelet import forward, inverse, levels_of

FRACTION_BITS = 12
"""Coefficients are integers in units of 2^-12 of the frame's scale."""
HEADER_BITS = 8
PLANES_MAX = 30
BITS_MAX = 1 << 16


class Tree:
    """Parents and children of the coefficients of a frame of ``samples``."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.levels = levels_of(samples)
        self.roots = samples >> self.levels
        self.children = [self._children(i) for i in range(samples)]
        self.deep = [any(self.children[c] for c in own) for own in self.children]
        """Whether there are grandchildren."""

    def _children(self, i: int) -> tuple[int, ...]:
        if i < self.roots:
            return (self.roots + i,) if self.levels else ()
        return tuple(c for c in (2 * i, 2 * i + 1) if c < self.samples)

    def maxima(self, magnitude: list[int]) -> tuple[list[int], list[int]]:
        """Largest magnitude below each coefficient: all descendants, and those without the children."""
        below, far = [0] * self.samples, [0] * self.samples
        for i in range(self.samples - 1, -1, -1):
            for c in self.children[i]:
                far[i] = max(far[i], below[c])
                below[i] = max(below[i], magnitude[c], below[c])
        return below, far


class _Cut(Exception):
    """The stream ends here."""


class _Writer:
    """Decisions of the encoder: answers from the coefficients, recorded as bits."""

    def __init__(self, tree: Tree, coefficients: list[int], limit: int) -> None:
        self.values = coefficients
        self.magnitude = [abs(v) for v in coefficients]
        self.below, self.far = tree.maxima(self.magnitude)
        self.bits: list[int] = []
        self._limit = limit

    def put(self, bit: int) -> int:
        if len(self.bits) >= self._limit:
            raise _Cut
        self.bits.append(bit)
        return bit

    def significant(self, i: int, plane: int) -> int:
        return self.put(int(self.magnitude[i] >> plane != 0))

    def set_significant(self, i: int, plane: int, far: bool) -> int:
        return self.put(int((self.far if far else self.below)[i] >> plane != 0))

    def negative(self, i: int) -> int:
        return self.put(int(self.values[i] < 0))

    def refine(self, i: int, plane: int) -> int:
        return self.put((self.magnitude[i] >> plane) & 1)


class _Reader:
    """Decisions of the decoder: the stream's bits, in the same order; ``mark`` is called where a prefix ends."""

    def __init__(self, bits: Sequence[int], ends: Sequence[int], mark: Callable[[int], None]) -> None:
        self._bits, self._at = bits, 0
        self._ends, self._mark = frozenset(ends), mark

    def _next(self) -> int:
        if self._at in self._ends:
            self._mark(self._at)
        if self._at >= len(self._bits):
            raise _Cut
        self._at += 1
        return self._bits[self._at - 1]

    def significant(self, i: int, plane: int) -> int:
        return self._next()

    def set_significant(self, i: int, plane: int, far: bool) -> int:
        return self._next()

    def negative(self, i: int) -> int:
        return self._next()

    def refine(self, i: int, plane: int) -> int:
        return self._next()


class _State:
    """The walk that encoder and decoder share: lists of insignificant points and sets, and significant points."""

    def __init__(self, tree: Tree, source: _Writer | _Reader) -> None:
        self.tree, self.source = tree, source
        self.low = [0] * tree.samples
        """Lower end of each magnitude's interval so far."""
        self.width = [0] * tree.samples
        """Width of that interval; 0 while the coefficient is not known to be significant."""
        self.negative = [0] * tree.samples
        self._points = list(range(tree.roots))
        self._sets = [(i, False) for i in range(tree.roots) if tree.children[i]]
        self._found: list[int] = []

    def run(self, top: int) -> None:
        """All planes from ``top`` down, until the stream ends."""
        try:
            for plane in range(top, -1, -1):
                known = len(self._found)
                self._sort_points(plane)
                self._sort_sets(plane)
                self._refine(known, plane)
        except _Cut:
            return

    def _take(self, i: int, plane: int) -> bool:
        """Ask for one point; True where it became significant."""
        if not self.source.significant(i, plane):
            return False
        self.negative[i] = self.source.negative(i)
        self.low[i] = self.width[i] = 1 << plane
        self._found.append(i)
        return True

    def _sort_points(self, plane: int) -> None:
        self._points = [i for i in self._points if not self._take(i, plane)]

    def _sort_sets(self, plane: int) -> None:
        waiting, kept = self._sets, []
        for i, far in waiting:  # grows while it is walked
            if not self.source.set_significant(i, plane, far):
                kept.append((i, far))
            elif far:
                waiting.extend((c, False) for c in self.tree.children[i] if self.tree.children[c])
            else:
                self._points.extend(c for c in self.tree.children[i] if not self._take(c, plane))
                if self.tree.deep[i]:
                    waiting.append((i, True))
        self._sets = kept

    def _refine(self, known: int, plane: int) -> None:
        for i in self._found[:known]:
            self.low[i] += self.source.refine(i, plane) << plane
            self.width[i] = 1 << plane


def encode(tree: Tree, coefficients: Sequence[int], limit: int = BITS_MAX) -> list[int]:
    """Bits of one frame, at most ``limit`` of them.

    Args:
        tree: of the frame's length.
        coefficients: integers [T], below 2^PLANES_MAX in magnitude.
        limit: where to cut; the header of 8 bits counts.
    """
    writer = _Writer(tree, [int(v) for v in coefficients], limit)
    planes = max(writer.magnitude, default=0).bit_length()
    writer.bits += [(planes >> bit) & 1 for bit in range(HEADER_BITS - 1, -1, -1)]
    if planes:
        _State(tree, writer).run(planes - 1)
    return writer.bits[:limit]


def decode(tree: Tree, bits: Sequence[int]) -> NDArray[np.float64]:
    """Coefficients float64[T] of a stream, whole or cut; the middle of what its interval leaves open."""
    return np.asarray(decode_prefixes(tree, bits, [len(bits)])[0], np.float64)


def decode_prefixes(tree: Tree, bits: Sequence[int], ends: Sequence[int]) -> NDArray[np.float64]:
    """What :func:`decode` makes of each prefix ``bits[:end]``, float64[len(ends), T], in one pass."""
    body = [end - HEADER_BITS for end in ends]
    planes = int("".join(map(str, bits[:HEADER_BITS])), 2) if len(bits) >= HEADER_BITS else 0
    at_end: dict[int, NDArray[np.float64]] = {}
    reader = _Reader(bits[HEADER_BITS:], body, lambda end: at_end.update({end: _middle(state)}))
    state = _State(tree, reader)
    if 0 < planes <= PLANES_MAX:
        state.run(planes - 1)
    last, nothing = _middle(state), np.zeros(tree.samples)
    return np.asarray(np.stack([nothing if end < 0 else at_end.get(end, last) for end in body]), np.float64)


def _middle(state: _State) -> NDArray[np.float64]:
    low, width = np.array(state.low, np.float64), np.array(state.width, np.float64)
    # A width of 1 is an integer known exactly.
    magnitude = low + np.where(width > 1, width / 2, 0.0)
    return np.where(np.array(state.negative) == 1, -magnitude, magnitude)


class SpihtCoder:
    """See the module. It needs no training."""

    name: ClassVar[str] = "spiht"
    title: ClassVar[str] = "Wavelet (CDF 9/7) + SPIHT"
    short: ClassVar[str] = "wavelet + SPIHT"

    def fit(self, train: Frames) -> None:
        """Nothing to learn."""

    def code(self, y: Frames, payload_bytes: Sequence[float], progress: Progress | None = None) -> list[Coded]:
        """Every frame gets exactly the wanted bits, or fewer where it is exhausted before; each prefix is decoded."""
        tree = Tree(y.shape[1])
        scaled = np.rint(forward(y, tree.levels) * (1 << FRACTION_BITS)).astype(np.int64)
        limits = [int(8 * wanted) for wanted in payload_bytes]
        spent = np.zeros((len(limits), len(y)))
        found = np.zeros((len(limits), *y.shape))
        for number, row in enumerate(scaled.tolist()):
            bits = encode(tree, row, max(limits, default=0))
            spent[:, number] = np.minimum(limits, len(bits))
            found[:, number] = decode_prefixes(tree, bits, limits)
            if progress is not None:
                progress(number + 1, len(y))
        decoded = [inverse(rate / (1 << FRACTION_BITS), tree.levels).astype(np.float32) for rate in found]
        return [Coded(spent[place], frames) for place, frames in enumerate(decoded)]
