"""Decodes a capture while it runs, in a thread of its own, for whoever wants to watch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kit.errors import KitError
from kit.host.capture import CaptureState
from kit.host.capture_file import GapRecord, PacketRecord, Record, SessionRecord
from kit.server.bundle import Bundle
from kit.wire.packet import PacketLayout

QUEUE_RECORDS = 4096
"""Records that may wait to be decoded; beyond, the live stream leaves out what the file has all the same."""
BATCH_PACKETS = 64


@dataclass(frozen=True, slots=True)
class LivePacket:
    """A packet with its signal.

    Attributes:
        record: as stored.
        start_s: moment of its first sample in seconds since the capture began: start of the stream by the host's clock,
            from there on by the device's sample clock.
        indices: uint16[frames_per_packet, P, M].
        samples: float32[frames_per_packet * T], None without a decoder.
    """

    record: PacketRecord
    start_s: float
    indices: NDArray[np.uint16]
    samples: NDArray[np.float32] | None


class LiveOutput(Protocol):
    """Takes what :class:`LiveFeed` decodes; every method is called from the feed's thread."""

    needs_signal: bool
    """Whether it has any use for packets without a decoder."""

    def begin(self, state: CaptureState) -> None:
        """Before everything else."""

    def packet(self, packet: LivePacket) -> None:
        """A packet, in order."""

    def gap(self, gap: GapRecord) -> None:
        """Signal is missing before the next packet."""

    def end(self) -> None:
        """Nothing more will come."""


class LiveFeed:
    """A capture's observer: queues what is stored, decodes it in batches, hands it on."""

    def __init__(self, outputs: Sequence[LiveOutput]) -> None:
        """Args: outputs in the order in which they are served."""
        self.skipped = 0
        """Records that the outputs were too slow for."""
        self.problem: KitError | None = None
        """Why the feed stopped early."""
        self._outputs = list(outputs)
        self._queue: queue.Queue[Record | None] = queue.Queue(QUEUE_RECORDS)
        self._thread: threading.Thread | None = None
        self._session_start_s = 0.0

    def begin(self, state: CaptureState) -> None:
        """See :class:`kit.host.capture.Observer`.

        Raises:
            KitError: an output has no use for a capture without a decoder, or cannot start.
        """
        if state.bundle is None and any(output.needs_signal for output in self._outputs):
            raise KitError(
                "decoded samples need the decoder of the device's build, which is not known here",
                "give --run or --server of that build",
            )
        if state.bundle is None and state.header.layout.variable:
            raise KitError(
                "range-coded packets cannot be shown without the coding model of their build, which is not known here",
                "give --run or --server of that build",
            )
        for output in self._outputs:
            output.begin(state)
        self._layout = state.header.layout
        self._bundle = state.bundle
        self._packet_s = state.hello.packet_seconds
        self._thread = threading.Thread(target=self._work, daemon=True, name="live feed")
        self._thread.start()

    def record(self, record: Record) -> None:
        """See :class:`kit.host.capture.Observer`."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.skipped += 1

    def close(self) -> None:
        """Hand on what is queued, then end the outputs; may be called twice, and without :meth:`begin`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _work(self) -> None:
        try:
            while self._serve(self._collect()):
                pass
        except KitError as error:
            self.problem = error
            while self._queue.get() is not None:
                pass
        finally:
            for output in self._outputs:
                output.end()

    def _collect(self) -> list[Record | None]:
        """At least one record, and those that wait behind it."""
        records = [self._queue.get()]
        while len(records) < BATCH_PACKETS and records[-1] is not None:
            try:
                records.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return records

    def _serve(self, records: list[Record | None]) -> bool:
        """Hand records on; False when the end is among them."""
        packets = [record for record in records if isinstance(record, PacketRecord)]
        decoded = iter(decode_bodies(self._layout, self._bundle, [packet.body for packet in packets]))
        for record in records:
            if isinstance(record, PacketRecord):
                indices, samples = next(decoded)
                start_s = self._session_start_s + record.number * self._packet_s
                live = LivePacket(record, start_s, indices, samples)
                for output in self._outputs:
                    output.packet(live)
            elif isinstance(record, GapRecord):
                for output in self._outputs:
                    output.gap(record)
            elif isinstance(record, SessionRecord):
                self._session_start_s = record.time_us / 1e6
        return None not in records


def decode_bodies(
    layout: PacketLayout, bundle: Bundle | None, bodies: Sequence[bytes]
) -> list[tuple[NDArray[np.uint16], NDArray[np.float32] | None]]:
    """Indices and, with a bundle, samples of packet bodies.

    Raises:
        ShapeError: bodies of another layout.
    """
    if not bodies:
        return []
    layout = layout.with_model(None if bundle is None else bundle.coding)
    frames = np.concatenate([layout.frames(body) for body in bodies])
    fields = layout.unpack_batch(frames)
    count = layout.frames_per_packet
    indices = fields.indices.reshape(len(bodies), count, layout.latent_positions, layout.num_levels)
    if bundle is None:
        return [(part, None) for part in indices]
    signal = bundle.decode(fields.indices, fields.mean, fields.scale_code).reshape(len(bodies), -1)
    return list(zip(indices, signal, strict=True))
