"""Diagnosis without layers: habits of whole runtimes, told from latents, or from indices where only packets travel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.graph.codebook import IntegerCodebook
from kit.graph.ir import Encoder
from kit.host.diagnose import LIKELY, Finding
from kit.host.diagnose_arithmetic import rounding_hypotheses
from kit.host.hypothesis import Evidence
from kit.reference.encoder import encode
from kit.reference.rvq import search


def diagnose_outputs(
    encoder: Encoder,
    codebook: IntegerCodebook,
    inputs: NDArray[np.int8],
    latents: NDArray[np.int8] | None,
    indices: NDArray[np.uint16],
    prefer: str = "",
) -> Finding | None:
    """The habit that, in every layer, gives what was observed; None where nothing differs.

    Args:
        encoder: a chain of convolutions, as the golden runs it.
        codebook: what the indices come from.
        inputs: int8[n, T], normalised frames.
        latents: int8[n, P, C * D] as observed; None where they were not.
        indices: uint16[n, P, M] as observed.
        prefer: key of the habit that is named where another explains as much.
    """
    if not len(inputs):
        return None
    kind = "indices" if latents is None else "latents"

    def values(tried: NDArray[np.int8]) -> NDArray[np.int64]:
        return (search(tried, codebook) if latents is None else tried).astype(np.int64)

    got = (indices if latents is None else latents).astype(np.int64)
    differing = int(np.count_nonzero(values(encode(encoder, inputs)) != got))
    if differing == 0:
        return None
    found = []
    for order, (key, sentence, tried) in enumerate(_chains(encoder, inputs)):
        rank = -1 if key == prefer else order
        found.append((int(np.count_nonzero(values(tried) != got)), rank, key, sentence))
    left, _, key, sentence = min(found)
    explained = max(0, differing - left)
    return Finding(
        layers=(f"encoder ({kind})",),
        key=key if explained >= LIKELY * differing else "",
        sentence=sentence,
        differing=differing,
        explained=explained,
        frames=len(inputs),
        tested=len(found),
        also=tuple(other for rest, _, name, other in sorted(found) if rest == left == 0 and name != key),
    )


def _chains(encoder: Encoder, inputs: NDArray[np.int8]) -> list[tuple[str, str, NDArray[np.int8]]]:
    """Key, sentence and latents int8[n, P, C * D] of each habit."""
    outputs: dict[str, tuple[str, NDArray[np.int8]]] = {}
    for node in encoder.graph.nodes:
        blank = np.zeros((0, 0, 0), np.int8)
        for hypothesis in rounding_hypotheses(Evidence(encoder, node, blank, blank, blank)):
            _, x = outputs.get(hypothesis.key, ("", inputs[:, :, None]))
            outputs[hypothesis.key] = (hypothesis.sentence, hypothesis.output(x))
    return [(key, sentence, latents) for key, (sentence, latents) in outputs.items()]
