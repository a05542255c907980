"""The range coder (firmware/NUMERICS.md section 7) over whole batches of frames: indices to bytes and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.errors import ShapeError
from kit.wire.coding import TOTAL_BITS, CodingModel, LevelModel, network_cumulative

_MASK = (1 << 32) - 1
_BOTTOM = 1 << 24
_FIRST_RANGE = _MASK


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Range codes of n frames.

    Attributes:
        data: uint8[n, any], zero behind the end of each code.
        lengths: int64[n], bytes of each code: those written less the zeros at their end.
        written: int64[n], bytes that the coder wrote.
    """

    data: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    written: NDArray[np.int64]


class _Encoder:
    """n coders side by side. Bytes are kept as integers that carries may have made larger than 255 until the end."""

    def __init__(self, count: int, bytes_max: int) -> None:
        self.low = np.zeros(count, np.int64)
        self.range = np.full(count, _FIRST_RANGE, np.int64)
        self.length = np.zeros(count, np.int64)
        self.bytes = np.zeros((count, bytes_max), np.int16)

    def put(self, begin: NDArray[np.int64], size: NDArray[np.int64]) -> None:
        """Narrow each range to the part of 2^TOTAL_BITS from ``begin`` on, ``size`` wide; int64[n] each."""
        step = self.range >> TOTAL_BITS
        self.low += step * begin
        self.range = step * size
        self._carry()
        while (small := np.flatnonzero(self.range < _BOTTOM)).size:
            self.bytes[small, self.length[small]] = self.low[small] >> 24
            self.length[small] += 1
            self.low[small] = (self.low[small] << 8) & _MASK
            self.range[small] <<= 8

    def _carry(self) -> None:
        over = np.flatnonzero(self.low > _MASK)
        if over.size:
            self.low[over] &= _MASK
            self.bytes[over, self.length[over] - 1] += 1

    def end(self) -> Codes:
        """What was coded."""
        last = np.flatnonzero((-self.low & _MASK) >= self.range)
        whole = np.flatnonzero((-self.low & _MASK) < self.range)
        self.low[whole] += -self.low[whole] & _MASK
        self.low[last] += -self.low[last] & (_BOTTOM - 1)
        self._carry()
        self.bytes[last, self.length[last]] = self.low[last] >> 24
        self.length[last] += 1
        for at in range(self.bytes.shape[1] - 1, 0, -1):
            self.bytes[:, at - 1] += self.bytes[:, at] >> 8
            self.bytes[:, at] &= 0xFF
        data = self.bytes.astype(np.uint8)
        used = (data != 0) * np.arange(1, data.shape[1] + 1)
        return Codes(data, used.max(axis=1, initial=0), self.length)


