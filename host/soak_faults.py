"""``kit soak faults``: proof, to the packet, that a damaged line costs what it hits and nothing else.

Every claim is checked against a second, slow and plain reading of the line (:func:`judge_for_host`,
:func:`judge_for_device`), which shares no code with the receivers it judges.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from kit.errors import LinkError, LinkTimeout
from kit.host.faults import FaultSpec, Ledger
from kit.host.faulty_line import FaultyTransport
from kit.host.link import ATTEMPTS, FIXED_BYTES_MAX, Link
from kit.host.sequence import SequenceTracker
from kit.host.transport import Transport
from kit.wire.framing import frame
from kit.wire.messages import Decoded, TailSizes, encode
from kit.wire.packet import cobs_bytes_max
from kit.wire.registry import BY_CODE, BY_NAME, CRC16_BYTES, CRC32_BYTES

SILENCE_SECONDS = 10.0
"""A stream is over when nothing came for so long and the device's last word was damaged."""
REQUEST_SECONDS = 0.25


def plain_uncobs(coded: bytes) -> bytes | None:
    """COBS decoding, byte by byte; None when a block reaches beyond the end."""
    data = bytearray()
    at = 0
    while at < len(coded):
        block = coded[at]
        if at + block > len(coded):
            return None
        data += coded[at + 1 : at + block]
        at += block
        if block < 255 and at < len(coded):
            data.append(0)
    return bytes(data)


def plain_crc(data: bytes, long: bool) -> bytes:
    """CRC-16/CCITT-FALSE or the CRC-32 of zlib, bit by bit, as it stands on the line."""
    if long:
        crc = 0xFFFF_FFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0xEDB8_8320 if crc & 1 else 0)
        return (crc ^ 0xFFFF_FFFF).to_bytes(CRC32_BYTES, "little")
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc.to_bytes(CRC16_BYTES, "little")


def judge_for_host(coded: bytes, sizes: TailSizes, message_bytes_max: int) -> str:
    """What the host must make of one piece of the line: ``frames``, or the counter of the check that it fails."""
    if len(coded) > cobs_bytes_max(message_bytes_max):
        return "overlong"
    data = plain_uncobs(coded)
    if data is None:
        return "bad_cobs"
    if len(data) < 1 + CRC16_BYTES:
        return "bad_length"
    message = BY_CODE.get(data[0])
    if message is None:
        return "bad_type"
    content = data[: -message.crc_bytes]
    if not content or plain_crc(content, message.long) != data[len(content) :]:
        return "bad_crc"
    tail = len(content) - message.fixed_bytes
    if message.tail is None:
        wanted: int | None = 0
    else:
        wanted = sizes.samples if message.tail.kind == "samples" else sizes.body
    if tail < 0 or (wanted is not None and tail != wanted):
        return "bad_length"
    for entry in message.fields:
        raw = content[message.offset(entry.name) :][: entry.size]
        if entry.kind == "text":
            text = raw.rstrip(b"\0")
            if b"\0" in text or not text.isascii():
                return "bad_value"
        elif entry.kind != "bytes":
            low, high = entry.limits
            if not low <= int.from_bytes(raw, "little", signed=entry.kind == "i8") <= high:
                return "bad_value"
    return "frames"


def judge_for_device(coded: bytes, capacity: int) -> str:
    """What the device must make of one piece of the line, by the names of its counters.

    Args:
        coded: bytes between two delimiters.
        capacity: longest message the device can store.
    """
    data = bytearray()
    at = 0
    cut_off = False
    while at < len(coded):
        block = coded[at]
        cut_off = at + block > len(coded)
        data += coded[at + 1 : at + block]
        at += block
        if block < 255 and at < len(coded):
            data.append(0)
    if len(data) > capacity:
        return "rx_overrun"
    if cut_off or not data:
        # A lone code byte carries no message: the device passes over it like over an empty one.
        return "rx_bad_length" if cut_off else ""
    message = BY_CODE.get(data[0])
    long = message is not None and message.direction == "host" and message.long
    crc_bytes = CRC32_BYTES if long else CRC16_BYTES
    if len(data) < 1 + crc_bytes:
        return "rx_bad_length"
    content, check = bytes(data[:-crc_bytes]), bytes(data[-crc_bytes:])
    return "rx_frames" if plain_crc(content, long) == check else "rx_bad_crc"


