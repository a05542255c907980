"""A cause to be tested: the arithmetic that one layer would have if it were true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.graph.ir import Conv, Encoder, Requant
from kit.reference.encoder import run_node

Output = Callable[[NDArray[np.int8]], NDArray[np.int8]]
"""Output of a layer, int8[n, W', out], for its input, int8[n, W, in]."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One possible cause.

    Attributes:
        key: short name: ``single-rounding``.
        sentence: what is wrong, and what the observed runtime ("it") does.
        output: what the layer gives then.
        global_cause: a habit of a runtime, which shows in every layer, not a defect of one.
        fitted: ``output`` holds for the frames of the evidence only, each of which was solved for on its own.
    """

    key: str
    sentence: str
    output: Output
    global_cause: bool = False
    fitted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """One layer as it was observed.

    Attributes:
        encoder: the encoder that both runtimes should run.
        node: the layer.
        x: int8[n, W, in], the input it had.
        want: int8[n, W', out], what the golden makes of it.
        got: int8[n, W', out], what was observed.
    """

    encoder: Encoder
    node: Conv
    x: NDArray[np.int8]
    want: NDArray[np.int8]
    got: NDArray[np.int8]

    @property
    def zero_points(self) -> tuple[int, int]:
        """Of input and output."""
        tensors = self.encoder.graph.tensors
        return tensors[self.node.input].zero_point, tensors[self.node.output].zero_point

    @property
    def differing(self) -> int:
        """Values that differ."""
        return int(np.count_nonzero(self.want != self.got))

    def left(self, hypothesis: Hypothesis) -> int:
        """Values that the hypothesis does not reproduce."""
        return int(np.count_nonzero(self.cut(hypothesis.output(self.x)) != self.got))

    def cut(self, output: NDArray[np.int8]) -> NDArray[np.int8]:
        """As many columns as were observed."""
        return output[:, : self.got.shape[1]]

    def frames(self, chosen: NDArray[np.intp]) -> Evidence:
        """The same for some of the frames."""
        return replace(self, x=self.x[chosen], want=self.want[chosen], got=self.got[chosen])


def changed(evidence: Evidence, weights: NDArray[np.int8] | None = None, bias: NDArray[np.int32] | None = None,
            zero_points: tuple[int, int] | None = None, requant: Requant | None = None, **fields: Any) -> Output:
    """The layer with other constants, executed by the reference.

    Args:
        evidence: the layer.
        weights: in place of its own.
        bias: in place of its own.
        zero_points: of input and output, in place of its own.
        requant: in place of its own.
        fields: of :class:`kit.graph.ir.Conv` to replace.
    """  # fmt: skip
    encoder, node = evidence.encoder, evidence.node
    arrays = dict(encoder.weights)
    if weights is not None:
        arrays[node.weights] = weights
    if bias is not None:
        arrays[node.bias] = bias
    tensors = list(encoder.graph.tensors)
    for index, zero_point in zip((node.input, node.output), zero_points or (), strict=False):
        tensors[index] = replace(tensors[index], zero_point=zero_point)
    if requant is not None:
        fields["requant"] = requant
    other = Encoder(replace(encoder.graph, tensors=tuple(tensors)), arrays)
    return lambda x: run_node(other, replace(node, **fields), x)
