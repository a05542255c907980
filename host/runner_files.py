"""Files of the bulk runner (``kit_runner IN OUT``): frames in, latents and packets out; all integers little-endian.

IN: "KITV", u32 version, u32 frame_samples, u32 frames, then the samples (int16 or int32, the build's container).
OUT: "KITR", u32 version, u8 build_hash[8], u32 frames, u32 latent_bytes, u32 packet_bytes, then for each frame int8
latents [P * D] and the packet as a row (:mod:`kit.wire.packet`), whose length is packet_bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import RunnerError

VERSION = 1
_IN = struct.Struct("<4sIII")
_OUT = struct.Struct("<4sI8sIII")


@dataclass(frozen=True, slots=True)
class RunnerOutput:
    """Content of an OUT file: 16 hex digits, int8[n, latent_bytes], uint8[n, packet_bytes]."""

    build_hash: str
    latents: NDArray[np.int8]
    packets: NDArray[np.uint8]


def input_bytes(frames: NDArray[Any], sample_bytes: int) -> bytes:
    """An IN file of integer frames [n, T]."""
    count, samples = frames.shape
    return _IN.pack(b"KITV", VERSION, samples, count) + frames.astype(f"<i{sample_bytes}").tobytes()


def parse_output(data: bytes, frames: int, latent_bytes: int, packet_bytes: int) -> RunnerOutput:
    """Content of an OUT file.

    Args:
        data: the file.
        frames: how many it must hold.
        latent_bytes: P * D.
        packet_bytes: length of a packet's row.

    Raises:
        RunnerError: truncated, or of other sizes.
    """
    if len(data) < _OUT.size:
        raise RunnerError(f"the runner's output has {len(data)} bytes, less than its header")
    magic, version, build_hash, got_frames, got_latent, got_packet = _OUT.unpack_from(data)
    if magic != b"KITR" or version != VERSION:
        raise RunnerError(
            f"the runner's output begins with {magic!r} version {version}, want b'KITR' version {VERSION}"
        )
    got, want = (got_frames, got_latent, got_packet), (frames, latent_bytes, packet_bytes)
    if got != want:
        raise RunnerError(f"the runner's output has (frames, latent bytes, packet bytes) {got}, want {want}")
    row = latent_bytes + packet_bytes
    if len(data) != _OUT.size + frames * row:
        raise RunnerError(f"the runner's output has {len(data)} bytes, want {_OUT.size + frames * row}")
    table = np.frombuffer(data, np.uint8, offset=_OUT.size).reshape(frames, row)
    latents = np.ascontiguousarray(table[:, :latent_bytes]).view(np.int8)
    return RunnerOutput(build_hash.hex(), latents, np.ascontiguousarray(table[:, latent_bytes:]))
