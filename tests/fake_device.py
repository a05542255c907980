"""A device in Python behind a pseudo-terminal, with a line that can be made to fail in every way."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from kit.config import Config, parse_config
from kit.graph.codebook import IntegerCodebook
from kit.host.probes import stage_numbers
from kit.server.bundle import write_bundle
from kit.server.spec import DecoderSpec, Layer
from kit.wire.framing import Deframer, frame
from kit.wire.messages import Decoded, Hello, Value, encode
from kit.wire.packet import PacketLayout
from kit.wire.registry import BY_NAME, PROTOCOL_VERSION

BUILD_HASH = "0123456789abcdef"

Fault = Callable[[str, int, bytes], bytes]
"""Takes message name, how many of that name went before, and its line bytes; returns what goes on the line."""


def tiny_config(side_information: bool = True) -> Config:
    """Frames of 16 samples at 64 Hz, 4 positions, 2 levels of 2-bit indices: bodies of 5 bytes."""
    return parse_config(
        {
            "name": "tiny",
            "signal": {"frame_samples": 16},
            "model": {"embedding_dim": 2, "latent_width": 4, "num_levels": 2, "num_stages": 2},
            "packet": {"side_information": side_information},
        }
    )


LAYOUT = PacketLayout.from_config(tiny_config())
HELLO = Hello(
    protocol=PROTOCOL_VERSION,
    build_hash=BUILD_HASH,
    target="fake",
    engine="aot",
    sample_rate_mhz=64000,
    frame_samples=16,
    sample_bits=16,
    side_information=True,
    latent_positions=4,
    embedding_dim=2,
    num_levels=2,
    index_bits=2,
    packet_bytes=LAYOUT.body_bytes,
    embedded_frames=8,
    state_bytes=1000,
    arena_used_bytes=0,
)


def write_tiny_run(folder: Path, build_hash: str = BUILD_HASH) -> Path:
    """A run folder whose server bundle decodes packets of the fake device; returns the run folder."""
    integer = np.arange(16, dtype=np.int8).reshape(2, 4, 2) - 8
    codebook = IntegerCodebook(integer, np.array([3, 1], np.int32), 3, 0.0625, -2, integer.astype(np.float32))
    weights = {"head.kernel": np.ones((3, 2, 1), np.float32), "head.bias": np.array([0.25], np.float32)}
    decoder = DecoderSpec(4, 2, 16, (Layer("up0", "upsample", (0,), 4), Layer("head", "conv", (1,))), weights)
    write_bundle(folder / "server", tiny_config(), codebook, decoder, build_hash, "synthetic")
    return folder


def body(number: int) -> bytes:
    """The body of packet ``number``: different for the first few hundred."""
    indices = (np.arange(8).reshape(4, 2) + number) % 4
    return LAYOUT.pack(indices.astype(np.uint16), mean=number % 32768, scale_code=number % 255 + 1)


class FakeDevice:
    """Answers every request of the protocol from a thread. A context manager.

    Args:
        hello: what it says about itself.
        fault: applied to everything it sends.
        hangs_after: sends no packet beyond so many.
        interval_s: between packets.
        profile: stage number to (total, worst, visits) that PROFILE tells; ``profile_unit`` its unit.
    """

    def __init__(
        self,
        hello: Hello = HELLO,
        fault: Fault | None = None,
        hangs_after: int | None = None,
        interval_s: float = 0.0005,
        profile: Mapping[int, tuple[int, int, int]] | None = None,
        profile_unit: int = 1,
    ) -> None:
        self.hello = hello
        self.fault = fault
        self.hangs_after = hangs_after
        self.interval_s = interval_s
        self.profile = profile or {}
        self.profile_unit = profile_unit
        self.received: list[str] = []
        self.ignore: Counter[str] = Counter()
        """How many more requests of a name go unanswered."""
        self._sent: Counter[str] = Counter()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._gone = threading.Event()
        self._left = 0
        self._seq = 0
        self._request = 0
        self._packets = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> FakeDevice:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    @property
    def streaming(self) -> bool:
        """Packets are being sent."""
        return self._left != 0

    def got(self, name: str, timeout_s: float = 5.0) -> bool:
        """Whether a message of this name is, or soon becomes, the last one received."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.received and self.received[-1] == name:
                return True
            time.sleep(0.01)
        return False

    def unplug(self) -> None:
        """Vanish: the host's next read or write fails."""
        if not self._gone.is_set():
            self._gone.set()
            if threading.current_thread() is not self._thread:
                self._thread.join(5)
            os.close(self._slave)
            os.close(self._master)

    def reset(self) -> None:
        """Start anew while the port stays: nothing is streamed, every count is 0."""
        self._left = 0
        self._sent.clear()

    def raw(self, data: bytes) -> None:
        """Put bytes on the line."""
        while data and not self._gone.is_set():
            _, writable, _ = select.select([], [self._master], [], 0.1)
            if writable:
                data = data[os.write(self._master, data[:256]) :]

    def say(self, name: str, **values: Value) -> None:
        """Send a message through the fault."""
        self._line(name, frame(encode(name, **values)))

    def _line(self, name: str, data: bytes) -> None:
        number = self._sent[name]
        self._sent[name] += 1
        self.raw(self.fault(name, number, data) if self.fault else data)

    def _serve(self) -> None:
        deframer = Deframer()
        while not self._gone.is_set():
            wait = self.interval_s if self.streaming else 0.02
            readable, _, _ = select.select([self._master], [], [], wait)
            if readable:
                for message in deframer.feed(os.read(self._master, 4096)):
                    self.received.append(message.name)
                    if self.ignore[message.name] > 0:
                        self.ignore[message.name] -= 1
                        continue
                    self._answer(message)
            elif self.streaming:
                self._stream()

    def _answer(self, message: Decoded) -> None:
        name = message.name
        if name == "ENCODE_FRAME":
            frame_number = message.integer("frame")
            self.say("ENCODED", frame=frame_number, time_us=7, body=body(frame_number))
            return
        request = message.integer("request")
        if name == "HELLO_REQUEST":
            self._line("HELLO", frame(self.hello.to_message(request)))
        elif name == "STREAM_START":
            self._seq, self._request = 0, request
            self._packets = message.integer("packets")
            self._left = self._packets or -1
            self.say("STREAM_STATE", request=request, state=1, packets=0, dropped=0)
        elif name == "STREAM_STOP":
            self._left = 0
            self.say("STREAM_STATE", request=request, state=0, packets=self._seq, dropped=0)
        elif name == "SELF_TEST":
            self.say("SELF_TEST_RESULT", request=request, frames=8, failed=0, first_failed=0)
        elif name == "PROFILE_REQUEST":
            stage = message.integer("stage")
            total, worst, visits = self.profile.get(stage, (0, 0, 0))
            self.say(
                "PROFILE", request=request, stage=stage, stages=stage_numbers().count, unit=self.profile_unit, frames=8,
                visits=visits, total_low=total & 0xFFFF_FFFF, total_high=total >> 32, worst=worst,
            )  # fmt: skip
        elif name == "COUNTERS_REQUEST":
            zeros = {field.name: 0 for field in BY_NAME["COUNTERS"].fields if field.name != "request"}
            self.say("COUNTERS", request=request, **{**zeros, "tx_packets": self._sent["PACKET"]})

    def _stream(self) -> None:
        if self.hangs_after is not None and self._seq >= self.hangs_after:
            time.sleep(0.01)
            return
        self.say("PACKET", seq=self._seq & 0xFFFF, time_ms=self._seq * 250 & 0xFFFF, body=body(self._seq))
        self._seq += 1
        if self._left > 0:
            self._left -= 1
            if self._left == 0:
                self.say("STREAM_STATE", request=self._request, state=2, packets=self._seq, dropped=0)


def other_build() -> Hello:
    """A hello of a build nobody knows."""
    return replace(HELLO, build_hash="fedcba9876543210")
