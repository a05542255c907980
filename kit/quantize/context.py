"""Trains the network that predicts groups of indices (:mod:`kit.wire.context`), its weights rounded from the start.

Stochastic gradient descent through the positions of whole frames (backpropagation through time: Werbos, 1990) on the
bits that the groups cost, with straight-through gradients of the rounding (Bengio et al., 2013) and Adam (Kingma and
Ba, 2015). NumPy alone: the network is too small for anything else to be faster.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.wire.context import EMBEDDING_BITS, HIDDEN_BITS, OUTPUT_BITS, UNIT_BITS, ContextNetwork

EPOCHS, STEPS_MIN = 16, 1200
"""Passes over the training frames; of few frames as many as make so many steps."""
TRIAL = 0.25
"""Share of these steps where shapes are compared."""
BATCH, BATCHES_MIN = 32, 64
"""Frames in a batch; of few frames fewer, so that a pass has so many batches."""
PEAK_RATE = 0.008
GRADIENT_MAX = 1.0
"""Longer gradients of all values together are shortened to this: recurrence can make them explode."""
_BETAS = (0.9, 0.999)

Parameters = dict[str, NDArray[np.float32]]

# Largest value of what an int8 or int16 holds, and its steps.
_FORMATS = {
    "embedding": (EMBEDDING_BITS, 127), "recurrent": (HIDDEN_BITS, 127),
    "unit_bias": (EMBEDDING_BITS + HIDDEN_BITS, 32000), "output": (OUTPUT_BITS, 127),
    "output_bias": (UNIT_BITS + OUTPUT_BITS, 32767),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """Coordinates of a group's vector, and rectified units."""

    width: int
    units: int

    def table_bytes(self, groups: int) -> int:
        """Flash of such a network; see :attr:`kit.wire.context.ContextNetwork.table_bytes`."""
        return (groups + 1) * self.width + self.units * (self.width + self.units + 2) + groups * (self.units + 2)


def fit_network(
    groups: NDArray[Any], number: int, shape: NetworkShape, *, share: float = 1.0, seed: int = 1
) -> ContextNetwork:
    """The network that makes the given groups cheapest.

    Args:
        groups: [n, P] integers below ``number``: groups of the first level's indices of training frames.
        number: G.
        shape: of the network.
        share: of the steps of a whole training that are made, :data:`STEPS_MIN` at least.
        seed: of the start and the order.
    """
    rng = np.random.default_rng(seed)
    wanted = groups.T.astype(np.int64)
    before = np.concatenate([np.full((1, len(groups)), number), wanted[:-1]])
    values = _start(rng, wanted, number, shape)
    moments = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in values.items()}
    batch = min(BATCH, max(1, len(groups) // BATCHES_MIN))
    steps = max(STEPS_MIN, int(share * EPOCHS * (len(groups) // batch)))
    for step, frames in enumerate(itertools.islice(_batches(rng, len(groups), batch), steps), 1):
        rate = PEAK_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        gradients = _shortened(_gradients(values, before[:, frames], wanted[:, frames]))
        _adam(values, gradients, moments, rate, step)
    return ContextNetwork(**_integers(values))


def _batches(rng: np.random.Generator, count: int, batch: int) -> Iterator[NDArray[np.int64]]:
    """Numbers of frames, in a new order in every pass, without end."""
    while True:
        order = rng.permutation(count)
        yield from (order[at : at + batch] for at in range(0, count // batch * batch, batch))


def _start(rng: np.random.Generator, wanted: NDArray[np.int64], number: int, shape: NetworkShape) -> Parameters:
    width, units = shape.width, shape.units
    share = (np.bincount(wanted.ravel(), minlength=number) + 0.5) / (wanted.size + 0.5 * number)
    # Units begin as memories, some short, some long.
    memory = np.diag(np.linspace(0, 0.95, units)) + rng.normal(0, 0.3 * units**-0.5, (units, units))
    return {
        "embedding": rng.normal(0, 1, (number + 1, width)).astype(np.float32),
        "recurrent": np.hstack([rng.normal(0, width**-0.5, (units, width)), memory]).astype(np.float32),
        "unit_bias": np.full(units, 0.2, np.float32),
        "output": rng.normal(0, 0.3 * units**-0.5, (number, units)).astype(np.float32),
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


def _units(used: Parameters, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What the units give, as a device rounds it, and where they follow their inputs: [P, n, H] each.

    Args:
        used: rounded values.
        vectors: [P, n, R], of the groups before.
    """
    width = vectors.shape[2]
    to_units, memory = used["recurrent"][:, :width].T, used["recurrent"][:, width:].T
    sums = vectors @ to_units + used["unit_bias"]
    units = np.empty_like(sums)
    here, one = np.zeros_like(sums[0]), np.float32(1 << UNIT_BITS)
    for at, outside in enumerate(sums):
        outside += here @ memory
        here = np.clip(np.floor(outside * one), 0, 127) / one
        units[at] = here
    return units, (sums > 0) & (sums < 128 / one)


def _gradients(values: Parameters, before: NDArray[np.int64], wanted: NDArray[np.int64]) -> Parameters:
    """Of the mean bits of a batch, by the values before rounding. before, wanted: [P, n]."""
    used, count = _rounded(values), wanted.size
    vectors = used["embedding"][before]
    units, follows = _units(used, vectors)
    by_logit = _by_logit(units.reshape(count, -1) @ used["output"].T + used["output_bias"], wanted.reshape(-1))
    by_unit = (by_logit @ used["output"]).reshape(units.shape)
    width = vectors.shape[2]
    memory = used["recurrent"][:, width:]
    carried = np.zeros_like(by_unit[0])
    for at in range(len(by_unit) - 1, -1, -1):
        by_unit[at] = (by_unit[at] + carried) * follows[at]
        carried = by_unit[at] @ memory
    by_sum = by_unit.reshape(count, -1)
    ahead = np.concatenate([np.zeros_like(units[:1]), units[:-1]])
    inputs = np.concatenate([vectors, ahead], axis=2).reshape(count, -1)
    by_input = by_sum @ used["recurrent"][:, :width]
    # Bincount adds up rows of equal groups far faster than np.add.at.
    flat, rows = before.reshape(-1), len(values["embedding"])
    by_vector = np.stack([np.bincount(flat, column, rows) for column in by_input.T], axis=1)
    return {
        "embedding": by_vector.astype(np.float32),
        "recurrent": by_sum.T @ inputs,
        "unit_bias": by_sum.sum(axis=0),
        "output": by_logit.T @ units.reshape(count, -1),
        "output_bias": by_logit.sum(axis=0),
    }


def _by_logit(logits: NDArray[np.float32], wanted: NDArray[np.int64]) -> NDArray[np.float32]:
    """Gradient of the mean bits by the logarithms of weights, [n, G]; less the factor ln 2, which Adam takes out."""
    logits -= logits.max(axis=1, keepdims=True)
    share: NDArray[np.float32] = np.exp2(logits)
    share /= share.sum(axis=1, keepdims=True)
    share[np.arange(len(wanted)), wanted] -= 1
    share /= len(wanted)
    return share


def _shortened(gradients: Parameters) -> Parameters:
    length = float(np.sqrt(sum(float(np.square(each).sum()) for each in gradients.values())))
    if length <= GRADIENT_MAX:
        return gradients
    return {name: each * np.float32(GRADIENT_MAX / length) for name, each in gradients.items()}


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
