"""Beats, noise index, intervals, sizes: signals with known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kit.data import FrameRef
from kit.evaluate.beats import detect_beats, is_regular, require_detector, upright
from kit.evaluate.bootstrap import ratio_interval
from kit.evaluate.noise import noise_index, tertiles
from kit.evaluate.probes import FAILED, PASSED, make_probes, run_probes
from kit.evaluate.rhythm import Rhythm, match, stretches
from kit.evaluate.sizes import coded_sizes, packet_sizes
from kit.wire.packet import PacketLayout
from tests.models import tiny_config
from tests.support import need_package, seed

RATE = 64


def pulse(bpm: float, seconds: float, rate: int = RATE) -> np.ndarray:
    """Sharp-rising pulses; beat k peaks at (k + 0.3) * 60 / bpm seconds."""
    phase = np.arange(round(seconds * rate)) / rate * bpm / 60 % 1.0
    return 800.0 * np.exp(-(((phase - 0.3) / np.where(phase < 0.3, 0.08, 0.2)) ** 2))


def refs(count: int, samples: int, recording: str = "r", start: int = 0) -> list[FrameRef]:
    return [FrameRef("d", recording, start + i * samples, "s") for i in range(count)]


@pytest.mark.parametrize("bpm", [48.0, 72.5, 131.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_ppg_beats_are_found_where_they_are(bpm: float, sign: float) -> None:
    signal = sign * pulse(bpm, 30)
    assert upright(signal, "ppg") == sign
    beats = detect_beats(signal, RATE, "ppg", sign)
    expected = (np.arange(round(30 * bpm / 60)) + 0.3) * 60 / bpm
    inner = beats[(beats > 2) & (beats < 28)]
    assert np.allclose(np.diff(inner), 60 / bpm, atol=0.004)
    assert len(match(expected, beats)) and (match(expected[2:-2], beats) >= 0).all()
    assert is_regular(beats)


def test_ecg_beats_are_found_where_they_are() -> None:
    need_package("sleepecg")
    rate = 256
    phase = np.arange(20 * rate) / rate * 75 / 60 % 1.0
    signal = 1000 * np.exp(-(((phase - 0.4) / 0.012) ** 2)) + 150 * np.exp(-(((phase - 0.75) / 0.06) ** 2))
    beats = detect_beats(signal, rate, "ecg")
    assert np.allclose(np.diff(beats[1:-1]), 0.8, atol=0.003) and len(beats) >= 22
    require_detector("ecg")


def test_no_beats_in_silence_or_in_a_moment() -> None:
    assert not len(detect_beats(np.full(640, 7.0), RATE, "ppg"))
    assert not len(detect_beats(pulse(70, 1), RATE, "ppg"))
    assert not is_regular(np.empty(0))
    assert not is_regular(np.array([0.0, 0.4, 1.6, 2.0, 3.4]))


def test_heart_rate_and_intervals_of_a_slowed_copy() -> None:
    samples, count = 320, 12
    original = np.rint(pulse(60, 60)).astype(np.int16).reshape(count, samples)
    rhythm = Rhythm(original, refs(count, samples), RATE, "ppg")
    same = rhythm.compare(original.astype(np.float32))
    assert len(same.window_bpm) == 6 and same.window_bpm.max() == 0.0 and same.interval_ms.max() == 0.0
    assert same.beats.sum() == same.matched.sum() > 55
    assert same.coherence.tolist() == pytest.approx([1.0])
    slower = rhythm.compare(np.rint(pulse(58, 60)).astype(np.float32).reshape(count, samples))
    assert np.median(slower.window_bpm) == pytest.approx(2.0, abs=0.1)
    gone = rhythm.compare(np.full((count, samples), 3.0, np.float32))
    assert np.isnan(gone.window_bpm).all() and gone.matched.sum() == 0 and gone.coherence[0] < 0.01


def test_stretches_end_at_gaps_and_recordings() -> None:
    chain = [*refs(3, 64), *refs(2, 64, start=5 * 64), *refs(2, 64, "q", 7 * 64)]
    assert [(part.first, part.last) for part in stretches(chain, 64)] == [(0, 3), (3, 5), (5, 7)]
    assert stretches([], 64) == []


def test_noise_index_orders_pulse_mixture_and_noise() -> None:
    rng = np.random.default_rng(seed())
    clean, noise = pulse(72, 5)[None], 300 * rng.normal(size=(1, 320))
    found = noise_index(np.concatenate([clean, clean + noise, noise, np.full((1, 320), 9.0)]), RATE, "ppg")
    assert found[0] < 0.15 < found[1] < found[2] <= 1.0 and found[3] == 1.0
    wander = 1000 * np.sin(2 * np.pi * 0.3 * np.arange(512) / 256)[None]
    beat = 1000 * np.sin(2 * np.pi * 8 * np.arange(512) / 256)[None]
    slow, fast = noise_index(np.concatenate([wander, beat]), 256, "ecg")
    assert slow > 0.7 and fast < 0.05


def test_tertiles_hold_a_third_each() -> None:
    index, usable = np.arange(90.0), np.arange(90) % 10 != 0
    third = tertiles(index, usable)
    assert [int((third == k).sum()) for k in (-1, 0, 1, 2)] == [9, 27, 27, 27]
    assert index[third == 0].max() < index[third == 1].min()


def test_bootstrap_is_the_same_every_time_and_covers_the_ratio() -> None:
    sums, counts = np.array([4.0, 9.0, 2.0, 30.0]), np.array([2.0, 3.0, 1.0, 10.0])
    found = ratio_interval(sums, counts)
    assert found == ratio_interval(sums, counts)
    assert found is not None and found[0] < 45 / 16 < found[1]
    squared = ratio_interval(sums, counts, np.square)
    assert squared is not None and squared == pytest.approx((found[0] ** 2, found[1] ** 2))
    assert ratio_interval(np.array([3.0, 0.0]), np.array([1.0, 0.0])) is None
    assert ratio_interval(np.full(5, 2.0), np.full(5, 4.0)) == (0.5, 0.5)


def test_sizes_count_everything_that_is_sent() -> None:
    layout = PacketLayout.from_config(tiny_config())
    sizes = packet_sizes(layout, np.zeros((5, layout.frame_bytes), np.uint8))
    assert sizes.payload.tolist() == [layout.index_bytes] * 5
    assert sizes.wire.tolist() == [layout.wire_bytes] * 5
    other = coded_sizes(layout, np.full(5, 8.0 * layout.index_bytes))
    assert other.payload.tolist() == sizes.payload.tolist() and other.wire.tolist() == sizes.wire.tolist()
    varied = packet_sizes(layout, [bytes(layout.side_bytes + n) for n in (3, 4)])
    assert varied.payload.tolist() == [3.0, 4.0] and np.diff(varied.wire).tolist() == [1.0]
    shared = replace(layout, frames_per_packet=4)
    together = packet_sizes(shared, np.zeros((8, layout.frame_bytes), np.uint8))
    assert together.wire.tolist() == [shared.wire_bytes_per_frame] * 8


def test_probes_tell_a_faithful_codec_from_one_that_dreams() -> None:
    config = tiny_config(signal={"sample_rate_hz": 64, "frame_samples": 320, "sample_bits": 16})
    honest = {p["name"]: p for p in run_probes(config, lambda frames: frames.astype(np.float32))}
    assert {p["verdict"] for p in honest.values()} == {PASSED}
    assert honest["zeros"]["decoded_peak"] == 0.0 and honest["flat"]["error_peak"] == 0.0
    beat = pulse(75, 5)

    def dream(frames: np.ndarray) -> np.ndarray:
        return (frames.mean(axis=1, keepdims=True) + beat[: frames.shape[1]]).astype(np.float32)

    dreamt = {p["name"]: p for p in run_probes(config, dream)}
    assert {dreamt[name]["verdict"] for name in ("zeros", "flat", "white noise", "low noise", "slow noise")} == {FAILED}
    assert dreamt["white noise"]["regular_decoded"] > 0.9


def test_probes_are_the_same_every_time_and_fit_the_container() -> None:
    for bits in (8, 16, 24):
        config = tiny_config(signal={"sample_bits": bits})
        one, two = make_probes(config), make_probes(config)
        for a, b in zip(one, two, strict=True):
            assert np.array_equal(a.windows, b.windows)
            assert np.abs(a.windows.astype(np.int64)).max() < 1 << (bits - 1)
            assert a.windows.dtype == (np.int16 if bits <= 16 else np.int32)
