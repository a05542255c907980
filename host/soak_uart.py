"""The benchmark behind ``kit soak uart``: host to device over a simulated one-byte UART at 115200 baud."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.errors import LinkTimeout
from kit.files import read_npz
from kit.host.firmware import Firmware
from kit.host.link import Link
from kit.host.link_runner import greet
from kit.host.pipeline import EncodedFrames, device_counters, encode_frames
from kit.host.uart_model import Processor, start_uart_model
from kit.wire.packet import line_bytes

BAUD_RATE = 115200
BITS_PER_BYTE = 10
"""Start bit, eight data bits, stop bit."""


@dataclass(frozen=True, slots=True, eq=False)
class UartSoak:
    """What a run showed.

    Attributes:
        build_hash: of the firmware.
        processor: how fast the simulated one was.
        frames: how many were to be encoded.
        credits: how many were under way at a time.
        encoded: what came back, in simulated seconds; None when the device gave up answering.
        failure: how it gave up, else empty.
        wrong: packets that differ from their reference.
        counters: the device's, at the end.
        frame_line_bytes: bytes that a frame takes on the line towards the device, at most.
        answer_line_bytes: and its answer.
    """

    build_hash: str
    processor: Processor
    frames: int
    credits: int
    encoded: EncodedFrames | None
    failure: str
    wrong: int
    counters: dict[str, int]
    frame_line_bytes: int
    answer_line_bytes: int

    @property
    def passed(self) -> bool:
        """Nothing was lost on the line, and every packet is right."""
        whole = self.encoded is not None and self.encoded.sent_again == 0
        return whole and self.wrong == 0 and self.counters["rx_lost"] == 0

    @property
    def line_frames_per_second(self) -> float:
        """What the line alone would allow."""
        return BAUD_RATE / BITS_PER_BYTE / self.frame_line_bytes

    def as_dict(self) -> dict[str, Any]:
        """Figures for a report."""
        return {
            "build_hash": self.build_hash,
            "target": "native-uart, simulated time",
            "baud": BAUD_RATE,
            "turn_us": self.processor.turn_us,
            "turn_us_max": self.processor.turn_us_max,
            "polled": self.processor.polled,
            "frame_line_bytes": self.frame_line_bytes,
            "answer_line_bytes": self.answer_line_bytes,
            "line_frames_per_second": self.line_frames_per_second,
            "wrong_packets": self.wrong,
            "passed": self.passed,
            "device_counters": self.counters,
            "frames": self.frames,
            "credits": self.credits,
            "failure": self.failure,
            **({} if self.encoded is None else self.encoded.as_dict()),
        }

    def lines(self) -> list[str]:
        """The figures in words."""
        counters = self.counters
        receiver = "looks into the receive register once per turn" if self.processor.polled else "receive interrupt"
        again = 0 if self.encoded is None else self.encoded.sent_again
        return [
            f"build {self.build_hash} on native-uart, {BAUD_RATE} baud, {receiver}; turns of "
            f"{self.processor.turn_us} us, one in sixteen {self.processor.turn_us_max} us; simulated time",
            f"  {self.frames} frames, {self.credits} under way: {counters['rx_lost']} receive overruns, "
            f"{again} sent again, {self.wrong} wrong packets",
            *([f"  {self.failure}"] if self.encoded is None else self._times(self.encoded)),
            f"  receive ring: {counters['rx_queue_max']} of {counters['rx_queue_bytes']} bytes at most; "
            f"transmit queue: {counters['tx_queue_max']} of {counters['tx_queue_bytes']}; "
            f"longest turn {counters['pass_us_max']} us",
        ]

    def _times(self, encoded: EncodedFrames) -> list[str]:
        found = encoded.as_dict()
        share = 100 * encoded.frames_per_second / self.line_frames_per_second
        return [
            f"  {encoded.frames_per_second:.3f} frames/s in {encoded.seconds:.1f} s ({share:.1f} % of the "
            f"{self.line_frames_per_second:.2f} frames/s that the line carries)",
            f"  round trip {found['round_trip_ms_p50']:.1f} ms (p50), {found['round_trip_ms_p99']:.1f} ms (p99); "
            f"encoding {found['device_us_p50'] / 1e3:.1f} ms (p50), {found['device_us_p99'] / 1e3:.1f} ms (p99)",
        ]


def soak(
    firmware: Firmware,
    frames: int,
    processor: Processor | None = None,
    credits: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> UartSoak:
    """Send ``frames`` frames of vectors.npz, around and around, and compare what comes back.

    Args:
        firmware: build with its artifacts.
        frames: at least 1.
        processor: how fast the device is.
        credits: frames under way; what the device says when None.
        progress: called with (frames done, frames in all).

    Raises:
        LinkError: the device does not answer at all.
        KitError: the firmware cannot be built, or its artifacts are damaged.
    """
    vectors = read_npz(firmware.artifacts / "vectors.npz")
    chosen = np.arange(frames) % len(vectors["frames"])
    simulated = processor or Processor()
    with start_uart_model(firmware, simulated) as model, Link(model, clock=model.clock) as link:
        greet(link, firmware)
        encoded, failure = None, ""
        try:
            encoded = encode_frames(link, vectors["frames"][chosen], progress, credits)
        except LinkTimeout as error:
            # What too many frames under way lead to; the counters still tell why.
            failure = error.what
        under_way = credits or link.device.credits
        counters = device_counters(link)
    wrong = 0 if encoded is None else int((encoded.bodies != vectors["packets"][chosen]).any(axis=1).sum())
    layout = firmware.layout
    return UartSoak(
        build_hash=firmware.build_hash,
        processor=simulated,
        frames=frames,
        credits=under_way,
        encoded=encoded,
        failure=failure,
        wrong=wrong,
        counters=counters,
        frame_line_bytes=1 + line_bytes("ENCODE_FRAME", layout.frame_samples * layout.sample_bytes),
        answer_line_bytes=line_bytes("ENCODED", layout.frame_bytes),
    )
