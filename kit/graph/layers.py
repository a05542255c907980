"""Which Keras layer an operator came from, as far as the tensor names of a .tflite tell."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CONVOLUTION = re.compile(r"(convolution|depthwise|Conv2D|DepthwiseConv2dNative)[_\d]*$", re.IGNORECASE)


def _paths(name: str) -> list[list[str]]:
    """The scopes of a tensor name: its ``;`` parts, each split at ``/``, those without a scope left out."""
    return [part.split("/") for part in name.split(";") if "/" in part]


def trace_suffix(names: Iterable[str]) -> str:
    """``_1`` and the like, when tracing the model a second time appended it to every scope; else empty."""
    scopes = {scope for name in names for path in _paths(name) for scope in path[:2]}
    endings = {match.group() if (match := re.search(r"_\d+$", scope)) else "" for scope in scopes}
    return endings.pop() if len(endings) == 1 else ""


def keras_layer(names: Iterable[str], suffix: str = "") -> str:
    """Name of the layer behind an operator.

    Fused operators carry the names of all layers that went in; the convolution is the most telling one, because its
    weights are what the operator runs.

    Args:
        names: tensor names of the operator's output and constants, most telling first.
        suffix: what :func:`trace_suffix` found for the model.

    Returns:
        The layer's name, or the first tensor name where no name has a scope.
    """
    names = list(names)
    paths = [path for name in names for path in _paths(name)]
    chosen = next((path for path in paths if _CONVOLUTION.search(path[-1])), paths[0] if paths else None)
    if chosen is None:
        return names[0] if names else "unknown"
    scope = chosen[1] if len(chosen) > 2 else chosen[0]
    return scope.removesuffix(suffix) if suffix else scope
