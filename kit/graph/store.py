"""The integer graph on disk: ``graph.json`` and ``weights.npz``, equal bytes for equal graphs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from kit.errors import GraphError
from kit.files import read_json, read_npz, write_json, write_npz
from kit.graph.check import check
from kit.graph.ir import SCHEMA, Conv, Encoder, EncoderGraph, Requant, TensorInfo

GRAPH_FILE = "graph.json"
WEIGHTS_FILE = "weights.npz"

_REBUILD = "rebuild with kit build-firmware"


def to_json(graph: EncoderGraph) -> dict[str, Any]:
    """A graph as JSON values; floats are float32 values and survive exactly."""
    return dataclasses.asdict(graph)


def from_json(value: Any, origin: str = GRAPH_FILE) -> EncoderGraph:
    """The graph of parsed JSON.

    Args:
        value: what :func:`to_json` returned, possibly after a trip through a file.
        origin: file name used in messages.

    Raises:
        GraphError: another schema version, a missing or unknown field, or a field of a wrong type.
    """
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA:
        raise GraphError(f"{origin} has graph schema version {schema}, expected {SCHEMA}", _REBUILD)
    fields = _fields(EncoderGraph, value, origin)
    tensors = tuple(TensorInfo(**_fields(TensorInfo, item, origin)) for item in _list(fields["tensors"], origin))
    nodes = []
    for item in _list(fields["nodes"], origin):
        node = _fields(Conv, item, origin)
        factors = _fields(Requant, node["requant"], origin)
        for name in ("multiplier", "shift"):
            factors[name] = tuple(_integer(number, name, origin) for number in _list(factors[name], origin))
        nodes.append(Conv(**{**node, "requant": Requant(**factors)}))
    return EncoderGraph(tensors, tuple(nodes), fields["input"], fields["output"], fields["opaque"])


def save(encoder: Encoder, folder: str | Path) -> None:
    """Write graph.json and weights.npz.

    Raises:
        GraphError: the encoder breaks an invariant of the graph.
        ArtifactError: the folder cannot be written.
    """
    check(encoder)
    write_npz(Path(folder) / WEIGHTS_FILE, **{key: encoder.weights[key] for key in sorted(encoder.weights)})
    write_json(Path(folder) / GRAPH_FILE, to_json(encoder.graph))


def load(folder: str | Path) -> Encoder:
    """Read and check what :func:`save` wrote.

    Raises:
        ArtifactError: missing, damaged, of another schema version, or graph and weights do not belong together.
    """
    path = Path(folder) / GRAPH_FILE
    graph = from_json(read_json(path), str(path))
    if not (0 <= graph.input < len(graph.tensors) and 0 <= graph.output < len(graph.tensors)):
        raise GraphError(f"{path}: input {graph.input} or output {graph.output} is no tensor", _REBUILD)
    return check(Encoder(graph, read_npz(Path(folder) / WEIGHTS_FILE)))


_KINDS: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


def _fields(kind: type, value: Any, origin: str) -> dict[str, Any]:
    """The fields of a dataclass, all present, none besides, plain ones of their type."""
    known = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    if not isinstance(value, dict) or value.keys() != known.keys():
        odd = sorted(known.keys() ^ value.keys()) if isinstance(value, dict) else [type(value).__name__]
        raise GraphError(f"{origin}: {kind.__name__} does not match its schema ({', '.join(odd)})", _REBUILD)
    for name, annotation in known.items():
        want = _KINDS.get(annotation)
        if want is not None and type(value[name]) is not want:
            raise GraphError(f"{origin}: {kind.__name__}.{name} is {value[name]!r}, expected {annotation}", _REBUILD)
    return dict(value)


def _list(value: Any, origin: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise GraphError(f"{origin}: found {type(value).__name__}, expected a list", _REBUILD)
    return list(value)


def _integer(value: Any, name: str, origin: str) -> int:
    if type(value) is not int:
        raise GraphError(f"{origin}: {name} holds {value!r}, expected integers", _REBUILD)
    return value
