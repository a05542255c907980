"""Trains the network that predicts groups of indices (:mod:`kit.wire.context`), its weights rounded from the start.

Stochastic gradient descent on the bits that the groups cost, with straight-through gradients of the rounding (Bengio et
al., 2013) and Adam (Kingma and Ba, 2015). NumPy alone: the network is too small for anything else to be faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.wire.context import EMBEDDING_BITS, HIDDEN_BITS, OUTPUT_BITS, UNIT_BITS, ContextNetwork

EPOCHS = 12
BATCH = 1024
PEAK_RATE = 0.01
_BETAS = (0.9, 0.999)

Parameters = dict[str, NDArray[np.float32]]

# Largest value of what an int8 or int16 holds, and its steps.
_FORMATS = {
    "embedding": (EMBEDDING_BITS, 127), "hidden": (HIDDEN_BITS, 127),
    "hidden_bias": (EMBEDDING_BITS + HIDDEN_BITS, 32000), "output": (OUTPUT_BITS, 127),
    "output_bias": (UNIT_BITS + OUTPUT_BITS, 32767),
}  # fmt: skip
_UNIT_TOP = 127 / (1 << UNIT_BITS)


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """Positions looked back at, coordinates of a group's vector, and rectified units."""

    past: int
    width: int
    units: int

    def table_bytes(self, groups: int) -> int:
        """Flash of such a network; see :attr:`kit.wire.context.ContextNetwork.table_bytes`."""
        return (groups + 1) * self.width + self.units * (self.past * self.width + 2) + groups * (self.units + 2)


def past_groups(groups: NDArray[Any], past: int, none: int) -> NDArray[np.int64]:
    """Groups of the ``past`` positions before each position, the latest first, ``none`` before the first position.

    Args:
        groups: [n, P].

    Returns:
        int64[n * P, past].
    """
    count, positions = groups.shape
    found = np.full((count, positions, past), none, np.int64)
    for back in range(1, min(past, positions - 1) + 1):
        found[:, back:, back - 1] = groups[:, :-back]
    return found.reshape(-1, past)


def fit_network(
    groups: NDArray[Any], number: int, shape: NetworkShape, *, epochs: int = EPOCHS, seed: int = 1
) -> ContextNetwork:
    """The network that makes the given groups cheapest.

    Args:
        groups: [n, P] integers below ``number``: groups of the first level's indices of training frames.
        number: G.
        shape: of the network.
        epochs: passes over all positions.
        seed: of the start and the order.
    """
    rng = np.random.default_rng(seed)
    before, wanted = past_groups(groups, shape.past, number), groups.reshape(-1).astype(np.int64)
    values = _start(rng, wanted, number, shape)
    moments = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in values.items()}
    batch = min(BATCH, len(wanted))
    steps, step = epochs * (len(wanted) // batch), 0
    for _ in range(epochs):
        order = rng.permutation(len(wanted))
        for at in range(0, len(wanted) // batch * batch, batch):
            rows = order[at : at + batch]
            step += 1
            rate = PEAK_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            _adam(values, _gradients(values, before[rows], wanted[rows]), moments, rate, step)
    rounded = _integers(values)
    # A unit is rounded down: half a step more makes that to the nearest.
    half = 1 << (EMBEDDING_BITS + HIDDEN_BITS - UNIT_BITS - 1)
    rounded["hidden_bias"] = (rounded["hidden_bias"] + half).astype(np.int16)
    return ContextNetwork(**rounded)


def _start(rng: np.random.Generator, wanted: NDArray[np.int64], number: int, shape: NetworkShape) -> Parameters:
    inputs = shape.past * shape.width
    share = (np.bincount(wanted, minlength=number) + 0.5) / (len(wanted) + 0.5 * number)
    return {
        "embedding": rng.normal(0, 1, (number + 1, shape.width)).astype(np.float32),
        "hidden": rng.normal(0, inputs**-0.5, (shape.units, inputs)).astype(np.float32),
        "hidden_bias": np.full(shape.units, 0.2, np.float32),
        "output": rng.normal(0, 0.3 * shape.units**-0.5, (number, shape.units)).astype(np.float32),
        "output_bias": np.log2(share / share.max()).astype(np.float32),
    }


def _integers(values: Parameters) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for name, value in values.items():
        bits, top = _FORMATS[name]
        dtype = np.int8 if top == 127 else np.int16
        found[name] = np.clip(np.rint(value * (1 << bits)), -top, top).astype(dtype)
    return found


def _rounded(values: Parameters) -> Parameters:
    return {
        name: value.astype(np.float32) * np.float32(2.0 ** -_FORMATS[name][0])
        for name, value in _integers(values).items()
    }


def _gradients(values: Parameters, before: NDArray[np.int64], wanted: NDArray[np.int64]) -> Parameters:
    """Of the mean bits of a batch, by the values before rounding."""
    used, count = _rounded(values), len(wanted)
    inputs = used["embedding"][before].reshape(count, -1)
    sums = inputs @ used["hidden"].T + used["hidden_bias"]
    units = np.clip(sums, 0, _UNIT_TOP)
    logits = units @ used["output"].T + used["output_bias"]
    logits -= logits.max(axis=1, keepdims=True)
    share = np.exp2(logits)
    share /= share.sum(axis=1, keepdims=True)
    share[np.arange(count), wanted] -= 1
    by_logit = share / count
    by_sum = (by_logit @ used["output"]) * ((sums > 0) & (sums < _UNIT_TOP))
    by_input = (by_sum @ used["hidden"]).reshape(-1, values["embedding"].shape[1])
    # Bincount adds up rows of equal groups far faster than np.add.at.
    flat, rows = before.reshape(-1), len(values["embedding"])
    by_vector = np.stack([np.bincount(flat, column, rows) for column in by_input.T], axis=1)
    return {
        "embedding": by_vector.astype(np.float32),
        "hidden": by_sum.T @ inputs,
        "hidden_bias": by_sum.sum(axis=0),
        "output": by_logit.T @ units,
        "output_bias": by_logit.sum(axis=0),
    }


def _adam(
    values: Parameters, gradients: Parameters, moments: dict[str, tuple[Any, Any]], rate: float, step: int
) -> None:
    first, second = _BETAS
    for name, gradient in gradients.items():
        mean, square = moments[name]
        mean += (1 - first) * (gradient - mean)
        square += (1 - second) * (gradient * gradient - square)
        change = (mean / (1 - first**step)) / (np.sqrt(square / (1 - second**step)) + 1e-8)
        bits, top = _FORMATS[name]
        limit = top / (1 << bits)
        np.clip(values[name] - np.float32(rate) * change, -limit, limit, out=values[name])
