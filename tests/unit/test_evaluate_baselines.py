"""Baselines: real decoders, rates that hold, figures that fall as bytes rise."""

from __future__ import annotations

import numpy as np
import pytest

from kit.errors import ShapeError
from kit.evaluate.baselines import BASELINES, rice_bits
from kit.evaluate.baselines.dct import DctCoder, value_bits
from kit.evaluate.baselines.decimation import decimate
from kit.evaluate.baselines.rice import decode_frame, encode_frame
from kit.evaluate.baselines.spiht import HEADER_BITS, Tree, decode, decode_prefixes, encode
from kit.evaluate.baselines.wavelet import forward, inverse, levels_of
from tests.support import seed


def walks(count: int, samples: int = 64) -> np.ndarray:
    """Random walks of zero mean and unit variance: smooth, as signals are."""
    y = np.cumsum(np.random.default_rng(seed()).normal(size=(count, samples)), axis=1)
    y -= y.mean(axis=1, keepdims=True)
    return (y / y.std(axis=1, keepdims=True)).astype(np.float32)


def prd(y: np.ndarray, decoded: np.ndarray) -> float:
    return float(100 * np.sqrt(np.square(decoded - y).sum() / np.square(y).sum()))


@pytest.mark.parametrize("kind", BASELINES, ids=lambda kind: kind.name)
def test_more_bytes_less_distortion_and_the_rate_holds(kind: type) -> None:
    y, payloads = walks(60), [4.0, 8.0, 16.0, 32.0]
    codec, seen = kind(), []
    codec.fit(walks(400))
    coded = codec.code(y, payloads, lambda done, total: seen.append((done, total)))
    found = [prd(y, one.y) for one in coded]
    assert found == sorted(found, reverse=True) and found[-1] < 0.5 * found[0], found
    for one, wanted in zip(coded, payloads, strict=True):
        assert one.y.shape == y.shape and one.payload_bits.shape == (60,)
        assert wanted * 0.8 <= one.payload_bytes <= wanted + 0.01, one.setting
    assert seen[-1] == (60, 60)


def test_dct_code_lengths_are_those_of_a_probability_distribution() -> None:
    rng = np.random.default_rng(seed())
    training = np.rint(rng.normal(0, 3, 2000)).astype(np.int64)
    values = np.arange(-(1 << 16), 1 << 16)
    shares = 2.0 ** -value_bits(values, training)
    assert 0.99 < shares.sum() <= 1.0 + 1e-9
    # What training saw is coded by its share, nearly.
    seen = shares[(1 << 16) + np.arange(-2, 3)]
    counts = np.array([(training == v).mean() for v in range(-2, 3)])
    np.testing.assert_allclose(seen, counts, rtol=0.2)


def test_dct_of_signals_that_training_never_saw_costs_more() -> None:
    codec = DctCoder()
    codec.fit(walks(300))
    noise = np.random.default_rng(1).normal(size=(40, 64)).astype(np.float32)
    assert codec.bits(_dct(noise), 0.2).mean() > 1.3 * codec.bits(_dct(walks(40)), 0.2).mean()


def _dct(y: np.ndarray) -> np.ndarray:
    from scipy.fft import dct

    return np.asarray(dct(y.astype(np.float64), axis=1, norm="ortho"))


@pytest.mark.parametrize("samples", [16, 18, 64, 320, 512, 4096])
def test_wavelet_comes_back_and_nearly_keeps_energy(samples: int) -> None:
    y, levels = walks(5, samples), levels_of(samples)
    bands = forward(y, levels)
    assert bands.shape == y.shape and levels >= 1
    np.testing.assert_allclose(inverse(bands, levels), y, atol=1e-9)
    assert 0.7 < np.square(bands).sum() / np.square(y).sum() < 1.4


