"""The faulty line: repeatable to the bit, exact in its ledger, clear about what it cannot do."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import ConfigError
from kit.host.faults import FaultPipe, FaultSpec, Ledger, Pause, faulty, parse_faults
from kit.host.soak_faults import judge_for_device, judge_for_host, plain_crc, plain_uncobs
from kit.wire.framing import MESSAGE_BYTES_MAX, Deframer, frame
from kit.wire.messages import TailSizes, crc16, crc32, encode
from tests.fake_device import HELLO, body

EVERYTHING = "ber=1e-3,loss=0.01,insert=0.01,dup=0.01,reorder=0.01,seed=7"


def data_of(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


def test_grammar() -> None:
    spec = parse_faults(" ber=1e-4, loss=0.01,seed=3,stall=0.001,stall_ms=50,to=host")
    assert spec == FaultSpec(seed=3, ber=1e-4, loss=0.01, stall=0.001, stall_ms=50.0, to="host")
    assert parse_faults(spec.text) == spec
    assert spec.towards("device") == FaultSpec(seed=3) and spec.towards("host") == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not KEY=VALUE"),
        ("ber", "'ber' is not KEY=VALUE; for example --faults ber="),
        ("lose=0.1", "unknown key 'lose'; did you mean loss"),
        ("zzz=1", "unknown key 'zzz'; known: seed, ber"),
        ("ber=x", "ber=x is not a number"),
        ("ber=1.5", "outside 0..1"),
        ("loss=-0.1", "outside 0..1"),
        ("loss=nan", "outside 0..1"),
        ("seed=1.5", "not a number"),
        ("cut_ms=1e9", "outside 0..3600000"),
        ("to=left", "known directions: both, host, device"),
        ("ber=0.1,ber=0.2", "given twice"),
    ],
)
def test_grammar_refusals(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_faults(text)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_faults_do_not_depend_on_how_the_stream_is_cut(cuts: list[int]) -> None:
    data = data_of(4000)
    spec = parse_faults(EVERYTHING)
    ledger = Ledger()
    pipe = FaultPipe(spec, "host", ledger)
    out, at = bytearray(), 0
    for cut in [*cuts, len(data)]:
        out += b"".join(item for item in pipe.feed(data[at : at + cut]) if isinstance(item, bytes))
        at += cut
    out += pipe.flush()
    assert bytes(out) == faulty(spec, data) == bytes(ledger.received)
    assert ledger.sent == data and ledger.handled == len(data) and len(ledger.source) == len(out)
    assert all(source < 0 or data[source] == out[at] for at, source in enumerate(ledger.source))


def test_rates_are_met_and_seeds_differ() -> None:
    data = data_of(200_000)
    lost = len(data) - len(faulty(FaultSpec(loss=0.01), data))
    assert 1800 < lost < 2200
    flipped = faulty(FaultSpec(ber=1e-3), data)
    assert len(flipped) == len(data)
    assert 1450 < sum((a ^ b).bit_count() for a, b in zip(data, flipped, strict=True)) < 1750
    assert 1800 < len(faulty(FaultSpec(insert=0.01), data)) - len(data) < 2200
    assert 1800 < len(faulty(FaultSpec(dup=0.01), data)) - len(data) < 2200
    swapped = faulty(FaultSpec(reorder=0.01), data)
    assert sorted(swapped) == sorted(data) and swapped != data
    assert faulty(FaultSpec(loss=0.01, seed=1), data) != faulty(FaultSpec(loss=0.01, seed=2), data)
    assert faulty(FaultSpec(loss=0.01), data, "device") != faulty(FaultSpec(loss=0.01), data, "host")
    assert faulty(FaultSpec(loss=0.01, to="device"), data, "host") == data


def test_pauses_stand_where_they_strike() -> None:
    pipe = FaultPipe(parse_faults("stall=0.01,stall_ms=5,cut=0.002,cut_ms=70,seed=2"), "host")
    data = data_of(5000)
    items = pipe.feed(data)
    assert b"".join(item for item in items if isinstance(item, bytes)) == data
    pauses = [item for item in items if isinstance(item, Pause)]
    assert {(p.kind, p.seconds) for p in pauses} == {("stall", 0.005), ("cut", 0.07)} and len(pauses) > 30
    assert pipe.faults == len(pauses)


def test_inactive_pipe_passes_everything() -> None:
    ledger = Ledger()
    pipe = FaultPipe(parse_faults(EVERYTHING), "host", ledger)
    pipe.active = False
    data = data_of(3000)
    assert b"".join(i for i in pipe.feed(data) if isinstance(i, bytes)) == data and pipe.faults == 0
    pipe.active = True
    rest = b"".join(i for i in pipe.feed(data) if isinstance(i, bytes)) + pipe.flush()
    assert rest == faulty(parse_faults(EVERYTHING), data)
    assert list(ledger.source[:3000]) == list(range(3000))


def frames(count: int) -> list[bytes]:
    return [frame(encode("PACKET", seq=n, time_ms=n, body=body(n))) for n in range(count)]


def test_ledger_knows_what_is_intact() -> None:
    ledger = Ledger()
    pipe = FaultPipe(FaultSpec(loss=0.02, seed=5), "host", ledger)
    pipe.feed(b"".join(frames(300)))
    lost = sorted(set(range(len(ledger.sent))) - set(ledger.source))
    assert len(lost) > 30
    start, want = 0, []
    for number, data in enumerate(frames(300)):
        span = range(max(0, start - 1), start + len(data))
        if not any(at in span for at in lost):
            want.append(number)
        start += len(data)
    found = [bytes(ledger.received[a:b]) + b"\0" for a, b in ledger.pieces() if ledger.intact((a, b))]
    assert found == [frames(300)[number] for number in want]
    deframer = Deframer(64, HELLO.sizes)
    taken = [message.integer("seq") for message in deframer.feed(bytes(ledger.received))]
    assert taken == want
    accepted = [piece for piece in ledger.pieces() if ledger.intact(piece)]
    assert 0 < ledger.resync_bytes_max(accepted) <= len(frames(1)[0])


def test_ledger_without_faults() -> None:
    ledger = Ledger()
    FaultPipe(FaultSpec(), "host", ledger).feed(b"\0" + b"".join(frames(5)))
    assert [ledger.intact(piece) for piece in ledger.pieces()] == [True] * 5
    assert ledger.resync_bytes_max(ledger.pieces()) == 0 and len(ledger.clean_runs()) == 1


@given(st.binary(max_size=60), st.booleans())
def test_plain_check_values_agree(data: bytes, long: bool) -> None:
    assert plain_crc(data, long) == (crc32(data).to_bytes(4, "little") if long else crc16(data).to_bytes(2, "little"))


@given(st.binary(min_size=1, max_size=600).filter(lambda data: 0 not in data))
def test_the_plain_judge_agrees_with_the_host(coded: bytes) -> None:
    for limit in (20, 200, MESSAGE_BYTES_MAX):
        deframer = Deframer(limit, HELLO.sizes)
        deframer.feed(coded + b"\0")
        verdict = judge_for_host(coded, HELLO.sizes, limit)
        assert getattr(deframer.counters, verdict) == 1, verdict
        assert deframer.counters.frames + deframer.counters.damaged == 1


@given(st.integers(0, 200), st.data())
def test_the_plain_judge_agrees_on_damaged_messages(seed: int, data: st.DataObject) -> None:
    name, values = data.draw(
        st.sampled_from(
            [
                ("PACKET", {"seq": 3, "time_ms": 9, "body": body(seed)}),
                ("STREAM_STATE", {"request": 1, "state": 2, "packets": 5, "dropped": 0}),
                ("ERROR", {"request": 1, "status": -3, "detail": 0}),
            ]
        )
    )
    line = b"".join(frame(encode(name, **values)) for _ in range(4))  # type: ignore[arg-type]
    damaged = faulty(FaultSpec(seed=seed, ber=2e-3, loss=0.01, insert=0.01), line)
    for coded in filter(None, damaged.split(b"\0")[:-1]):
        deframer = Deframer(64, HELLO.sizes)
        deframer.feed(coded + b"\0")
        assert getattr(deframer.counters, judge_for_host(coded, HELLO.sizes, 64)) == 1


def test_device_judge() -> None:
    good = encode("COUNTERS_REQUEST", request=1)
    coded = frame(good)[:-1]
    assert judge_for_device(coded, 64) == "rx_frames" and judge_for_device(coded, 3) == "rx_overrun"
    assert (
        judge_for_device(coded[:-1], 64) == "rx_bad_length" and judge_for_device(b"\x03\x01\x02", 64) == "rx_bad_length"
    )
    assert judge_for_device(frame(good[:-1] + bytes([good[-1] ^ 1 or 2]))[:-1], 64) == "rx_bad_crc"
    assert plain_uncobs(b"\x01") == b"" and plain_uncobs(b"\x05\x01") is None
    assert judge_for_host(b"\x01", TailSizes(), 64) == "bad_length"
