"""Files of the bulk runner (``kit_runner IN OUT``): frames in, latents and packets out; all integers little-endian.

IN: "KITV", u32 version, u32 frame_samples, u32 frames, then the samples (int16 or int32, the build's container).
OUT: "KITR", u32 version, u8 build_hash[8], u32 frames, u32 latent_bytes, u32 packet_bytes, then for each frame int8
latents [P * C * D] and the packet as a row (:mod:`kit.wire.packet`), whose length is packet_bytes. Of an image with
taps, "KITT", and before the latents of a frame the output columns of every layer: u8 layer, u16 position, u16 channels,
int8 [channels], in any order of layers; u8 255 ends them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import RunnerError

VERSION = 1
_IN = struct.Struct("<4sIII")
_OUT = struct.Struct("<4sI8sIII")
_TAP = struct.Struct("<BHH")
_TAP_END = 255


@dataclass(frozen=True, slots=True)
class RunnerOutput:
    """Content of an OUT file: 16 hex digits, int8[n, latent_bytes], uint8[n, packet_bytes].

    Attributes:
        layers: by the operator's number, int8[n, W, C], of those columns that were computed; empty without taps.
    """

    build_hash: str
    latents: NDArray[np.int8]
    packets: NDArray[np.uint8]
    layers: dict[int, NDArray[np.int8]] = field(default_factory=dict)


def input_bytes(frames: NDArray[Any], sample_bytes: int) -> bytes:
    """An IN file of integer frames [n, T]."""
    count, samples = frames.shape
    return _IN.pack(b"KITV", VERSION, samples, count) + frames.astype(f"<i{sample_bytes}").tobytes()


def parse_output(
    data: bytes, frames: int, latent_bytes: int, packet_bytes: int, taps: bool = False
) -> RunnerOutput:
    """Content of an OUT file.

    Args:
        data: the file.
        frames: how many it must hold.
        latent_bytes: P * C * D.
        packet_bytes: length of a packet's row.
        taps: the image has taps.

    Raises:
        RunnerError: truncated, of other sizes, or with taps that do not make whole layers.
    """
    if len(data) < _OUT.size:
        raise RunnerError(f"the runner's output has {len(data)} bytes, less than its header")
    magic, version, build_hash, got_frames, got_latent, got_packet = _OUT.unpack_from(data)
    want_magic = b"KITT" if taps else b"KITR"
    if magic != want_magic or version != VERSION:
        raise RunnerError(
            f"the runner's output begins with {magic!r} version {version}, want {want_magic!r} version {VERSION}"
        )
    got, want = (got_frames, got_latent, got_packet), (frames, latent_bytes, packet_bytes)
    if got != want:
        raise RunnerError(f"the runner's output has (frames, latent bytes, packet bytes) {got}, want {want}")
    tapped = _tap_records(data) if taps else []
    tap_bytes = sum(_TAP.size + channels for _, _, channels in tapped) + taps
    row = tap_bytes + latent_bytes + packet_bytes
    if len(data) != _OUT.size + frames * row:
        raise RunnerError(f"the runner's output has {len(data)} bytes, want {_OUT.size + frames * row}")
    table = np.frombuffer(data, np.uint8, offset=_OUT.size).reshape(frames, row)
    latents = np.ascontiguousarray(table[:, tap_bytes : tap_bytes + latent_bytes]).view(np.int8)
    packets = np.ascontiguousarray(table[:, tap_bytes + latent_bytes :])
    return RunnerOutput(build_hash.hex(), latents, packets, _layers(table[:, :tap_bytes], tapped) if taps else {})


def _tap_records(data: bytes) -> list[tuple[int, int, int]]:
    """(layer, position, channels) of the first frame's columns; what a device computes when depends on no data, so the
    other frames have the same."""
    found = []
    at = _OUT.size
    while at < len(data) and data[at] != _TAP_END:
        if at + _TAP.size > len(data):
            break
        layer, position, channels = _TAP.unpack_from(data, at)
        found.append((layer, position, channels))
        at += _TAP.size + channels
    if at >= len(data) or data[at] != _TAP_END:
        raise RunnerError("the runner's output ends within the columns of its first frame", "rebuild the firmware")
    if not found:
        raise RunnerError("the runner has taps, but handed out no column", "its engine has no taps; use another engine")
    return found


def _layers(table: NDArray[np.uint8], tapped: list[tuple[int, int, int]]) -> dict[int, NDArray[np.int8]]:
    """The columns of every layer in order, each frame's as in the first: uint8[n, bytes] -> layer to int8[n, W, C]."""
    columns: dict[int, list[NDArray[np.uint8]]] = {}
    at = 0
    for layer, position, channels in tapped:
        header = np.frombuffer(_TAP.pack(layer, position, channels), np.uint8)
        if (table[:, at : at + _TAP.size] != header).any():
            raise RunnerError("the runner's frames differ in the order of their columns", "rebuild the firmware")
        seen = columns.setdefault(layer, [])
        at += _TAP.size
        column = table[:, at : at + channels]
        at += channels
        if position != len(seen) or (seen and seen[0].shape != column.shape):
            raise RunnerError(
                f"layer {layer}: column {position} of {channels} channels follows {len(seen)} columns",
                "rebuild the firmware",
            )
        seen.append(column)
    if (table[:, at] != _TAP_END).any():
        raise RunnerError("the runner's frames differ in their number of columns", "rebuild the firmware")
    return {layer: np.stack(seen, axis=1).view(np.int8) for layer, seen in sorted(columns.items())}
