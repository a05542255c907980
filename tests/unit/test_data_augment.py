"""Augmentation: what each does, that it stays where it may, and batches computed ahead."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from kit.config import AugmentConfig, SignalConfig
from kit.data.ahead import Ahead
from kit.data.augment import MOTION_HZ, Windows, augmented, warped
from tests.support import need_package, seed

RATE, FRAME = 64, 320
SIGNAL = SignalConfig(sample_rate_hz=RATE, frame_samples=FRAME)


def pulse(samples: int = 4000, hertz: float = 1.25, dtype: str = "int16") -> np.ndarray:
    return np.rint(800 + 1000 * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)).astype(dtype)


def whole(flat: np.ndarray, count: int) -> Windows:
    start = np.random.default_rng(seed()).integers(0, len(flat) - FRAME, count)
    return Windows(start, np.zeros(count, np.int64), np.full(count, len(flat) - 1))


def apply(flat: np.ndarray, windows: Windows, **settings: float) -> np.ndarray:
    return augmented(flat, windows, SIGNAL, AugmentConfig(**settings), np.random.default_rng(5))


def plain(flat: np.ndarray, windows: Windows) -> np.ndarray:
    return flat[windows.start[:, None] + np.arange(FRAME)]


def test_nothing_on_changes_nothing() -> None:
    flat = np.random.default_rng(seed()).integers(-32768, 32768, 4000).astype(np.int16)
    windows = whole(flat, 20)
    np.testing.assert_array_equal(apply(flat, windows), plain(flat, windows))


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.25])
def test_warp_changes_the_rate(stretch: float) -> None:
    flat, windows = pulse(), whole(pulse(), 8)
    got = warped(flat, windows, np.full(8, stretch), FRAME)
    begin = np.minimum(windows.start, len(flat) - 1 - stretch * (FRAME - 1))
    time_s = (begin[:, None] + stretch * np.arange(FRAME)) / RATE
    np.testing.assert_allclose(got, 800 + 1000 * np.sin(2 * np.pi * 1.25 * time_s), atol=2.0)


def test_warp_never_reads_beyond_its_stretch_of_recording() -> None:
    flat = np.full(2000, 30000, np.int16)
    flat[500:900] = np.arange(400)
    start = np.array([500, 579, 580, 540])
    windows = Windows(start, np.full(4, 500), np.full(4, 899))
    for stretch in (0.5, 0.9, 1.1, 1.5):
        got = warped(flat, windows, np.full(4, stretch), FRAME)
        assert got.min() >= -1e-9 and got.max() <= 399 + 1e-9
        # The first and the last interval lack a neighbour, which is repeated there.
        np.testing.assert_allclose(np.diff(got, axis=1)[:, 3:-3], min(stretch, 399 / 319), rtol=1e-6)
    tight = Windows(np.array([500]), np.array([500]), np.array([819]))
    np.testing.assert_allclose(warped(flat, tight, np.array([1.5]), FRAME)[0], np.arange(320), atol=1e-6)


def test_beat_scale_modulates_around_the_mean() -> None:
    flat, windows = pulse(), whole(pulse(), 32)
    before, after = plain(flat, windows).astype(float), apply(flat, windows, beat_scale=0.5)
    mean = before.mean(axis=1, keepdims=True)
    gain = (after - mean)[np.abs(before - mean) > 300] / (before - mean)[np.abs(before - mean) > 300]
    assert 0.49 < gain.min() < 0.9 and 1.1 < gain.max() < 1.51


def test_wander_is_slow_and_bounded() -> None:
    flat, windows = pulse(), whole(pulse(), 32)
    before = plain(flat, windows).astype(float)
    drift = (apply(flat, windows, baseline_wander=0.5) - before) / before.std(axis=1, keepdims=True)
    assert 0.1 < np.abs(drift).max() <= 0.5 + 1e-2
    assert np.abs(np.diff(drift, axis=1)).max() < 0.5 * 2 * np.pi * 0.5 / RATE + 2e-3


def test_motion_hits_some_windows_within_its_band_and_time() -> None:
    flat, windows = pulse(), whole(pulse(), 200)
    before = plain(flat, windows).astype(float)
    burst = apply(flat, windows, motion=0.3, motion_height=2.0) - before
    hit = (np.abs(burst) > 0).any(axis=1)
    assert 0.15 < hit.mean() < 0.45
    assert (np.abs(burst[hit]) > 0).mean() < 3.0 / 5.0 + 0.05
    power = np.square(np.abs(np.fft.rfft(burst[hit], axis=1))).sum(axis=0)
    rate = np.fft.rfftfreq(FRAME, 1 / RATE)
    assert power[rate > MOTION_HZ[1] + 2.0].sum() < 0.01 * power.sum()


def test_result_stays_in_the_sensors_range() -> None:
    flat = (pulse(dtype="int32") * 70).astype(np.int32)
    signal = SignalConfig(sample_rate_hz=RATE, frame_samples=FRAME, sample_bits=18)
    settings = AugmentConfig(baseline_wander=10.0, motion=1.0)
    got = augmented(flat, whole(flat, 50), signal, settings, np.random.default_rng(1))
    assert got.dtype == np.int32 and got.min() == -(1 << 17) and got.max() == (1 << 17) - 1
    narrow = apply((pulse() * 15).astype(np.int16), whole(pulse(), 50), baseline_wander=10.0)
    assert narrow.dtype == np.int16 and narrow.min() == -32768 and narrow.max() == 32767


def test_ahead_gives_every_step_in_any_order_and_stops() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step * step

    ahead = Ahead(make, stop=6)
    assert [ahead(step) for step in (0, 1, 2, 5, 1, 2)] == [0, 1, 4, 25, 1, 4]
    while threading.active_count() > 1 and any(t.name.startswith("batch-") for t in threading.enumerate()):
        time.sleep(0.01)
    assert made == [0, 1, 2, 3, 5, 1, 2, 3]


def test_ahead_works_beside_the_caller_and_passes_errors_on() -> None:
    main = threading.get_ident()

    def make(step: int) -> int:
        if step == 3:
            raise ValueError("step 3")
        return threading.get_ident()

    ahead = Ahead(make)
    assert ahead(0) == main != ahead(1)
    ahead(2)
    with pytest.raises(ValueError, match="step 3"):
        ahead(3)


EXIT = """
import numpy as np
from kit.config import parse_config
from kit.data import build_dataset
from kit.data.batches import training_batches
config = parse_config({"name": "t", "preprocess": {"augment": {"time_warp": 0.2, "motion": 0.5}}})
for noisy, clean in training_batches(build_dataset(config), config).take(3):
    pass
print(noisy.shape)
"""


def test_process_with_a_batch_under_way_exits() -> None:
    need_package("tensorflow")
    done = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and done.stdout == "(64, 320)\n", done.stderr
