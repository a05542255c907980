"""The Python parsers: stored corpora replayed, values of every kind in every place, and new inputs for a moment."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kit.host.capture_records import (
    COUNTERS,
    END,
    GAP,
    HEADER,
    NOTE,
    PACKET,
    SESSION,
    encode_packet,
    encode_record,
    magic,
)
from tests.fake_device import HELLO, body
from tests.fuzz.guided import start, stored
from tests.fuzz.python_targets import TARGETS, header_values, packet_records, read_everything, seeds
from tests.support import ROOT, seed

PYTHON_SECONDS = float(os.environ.get("KIT_FUZZ_PYTHON_SECONDS", "0.7"))
"""Per target."""
REGRESSIONS = ROOT / "tests" / "regression" / "capture_values"
HUGE = 123456789012345678
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**16, 2**40, HUGE, 1.5, 1e308, float("nan"), float("inf"), "", "x", "\u00e9\0", [], {}, [1],
    {"a": 1}, "9" * 5000,
)  # fmt: skip
RECORDS: dict[int, dict[str, Any]] = {
    GAP: {"reason": "unplugged", "seconds": 1.5, "packets": 2, "detail": "x"},
    SESSION: {"session": 1, "hello": asdict(HELLO), "started": "2026", "port": "x"},
    NOTE: {"event": "a"},
    COUNTERS: {"packets": 1},
    END: {"why": "x", "packets": 3},
}


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    inputs = [*seeds(name), b"", *stored(name)]
    assert len(inputs) > 2
    for data in inputs:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_new_inputs(name: str) -> None:
    fuzzer = start(name, seed())
    before = len(fuzzer.edges)
    fuzzer.run(PYTHON_SECONDS)
    assert fuzzer.executions > 20 and before > 5
    assert not fuzzer.findings, f"{fuzzer.findings} (seed {seed()})"


def test_the_fuzzer_finds_what_is_there() -> None:
    """A parser with a hole three comparisons deep: coverage must lead there."""
    from random import Random

    from kit.host import faults
    from tests.fuzz.guided import Fuzzer

    def broken(data: bytes) -> None:
        text = data.decode("latin-1")
        if text.startswith("ber=") and faults.parse_faults(text.split(",")[0]).ber > 0 and "seed" in text:
            raise IndexError("found")

    fuzzer = Fuzzer(broken, Random(1))
    fuzzer.add(b"ber=0.5,")
    fuzzer.run(1.0)
    assert any("IndexError" in what for what in fuzzer.findings)


def _places(values: dict[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from _places(value, (*before, key))


def _changed(values: dict[str, Any]) -> Iterator[bytes]:
    """JSON in which one member after the other has an odd value, or is missing."""
    for place in _places(values):
        for odd in (*ODD, KeyError):
            copied = copy.deepcopy(values)
            at = copied
            for key in place[:-1]:
                at = at[key]
            if odd is KeyError:
                del at[place[-1]]
            else:
                at[place[-1]] = odd
            # Python writes no integer of 400 digits from a number, but reads one.
            yield json.dumps(copied).replace(str(HUGE), "9" * 400).encode()


def test_odd_values_in_the_header() -> None:
    behind = packet_records()
    for data in (*_changed(header_values()), b"[" * 100_000, b"\xff", b"null"):
        read_everything(magic() + encode_record(HEADER, 0, data) + behind)


@pytest.mark.parametrize("kind", RECORDS)
def test_odd_values_in_records(kind: int) -> None:
    before = magic() + encode_record(HEADER, 0, json.dumps(header_values()).encode()) + packet_records(1)
    behind = encode_record(SESSION, 6, b'{"session":1}') + encode_record(PACKET, 7, encode_packet(1, 0, 3, body(0)))
    for data in (*_changed(RECORDS[kind]), b"[" * 100_000, b"\xff", b"null"):
        read_everything(before + encode_record(kind, 5, data) + behind)


@pytest.mark.parametrize("path", sorted(REGRESSIONS.glob("*.kitcap")), ids=lambda path: path.stem)
def test_values_that_once_escaped(path: Path) -> None:
    read_everything(path.read_bytes())


def test_regressions_are_there() -> None:
    assert len(list(REGRESSIONS.glob("*.kitcap"))) >= 10