@dataclass(slots=True)
class Claim:
    """One thing that must hold: what, what was found, and whether it holds."""

    what: str
    found: str
    holds: bool


@dataclass(slots=True)
class FaultRun:
    """Result of one seed in one direction of proof.

    Attributes:
        seed: of the faults.
        sent: messages that went into the damaged line.
        intact: of them, those that came out with every byte and both delimiters.
        taken: messages the receiver accepted.
        faults: faults on the line.
        seconds: time it took.
        claims: what was checked.
    """

    seed: int
    sent: int = 0
    intact: int = 0
    taken: int = 0
    faults: int = 0
    seconds: float = 0.0
    claims: list[Claim] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Every claim holds."""
        return bool(self.claims) and all(claim.holds for claim in self.claims)

    def claim(self, what: str, found: object, wanted: object) -> None:
        """Note whether ``found`` equals ``wanted``."""
        text = f"{found}" if found == wanted else f"{found}, want {wanted}"
        self.claims.append(Claim(what, text, found == wanted))


class _RecordingLink(Link):
    """A link that keeps every message it accepted, as line bytes without delimiter."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.accepted: list[Decoded] = []

    def __enter__(self) -> _RecordingLink:
        return self

    def receive(self, timeout_s: float) -> Decoded | None:
        message = super().receive(timeout_s)
        if message is not None:
            self.accepted.append(message)
        return message


def _line_text(message: Decoded) -> bytes:
    return frame(encode(message.name, **message.values))[:-1]


def check_received(run: FaultRun, ledger: Ledger, link: _RecordingLink, clean: int) -> None:
    """Compare what a host accepted and counted with what the line carried.

    Args:
        run: takes the claims.
        ledger: of the direction to the host.
        link: what received it.
        clean: messages accepted before the hello was known, when tail lengths were not checked yet.
    """
    hello = link.device
    limit = hello.packet_bytes + FIXED_BYTES_MAX
    known = set(ledger.sent_frames())
    texts = [_line_text(message) for message in link.accepted]
    run.claim("corrupt messages accepted", sum(text not in known for text in texts), 0)
    verdicts: Counter[str] = Counter()
    taken: list[tuple[int, int]] = []
    intact = 0
    intact_lost = 0
    remaining = iter(texts)
    expected_order = True
    for number, (start, end) in enumerate(ledger.pieces()):
        coded = bytes(ledger.received[start:end])
        verdict = "frames" if number < clean else judge_for_host(coded, hello.sizes, limit)
        verdicts[verdict] += 1
        is_intact = ledger.intact((start, end))
        intact += is_intact
        if verdict == "frames":
            taken.append((start, end))
            expected_order &= next(remaining, b"") == coded
        else:
            intact_lost += is_intact
    run.intact, run.taken = intact, len(texts)
    run.claim("intact messages not recovered", intact_lost + (0 if expected_order else max(1, intact)), 0)
    longest = max((len(coded) + 1 for coded in ledger.sent_frames()[clean:]), default=0)
    resync = ledger.resync_bytes_max(taken)
    run.claims.append(Claim(f"resynchronised within a message ({longest} bytes)", f"{resync} bytes", resync <= longest))
    names = ("frames", "bad_cobs", "bad_crc", "bad_length", "bad_type", "bad_value", "overlong")
    counted = {name: getattr(link.counters, name) for name in names}
    run.claim("host counters", _figures(counted), _figures({name: verdicts[name] for name in names}))


def _figures(values: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value)


def check_sequence(run: FaultRun, ledger: Ledger, accepted: list[Decoded]) -> None:
    """Compare lost and received packets, by sequence number, with those that the ledger saw go in."""
    tracker = SequenceTracker()
    for message in accepted:
        if message.name == "PACKET":
            tracker.push(message.integer("seq"))
    sent: list[int] = []
    for coded in ledger.sent_frames():
        data = plain_uncobs(coded)
        if data is not None and data[0] == BY_NAME["PACKET"].code:
            seq = int.from_bytes(data[1:3], "little")
            sent.append((sent[-1] if sent else 0) + ((seq - (sent[-1] if sent else 0)) & 0xFFFF))
    texts = {_line_text(message) for message in accepted if message.name == "PACKET"}
    arrived = [
        number
        for number, coded in zip(sent, (c for c in ledger.sent_frames() if _is_packet(c)), strict=True)
        if coded in texts
    ]
    run.sent = len(sent)
    run.claim("packets received", tracker.received, len(arrived))
    run.claim("packets lost, by sequence number", tracker.lost, arrived[-1] + 1 - len(arrived) if arrived else 0)
    run.claim("duplicates", tracker.duplicates, 0)


