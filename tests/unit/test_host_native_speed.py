"""Native speed beside TensorFlow Lite: what is computed from the rounds, and a run of a few frames."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from kit.errors import RunnerError
from kit.host.native_speed import NativeSpeed, SpeedProcess, Spread, compare, native_speed
from tests.firmware_folder import make_firmware
from tests.models import random_frames
from tests.support import need, need_package


def test_median_and_quartiles() -> None:
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3.0, 2.0, 4.0)


def test_differences_are_counted_without_wrapping() -> None:
    found, wanted = np.array([-128, 0, 5], np.int8), np.array([127, 0, 4], np.int8)
    assert compare(found, wanted) == (2, 255)
    assert compare(found, found) == (0, 0)


def test_the_result_in_words_and_numbers() -> None:
    rate = Spread(50_000.0, 40_000.0, 60_000.0)
    speed = NativeSpeed(rate, rate, rate, Spread(0.85, 0.8, 0.9), 15, 2, 80, 0, 4, 1)
    assert "0.85x" in " ".join(speed.lines())
    assert "4 of 80 (5.0 %" in " ".join(speed.lines())
    assert speed.to_json()["ratio"] == {"median": 0.85, "low": 0.8, "high": 0.9}


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(RunnerError, match="no such thing"):
        SpeedProcess("native", [sys.executable, "-c", "import sys; sys.exit('no such thing')"])


def test_a_few_frames_of_both(tmp_path: Path) -> None:
    need("make")
    need("gcc")
    need_package("tensorflow")
    firmware = make_firmware(tmp_path)
    frames = random_frames(np.random.default_rng(1), 4, firmware.config.signal.frame_samples)
    speed = native_speed(firmware, frames, rounds=2, seconds=0.001)
    assert (speed.rounds, speed.frames, speed.mismatches) == (2, 4, 0)
    assert min(speed.encoder.low, speed.codec.low, speed.tflite.low, speed.ratio.low) > 0
