"""``decoder.json`` (layer list) and ``decoder.npz`` (weights): the decoder outside the training code.

A codebook of the decoder's own is the array ``codebook`` of ``decoder.npz``, beside weights named ``layer.part``, and
``decoder.json`` states its levels and entries. Both are absent where the device's entries are what indices stand for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kit.errors import ArtifactError
from kit.files import read_json, read_npz, write_json, write_npz
from kit.server.spec import DecoderSpec, Layer

SCHEMA = 1
"""Version of decoder.json; raised when an older kit could misread it."""

JSON_NAME = "decoder.json"
NPZ_NAME = "decoder.npz"

CODEBOOK = "codebook"
"""Key of the decoder's own codebook in both files."""


def save_decoder(spec: DecoderSpec, folder: str | Path) -> None:
    """Write ``decoder.json`` and ``decoder.npz`` into ``folder``; equal decoders give equal bytes.

    Raises:
        ArtifactError: the decoder is inconsistent, or the folder cannot be written.
    """
    spec.validate()
    folder = Path(folder)
    layers = [_entry(layer) for layer in spec.layers]
    arrays, later = dict(spec.weights), {}
    if spec.codebook is not None:
        arrays[CODEBOOK], later[CODEBOOK] = spec.codebook, list(spec.codebook.shape[:2])
    document = {
        "schema": SCHEMA,
        "positions": spec.positions,
        "channels": spec.channels,
        "samples": spec.samples,
        "layers": layers,
        **later,
    }
    write_npz(folder / NPZ_NAME, **{key: arrays[key] for key in sorted(arrays)})
    write_json(folder / JSON_NAME, document)


def _entry(layer: Layer) -> dict[str, Any]:
    """One layer as JSON. A key that came later is written only where it is not at its default, so that bytes stay."""
    later = {"dilation": layer.dilation} if layer.dilation != 1 else {}
    return {
        "name": layer.name,
        "kind": layer.kind,
        "inputs": list(layer.inputs),
        "size": layer.size,
        "epsilon": layer.epsilon,
        **later,
    }


def load_decoder(folder: str | Path) -> DecoderSpec:
    """Read and check what :func:`save_decoder` wrote.

    Raises:
        ArtifactError: missing, damaged, of another schema, or inconsistent.
    """
    folder = Path(folder)
    document = read_json(folder / JSON_NAME)
    weights = read_npz(folder / NPZ_NAME)
    spec = _parse(document, weights, str(folder / JSON_NAME))
    spec.validate()
    return spec


def _parse(document: Any, weights: dict[str, Any], origin: str) -> DecoderSpec:
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise ArtifactError(f"{origin}: schema is {found!r}, this kit reads {SCHEMA}", "rebuild with this kit")
    try:
        layers = tuple(_layer(entry) for entry in document["layers"])
        sizes = {key: _integer(document[key]) for key in ("positions", "channels", "samples")}
        stated = _stated_codebook(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ArtifactError(f"{origin} is damaged: {reason}", "rebuild with kit build-firmware") from None
    contiguous = {key: np.ascontiguousarray(array) for key, array in weights.items()}
    codebook = contiguous.pop(CODEBOOK, None)
    found = None if codebook is None else codebook.shape[:2]
    if found != stated:
        raise ArtifactError(
            f"{origin} states {_codebook_text(stated)}, and {NPZ_NAME} holds {_codebook_text(found)}",
            "use both files of one build, or rebuild with kit build-firmware",
        )
    return DecoderSpec(layers=layers, weights=contiguous, codebook=codebook, **sizes)


def _stated_codebook(document: dict[str, Any]) -> tuple[int, ...] | None:
    """Levels and entries of the codebook; None without one."""
    if CODEBOOK not in document:
        return None
    levels, entries = (_integer(value) for value in document[CODEBOOK])
    return levels, entries


def _codebook_text(shape: tuple[int, ...] | None) -> str:
    return "no codebook" if shape is None else f"a codebook of [levels, K] {list(shape)}"


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not an integer")
    return value


def _layer(entry: dict[str, Any]) -> Layer:
    unknown = set(entry) - {"name", "kind", "inputs", "size", "epsilon", "dilation"}
    if unknown:
        raise ValueError(f"a layer has the unknown key {sorted(unknown)[0]!r}")
    if not isinstance(entry["name"], str) or not isinstance(entry["kind"], str):
        raise TypeError("a layer's name or kind is not text")
    if type(entry["epsilon"]) not in (float, int):
        raise TypeError("a layer's epsilon is not a number")
    return Layer(
        name=entry["name"],
        kind=entry["kind"],  # type: ignore[arg-type]
        inputs=tuple(_integer(i) for i in entry["inputs"]),
        size=_integer(entry["size"]),
        epsilon=float(entry["epsilon"]),
        dilation=_integer(entry.get("dilation", 1)),
    )
