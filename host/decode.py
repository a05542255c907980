"""Capture files to signals: original units, gaps as NaN, a time stamp for everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config, CsvSource
from kit.errors import CaptureError
from kit.files import atomic_path, write_npz
from kit.host.capture_file import (
    WITHIN_SESSION,
    CaptureHeader,
    CaptureReader,
    GapRecord,
    NoteRecord,
    PacketRecord,
    SessionRecord,
)
from kit.host.sequence import SequenceTracker
from kit.server.bundle import Bundle

CHUNK_FRAMES = 256
FORMATS = (".npz", ".csv")


@dataclass(frozen=True, slots=True)
class StoredPackets:
    """The frames in the packets of a capture, without duplicates, in order.

    Attributes:
        header: of the capture.
        numbers: int64[n], ascending; frame number since the stream began.
        time_us: int64[n], host time of arrival since the capture began.
        device_time_ms: uint16[n], arrival of the packet's last sample at the device, modulo 65536.
        bodies: uint8[n, frame_bytes].
        tracker: counts of lost and duplicate packets.
        notes: what else the file says.
        left_out_bytes: bytes of a record that was cut off or damaged.
    """

    header: CaptureHeader
    numbers: NDArray[np.int64]
    time_us: NDArray[np.int64]
    device_time_ms: NDArray[np.uint16]
    bodies: NDArray[np.uint8]
    tracker: SequenceTracker
    notes: tuple[dict[str, Any], ...]
    left_out_bytes: int


def read_packets(path: Path) -> StoredPackets:
    """Read a whole capture.

    Raises:
        CaptureError: not a capture.
    """
    tracker = SequenceTracker()
    rows: list[tuple[int, int, int]] = []
    bodies = bytearray()
    notes = []
    with CaptureReader(path) as reader:
        per_packet, base, pause = reader.header.layout.frames_per_packet, 0, 0.0
        for record in reader:
            if isinstance(record, NoteRecord):
                notes.append(record.values)
            elif isinstance(record, GapRecord) and record.reason not in WITHIN_SESSION:
                pause = record.seconds
            elif isinstance(record, SessionRecord):
                base = tracker.next_number + round(pause / reader.header.hello.frame_seconds)
            elif isinstance(record, PacketRecord):
                for position, body in enumerate(reader.header.frames(record.body)):
                    number = base + record.number * per_packet + position
                    tracker.lost += number - tracker.next_number
                    tracker.next_number = number + 1
                    tracker.received += 1
                    rows.append((number, record.time_us, record.device_time_ms))
                    bodies += body
        tracker.duplicates = reader.duplicates
        table = np.array(rows, np.int64).reshape(-1, 3)
        return StoredPackets(
            header=reader.header,
            numbers=table[:, 0],
            time_us=table[:, 1],
            device_time_ms=table[:, 2].astype(np.uint16),
            bodies=np.frombuffer(bytes(bodies), np.uint8).reshape(-1, reader.header.layout.frame_bytes),
            tracker=tracker,
            notes=tuple(notes),
            left_out_bytes=reader.left_out_bytes,
        )


@dataclass(frozen=True, slots=True)
class DecodedCapture:
    """A decoded stream; frame i covers the stream from ``time_s[i]`` on, frames of lost packets are NaN.

    Attributes:
        signal: float32[frames, T] in ``units``.
        valid: bool[frames].
        time_s: float64[frames], start of each frame since the stream began, by the device's sample clock.
        sample_rate_hz: samples per second.
        units: ``ADC codes``, or ``frame scales`` where packets carry no side information.
        codes_per_unit: ADC codes per unit of the recording where the build's data source says so, else None.
        packets: what was decoded.
        label: datasets of the decoder.
    """

    signal: NDArray[np.float32]
    valid: NDArray[np.bool_]
    time_s: NDArray[np.float64]
    sample_rate_hz: float
    units: str
    codes_per_unit: float | None
    packets: StoredPackets
    label: str

    @property
    def lost(self) -> int:
        """Frames without a packet."""
        return int((~self.valid).sum())


def codes_per_unit(config: Config) -> float | None:
    """ADC codes per unit of the recordings, None where the sources do not name one factor."""
    scales = {source.scale if isinstance(source, CsvSource) else None for source in config.data.sources}
    return scales.pop() if len(scales) == 1 else None


def decode_packets(
    packets: StoredPackets, bundle: Bundle, progress: Callable[[int, int], None] | None = None
) -> DecodedCapture:
    """Reconstruct the signal.

    Args:
        packets: of one capture.
        bundle: of the same build.
        progress: called with (frames done, frames in all).

    Raises:
        CaptureError: another build, or no packet at all.
        ShapeError: packets the bundle cannot decode.
    """
    header = packets.header
    if bundle.build_hash != header.build_hash:
        raise CaptureError(
            f"the capture is of build {header.build_hash}, the server bundle of build {bundle.build_hash}",
            "give the server folder of the build that was captured",
        )
    if len(packets.numbers) == 0:
        raise CaptureError("the capture holds no packet", "capture again")
    fields = header.layout.unpack_batch(packets.bodies)
    total = int(packets.numbers[-1]) + 1
    signal = np.full((total, header.layout.frame_samples), np.nan, np.float32)
    for start in range(0, len(packets.numbers), CHUNK_FRAMES):
        part = slice(start, start + CHUNK_FRAMES)
        mean = None if fields.mean is None else fields.mean[part]
        scale = None if fields.scale_code is None else fields.scale_code[part]
        signal[packets.numbers[part]] = bundle.decode(fields.indices[part], mean, scale)
        if progress is not None:
            progress(min(start + CHUNK_FRAMES, len(packets.numbers)), len(packets.numbers))
    valid = np.zeros(total, np.bool_)
    valid[packets.numbers] = True
    return DecodedCapture(
        signal=signal,
        valid=valid,
        time_s=np.arange(total, dtype=np.float64) * np.float64(header.hello.frame_seconds),
        sample_rate_hz=header.hello.sample_rate_mhz / 1000.0,
        units="ADC codes" if header.layout.side_information else "frame scales",
        codes_per_unit=codes_per_unit(bundle.config) if header.layout.side_information else None,
        packets=packets,
        label=bundle.label,
    )


def _over_frames(decoded: DecodedCapture, values: NDArray[Any], missing: float = 0) -> NDArray[Any]:
    """Values per packet spread over all frames, ``missing`` in the gaps."""
    spread = np.full((len(decoded.valid), *values.shape[1:]), missing, values.dtype)
    spread[decoded.packets.numbers] = values
    return spread


def write_decoded_npz(path: Path, decoded: DecodedCapture) -> None:
    """Write everything; frames of lost packets are NaN, or 0 where integers.

    Raises:
        ArtifactError: the path cannot be written.
    """
    packets = decoded.packets
    fields = packets.header.layout.unpack_batch(packets.bodies)
    arrays: dict[str, Any] = {
        "signal": decoded.signal,
        "valid": decoded.valid,
        "time_s": decoded.time_s,
        "host_time_s": _over_frames(decoded, packets.time_us / 1e6, np.nan),
        "device_time_ms": _over_frames(decoded, packets.device_time_ms),
        "indices": _over_frames(decoded, fields.indices),
        "sample_rate_hz": np.float64(decoded.sample_rate_hz),
        "units": decoded.units,
        "build_hash": packets.header.build_hash,
        "label": decoded.label,
        "started": packets.header.started,
    }
    if fields.mean is not None and fields.scale_code is not None:
        arrays["mean"] = _over_frames(decoded, fields.mean)
        arrays["scale_code"] = _over_frames(decoded, fields.scale_code)
    if decoded.codes_per_unit is not None:
        arrays["codes_per_unit"] = np.float64(decoded.codes_per_unit)
    write_npz(path, **arrays)


def write_decoded_csv(path: Path, decoded: DecodedCapture) -> None:
    """Write one line per sample: time, value (empty in gaps), validity; facts in comment lines before.

    Raises:
        ArtifactError: the path cannot be written.
    """
    header = decoded.packets.header
    scale = decoded.codes_per_unit
    columns = "time_s,value,valid" + (",value_in_source_units" if scale else "")
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(f"# build {header.build_hash}, decoder of {decoded.label}, started {header.started}\n")
        stream.write(f"# value in {decoded.units}, {decoded.sample_rate_hz:g} samples per second\n{columns}\n")
        step = 1.0 / decoded.sample_rate_hz
        for start, frame, valid in zip(decoded.time_s, decoded.signal, decoded.valid, strict=True):
            for position, value in enumerate(frame):
                time = f"{start + position * step:.6f}"
                if not valid:
                    stream.write(f"{time},,0{',' if scale else ''}\n")
                elif scale:
                    stream.write(f"{time},{value:.3f},1,{value / scale:.9g}\n")
                else:
                    stream.write(f"{time},{value:.3f},1\n")


@dataclass(frozen=True, slots=True)
class DecodeSummary:
    """What a decoding wrote."""

    out: Path
    frames: int
    lost: int
    duplicates: int
    left_out_bytes: int
    seconds: float
    units: str
    notes: tuple[dict[str, Any], ...] = field(default_factory=tuple)


def check_format(out: Path) -> None:
    """Refuse an output name whose format is not known, before any work is done.

    Raises:
        CaptureError: neither .npz nor .csv.
    """
    if out.suffix.lower() not in FORMATS:
        raise CaptureError(f"cannot decode to {out.name}: its name must end in {' or '.join(FORMATS)}", "change --out")


def decode_capture(
    capture: Path, server: Path, out: Path, progress: Callable[[int, int], None] | None = None
) -> DecodeSummary:
    """Decode a capture file with a server bundle into a .npz or .csv file.

    Raises:
        CaptureError: not a capture, no packet, another build, or an unknown output format.
        ArtifactError: the bundle is damaged or the output cannot be written.
    """
    check_format(out)
    packets = read_packets(capture)
    decoded = decode_packets(packets, Bundle.load(server, packets.header.build_hash), progress)
    write = write_decoded_npz if out.suffix.lower() == ".npz" else write_decoded_csv
    write(out, decoded)
    return DecodeSummary(
        out=out,
        frames=len(decoded.valid),
        lost=decoded.lost,
        duplicates=packets.tracker.duplicates,
        left_out_bytes=packets.left_out_bytes,
        seconds=len(decoded.valid) * packets.header.hello.frame_seconds,
        units=decoded.units,
        notes=packets.notes,
    )
