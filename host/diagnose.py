"""Diagnosis of a run that departs from the golden: causes are tested, not guessed.

A layer departs by itself when its observed output is not what the golden makes of the input that the layer had. For
such a layer, each known cause is carried out by the reference executor on that same input; the one whose output is the
observed one is the diagnosis. Layers that only pass on what an earlier layer got wrong are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.graph.ir import Encoder, input_array
from kit.host.diagnose_arithmetic import arithmetic_hypotheses, rounding_hypotheses
from kit.host.diagnose_padding import padding_hypotheses
from kit.host.diagnose_weights import weight_hypotheses
from kit.host.diagnose_zero_point import zero_point_hypotheses
from kit.host.hypothesis import Evidence, Hypothesis
from kit.host.layer_compare import pattern
from kit.host.runners import Layers
from kit.reference.encoder import run_node

FRAMES_MAX = 48
"""Frames that causes are tested on."""

LIKELY = 0.5
"""Share of the differing values that a cause must reproduce to be named at all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one or more layers.

    Attributes:
        layers: names of the layers that depart by themselves in this way.
        key: of the cause; empty where none of the known ones fits.
        sentence: what is wrong.
        differing: values of these layers that differ from what the golden makes of the layers' own inputs.
        explained: how many fewer differ from what the cause makes of them.
        frames: how many were looked at.
        tested: causes tested.
        also: other causes that explain every value just as well.
        pattern: where the differing values lie, as a phrase.
    """

    layers: tuple[str, ...]
    key: str
    sentence: str
    differing: int
    explained: int
    frames: int
    tested: int
    also: tuple[str, ...] = ()
    pattern: str = ""

    @property
    def exact(self) -> bool:
        """The cause gives exactly what was observed."""
        return bool(self.key) and self.explained == self.differing

    def __str__(self) -> str:
        where = ", ".join(self.layers)
        percent = 100 * self.explained / max(1, self.differing)
        if not self.key:
            nearest = f"; nearest, with {percent:.0f} %: {self.sentence}" if self.explained else ""
            pattern = f": {self.pattern}" if self.pattern else ""
            return (
                f"{where}: no known cause explains the {self.differing:,} values that differ in {self.frames} frames"
                f"{pattern} ({self.tested} causes tested{nearest})"
            )
        share = f"all {self.differing:,}" if self.exact else f"{percent:.1f} % of the {self.differing:,}"
        most = "" if self.exact else "most likely "
        also = f"; equally good: {'; '.join(self.also)}" if self.also else ""
        return f"{where}: {most}{self.sentence}; explains {share} values that differ in {self.frames} frames{also}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "exact": self.exact, "text": str(self)}


def hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Every known cause; of equally good ones the first is named."""
    yield from arithmetic_hypotheses(evidence)
    yield from padding_hypotheses(evidence)
    yield from zero_point_hypotheses(evidence)
    yield from weight_hypotheses(evidence)


def layer_evidence(encoder: Encoder, inputs: NDArray[np.int8], observed: Layers) -> list[Evidence]:
    """Every layer with the input it had, in execution order.

    Args:
        encoder: a chain of convolutions.
        inputs: int8[n, T], normalised frames.
        observed: output of every node; columns that nothing reads may be missing.
    """
    found = []
    x = input_array(encoder, inputs)
    for node, got in zip(encoder.graph.nodes, observed, strict=True):
        want = run_node(encoder, node, x)
        found.append(Evidence(encoder, node, x, want[:, : got.shape[1]], got))
        x = want.copy()  # columns that were not computed are not read either
        x[:, : got.shape[1]] = got
    return found


def diagnose(encoder: Encoder, inputs: NDArray[np.int8], observed: Layers) -> tuple[Finding, ...]:
    """What is wrong with each layer that departs by itself; empty when none does.

    Args:
        encoder: a chain of convolutions, as the golden runs it.
        inputs: int8[n, T], normalised frames.
        observed: int8[n, W, C] of every node.
    """
    departing = [each for each in layer_evidence(encoder, inputs, observed) if each.differing]
    chosen = [_few(evidence) for evidence in departing]
    habits = _habits(departing)
    findings = [_finding(evidence, habits) for evidence in chosen]
    return tuple(_merged(findings))


def _few(evidence: Evidence) -> Evidence:
    """At most FRAMES_MAX frames, those that differ first, spread over all of them."""
    differ = (evidence.want != evidence.got).any(axis=(1, 2))
    frames = np.concatenate([np.flatnonzero(differ), np.flatnonzero(~differ)[: FRAMES_MAX // 4]])
    if len(frames) > FRAMES_MAX:
        frames = frames[np.linspace(0, len(frames) - 1, FRAMES_MAX).astype(np.intp)]
    return evidence.frames(np.sort(frames))


def _habits(layers: Sequence[Evidence]) -> dict[str, int]:
    """For habits of whole runtimes: how many values of all layers they leave unexplained. Arithmetic that differs in
    one value of many thousands is told apart by all layers together."""
    left: dict[str, int] = {}
    for evidence in layers:
        for hypothesis in rounding_hypotheses(evidence):
            left[hypothesis.key] = left.get(hypothesis.key, 0) + evidence.left(hypothesis)
    return left


def _finding(evidence: Evidence, habits: dict[str, int]) -> Finding:
    ranked = []
    for order, hypothesis in enumerate(hypotheses(evidence)):
        habit = habits.get(hypothesis.key, 0) if hypothesis.global_cause else 0
        ranked.append((evidence.left(hypothesis), habit, order, hypothesis))
    ranked.sort(key=lambda entry: entry[:3])
    left, habit, _, best = ranked[0]
    differing = evidence.differing
    explained = max(0, differing - left)
    equal = [other for rest, seen, _, other in ranked[1:] if rest == left == 0 and seen == habit]
    return Finding(
        layers=(evidence.node.name,),
        key=best.key if explained >= LIKELY * differing else "",
        sentence=best.sentence,
        differing=differing,
        explained=explained,
        frames=len(evidence.got),
        tested=len(ranked),
        also=tuple(dict.fromkeys(other.sentence for other in equal if other.key != best.key)),
        pattern=pattern(evidence.got.astype(np.int16) - evidence.want),
    )


def _merged(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Findings of one cause in several layers become one."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        name = finding.sentence if finding.key else finding.layers[0]
        groups.setdefault((finding.key, name), []).append(finding)
    for (key, _), group in groups.items():
        yield Finding(
            layers=tuple(layer for each in group for layer in each.layers),
            key=key,
            sentence=group[0].sentence,
            differing=sum(each.differing for each in group),
            explained=sum(each.explained for each in group),
            frames=max(each.frames for each in group),
            tested=max(each.tested for each in group),
            also=tuple(text for text in group[0].also if all(text in each.also for each in group)),
            pattern=group[0].pattern,
        )
