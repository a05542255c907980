"""The server-side bundle: units, lost packets, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.config import Config, parse_config
from kit.errors import ArtifactError, ShapeError
from kit.graph.codebook import IntegerCodebook
from kit.server.bundle import Bundle, write_bundle
from kit.server.executor import run
from kit.server.spec import DecoderSpec, Layer
from kit.wire.scale import unit_codes

HASH = "0123456789abcdef"


def tiny_config(side_information: bool = True) -> Config:
    return parse_config(
        {
            "name": "tiny",
            "signal": {"frame_samples": 16},
            "model": {"embedding_dim": 2, "latent_width": 4, "num_levels": 2, "num_stages": 2},
            "packet": {"side_information": side_information},
        }
    )


def tiny_codebook() -> IntegerCodebook:
    integer = np.arange(16, dtype=np.int8).reshape(2, 4, 2) - 8
    return IntegerCodebook(integer, np.array([3, 1], np.int32), 3, 0.0625, -2, integer.astype(np.float32))


def tiny_decoder() -> DecoderSpec:
    random = np.random.default_rng(4)
    layers = (
        Layer("up0", "upsample", (0,), 4),
        Layer("head", "conv", (1,)),
    )
    weights = {
        "head.kernel": random.normal(size=(3, 2, 1)).astype(np.float32),
        "head.bias": np.array([0.25], np.float32),
    }
    return DecoderSpec(4, 2, 16, layers, weights)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "server", tiny_config(), tiny_codebook(), tiny_decoder(), HASH, "synthetic")
    return tmp_path / "server"


def packets(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    indices = random.integers(0, 4, (count, 4, 2)).astype(np.uint16)
    return indices, random.integers(-4000, 4000, count).astype(np.int32), random.integers(1, 90, count).astype(np.uint8)


def test_decode_restores_units(folder: Path) -> None:
    bundle = Bundle.load(folder, HASH)
    indices, mean, scale = packets(20)
    shape = run(tiny_decoder(), tiny_codebook().dequantize(indices)).astype(np.float64)
    expected = mean[:, None] + unit_codes(scale, 5)[:, None] * shape
    decoded = bundle.decode(indices, mean, scale)
    assert decoded.dtype == np.float32 and bundle.label == "synthetic"
    np.testing.assert_allclose(decoded, expected, rtol=0, atol=np.abs(expected).max() * 2e-7)
    one = np.concatenate([bundle.decode(indices[i : i + 1], mean[i : i + 1], scale[i : i + 1]) for i in range(20)])
    assert one.tobytes() == decoded.tobytes()


def test_a_decoder_with_a_codebook_of_its_own(tmp_path: Path) -> None:
    entries = np.random.default_rng(6).normal(size=(2, 4, 2)).astype(np.float32)
    decoder = replace(tiny_decoder(), codebook=entries)
    write_bundle(tmp_path, tiny_config(False), tiny_codebook(), decoder, HASH, "synthetic")
    assert json.loads((tmp_path / "bundle.json").read_text())["decoder_parameters"] == 7 + 16
    indices, _, _ = packets(9)
    decoded = Bundle.load(tmp_path, HASH).decode(indices)
    latents = entries[0][indices[..., 0]] + entries[1][indices[..., 1]]
    assert decoded.tobytes() == run(tiny_decoder(), latents).tobytes()
    for wrong in (np.zeros((2, 8, 2), np.float32), np.zeros((1, 4, 2), np.float32)):
        with pytest.raises(ArtifactError, match=r"codebook has \[levels, K\]"):
            write_bundle(
                tmp_path, tiny_config(), tiny_codebook(), replace(decoder, codebook=wrong), HASH, "synthetic"
            )


def test_flat_frames_are_their_mean(folder: Path) -> None:
    indices, mean, scale = packets(3)
    mean[:] = (-(1 << 23), 7, (1 << 23) - 1)
    scale[:] = 0
    decoded = Bundle.load(folder).decode(indices, mean, scale)
    assert (decoded == mean[:, None]).all()


def test_lost_packets_are_nan_and_not_looked_at(folder: Path) -> None:
    bundle = Bundle.load(folder)
    indices, mean, scale = packets(5)
    whole = bundle.decode(indices, mean, scale)
    valid = np.array([True, False, True, True, False])
    indices[~valid] = 65535
    decoded = bundle.decode(indices, mean, scale, valid)
    assert np.isnan(decoded[~valid]).all()
    assert decoded[valid].tobytes() == whole[valid].tobytes()
    assert np.isnan(bundle.decode(indices, mean, scale, np.zeros(5, np.bool_))).all()
    assert bundle.decode(indices[:0], mean[:0], scale[:0]).shape == (0, 16)


def test_without_side_information_output_is_in_units(tmp_path: Path) -> None:
    write_bundle(tmp_path, tiny_config(False), tiny_codebook(), tiny_decoder(), HASH, "synthetic")
    indices, _, _ = packets(2)
    decoded = Bundle.load(tmp_path).decode(indices)
    assert decoded.tobytes() == run(tiny_decoder(), tiny_codebook().dequantize(indices)).tobytes()


def test_wrong_arguments_are_refused(folder: Path) -> None:
    bundle = Bundle.load(folder)
    indices, mean, scale = packets(2)
    with pytest.raises(ShapeError, match="outside the codebook"):
        bundle.decode(indices + np.uint16(4), mean, scale)
    with pytest.raises(ShapeError, match="both needed"):
        bundle.decode(indices)
    with pytest.raises(ShapeError, match="both needed"):
        bundle.decode(indices, mean)
    with pytest.raises(ShapeError, match="indices"):
        bundle.decode(indices[:, :3], mean, scale)
    with pytest.raises(ShapeError, match="indices"):
        bundle.decode(indices.astype(np.int32), mean, scale)
    with pytest.raises(ShapeError, match="mean"):
        bundle.decode(indices, mean[:1], scale)
    with pytest.raises(ShapeError, match="scale_code"):
        bundle.decode(indices, mean, scale.astype(np.int32))
    with pytest.raises(ShapeError, match="valid"):
        bundle.decode(indices, mean, scale, np.ones(3, np.bool_))


def test_another_build_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="not build fedcba9876543210"):
        Bundle.load(folder, "fedcba9876543210")


def test_equal_builds_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "again", tiny_config(), tiny_codebook(), tiny_decoder(), HASH, "synthetic")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["bundle.json", "codebook.npz", "config.yaml", "decoder.json", "decoder.npz"]
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("name", ["config.yaml", "codebook.npz", "decoder.json", "decoder.npz"])
def test_changed_or_missing_parts_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes() + b"\n")
    with pytest.raises(ArtifactError, match="changed since"):
        Bundle.load(folder)
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match="lacks"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"build_hash": "xyz"}, {"build_hash": None}, {"files": {}}, {"files": 1}]
)
def test_damaged_bundle_json_is_refused(folder: Path, change: dict[str, object]) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError):
        Bundle.load(folder)


def test_parts_must_fit_when_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="hex digits"):
        write_bundle(tmp_path, tiny_config(), tiny_codebook(), tiny_decoder(), "12", "synthetic")
    config = parse_config({"name": "other", "signal": {"frame_samples": 32}, "model": tiny_config().model.model_dump()})
    with pytest.raises(ArtifactError, match="the config asks for"):
        write_bundle(tmp_path, config, tiny_codebook(), tiny_decoder(), HASH, "synthetic")


def test_decoding_needs_neither_tensorflow_nor_keras(folder: Path) -> None:
    code = (
        "import sys; from kit.server.bundle import Bundle; import numpy as np;"
        f"Bundle.load({str(folder)!r}).decode(np.zeros((1,4,2),np.uint16),np.zeros(1,np.int32),np.ones(1,np.uint8));"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
