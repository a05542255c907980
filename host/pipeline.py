"""Frames to a device over its link, as many at a time as it has credits for, and how long everything took.

The device answers frames in the order in which they came (firmware/PROTOCOL.md, rule 8). An answer to a later frame
therefore tells that an earlier one, or its answer, was lost on the line, and the frame is sent again at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import LinkTimeout
from kit.host.link import ATTEMPTS, Link
from kit.wire.messages import Decoded
from kit.wire.registry import BY_NAME

_NUMBERS = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFrames:
    """What came back for n frames.

    Attributes:
        bodies: uint8[n, row_bytes] (:mod:`kit.wire.packet`).
        time_us: float64[n], encoding time the device measured.
        round_trip_s: float64[n], from handing the frame to the line to its answer.
        seconds: from the first frame to the last answer.
        sent_again: frames sent once more because they or their answers were lost.
        credits: frames that were under way at a time.
    """

    bodies: NDArray[np.uint8]
    time_us: NDArray[np.float64]
    round_trip_s: NDArray[np.float64]
    seconds: float
    sent_again: int
    credits: int

    @property
    def frames_per_second(self) -> float:
        """Throughput."""
        return len(self.bodies) / self.seconds if self.seconds > 0 else float("inf")

    def as_dict(self) -> dict[str, Any]:
        """Figures for a report."""
        low, high = np.percentile(self.round_trip_s, [50, 99])
        return {
            "frames": len(self.bodies),
            "credits": self.credits,
            "seconds": self.seconds,
            "frames_per_second": self.frames_per_second,
            "round_trip_ms_p50": 1e3 * float(low),
            "round_trip_ms_p99": 1e3 * float(high),
            "device_us_p50": float(np.percentile(self.time_us, 50)),
            "device_us_p99": float(np.percentile(self.time_us, 99)),
            "sent_again": self.sent_again,
        }


@dataclass(slots=True)
class _Flight:
    """A frame on its way."""

    index: int
    attempts: int
    sent_s: float
    due_s: float


class _Pipeline:
    """The window of frames under way."""

    def __init__(self, link: Link, frames: NDArray[Any], credits: int) -> None:
        self.link, self.frames, self.credits = link, frames, credits
        self.flights: deque[_Flight] = deque()
        self.next_index = 0
        self.sent_again = 0
        self.bodies: list[bytes] = [b""] * len(frames)
        self.time_us = np.zeros(len(frames))
        self.round_trip_s = np.zeros(len(frames))

    def fill(self) -> None:
        """Use every credit."""
        while len(self.flights) < self.credits and self.next_index < len(self.frames):
            self.launch(self.next_index, 1)
            self.next_index += 1

    def launch(self, index: int, attempts: int) -> None:
        """Send a frame; its answer is due behind those of the frames before it."""
        sent_s = self.link.clock()
        allowed_s = self.link.send_frame(index % _NUMBERS, self.frames[index])
        before_s = max((flight.due_s - flight.sent_s for flight in self.flights), default=0.0)
        self.flights.append(_Flight(index, attempts, sent_s, sent_s + allowed_s + before_s))

    def again(self, flight: _Flight) -> None:
        """Send a lost frame once more, behind the others."""
        if flight.attempts == ATTEMPTS:
            raise LinkTimeout(f"{self.link.name}: no answer to ENCODE_FRAME {flight.index}", "reset the device")
        self.sent_again += 1
        self.launch(flight.index, flight.attempts + 1)

    def take(self, message: Decoded) -> bool:
        """Handle a message; whether it finished a frame."""
        if message.name == "ERROR":
            for flight in self.flights:
                if message.integer("request") == flight.index & 0xFF:
                    self.link.raise_refusal("ENCODE_FRAME", message, flight.attempts - 1)
        if message.name != "ENCODED":
            return False
        number = message.integer("frame")
        if not any(flight.index % _NUMBERS == number for flight in self.flights):
            return False  # late answer to a frame that was sent again and has been answered since
        lost = []
        while (flight := self.flights.popleft()).index % _NUMBERS != number:
            lost.append(flight)
        self.bodies[flight.index] = message.data("body")
        self.time_us[flight.index] = message.integer("time_us")
        self.round_trip_s[flight.index] = self.link.clock() - flight.sent_s
        for missing in lost:
            self.again(missing)
        return True


def encode_frames(
    link: Link,
    frames: NDArray[Any],
    progress: Callable[[int, int], None] | None = None,
    credits: int | None = None,
) -> EncodedFrames:
    """Have the device encode frames, with up to ``credits`` of them under way.

    Args:
        link: after its hello, and not streaming.
        frames: int16 or int32 [n, T], n >= 1, in the device's container type.
        progress: called with (frames done, frames in all).
        credits: the device's own number when None; more than that overruns it.

    Raises:
        LinkTimeout: a frame stays unanswered.
        LinkError: the line is gone, the device refuses, or the frames do not fit it.
    """
    pipeline = _Pipeline(link, frames, credits or link.device.credits)
    begun, done = link.clock(), 0
    while done < len(frames):
        pipeline.fill()
        oldest = pipeline.flights[0]
        message = link.receive(oldest.due_s - link.clock())
        if message is None:
            pipeline.again(pipeline.flights.popleft())
        elif pipeline.take(message):
            done += 1
            if progress is not None:
                progress(done, len(frames))
    return EncodedFrames(
        bodies=link.device.layout.rows(pipeline.bodies),
        time_us=pipeline.time_us,
        round_trip_s=pipeline.round_trip_s,
        seconds=link.clock() - begun,
        sent_again=pipeline.sent_again,
        credits=pipeline.credits,
    )


def device_counters(link: Link) -> dict[str, int]:
    """COUNTERS of the device by name.

    Raises:
        LinkError: no answer, or the line is gone.
    """
    answer = link.request("COUNTERS_REQUEST")
    return {field.name: answer.integer(field.name) for field in BY_NAME["COUNTERS"].fields if field.name != "request"}
