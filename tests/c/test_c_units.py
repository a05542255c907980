"""Single functions of the runtime and the kernels, built with sanitizers by both compilers, against the references."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from kit.graph.ir import Requant
from kit.reference.encoder import requantize
from kit.reference.normalise import Shaping, normalise
from kit.wire.bits import pack_indices
from tests.c_support import AOT, C_TESTS, CODEC_SOURCES, COMPILERS, RUNTIME, compile_c, run_c
from tests.models import random_frames
from tests.support import seed

UNITS = [path for path in CODEC_SOURCES if path.stem not in ("kit_codec", "kit_aot")]


def build(folder: Path, compiler: str, sample_bits: int) -> Path:
    (folder / "kit_config.h").write_text(f"#define KIT_SAMPLE_BITS {sample_bits}\n")
    sources = [*UNITS, C_TESTS / "unit_main.c"]
    return compile_c(compiler, sources, (RUNTIME, AOT, folder), folder / f"unit_{compiler}")


@pytest.fixture(scope="module", params=COMPILERS)
def narrow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("narrow"), request.param, 16)


@pytest.fixture(scope="module", params=COMPILERS)
def wide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wide"), request.param, 32)


def test_requantize(narrow: Path) -> None:
    rng = np.random.default_rng(seed())
    count = 20000
    shift = rng.integers(-31, 31, count)
    limit = (1 << (31 - np.maximum(shift, 0))) - 1
    value = rng.integers(-(1 << 31), 1 << 31, count) >> rng.integers(0, 31, count)
    value[: count // 4] = rng.integers(-3, 4, count // 4)
    value = np.clip(value, -limit, limit)
    multiplier = rng.integers(1 << 30, 1 << 31, count)
    multiplier[::7], multiplier[1::7], multiplier[2::7] = 0, 1 << 30, (1 << 31) - 1
    rows = np.stack([value, multiplier, shift], axis=1).astype(np.int32)
    got = np.frombuffer(run_c(narrow, "requantize", stdin=rows.tobytes()), np.int32)
    want = requantize(value[None], Requant(tuple(map(int, multiplier)), tuple(map(int, shift)), "double"))[0]
    assert np.array_equal(got, want)


def normalise_in_c(
    program: Path, frames: np.ndarray, bits: int, shaping: str, remainder_bits: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    samples = frames.shape[1]
    arguments = ("normalise", samples, bits, int(shaping == "first"), remainder_bits)
    output = np.frombuffer(run_c(program, *arguments, stdin=frames.tobytes()), np.uint8)
    channels = 2 if remainder_bits else 1
    records = output.reshape(len(frames), 8 + samples * channels)
    side = records[:, :8].copy().view(np.int32)
    y = records[:, 8:].copy().view(np.int8)
    return side[:, 0], side[:, 1], y.reshape(-1, samples, 2) if remainder_bits else y


@pytest.mark.parametrize("bits", [3, 4, 5, 6])
@pytest.mark.parametrize("samples", [1, 2, 16, 321, 4096])
def test_normalise_narrow(narrow: Path, samples: int, bits: int) -> None:
    check_normalise(narrow, samples, bits, 16)


@pytest.mark.parametrize("bits", [3, 6])
@pytest.mark.parametrize("samples", [1, 16, 4096])
def test_normalise_wide(wide: Path, samples: int, bits: int) -> None:
    check_normalise(wide, samples, bits, 24)


def check_normalise(program: Path, samples: int, bits: int, sample_bits: int) -> None:
    rng = np.random.default_rng(seed() + samples + bits)
    frames = random_frames(rng, 36, samples, sample_bits=sample_bits)
    # Amplitudes of every size: each scale code's border lies between two of them.
    top = 1 << (sample_bits - 1)
    scales = np.exp(rng.uniform(0, np.log(top), (120, 1)))
    extra = np.clip(np.round(rng.normal(0, 1, (120, samples)) * scales), -top, top - 1).astype(frames.dtype)
    frames = np.concatenate([frames, extra])
    for shaping, remainder_bits in product(get_args(Shaping), (0, 1, 3, 4)):
        want = normalise(frames, bits, shaping, remainder_bits)
        mean, code, y = normalise_in_c(program, frames, bits, shaping, remainder_bits)
        assert np.array_equal(mean, want.mean)
        assert np.array_equal(code, want.scale_code)
        assert np.array_equal(y, want.y)


@pytest.mark.parametrize("bits", range(1, 13))
def test_pack(narrow: Path, bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 1 << bits, 77).astype(np.uint16)
    want = pack_indices(values, bits).tobytes()
    assert run_c(narrow, "pack", bits, 1000, stdin=values.tobytes()) == want
    assert run_c(narrow, "pack", bits, 5, stdin=values.tobytes()) == want[:5], "writes stay within the capacity"
