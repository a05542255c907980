"""Window flags against their plain definition, for both containers and their extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kit.data.windows import flag_windows, runs, window_spread


def exact_spread(samples: NDArray[Any], frame: int) -> list[int]:
    """T^2 times the variance of every window, in Python's unlimited integers."""
    values = [int(v) for v in samples]
    windows = (values[i : i + frame] for i in range(len(values) - frame + 1))
    return [frame * sum(v * v for v in w) - sum(w) ** 2 for w in windows]


def random_samples(draw: st.DrawFn) -> NDArray[Any]:
    bits = draw(st.sampled_from([1, 2, 12, 16, 24]))
    base = draw(st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
    spread = draw(st.sampled_from([0, 1, 3, 1 << 8, 1 << 23]))
    steps = draw(st.lists(st.integers(-spread, spread), min_size=8, max_size=60))
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return np.clip(base + np.array(steps), low, high).astype(np.int16 if bits <= 16 else np.int32)


samples_strategy = st.composite(random_samples)()


@settings(max_examples=200, deadline=None)
@given(samples=samples_strategy, frame=st.integers(1, 8))
def test_spread_is_exact(samples: NDArray[Any], frame: int) -> None:
    want = exact_spread(samples, frame)
    assert window_spread(samples, frame).tolist() == [float(v) for v in want]


@pytest.mark.parametrize("offset", [0, (1 << 23) - 2, -(1 << 23)])
def test_spread_of_the_longest_frame_at_the_container_rails(offset: int) -> None:
    samples = np.full(9000, offset, np.int32)
    samples[4500] += 1
    spread = window_spread(samples, 4096)
    touched = np.arange(spread.size)
    touched = (touched <= 4500) & (touched + 4096 > 4500)
    assert np.all(spread[~touched] == 0) and np.all(spread[touched] == 4095)
    swing = np.where(np.arange(9000) % 2 == 0, -(1 << 23), (1 << 23) - 1).astype(np.int32)
    assert np.allclose(window_spread(swing, 4096), (4096 * (2**24 - 1) / 2) ** 2, rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(marks=st.lists(st.booleans(), min_size=8, max_size=60), frame=st.integers(1, 8), limit=st.floats(0, 1))
def test_gaps_and_rails_are_counted_per_window(marks: list[bool], frame: int, limit: float) -> None:
    mask = np.array(marks)
    samples = np.arange(mask.size, dtype=np.int16)
    flags = flag_windows(samples, mask, mask, frame, 0.0, limit)
    windows = [marks[i : i + frame] for i in range(len(marks) - frame + 1)]
    assert flags.non_finite.tolist() == [any(w) for w in windows]
    assert flags.railed.tolist() == [sum(w) > limit * frame for w in windows]
    assert flags.flat.tolist() == [frame == 1] * len(windows)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_runs_cover_exactly_the_marks(marks: list[bool]) -> None:
    found = runs(np.array(marks, np.bool_))
    covered = [i for first, last in found.tolist() for i in range(first, last + 1)]
    assert covered == [i for i, mark in enumerate(marks) if mark]
