"""The NumPy decoder: layers against plain loops, independence of the batch, files that do not fit."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.errors import ArtifactError, ShapeError
from kit.graph.codebook import IntegerCodebook
from kit.server.decoder_io import load_decoder, save_decoder
from kit.server.executor import decode_indices, latents_of, run
from kit.server.spec import DecoderSpec, Layer
from tests.support import ROOT, seed


def small_decoder(positions: int = 5, channels: int = 3, stages: int = 2) -> DecoderSpec:
    """Every kind of layer once or more; float32 random weights."""
    random = np.random.default_rng(seed())
    layers: list[Layer] = []
    weights: dict[str, np.ndarray] = {}

    def add(
        name: str,
        kind: str,
        *inputs: int,
        size: int = 0,
        epsilon: float = 0.0,
        dilation: int = 1,
        **arrays: np.ndarray,
    ) -> int:
        layers.append(Layer(name, kind, inputs or (len(layers),), size, epsilon, dilation))  # type: ignore[arg-type]
        weights.update({f"{name}.{part}": array.astype(np.float32) for part, array in arrays.items()})
        return len(layers)

    width = channels
    for stage in range(stages):
        add(f"up{stage}", "upsample", size=2)
        first = add(f"conv{stage}", "conv", kernel=random.normal(size=(7, width, 4)), bias=random.normal(size=4))
        add(f"bn{stage}", "affine", gain=random.normal(size=4), offset=random.normal(size=4))
        add(f"relu{stage}", "relu")
        add(f"depth{stage}", "depthwise", kernel=random.normal(size=(4, 4)))
        add(f"sum{stage}", "add", first, len(layers))
        width = 4
    add("dilated", "conv", dilation=3, kernel=random.normal(size=(4, 4, 8)), bias=random.normal(size=8))
    add("split", "depth_to_space", size=2)
    add("norm", "layer_norm", epsilon=1e-3, gain=random.normal(size=4), offset=random.normal(size=4))
    add("head", "conv", kernel=random.normal(size=(1, 4, 1)), bias=random.normal(size=1))
    return DecoderSpec(positions, channels, 2 * positions << stages, tuple(layers), weights)


def device(levels: int = 2, entries: int = 8, dims: int = 3) -> IntegerCodebook:
    """A codebook of small entries."""
    integer = np.random.default_rng(seed()).integers(-60, 60, (levels, entries, dims)).astype(np.int8)
    return IntegerCodebook(integer, np.ones(levels, np.int32), 2, 0.0625, 3, integer.astype(np.float32))


def with_codebook(spec: DecoderSpec, levels: int = 2, entries: int = 8) -> DecoderSpec:
    """The same layers with a random codebook of their own."""
    random = np.random.default_rng(seed() + 1)
    return replace(spec, codebook=random.normal(size=(levels, entries, spec.channels)).astype(np.float32))


def naive(spec: DecoderSpec, latents: np.ndarray) -> np.ndarray:
    """One frame in float64 by definition: float64[T]."""
    values = [latents.astype(np.float64)]
    for layer in spec.layers:
        x = values[layer.inputs[0]]
        w = [spec.weights[key].astype(np.float64) for key in layer.weights]
        if layer.kind == "upsample":
            y = np.array([x[t // layer.size] for t in range(len(x) * layer.size)])
        elif layer.kind in ("conv", "depthwise"):
            taps = len(w[0])
            y = np.zeros((len(x), w[0].shape[-1])) + (w[1] if layer.kind == "conv" else 0)
            for t in range(len(x)):
                for tap in range(taps):
                    source = t + tap * layer.dilation - (taps - 1) * layer.dilation // 2
                    if 0 <= source < len(x):
                        y[t] += x[source] @ w[0][tap] if layer.kind == "conv" else x[source] * w[0][tap]
        elif layer.kind == "depth_to_space":
            part = x.shape[1] // layer.size
            y = np.array([x[t // layer.size][t % layer.size * part :][:part] for t in range(len(x) * layer.size)])
        elif layer.kind == "affine":
            y = x * w[0] + w[1]
        elif layer.kind == "layer_norm":
            y = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + layer.epsilon) * w[0] + w[1]
        elif layer.kind == "relu":
            y = np.maximum(x, 0)
        else:
            y = x + values[layer.inputs[1]]
        values.append(y)
    return values[-1][:, 0]


def test_executor_equals_definition() -> None:
    spec = small_decoder()
    latents = np.random.default_rng(1).normal(size=(3, 5, 3)).astype(np.float32)
    expected = np.stack([naive(spec, frame) for frame in latents])
    np.testing.assert_allclose(run(spec, latents), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("start,count", [(0, 1), (0, 7), (3, 1), (5, 9), (20, 1), (0, 21)])
def test_a_frame_does_not_depend_on_its_neighbours(start: int, count: int) -> None:
    spec = small_decoder(positions=40, channels=16)
    latents = np.random.default_rng(2).normal(size=(21, 40, 16)).astype(np.float32)
    part = run(spec, latents[start : start + count])
    assert part.tobytes() == run(spec, latents)[start : start + count].tobytes()


def test_no_frames_give_no_frames() -> None:
    assert run(small_decoder(), np.empty((0, 5, 3), np.float32)).shape == (0, 40)


def test_wrong_latents_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"float32\[n, 5, 3\]"):
        run(small_decoder(), np.zeros((2, 4, 3), np.float32))
    with pytest.raises(ShapeError, match="float64"):
        run(small_decoder(), np.zeros((2, 5, 3)))


def test_decoder_survives_its_files_and_equal_decoders_give_equal_bytes(tmp_path: Path) -> None:
    spec = small_decoder()
    save_decoder(spec, tmp_path / "a")
    save_decoder(spec, tmp_path / "b")
    loaded = load_decoder(tmp_path / "a")
    assert loaded.layers == spec.layers and loaded.parameters == spec.parameters
    latents = np.ones((2, 5, 3), np.float32)
    assert run(loaded, latents).tobytes() == run(spec, latents).tobytes()
    for name in ("decoder.json", "decoder.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_indices_stand_for_the_entries_of_the_device_or_of_the_decoder() -> None:
    plain, book = small_decoder(), device()
    own = with_codebook(plain)
    assert own.codebook is not None and own.parameters == plain.parameters + 2 * 8 * 3
    indices = np.random.default_rng(3).integers(0, 8, (21, 5, 2)).astype(np.uint16)
    assert latents_of(plain, book, indices).tobytes() == book.dequantize(indices).tobytes()
    latents = own.codebook[0][indices[..., 0]] + own.codebook[1][indices[..., 1]]
    assert latents.dtype == np.float32 and latents_of(own, book, indices).tobytes() == latents.tobytes()
    whole = decode_indices(own, book, indices)
    assert whole.tobytes() == run(own, latents).tobytes()
    one = np.concatenate([decode_indices(own, book, indices[i : i + 1]) for i in range(21)])
    assert one.tobytes() == whole.tobytes()
    same = replace(plain, codebook=book.entry_values())
    np.testing.assert_allclose(decode_indices(same, book, indices), decode_indices(plain, book, indices), atol=1e-4)


def test_levels_are_added_in_their_order() -> None:
    # 1 is below the last digit of 1e8 in float32: it is lost unless the two large entries meet first.
    columns = {(1e8, 1.0, -1e8): 0.0, (1e8, -1e8, 1.0): 1.0, (1.0, 1e8, -1e8): 0.0}
    entries = np.zeros((3, 2, 3), np.float32)
    entries[:, 1] = np.array(list(columns), np.float32).T
    spec = replace(small_decoder(), codebook=entries)
    latents = latents_of(spec, device(3, 2), np.ones((2, 5, 3), np.uint16))
    assert latents.shape == (2, 5, 3) and (latents == list(columns.values())).all()


def test_indices_of_another_codebook_are_refused() -> None:
    indices = np.zeros((2, 5, 2), np.uint16)
    for levels, entries in ((2, 16), (1, 8)):
        own = with_codebook(small_decoder(), levels, entries)
        with pytest.raises(ArtifactError, match=rf"codebook has \[levels, K\] \[{levels}, {entries}\], .* \[2, 8\]"):
            decode_indices(own, device(), indices)
    for spec in (small_decoder(), with_codebook(small_decoder())):
        with pytest.raises(ArtifactError, match="index 8 is outside"):
            decode_indices(spec, device(), indices + np.uint16(8))
        with pytest.raises(ArtifactError, match=r"expected \[n, P, 2\]"):
            decode_indices(spec, device(), indices[..., :1])


def test_a_codebook_survives_the_files_and_is_in_them_only_where_there_is_one(tmp_path: Path) -> None:
    spec = with_codebook(small_decoder())
    for name in ("a", "b"):
        save_decoder(spec, tmp_path / name)
    save_decoder(replace(spec, codebook=None), tmp_path / "plain")
    loaded = load_decoder(tmp_path / "a")
    assert loaded.codebook is not None and spec.codebook is not None
    assert loaded.codebook.tobytes() == spec.codebook.tobytes() and loaded.parameters == spec.parameters
    assert set(loaded.weights) == set(spec.weights)
    for name in ("decoder.json", "decoder.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    documents = [json.loads((tmp_path / name / "decoder.json").read_text()) for name in ("a", "plain")]
    assert documents[0] == {**documents[1], "codebook": [2, 8]} and "codebook" not in documents[1]
    assert load_decoder(tmp_path / "plain").codebook is None


@pytest.mark.parametrize("folder", sorted((ROOT / "zoo").glob("*/")), ids=lambda folder: folder.name)
def test_decoders_of_the_zoo_are_written_as_they_are(folder: Path, tmp_path: Path) -> None:
    save_decoder(load_decoder(folder), tmp_path)
    for name in ("decoder.json", "decoder.npz"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_files_that_disagree_about_the_codebook_are_refused(tmp_path: Path) -> None:
    spec = small_decoder()
    save_decoder(spec, tmp_path / "without")
    save_decoder(with_codebook(spec), tmp_path / "with")
    save_decoder(with_codebook(spec, entries=16), tmp_path / "wider")
    eight, sixteen = r"a codebook of \[levels, K\] \[2, 8\]", r"a codebook of \[levels, K\] \[2, 16\]"
    for stated, held, text in (
        ("without", "with", f"states no codebook, and decoder.npz holds {eight}"),
        ("with", "without", f"states {eight}, and decoder.npz holds no codebook"),
        ("with", "wider", f"states {eight}, and decoder.npz holds {sixteen}"),
    ):
        mixed = tmp_path / f"{stated}-{held}"
        mixed.mkdir()
        shutil.copyfile(tmp_path / stated / "decoder.json", mixed / "decoder.json")
        shutil.copyfile(tmp_path / held / "decoder.npz", mixed / "decoder.npz")
        with pytest.raises(ArtifactError, match=text):
            load_decoder(mixed)


def broken(spec: DecoderSpec, how: str) -> DecoderSpec:
    weights = dict(spec.weights)
    layers = list(spec.layers)
    if how == "dtype":
        weights["head.bias"] = weights["head.bias"].astype(np.float64)
    elif how == "nan":
        weights["head.bias"] = np.array([np.nan], np.float32)
    elif how == "missing":
        del weights["head.bias"]
    elif how == "unused":
        weights["tail.bias"] = weights["head.bias"]
    elif how == "chain":
        weights["conv1.kernel"] = weights["conv1.kernel"][:, :3]
    elif how == "bias":
        weights["conv1.bias"] = weights["conv1.bias"][:3]
    elif how == "twins":
        layers[-1] = replace(layers[-1], name="conv0")
    elif how == "forward":
        layers[3] = replace(layers[3], inputs=(9,))
    elif how == "kind":
        layers[3] = replace(layers[3], kind="gelu")  # type: ignore[arg-type]
    elif how == "size":
        layers[0] = replace(layers[0], size=0)
    elif how == "split":
        layers[-3] = replace(layers[-3], size=3)
    elif how == "dilation":
        layers[-4] = replace(layers[-4], dilation=0)
    elif how == "dilated relu":
        layers[3] = replace(layers[3], dilation=2)
    elif how == "epsilon":
        layers[-2] = replace(layers[-2], epsilon=0.0)
    elif how.startswith("codebook"):
        codebook = with_codebook(spec).codebook
        assert codebook is not None
        wrong = {
            "dtype": codebook.astype(np.float64),
            "nan": np.full_like(codebook, np.nan),
            "channels": codebook[..., :2],
            "axes": codebook[0],
            "empty": codebook[:, :0],
        }
        return replace(spec, codebook=wrong[how.split()[1]])
    elif how == "samples":
        return replace(spec, samples=19)
    elif how == "empty":
        return replace(spec, positions=0)
    return replace(spec, layers=tuple(layers), weights=weights)


@pytest.mark.parametrize(
    "how",
    [
        "dtype",
        "nan",
        "missing",
        "unused",
        "chain",
        "bias",
        "twins",
        "forward",
        "kind",
        "size",
        "split",
        "dilation",
        "dilated relu",
        "epsilon",
        "codebook dtype",
        "codebook nan",
        "codebook channels",
        "codebook axes",
        "codebook empty",
        "samples",
        "empty",
    ],
)
def test_inconsistent_decoders_are_refused(how: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        save_decoder(broken(small_decoder(), how), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 99},
        {"layers": 3},
        {"layers": [{"name": "a"}]},
        {"layers": [{"name": "a", "kind": "relu", "inputs": [0.5], "size": 0, "epsilon": 0}]},
        {"layers": [{"name": 1, "kind": "relu", "inputs": [0], "size": 0, "epsilon": 0}]},
        {"layers": [{"name": "a", "kind": "relu", "inputs": [0], "size": 0, "epsilon": "x"}]},
        {"layers": [{"name": "a", "kind": "relu", "inputs": [0], "size": 0, "epsilon": 0, "stride": 2}]},
        {"layers": [{"name": "a", "kind": "relu", "inputs": [0], "size": 0, "epsilon": 0, "dilation": "2"}]},
        {"positions": "5"},
        {"codebook": 2},
        {"codebook": [2]},
        {"codebook": [2, "8"]},
        {"codebook": [2, 8, 3]},
    ],
)
def test_damaged_json_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    save_decoder(small_decoder(), tmp_path)
    path = tmp_path / "decoder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError):
        load_decoder(tmp_path)


def test_damaged_npz_is_refused(tmp_path: Path) -> None:
    save_decoder(small_decoder(), tmp_path)
    path = tmp_path / "decoder.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match=r"decoder\.npz"):
        load_decoder(tmp_path)