def _is_packet(coded: bytes) -> bool:
    data = plain_uncobs(coded)
    return data is not None and data[0] == BY_NAME["PACKET"].code


def stream_run(
    transport: Transport, spec: FaultSpec, packets: int, progress: Callable[[int], None] | None = None
) -> FaultRun:
    """Stream through a faulty line and prove what arrives.

    Args:
        transport: of a device that is idle; closed at the end.
        spec: faults towards the host; the start of the stream is spared, so that there is a stream.
        packets: how many.
        progress: called with the packets received so far.

    Raises:
        LinkError: the device does not answer or goes away.
    """
    begun = time.monotonic()
    line = FaultyTransport(transport, spec)
    line.faults(False)
    run = FaultRun(spec.seed)
    with _RecordingLink(line) as link:
        link.hello()
        clean = len(link.accepted)
        request = link.stream_start("fast", packets)
        line.faults(True)
        silence_s = max(SILENCE_SECONDS, 4 * link.device.frame_seconds / 1000)
        last = time.monotonic()
        while time.monotonic() - last < silence_s:
            message = link.receive(0.2)
            if message is None:
                if line.received.sent.count(0) >= clean + 1 + packets + 1 and line.received.sent.endswith(b"\0"):
                    break
                continue
            last = time.monotonic()
            if progress is not None and len(link.accepted) % 100 == 0:
                progress(len(link.accepted))
            if message.name == "STREAM_STATE" and message.integer("request") == request:
                break
        run.faults = line.to_host.faults
        check_received(run, line.received, link, clean)
        check_sequence(run, line.received, link.accepted)
        # Nothing that was sent went uncounted: the device's own figure, over the repaired line.
        line.faults(False)
        link.stream_stop()
        run.claim("packets the device sent", link.request("COUNTERS_REQUEST").integer("tx_packets"), run.sent)
    run.seconds = time.monotonic() - begun
    return run


def device_capacity(sizes: TailSizes) -> int:
    """Longest message a device of these sizes can store: one ENCODE_FRAME."""
    longest = BY_NAME["ENCODE_FRAME"]
    return longest.fixed_bytes + (sizes.samples or 0) + longest.crc_bytes


def request_run(transport: Transport, spec: FaultSpec, requests: int) -> FaultRun:
    """Ask through a line that fails in both directions: no wrong answer is accepted, and the device counts right.

    Args:
        transport: of a device that is idle; closed at the end.
        spec: faults in both directions.
        requests: how many.

    Raises:
        LinkError: the device does not answer at all or goes away.
    """
    begun = time.monotonic()
    line = FaultyTransport(transport, spec)
    line.faults(False)
    run = FaultRun(spec.seed)
    with _RecordingLink(line) as link:
        link.hello()
        clean = len(link.accepted)
        line.faults(True)
        answered = unanswered = 0
        for _ in range(requests):
            try:
                link.request("COUNTERS_REQUEST", REQUEST_SECONDS)
                answered += 1
            except LinkTimeout:
                unanswered += 1
            except LinkError as error:
                # A request cut short by the line may be refused; what is refused is no answer.
                unanswered += 1
                run.claims.append(Claim("refused", error.what, False))
        line.faults(False)
        run.faults = line.to_host.faults + line.to_device.faults
        run.sent = requests
        while link.receive(REQUEST_SECONDS) is not None:
            continue
        final = link.request("COUNTERS_REQUEST")
        check_received(run, line.received, link, clean)
        run.claim("requests answered or given up", answered + unanswered, requests)
        share = unanswered / requests if requests else 0.0
        run.claims.append(Claim(f"unanswered after {ATTEMPTS} attempts", f"{unanswered} of {requests}", share < 0.5))
        verdicts: Counter[str] = Counter()
        capacity = device_capacity(link.device.sizes)
        for start, end in line.sent.pieces():
            verdicts[judge_for_device(bytes(line.sent.received[start:end]), capacity)] += 1
        names = ("rx_frames", "rx_bad_crc", "rx_bad_length", "rx_overrun")
        counted = {name: final.integer(name) for name in names}
        run.claim("device counters", _figures(counted), _figures({name: verdicts[name] for name in names}))
    run.seconds = time.monotonic() - begun
    return run
