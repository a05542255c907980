"""Generated PPG: the same everywhere, plausible, and always labelled."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from kit.config import parse_config
from kit.data import build_dataset
from kit.data.synthetic import _bump, _sine, generate_ppg


def make(subject: int = 0, seconds: int = 60, rate: int = 64, bits: int = 16) -> np.ndarray:  # type: ignore[type-arg]
    return generate_ppg(seed=1, subject=subject, seconds=seconds, sample_rate_hz=rate, sample_bits=bits)


def test_codes_are_pinned() -> None:
    codes = np.concatenate([make(subject) for subject in range(4)])
    digest = hashlib.sha256(codes.astype("<i4").tobytes()).hexdigest()
    assert digest == "a6bed71d19c804fc595637137e4173fe76a8a9247bcc88131939ef9250e61711"


def test_functions_are_close_to_what_they_stand_for() -> None:
    turns = np.linspace(-3, 3, 6001)
    assert np.abs(_sine(turns) - np.sin(2 * np.pi * turns)).max() < 1e-5
    assert np.abs(_bump(turns) - np.exp(-turns * turns / 2)).max() < 5e-3
    assert _bump(np.array([20.0]))[0] == 0.0


@pytest.mark.parametrize("bits", [8, 10, 16, 18, 24])
def test_codes_fit_the_adc_and_use_it(bits: int) -> None:
    codes = make(bits=bits)
    assert codes.size == 60 * 64 and codes.min() >= -(1 << (bits - 1)) and codes.max() < 1 << (bits - 1)
    assert np.ptp(codes) > 1 << (bits - 5)


@pytest.mark.parametrize("subject", range(6))
def test_most_power_is_at_a_heart_rate(subject: int) -> None:
    codes = make(subject, seconds=120).astype(float)
    power = np.abs(np.fft.rfft((codes - codes.mean()) * np.hanning(codes.size))) ** 2
    hertz = np.fft.rfftfreq(codes.size, 1 / 64)
    beat = hertz[(hertz > 0.6)][np.argmax(power[hertz > 0.6])]
    assert 0.75 < beat < 1.8


def test_subjects_seeds_and_repeats() -> None:
    assert np.array_equal(make(3), make(3)) and not np.array_equal(make(3), make(4))
    other = generate_ppg(seed=2, subject=3, seconds=60, sample_rate_hz=64, sample_bits=16)
    assert not np.array_equal(make(3), other)


def test_always_labelled() -> None:
    dataset = build_dataset(parse_config({"name": "t"}))
    assert dataset.label == "synthetic" and dataset.synthetic and dataset.to_json()["synthetic"]
    assert all(entry["synthetic"] for entry in dataset.to_json()["recordings"])
    assert {s: len(dataset.subjects(s)) for s in ("train", "val", "test")} == {"train": 8, "val": 2, "test": 2}
