"""Why a run departs from the golden: the stage that departs first, the first layer, and the cause."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.host.compare import Comparison
from kit.host.diagnose import FRAMES_MAX, Finding, diagnose
from kit.host.diagnose_outputs import diagnose_outputs
from kit.host.firmware import Firmware
from kit.host.layer_compare import LayerComparison, compare_layers
from kit.host.runners import Layers, RunResult, firmware_taps
from kit.reference.normalise import encoder_input

OUTPUT_FRAMES_MAX = 2048
"""Frames that latents or indices are diagnosed on: habits that differ in one value of many thousands need many."""

_STAGES = {
    "mean": "normalisation departs, before the encoder: the mean of a frame is another",
    "scale_code": "normalisation departs, before the encoder: the scale of a frame is another",
    "indices": "the encoder agrees; the RVQ search departs, or searches another codebook",
    "packets": "encoder and search agree; packing departs",
}
"""What it means that a field is the first to depart, where the latents, which tell the encoder, agree or come later."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of a run beyond its packets.

    Attributes:
        layers: comparison layer by layer; None where no layers were seen.
        findings: what is wrong with each layer that departs by itself, or with the encoder as a whole.
        stage: where the departure begins, when that is not in the encoder; or why there is no more to say.
    """

    layers: LayerComparison | None = None
    findings: tuple[Finding, ...] = ()
    stage: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """Sentences of diagnosis."""
        return (*(str(finding) for finding in self.findings), *([self.stage] if self.stage else []))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "layers": None if self.layers is None else self.layers.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
            "stage": self.stage,
        }


def normalised(firmware: Firmware, frames: NDArray[Any]) -> NDArray[np.int8]:
    """What the encoder gets for raw frames: int8[n, T] or [n, T, 2]."""
    return encoder_input(frames, firmware.config.quantize).y


def departing_frames(want: RunResult, got: RunResult) -> NDArray[np.intp]:
    """Numbers of at most :data:`kit.host.diagnose.FRAMES_MAX` frames whose packets, indices or latents differ."""
    differ = (want.packets != got.packets).any(axis=1) | (want.indices != got.indices).any(axis=(1, 2))
    if want.latents is not None and got.latents is not None:
        differ |= (want.latents != got.latents).any(axis=(1, 2))
    return np.flatnonzero(differ)[:FRAMES_MAX]


def explain_layers(
    firmware: Firmware, frames: NDArray[Any], want: Layers, got: Layers, numbers: NDArray[np.intp] | None = None
) -> Explanation:
    """Compare every layer, and diagnose those that depart.

    Args:
        firmware: the build.
        frames: raw frames [n, T].
        want: every layer of the golden.
        got: every layer observed.
        numbers: of the frames in the whole set; None: all of them.

    Raises:
        MismatchError: layers of other shapes.
    """
    compared = compare_layers(firmware_taps(firmware), want, got)
    if compared.first is None:
        return Explanation(compared)
    if numbers is not None:
        compared = replace(compared, first=replace(compared.first, frame=int(numbers[compared.first.frame])))
    if firmware.encoder.graph.opaque:
        return Explanation(compared, stage="causes are tested for chains of convolutions only; this encoder is none")
    findings = diagnose(firmware.encoder, normalised(firmware, frames), got)
    stage = "" if findings else "every layer computes what the golden makes of its input: the input itself is another"
    return Explanation(compared, findings, stage)


def explain_outputs(
    firmware: Firmware,
    frames: NDArray[Any],
    got: RunResult,
    comparison: Comparison,
    recorded: bool = False,
) -> Explanation:
    """What the packets alone tell, or packets and latents.

    Args:
        firmware: the build.
        frames: raw frames [n, T].
        got: the observed results.
        comparison: of the golden's with them.
        recorded: the observed ones were computed elsewhere and recorded.
    """
    stage = stage_of(comparison)
    if stage or firmware.encoder.graph.opaque:
        return Explanation(stage=stage)
    few = slice(OUTPUT_FRAMES_MAX)
    latents = None if got.latents is None else got.latents[few]
    inputs = normalised(firmware, frames[few])
    # Recorded results come from a computer, where TensorFlow Lite's default is XNNPACK; no device has its float32.
    prefer = "xnnpack" if recorded else ""
    finding = diagnose_outputs(firmware.encoder, firmware.codebook, inputs, latents, got.indices[few], prefer)
    return Explanation(findings=() if finding is None else (finding,))


def stage_of(comparison: Comparison) -> str:
    """Where a departure begins, as a sentence; empty when in the encoder, or where that cannot be ruled out."""
    different = [name for name, count in comparison.fields.items() if count.different]
    if not different or different[0] == "latents":
        return ""
    first = different[0]
    return "" if first == "indices" and "latents" not in comparison.fields else _STAGES.get(first, "")
