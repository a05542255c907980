"""Rate conversion: right length, right phase, no alias, exact constants; and masks that follow it."""

from __future__ import annotations

import numpy as np
import pytest

from kit.data.resample import TAP_BITS, Ratio, _taps, carry_mask, rate_ratio, resample

RATIOS = [(125.0, 64), (100.0, 64), (100.4, 64), (117.0, 64), (360.0, 256), (64.0, 64), (25.0, 64), (50.0, 100)]


@pytest.mark.parametrize(
    ("source", "target", "up", "down"),
    [(125.0, 64, 64, 125), (100.4, 64, 160, 251), (360.0, 256, 32, 45), (64.0, 64, 1, 1), (44100.0, 64, 64, 44100)],
)
def test_ratio(source: float, target: int, up: int, down: int) -> None:
    ratio = rate_ratio(source, target)
    assert ratio.up / ratio.down == pytest.approx(up / down, rel=1e-3)
    if down <= 1000:
        assert ratio == Ratio(up, down)


def test_ratio_of_distant_rates_is_positive() -> None:
    assert rate_ratio(4e6, 1).up == 1 and rate_ratio(1.0, 4000) == Ratio(4000, 1)


@pytest.mark.parametrize(("source", "target"), RATIOS)
def test_constant_stays_exact_to_both_ends(source: float, target: int) -> None:
    ratio = rate_ratio(source, target)
    for value in (1023, -32768, 32767):
        flat = resample(np.full(5000, value, np.int16), ratio, 16)
        assert flat.dtype == np.int16 and flat.size == ratio.length(5000) and np.all(flat == value)


@pytest.mark.parametrize(("source", "target"), RATIOS)
def test_sine_keeps_phase_and_amplitude(source: float, target: int) -> None:
    seconds = 20
    tone = np.rint(8000 * np.sin(2 * np.pi * 3.0 * np.arange(int(seconds * source)) / source)).astype(np.int16)
    ratio = rate_ratio(source, target)
    got = resample(tone, ratio, 16).astype(float)
    # Compare at the rate the ratio really gives: 100.4 Hz by 160/251 is exactly 64 Hz, others likewise.
    want = 8000 * np.sin(2 * np.pi * 3.0 * np.arange(got.size) / (source * ratio.up / ratio.down))
    assert np.abs(got - want)[64:-64].max() < 8


def test_alias_is_suppressed() -> None:
    tone = np.rint(8000 * np.sin(2 * np.pi * 50.0 * np.arange(5000) / 125)).astype(np.int16)
    assert np.abs(resample(tone, rate_ratio(125.0, 64), 16)[64:-64]).max() <= 2


def test_same_rate_is_untouched_and_wide_samples_saturate() -> None:
    samples = np.array([-32768, 5, 32767], np.int16)
    assert resample(samples, Ratio(1, 1), 16) is samples
    step = np.where(np.arange(4000) < 2000, -(1 << 23), (1 << 23) - 1).astype(np.int32)
    got = resample(step, Ratio(64, 125), 32)
    assert got.dtype == np.int32 and got.min() == -(1 << 23) and got.max() == (1 << 23) - 1


@pytest.mark.parametrize(("up", "down"), [(64, 125), (160, 251), (32, 45), (64, 25), (1000, 999)])
def test_sums_are_exact_in_double_precision(up: int, down: int) -> None:
    taps = _taps(up, down)
    assert np.all(taps == np.rint(taps))
    for branch in range(up):
        assert taps[branch::up].sum() == 1 << TAP_BITS
        assert np.abs(taps[branch::up]).sum() * (1 << 23) < 2**53


def test_resampling_is_split_invariant_away_from_the_ends() -> None:
    rng = np.random.default_rng(1)
    samples = rng.integers(-2000, 2000, 6000).astype(np.int16)
    ratio = Ratio(64, 125)
    whole = resample(samples, ratio, 16)
    later = resample(samples[1250:], ratio, 16)
    assert np.array_equal(whole[640 + 40 :], later[40:])


def test_masks_follow_the_samples() -> None:
    ratio = Ratio(64, 125)
    mask = np.zeros(1250, np.bool_)
    mask[625] = True
    touching = np.flatnonzero(carry_mask(mask, ratio, touching=True))
    assert touching.tolist() == [319, 320, 321]
    assert np.flatnonzero(carry_mask(mask, ratio, touching=False)).tolist() == [320]
    mask[:] = False
    mask[626] = True  # lies between outputs 320 (625.0) and 321 (626.95)
    assert {320, 321} <= set(np.flatnonzero(carry_mask(mask, ratio, touching=True)).tolist())
    assert carry_mask(mask, Ratio(1, 1), touching=True) is mask
    assert carry_mask(np.ones(10, np.bool_), Ratio(64, 25), touching=True).all()
