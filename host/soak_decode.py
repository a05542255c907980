"""``kit soak decode``: a long capture of a build's own packets, decoded in a process whose memory is watched."""

from __future__ import annotations

import datetime
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kit.errors import ArtifactError
from kit.files import read_npz
from kit.host.capture_file import CaptureHeader, CaptureWriter
from kit.host.decode import FORMATS, DecodeSummary, decode_capture
from kit.host.firmware import Firmware
from kit.host.process_meter import read_process
from kit.wire.messages import Hello
from kit.wire.registry import PROTOCOL_VERSION

GROWTH_BYTES_MAX = 2 << 20
RATE_MIN = 1000.0
WARM_UP_SHARE = 0.5
"""Of the frames, before which memory may step up: a block of every thread has to coincide with every other once. What
grows with the capture grows in its second half too."""


@dataclass(slots=True)
class DecodeSoak:
    """What a run showed.

    Attributes:
        format: of the output.
        summary: of the decoding.
        seconds: of the wall clock.
        cpu_seconds: of all threads.
        capture_bytes: size of the capture.
        warm_bytes: memory after the warm-up.
        peak_bytes: most memory after it.
        load: of the machine at the end, processes.
    """

    format: str
    summary: DecodeSummary
    seconds: float
    cpu_seconds: float
    capture_bytes: int
    warm_bytes: int
    peak_bytes: int
    load: float
    readings: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Frames per second of the wall clock."""
        return self.summary.frames / self.seconds

    @property
    def growth_bytes(self) -> int:
        """Growth of memory after the warm-up."""
        return max(0, self.peak_bytes - self.warm_bytes)

    def broken(self, rate_min: float) -> list[str]:
        """Claims that do not hold."""
        claims = []
        if self.growth_bytes > GROWTH_BYTES_MAX:
            claims.append(f"memory grew by {self.growth_bytes / 2**20:.1f} MiB")
        if self.rate < rate_min:
            claims.append(f"{self.rate:.0f} frames per second are fewer than {rate_min:.0f}")
        return claims


def hello_of(firmware: Firmware) -> Hello:
    """What a device of this firmware says, as far as a decoder looks at it."""
    config, layout = firmware.config, firmware.layout
    return Hello(
        protocol=PROTOCOL_VERSION,
        build_hash=firmware.build_hash,
        target="synthetic",
        engine=config.firmware.engine,
        sample_rate_mhz=config.signal.sample_rate_hz * 1000,
        frame_samples=layout.frame_samples,
        sample_bits=layout.sample_bits,
        side_information=layout.side_information,
        latent_positions=layout.latent_positions,
        embedding_dim=config.model.embedding_dim,
        num_levels=layout.num_levels,
        index_bits=layout.index_bits,
        packet_bytes=layout.body_bytes,
        embedded_frames=1,
        state_bytes=1,
        arena_used_bytes=0,
        frames_per_packet=layout.frames_per_packet,
        frame_bytes=layout.frame_bytes,
        coding=layout.coding,
    )


def write_long_capture(path: Path, firmware: Firmware, frames: int, loss: float, seed: int = 1) -> None:
    """A capture of the build's reference packets, around and around, of which a share is lost.

    Raises:
        ArtifactError: the build has no reference packets.
        CaptureError: the file cannot be written.
    """
    vectors: dict[str, Any] = read_npz(firmware.artifacts / "vectors.npz")
    if "packets" not in vectors or len(vectors["packets"]) == 0:
        raise ArtifactError(f"{firmware.artifacts} holds no reference packets", "rebuild with kit build-firmware")
    layout, hello = firmware.layout, hello_of(firmware)
    bodies = layout.bodies(np.asarray(vectors["packets"], np.uint8))
    per_packet = hello.frames_per_packet
    started = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc).isoformat()
    header = CaptureHeader(hello, hello.layout, started, "synthetic", "realtime", "", str(vectors.get("source", "")))
    lost = random.Random(seed)
    packet_ms = 1000.0 * hello.packet_seconds
    with CaptureWriter(path, header) as writer:
        writer.begin_session(hello, "synthetic")
        for number in range(-(-frames // per_packet)):
            if number and lost.random() < loss:
                continue
            at = number * per_packet
            body = layout.join([bodies[(at + i) % len(bodies)] for i in range(per_packet)])
            writer.packet(number, round((number + 1) * packet_ms) & 0xFFFF, body)


def soak_decode(
    firmware: Firmware,
    server: Path,
    frames: int,
    format_name: str,
    conceal: bool,
    loss: float,
    progress: Callable[[int, int], None] | None = None,
) -> DecodeSoak:
    """Write a long capture, decode it, and watch this process meanwhile.

    Raises:
        RunnerError: this system does not tell the memory of a process.
        CaptureError, ArtifactError, ToolchainError: as :func:`~kit.host.decode.decode_capture`.
    """
    readings: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory(prefix="kit-soak-") as folder:
        path = Path(folder) / "long.kitcap"
        write_long_capture(path, firmware, frames, loss)

        def watch(done: int, total: int) -> None:
            reading = read_process(os.getpid())
            if reading is not None:
                readings.append((done, reading.memory_bytes))
            if progress is not None:
                progress(done, total)

        cpu, begun = time.process_time(), time.monotonic()
        summary = decode_capture(path, server, Path(folder) / f"long{FORMATS[format_name].suffix}", watch, conceal)
        seconds, cpu_seconds = time.monotonic() - begun, time.process_time() - cpu
        size = path.stat().st_size
    warm = max(memory for done, memory in readings if done <= max(readings[0][0], WARM_UP_SHARE * summary.frames))
    return DecodeSoak(
        format=format_name,
        summary=summary,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        capture_bytes=size,
        warm_bytes=warm,
        peak_bytes=max(memory for _, memory in readings),
        load=os.getloadavg()[0],
        readings=[memory for _, memory in readings],
    )
