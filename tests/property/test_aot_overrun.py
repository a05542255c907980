"""Samples that find the ring full are dropped, counted and reported; everything accepted is coded exactly."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from kit.reference.device_path import DevicePath
from tests.c_support import Rendered, compile_codec, render_random
from tests.models import random_frames, tiny_config
from tests.support import seed


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rendered, Path]:
    folder = tmp_path_factory.mktemp("overrun")
    rendered = render_random(tiny_config(), folder / "generated", seed())
    return rendered, compile_codec("clang", rendered, "overrun_main.c", folder / "overrun")


@pytest.mark.parametrize("burst", [1, 3, 9, 50, 73, 200, 2000])
def test_overrun(build: tuple[Rendered, Path], burst: int) -> None:
    rendered, program = build
    config = rendered.config
    samples = config.signal.frame_samples
    ring = samples + config.firmware.ring_margin_samples
    stream = random_frames(np.random.default_rng(burst), 40, samples).reshape(-1)
    done = subprocess.run([str(program), str(burst)], input=stream.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    taken, dropped = map(int, done.stderr.split())
    assert taken + dropped == len(stream)
    if burst > ring:
        assert dropped > 0
    accepted = np.frombuffer(done.stdout[: 2 * taken], np.int16)
    frames = accepted[: len(accepted) // samples * samples].reshape(-1, samples)
    expected = DevicePath(rendered.encoder, rendered.codebook, config).run(frames)
    records = np.frombuffer(done.stdout[2 * taken :], np.uint8).reshape(len(frames), -1)
    assert np.array_equal(records[:, 1:], expected.packets)
    certain, allowed = _gaps(stream, burst, taken, frames.shape[0], samples, program)
    flags = records[:, 0]
    assert set(np.flatnonzero(flags)) <= allowed
    assert certain <= set(np.flatnonzero(flags))
    assert dropped or not flags.any()


def _gaps(
    stream: np.ndarray, burst: int, taken: int, frames: int, samples: int, program: Path
) -> tuple[set[int], set[int]]:
    """Frames that contain a joint inside, and frames that may say so (between the first and the last border)."""
    tagged = np.arange(len(stream), dtype=np.int16)
    done = subprocess.run([str(program), str(burst)], input=tagged.tobytes(), capture_output=True, check=True)
    accepted = np.frombuffer(done.stdout[: 2 * taken], np.int16)
    joints = np.flatnonzero(np.diff(accepted) != 1) + 1
    certain = {int(j) // samples for j in joints if j % samples} & set(range(frames))
    touched = {int(at) // samples for j in joints for at in (j - 1, j)}
    allowed = set(range(min(touched), max(touched) + 1)) if touched else set()
    return certain, allowed
