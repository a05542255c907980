"""A source as decoded signal, block by block: what came, what is missing, what was concealed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config, CsvSource
from kit.errors import CaptureError, ShapeError
from kit.host.conceal import HISTORY_FRAMES, conceal, predictor_order
from kit.host.decode_source import Extent, Frame, Missing, Session, Source, SourceFacts, SourceNotes
from kit.server.bundle import Bundle
from kit.wire.packet import Packets

BLOCK_FRAMES = 256
RECEIVED, CONCEALED, MISSING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands in the header of every output.

    Attributes:
        source: where the frames come from.
        extent: how many there are.
        units: ``ADC codes``, or ``frame scales`` where packets carry no side information.
        codes_per_unit: ADC codes per unit of the recordings where the build's data source names one factor.
        label: datasets of the decoder.
        kind: ``ppg`` or ``ecg``.
        conceal: single missing frames are filled in.
    """

    source: SourceFacts
    extent: Extent
    units: str
    codes_per_unit: float | None
    label: str
    kind: str
    conceal: bool

    @property
    def text(self) -> str:
        """One line for the header of a file."""
        concealed = "; single lost frames concealed" if self.conceal else ""
        started = self.source.started or "an unknown time"
        return f"build {self.source.build_hash}, decoder of {self.label}, started {started}{concealed}"