def test_wavelet_is_cdf_9_7() -> None:
    unit = np.zeros((1, 64))
    unit[0, 16] = 1.0
    synthesis = inverse(unit, 1)[0, 29:36]
    published = np.array([-0.091271763114, -0.057543526229, 0.591271763114, 1.115087052457])
    expected = np.concatenate([published, published[2::-1]]) / np.sqrt(2)
    np.testing.assert_allclose(synthesis, expected, atol=1e-6)
    assert np.abs(forward(np.ones((1, 64)), 1)[0, 32:]).max() < 1e-9


@pytest.mark.parametrize("samples", [16, 64, 320])
def test_spiht_whole_stream_is_exact(samples: int) -> None:
    rng, tree = np.random.default_rng(seed()), Tree(samples)
    for scale in (0, 1, 3, 1000, 1 << 24):
        values = rng.integers(-scale, scale + 1, samples)
        assert np.array_equal(decode(tree, encode(tree, values.tolist())), values)


def test_spiht_prefixes_decode_like_cut_streams_and_get_better() -> None:
    tree = Tree(64)
    values = np.rint(forward(walks(1), tree.levels)[0] * 4096).astype(int)
    bits = encode(tree, values.tolist())
    ends = [0, 3, HEADER_BITS, 9, 50, 51, 52, 200, len(bits), 10**6]
    found = decode_prefixes(tree, bits, ends)
    for end, row in zip(ends, found, strict=True):
        assert np.array_equal(row, decode(tree, bits[:end])), end
    errors = [float(np.square(row - values).sum()) for row in found]
    assert errors[0] == np.square(values).sum() and errors[-1] == 0.0
    assert errors[7] < errors[4] < errors[0]


def test_spiht_stops_at_its_limit() -> None:
    tree = Tree(64)
    values = np.rint(forward(walks(1), tree.levels)[0] * 4096).astype(int).tolist()
    whole = encode(tree, values)
    for limit in (0, 5, 8, 9, 100):
        assert encode(tree, values, limit) == whole[:limit]


def test_every_coefficient_has_one_parent() -> None:
    for samples in (16, 18, 64, 320, 512):
        tree = Tree(samples)
        children = [c for own in tree.children for c in own]
        assert sorted(children) == list(range(tree.roots, samples))


@pytest.mark.parametrize("bits", [8, 12, 16, 24])
def test_rice_is_lossless(bits: int) -> None:
    rng, top = np.random.default_rng(seed()), (1 << (bits - 1)) - 1
    frames = [
        np.zeros(50), np.full(50, -top - 1), rng.integers(-top - 1, top + 1, 50), np.arange(50) - 25,
        np.where(np.arange(50) % 2, top, -top - 1), np.rint(0.9 * top * np.sin(np.arange(50) / 9)),
    ]  # fmt: skip
    for frame in frames:
        values = frame.astype(np.int32)
        assert np.array_equal(decode_frame(encode_frame(values, bits), 50, bits), values)


def test_rice_sizes_are_those_of_its_streams() -> None:
    frames = np.rint(500 * walks(6)).astype(np.int16)
    sizes = rice_bits(frames, 16)
    assert sizes.tolist() == [len(encode_frame(frame, 16)) for frame in frames]
    assert sizes.max() < 64 * 16


def test_rice_refuses_what_it_cannot_take() -> None:
    with pytest.raises(ShapeError, match="not integers"):
        encode_frame(np.zeros(20), 16)
    bits = encode_frame(np.arange(20, dtype=np.int16), 16)
    with pytest.raises(ShapeError, match="ends before"):
        decode_frame(bits[:-3], 20, 16)


def test_decimation_passes_what_it_keeps() -> None:
    time = (np.arange(64) + 0.5) / 64
    y = (np.cos(np.pi * 5 * time) * np.sqrt(2))[None].astype(np.float32)
    assert prd(y, decimate(y, 16, 14, 2.0)) < 0.1
    assert prd(y, decimate(y, 4, 14, 2.0)) > 90.0