class _Decoder:
    """n decoders side by side; beyond the end of the data they read zeros."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.bytes = np.concatenate([data, np.zeros((len(data), 5), np.uint8)], axis=1).astype(np.int64)
        self.at = np.full(len(data), 4, np.int64)
        self.offset = (self.bytes[:, :4] << np.array([24, 16, 8, 0])).sum(axis=1)
        self.range = np.full(len(data), _FIRST_RANGE, np.int64)

    def value(self) -> NDArray[np.int64]:
        """Where in 0 .. 2^TOTAL_BITS - 1 the code lies: int64[n]. Damage may lie beyond; it is taken for the last."""
        self._step = self.range >> TOTAL_BITS
        found: NDArray[np.int64] = np.minimum(self.offset // self._step, (1 << TOTAL_BITS) - 1)
        return found

    def take(self, begin: NDArray[np.int64], size: NDArray[np.int64]) -> None:
        """The part that :meth:`value` was found in."""
        self.offset = (self.offset - self._step * begin) & _MASK
        self.range = self._step * size
        last = self.bytes.shape[1] - 1
        while (small := np.flatnonzero(self.range < _BOTTOM)).size:
            fresh = self.bytes[small, np.minimum(self.at[small], last)]
            self.offset[small] = ((self.offset[small] << 8) & _MASK) | fresh
            self.at[small] += 1
            self.range[small] <<= 8


class _Context:
    """Frequencies of groups from what was coded before, position by position."""

    def __init__(self, model: CodingModel, count: int) -> None:
        self._levels = model.levels
        self._near: NDArray[np.int64] | None = None
        self._far = np.zeros(count, np.int64)
        self._above = np.zeros(count, np.int64)
        self._count = count
        network = model.levels[0].network
        if network is not None:
            self._units = network.start(count)
            self._before = np.full(count, network.groups)

    def cumulative(self, number: int) -> NDArray[np.int64]:
        """Cumulative frequencies of the groups of level ``number`` at the position at hand: int64[n, G + 1].

        To be called once for each index: a network's units step on.
        """
        level = self._levels[number]
        if level.network is not None:
            self._units = level.network.step(self._units, self._before)
            return network_cumulative(level.network.weights(self._units))
        found: NDArray[np.int64] = level.row_cumulative[self._row(number)]
        return found

    def _row(self, number: int) -> NDArray[np.int64]:
        level = self._levels[number]
        if number > 0:
            above: NDArray[np.int64] = (level.context[self._above >> level.shift] & 63).astype(np.int64)
            return above
        if self._near is None:
            return np.full(self._count, len(level.rows) - 1, np.int64)
        near: NDArray[np.int64] = (level.context[self._near >> level.shift] & 63).astype(np.int64)
        return near * level.far + self._far

    def coded(self, number: int, slot: NDArray[np.int64]) -> None:
        """``slot`` was coded at level ``number``."""
        self._above = slot
        level = self._levels[0]
        if number > 0 or level.uniform:
            return
        if level.network is not None:
            self._before = level.group_of_slot[slot]
            return
        if self._near is not None:
            self._far = (level.context[self._near >> level.shift] >> 6).astype(np.int64)
        self._near = slot


def _steps(positions: int, model: CodingModel) -> Iterator[tuple[int, int, LevelModel]]:
    for position in range(positions):
        for number, level in enumerate(model.levels):
            yield position, number, level


def bytes_max(positions: int, model: CodingModel) -> int:
    """No code of so many positions is longer: an index is two parts of at most TOTAL_BITS + 1 bits."""
    return positions * len(model.levels) * 2 * (TOTAL_BITS + 1) // 8 + 8


def encode(indices: NDArray[np.uint16], model: CodingModel) -> Codes:
    """Range codes of frames.

    Args:
        indices: uint16[n, P, M], each below 2^B.
        model: for M levels of B bits.
    """
    count, positions, _ = indices.shape
    coder, context = _Encoder(count, bytes_max(positions, model)), _Context(model, count)
    for position, number, level in _steps(positions, model):
        index = indices[:, position, number].astype(np.int64)
        if level.uniform:
            width = 1 << (TOTAL_BITS - model.index_bits)
            coder.put(index * width, np.full(count, width, np.int64))
            context.coded(number, index)
            continue
        slot = level.slot[index].astype(np.int64)
        group = level.group_of_slot[slot]
        table = context.cumulative(number)
        begin, end = _at(table, group), _at(table, group + 1)
        coder.put(begin, end - begin)
        members, rank = level.member_cumulative, slot - level.first[group]
        alone = level.sizes[group] == 1
        begin, end = members[group, rank], members[group, rank + 1]
        _put_some(coder, ~alone, begin, end - begin)
        context.coded(number, slot)
    return coder.end()


def _put_some(coder: _Encoder, chosen: NDArray[np.bool_], begin: NDArray[np.int64], size: NDArray[np.int64]) -> None:
    """Put for the chosen coders; the others keep their state."""
    if chosen.all():
        coder.put(begin, size)
        return
    low, wide = coder.low[~chosen], coder.range[~chosen]
    coder.put(np.where(chosen, begin, 0), np.where(chosen, size, 1 << TOTAL_BITS))
    # A whole range lost its remainder in the division: back to what it was; it emitted no byte, nor carried.
    coder.low[~chosen], coder.range[~chosen] = low, wide


def decode(data: NDArray[np.uint8], positions: int, model: CodingModel) -> NDArray[np.uint16]:
    """Indices that codes stand for; of bytes that are no code, some indices.

    Args:
        data: uint8[n, any], zero behind the end of each code.
        positions: P.
        model: what they were coded with.

    Returns:
        uint16[n, P, M]; :func:`encode` of them gives ``data`` again exactly where it was a code.
    """
    count = len(data)
    decoder, context = _Decoder(data), _Context(model, count)
    indices = np.empty((count, positions, len(model.levels)), np.uint16)
    for position, number, level in _steps(positions, model):
        value = decoder.value()
        if level.uniform:
            width = 1 << (TOTAL_BITS - model.index_bits)
            index = value // width
            decoder.take(index * width, np.full(count, width, np.int64))
            indices[:, position, number] = index
            context.coded(number, index)
            continue
        table = context.cumulative(number)
        group = (table[:, 1:-1] <= value[:, None]).sum(axis=1)
        begin, end = _at(table, group), _at(table, group + 1)
        decoder.take(begin, end - begin)
        slot = _member(decoder, level, group)
        indices[:, position, number] = level.index_of_slot[slot]
        context.coded(number, slot)
    return indices


def _at(table: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int64]:
    return table[np.arange(len(table)), column]


def _member(decoder: _Decoder, level: LevelModel, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Slot of the next index, whose group is known."""
    first, sizes = level.first.astype(np.int64), level.sizes[group]
    slot = first[group]
    chosen = np.flatnonzero(sizes > 1)
    if chosen.size:
        part = _subset(decoder, chosen)
        table = level.member_cumulative[group[chosen]]
        value = part.value()
        rank = np.minimum((table[:, 1:] <= value[:, None]).sum(axis=1), sizes[chosen] - 1)
        begin, end = _at(table, rank), _at(table, rank + 1)
        part.take(begin, end - begin)
        decoder.at[chosen], decoder.offset[chosen], decoder.range[chosen] = part.at, part.offset, part.range
        slot[chosen] += rank
    return slot


def _subset(decoder: _Decoder, chosen: NDArray[np.int64]) -> _Decoder:
    part: _Decoder = object.__new__(_Decoder)
    part.bytes, part.at = decoder.bytes[chosen], decoder.at[chosen]
    part.offset, part.range = decoder.offset[chosen], decoder.range[chosen]
    return part


def check_indices(indices: NDArray[np.uint16], model: CodingModel) -> None:
    """Raises ShapeError unless the indices are of the model's levels and width."""
    if indices.ndim != 3 or indices.shape[2] != len(model.levels) or (
        indices.size and int(indices.max()) >> model.index_bits
    ):
        raise ShapeError(
            f"indices {list(indices.shape)} do not fit {len(model.levels)} levels of {model.index_bits} bits"
        )