@dataclass(frozen=True, slots=True)
class Block:
    """Frames that follow each other without a pause.

    Attributes:
        first_sample: of the first frame, on the capture's line of time.
        first_frame: number of the first frame, over all sessions.
        session: number of their session.
        signal: float32[n, T]; NaN where MISSING.
        state: uint8[n]: RECEIVED, CONCEALED or MISSING.
        host_time_s: float64[n], arrival; NaN where not received.
        device_time_s: float64[n], last sample by the device's clock; NaN where not received.
        fields: indices and side information; 0 where not received.
        reason: why frames are missing, by frame; empty where received.
    """

    first_sample: int
    first_frame: int
    session: int
    signal: NDArray[np.float32]
    state: NDArray[np.uint8]
    host_time_s: NDArray[np.float64]
    device_time_s: NDArray[np.float64]
    fields: Packets
    reason: list[str]


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing was taken between two sessions."""

    first_sample: int
    samples: int
    reason: str


def codes_per_unit(config: Config) -> float | None:
    """ADC codes per unit of the recordings, None where the sources do not name one factor."""
    scales = {source.scale if isinstance(source, CsvSource) else None for source in config.data.sources}
    return scales.pop() if len(scales) == 1 else None


def find_facts(source: Source, extent: Extent, bundle: Bundle, conceal_single: bool) -> Facts:
    """Facts of an output.

    Raises:
        CaptureError: the bundle is of another build, or of another packet layout.
    """
    found = source.facts
    if bundle.build_hash != found.build_hash:
        raise CaptureError(
            f"the capture is of build {found.build_hash}, the server bundle of build {bundle.build_hash}",
            "give the server folder of the build that was captured",
        )
    config, layout = bundle.config, found.layout
    sizes = (
        layout.frame_samples, layout.latent_positions, layout.num_levels, layout.side_information, layout.coding
    )  # fmt: skip
    if sizes != (
        config.signal.frame_samples,
        config.latent_positions,
        config.model.num_levels,
        config.packet.side_information,
        config.packet.coding,
    ):
        raise CaptureError("the capture's packet layout is not that of its build", "capture again")
    side = layout.side_information
    return Facts(
        source=found,
        extent=extent,
        units="ADC codes" if side else "frame scales",
        codes_per_unit=codes_per_unit(config) if side else None,
        label=bundle.label,
        kind=config.signal.kind,
        conceal=conceal_single,
    )


class BlockReader:
    """Decodes a source; iterate over it once.

    Attributes:
        concealed: frames concealed so far.
        unreadable: frames so far that came with impossible content and count as missing.
    """

    def __init__(self, source: Source, facts: Facts, bundle: Bundle) -> None:
        self.concealed = self.unreadable = 0
        self._source = source
        self._layout = facts.source.layout.with_model(bundle.coding)
        self._conceal = facts.conceal
        self._order = predictor_order(facts.source.sample_rate_hz)
        self._bundle = bundle
        self._rows: list[Frame | str] = []
        self._session = 0
        self._sample = 0
        self._frame = 0
        self._history = np.zeros((0, self._layout.frame_samples), np.float32)

    def __iter__(self) -> Iterator[Block | Pause]:
        for event in self._source.events(SourceNotes()):
            if isinstance(event, Frame):
                self._rows.append(event)
                if len(self._rows) >= BLOCK_FRAMES:
                    yield self._block()
            elif isinstance(event, Missing):
                yield from self._missing(event)
            else:
                yield from self._begin(event)
        if self._rows:
            yield self._block()

    def _begin(self, event: Session) -> Iterator[Block | Pause]:
        if self._rows:
            yield self._block()
        self._session = event.number
        self._history = self._history[:0]
        if event.pause_samples:
            yield Pause(self._sample, event.pause_samples, event.reason)
            self._sample += event.pause_samples

    def _missing(self, event: Missing) -> Iterator[Block]:
        """Few go into the block with their neighbours; many fill blocks of their own."""
        if event.frames <= BLOCK_FRAMES:
            self._rows += [event.reason] * event.frames
            return
        if self._rows:
            yield self._block()
        left = event.frames
        while left:
            self._rows = [event.reason] * min(left, BLOCK_FRAMES)
            left -= len(self._rows)
            yield self._block()

    def _block(self) -> Block:
        rows, self._rows = self._rows, []
        count, samples = len(rows), self._layout.frame_samples
        state = np.array([RECEIVED if isinstance(row, Frame) else MISSING for row in rows], np.uint8)
        fields = self._unpack(rows, state)
        signal = np.full((count, samples), np.nan, np.float32)
        good = state == RECEIVED
        if good.any():
            mean = None if fields.mean is None else fields.mean[good]
            scale = None if fields.scale_code is None else fields.scale_code[good]
            signal[good] = self._bundle.decode(fields.indices[good], mean, scale)
        if self._conceal:
            self._fill(signal, state)
        block = Block(
            first_sample=self._sample,
            first_frame=self._frame,
            session=self._session,
            signal=signal,
            state=state,
            host_time_s=np.array([row.host_time_s if isinstance(row, Frame) else np.nan for row in rows]),
            device_time_s=np.array([row.device_time_s if isinstance(row, Frame) else np.nan for row in rows]),
            fields=fields,
            reason=["" if isinstance(row, Frame) else row for row in rows],
        )
        self._sample += count * samples
        self._frame += count
        return block

    def _unpack(self, rows: list[Frame | str], state: NDArray[np.uint8]) -> Packets:
        """Fields of the received rows, 0 elsewhere; rows of impossible content become missing."""
        layout = self._layout
        # Of no frame stands the shortest body that there is.
        none = layout.pack(np.zeros((layout.latent_positions, layout.num_levels), np.uint16))
        bodies = layout.rows([row.body if isinstance(row, Frame) else none for row in rows])
        try:
            return layout.unpack_batch(bodies)
        except ShapeError:
            for number in range(len(rows)):
                try:
                    layout.unpack_batch(bodies[number : number + 1])
                except ShapeError:
                    rows[number] = "unreadable"
                    state[number] = MISSING
                    bodies[number] = layout.rows([none])[0]
                    self.unreadable += 1
            return layout.unpack_batch(bodies)

    def _fill(self, signal: NDArray[np.float32], state: NDArray[np.uint8]) -> None:
        """Conceal every missing frame that stands alone between two that came."""
        offset = len(self._history)
        line = np.concatenate([self._history, signal])
        came = np.concatenate([np.ones(offset, np.bool_), state == RECEIVED])
        for number in np.flatnonzero(state == MISSING):
            at = int(number) + offset
            if at == 0 or at + 1 >= len(line) or not came[at - 1] or not came[at + 1]:
                continue
            first = at - 1
            while first > 0 and at - first < HISTORY_FRAMES and came[first - 1]:
                first -= 1
            filled = conceal(line[first:at].ravel(), line[at + 1], line.shape[1], self._order)
            signal[number] = filled
            state[number] = CONCEALED
            self.concealed += 1
        last = len(line)
        while last > 0 and len(line) - last < HISTORY_FRAMES and came[last - 1]:
            last -= 1
        self._history = line[last:].copy()


def spread(values: NDArray[Any], facts: Facts) -> NDArray[Any]:
    """Values per frame repeated for every sample of the frame."""
    return np.repeat(values, facts.source.layout.frame_samples)
