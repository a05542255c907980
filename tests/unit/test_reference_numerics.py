"""The examples of firmware/NUMERICS.md are what the reference computes."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from kit.graph.codebook import IntegerCodebook
from kit.graph.fingerprint import NUMERICS_VERSION
from kit.graph.ir import Requant
from kit.graph.requant import quantize_multiplier
from kit.reference.encoder import high_mul, requantize
from kit.reference.normalise import normalise, unit_codes
from kit.reference.rvq import search
from kit.wire.coding import CodingModel, LevelModel, best_scale, network_cumulative
from kit.wire.context import MANTISSAS, ContextNetwork
from kit.wire.packet import PacketLayout
from kit.wire.range_coder import encode
from kit.wire.scale import RECIPROCAL, code_shift
from tests.support import ROOT

TEXT = (ROOT / "firmware" / "NUMERICS.md").read_text(encoding="utf-8")

SINE = np.clip(np.round(60000 * np.sin(2 * np.pi * np.arange(320) / 64)), -32768, 32767).astype(int).tolist()
FRAMES = {
    "100 102 104": [100, 102, 104, 106, 108, 106, 104, 103],
    "-1 0 (T = 2)": [-1, 0],
    "flat: ": [1234] * 320,
    "flat at the rail": [32767] * 320,
    "one LSB": [5] * 319 + [6],
    "full-scale step": [-32768] * 160 + [32767] * 160,
    "full-scale impulse": [-32768] * 319 + [32767],
    "railed sine": SINE,
    "24-bit step": [-(2**23)] * 160 + [2**23 - 1] * 160,
}


def rows(section: str) -> list[list[str]]:
    """Cells of the table of a section, header and rule left out."""
    body = TEXT.split(f"**{section} ", 1)[1].split("\n**", 1)[0].split("\n## ", 1)[0]
    lines = [line for line in body.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def runs(values: list[int]) -> str:
    """Values as the table writes them."""
    if len(values) <= 8:
        return " ".join(map(str, values))
    edges = [0, *(i for i in range(1, len(values)) if values[i] != values[i - 1]), len(values)]
    parts = [(values[a], b - a) for a, b in itertools.pairwise(edges)]
    return ", then ".join(f"{value}, {count} times" if count > 1 else str(value) for value, count in parts)


@pytest.mark.parametrize("row", rows("2.6"), ids=lambda row: row[0][:20])
def test_normalisation(row: list[str]) -> None:
    frame = next(values for start, values in FRAMES.items() if row[0].startswith(start))
    wide = max(map(abs, frame)) > 32768
    got = normalise(np.array([frame], np.int32 if wide else np.int16), 5)
    deviation = [value - int(got.mean[0]) for value in frame]
    code = int(got.scale_code[0])
    assert [int(cell) for cell in row[1:5]] == [
        got.mean[0], max(map(abs, deviation)), sum(d * d for d in deviation), code,
    ]  # fmt: skip
    assert row[5] == (f"{RECIPROCAL[(code - 1) & 7]}, {code_shift(code, 5)}" if code else "")
    y = got.y[0].tolist()
    assert row[6] == (f"{min(y)} .. {max(y)}, rails at both" if frame is SINE else runs(y))


@pytest.mark.parametrize("row", rows("2.7"), ids=lambda row: row[0])
def test_normalisation_with_shaping(row: list[str]) -> None:
    frame = np.array([[0, 1, 2, 3, 4, 5, 6, 100]], np.int16)
    got = normalise(frame, 5, row[0])  # type: ignore[arg-type]
    assert [row[1], int(row[2])] == [" ".join(map(str, got.y[0])), got.y[0].astype(int).sum()]
    code = int(got.scale_code[0])
    facts = f"m = {got.mean[0]}, c = {code}, R = {RECIPROCAL[(code - 1) & 7]}, shift = {code_shift(code, 5)}."
    assert " ".join(map(str, frame[0])) + ": " + facts in TEXT


@pytest.mark.parametrize("row", rows("2.8"), ids=lambda row: f"{row[0]}-{row[1]}")
def test_normalisation_with_remainders(row: list[str]) -> None:
    frame = np.array([[0, 1, 2, 3, 4, 5, 6, 100]], np.int16)
    got = normalise(frame, 5, row[0], int(row[1]))  # type: ignore[arg-type]
    assert [" ".join(map(str, channel)) for channel in got.y[0].T] == row[2:]


def test_every_frame_of_the_list_is_in_the_table() -> None:
    assert len(rows("2.6")) == len(FRAMES)
    assert f"unit(27) = 2^15 / 13107 = {unit_codes(np.array([27]), 5)[0]:.5f}" in TEXT
    assert ", ".join(map(str, RECIPROCAL)) in TEXT


def test_requantization() -> None:
    multiplier, shift = quantize_multiplier(0.0057)
    assert f"multiplier {multiplier} and shift {shift}" in TEXT
    table = rows("3.5")
    assert len(table) == 5
    for acc, product, high, double, single in table:
        value = np.array([[int(acc)]])
        assert float(product) == pytest.approx(int(acc) * 0.0057)
        assert int(high) == high_mul(value, np.array([multiplier]))[0, 0]
        assert int(double) == requantize(value, Requant((multiplier,), (shift,), "double"))[0, 0]
        assert int(single) == requantize(value, Requant((multiplier,), (shift,), "single"))[0, 0]


def test_search() -> None:
    integer = np.array([[[3, -8], [5, -12]], [[0, 0], [4, -7]]], np.int8)
    codebook = IntegerCodebook(integer, np.array([3, 1], np.int32), 4, 1.0, 3, integer.astype(np.float32))
    indices = search(np.array([[[5, -2]]], np.int8), codebook)
    assert indices.tolist() == [[[0, 1]]]
    assert codebook.dequantize(indices).tolist() == [[[2.0, -4.875]]]
    bounds = codebook.distance_bound()
    text = " ".join(TEXT.split())
    assert f"R_0 = {bounds.residual[0]} and R_1 = {bounds.residual[1]}" in text
    assert f"the largest distance is {max(bounds.distance)}." in text


def test_search_of_copies() -> None:
    text = " ".join(TEXT.split())
    integer = np.array([[[10, -20], [10, -23]], [[0, 0], [4, -7]]], np.int8)
    codebook = IntegerCodebook(
        integer, np.array([3, 1], np.int32), 4, 1.0, 3, integer.astype(np.float32), copies=2
    )
    latent = np.array([[[5, -2, 6, -3]]], np.int8)
    residual = codebook.summed(latent)[0, 0] * 16
    assert f"less 2 * 3 (5, -11): r_0 = {tuple(residual.tolist())} for F = 4" in text
    entries = codebook.shifted()[0]
    assert "that is " + " and ".join(str(tuple(entry.tolist())) for entry in entries) in text
    distances = ((residual - entries) ** 2).sum(axis=1).tolist()
    left = tuple((residual - entries[1]).tolist())
    assert f"distances {distances[0]} and {distances[1]}, index 1, r_1 = {left}" in text
    assert search(latent, codebook)[0, 0, 0] == 1
    assert codebook.real(latent).tolist() == [[[2.5, -5.5]]]  # the mean of the copies, from the zero point
    assert codebook.entry_values()[0, 1].tolist() == [2.5, -5.75]
    assert codebook.distance_bound().residual[0] == 2 * 131 * 16


def test_search_with_prices() -> None:
    integer = np.array([[[3, -8, 1], [5, -13, 0]], [[0, 0, 0], [4, -7, 9]]], np.int8)
    latent = np.array([[[5, -2]]], np.int8)
    shift, text = np.array([3, 1], np.int32), " ".join(TEXT.split())
    codebook = IntegerCodebook(integer, shift, 4, 1.0, 3, integer[..., :2].astype(np.float32), 1)
    residual = np.array([32, -80, 0])
    for level, (want, entries) in enumerate(zip([(384, 640), (320, 328)], codebook.shifted(), strict=True)):
        distances = ((residual - entries) ** 2).sum(axis=1)
        assert distances.tolist() == list(want)
        assert f"r_{level} = {tuple(residual.tolist())}" in text
        assert all(str(tuple(entry.tolist())) in text for entry in integer[level])
        residual = residual - entries[0]
        residual[2] = 0
    assert all(str(tuple(entry.tolist())) in text for entry in codebook.shifted()[0])
    indices = search(latent, codebook)
    assert indices.tolist() == [[[0, 0]]]
    assert codebook.dequantize(indices).tolist() == [[[1.5, -4.0]]]
    free = IntegerCodebook(integer[..., :2].copy(), shift, 4, 1.0, 3, codebook.float)
    assert search(latent, free).tolist() == [[[0, 1]]]
    bounds = codebook.distance_bound()
    assert f"are {bounds.residual[0]} and {bounds.residual[1]} for residuals" in text
    assert f"the largest priced distance is {max(bounds.distance)}." in text


def test_m_best_search() -> None:
    integer = np.array([[[3, -8], [5, -12]], [[0, 0], [-4, 8]]], np.int8)
    parts = (integer, np.array([3, 1], np.int32), 4, 1.0, 3, integer.astype(np.float32))
    greedy, beam = IntegerCodebook(*parts), IntegerCodebook(*parts, beam=2)
    latent, first, second = np.array([[[5, -2]]], np.int8), *beam.shifted()
    residuals = np.array([32, -80]) - first
    assert residuals.tolist() == [[8, -16], [-8, 16]]
    assert (residuals**2).sum(axis=1).tolist() == [320, 320]
    costs = ((residuals[:, None] - second) ** 2).sum(axis=2)
    assert costs.tolist() == [[320, 1280], [320, 0]]
    assert search(latent, greedy).tolist() == [[[0, 0]]]
    assert search(latent, beam).tolist() == [[[1, 1]]]
    assert beam.dequantize(search(latent, beam)).tolist() == [[[2.0, -5.0]]]
    text = " ".join(TEXT.split())
    assert "(-4, 8), that is (-8, 16)" in text
    assert "path 0 has the costs 320 and 1280, path 1 has 320 and 0. The indices are 1, 1, restored (2, -5)" in text


def test_packing() -> None:
    indices = np.array([[5, 33], [63, 1]], np.uint16)
    for bits in (16, 24):
        body = PacketLayout(32, bits, 2, 2, 6, True).pack(indices, -3, 79)
        assert f"`{body.hex(' ')}`" in TEXT


def test_range_code() -> None:
    table = [row[1:] for row in rows("7.9") if len(row) == 4]
    codes = [[int(code) for code in row[0].split()] for row in table]
    groups, members = np.array(codes[:5], np.uint8), np.array([*codes[5], *codes[6]], np.uint8)
    level = LevelModel(
        slot=np.array([2, 0, 1, 3], np.uint16),
        first=np.array([0, 1, 4], np.uint16),
        members=members,
        member_scale=np.array([int(row[1]) for row in table[5:]], np.uint16),
        context=np.array([0, 65, 0, 1], np.uint8),
        rows=groups,
        row_scale=np.array([int(row[1]) for row in table[:5]], np.uint16),
        far=2,
    )
    assert np.array_equal(best_scale(groups), level.row_scale)
    assert [[int(value) for value in row[2].split()] for row in table[:5]] == level.row_cumulative.tolist()
    assert [int(value) for value in table[6][2].split()] == level.member_cumulative[1].tolist()
    model = CodingModel(2, (level,))
    layout = PacketLayout(64, 16, 16, 1, 2, True, coding="range", model=model)
    examples = [row for row in rows("7.9") if len(row) == 3 and row[0][0].isdigit()]
    assert len(examples) == 2
    for indices, code, body in examples:
        values = np.array([[[int(index)] for index in indices.split()]], np.uint16)
        found = encode(values, model)
        assert code.split(",")[0] == found.data[0, : found.lengths[0]].tobytes().hex(" ")
        assert body == layout.pack(values[0], -3, 79).hex(" ")
        assert np.array_equal(layout.unpack(bytes.fromhex(body)).indices, values)


def test_network() -> None:
    network = ContextNetwork(
        embedding=np.array([[40], [-30], [0]], np.int8),
        recurrent=np.array([[64, 40, -20], [-20, 30, 50]], np.int8),
        unit_bias=np.array([100, 32], np.int16),
        output=np.array([[90, -10], [-5, 30]], np.int8),
        output_bias=np.array([0, 64], np.int16),
    )
    assert "v = 40, -30 and, for no group, 0; w = (64, 40, -20), (-20, 30, 50); b = 100, 32;" in TEXT
    assert "o = (90, -10), (-5, 30); c = 0, 64. The indices of a frame have the groups 0, 0, 1, 1:" in TEXT
    assert "m = " + ", ".join(str(value) for value in MANTISSAS) in " ".join(TEXT.split())
    examples = [row for row in rows("7.4") if len(row) == 6 and row[0][0].isdigit()]
    assert [row[0] for row in examples] == ["0 2", "1 0", "2 0", "3 1"]
    found, before = network.start(1), network.start(1)
    for place, inputs, units, logits, weights, cumulative in examples:
        group = np.array([int(place.split()[1])])
        x, h, t = (np.array([int(value) for value in cell.split()]) for cell in (inputs, units, logits))
        assert np.concatenate([network.embedding[group[0]], before[0]]).tolist() == x.tolist()
        assert h.tolist() == np.clip((network.recurrent.astype(int) @ x + network.unit_bias) >> 6, 0, 127).tolist()
        assert t.tolist() == ((network.output.astype(int) @ h + network.output_bias) >> 6).tolist()
        found = network.step(before, group)
        assert found[0].tolist() == h.tolist()
        assert network.weights(found)[0].tolist() == [int(value) for value in weights.split()]
        assert network_cumulative(network.weights(found))[0].tolist() == [int(value) for value in cumulative.split()]
        before = found
    whole = network.frame_weights(np.array([[0, 0, 1, 1]]))
    assert whole[0].tolist() == [[int(value) for value in row[4].split()] for row in examples]


def test_version_is_that_of_the_build_hash() -> None:
    assert re.search(r"^Version (\d+)\.", TEXT, re.MULTILINE)[1] == str(NUMERICS_VERSION)  # type: ignore[index]
