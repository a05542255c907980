"""Figures of one path from frames to reconstruction: the device's packets decoded, or the float autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.data import FrameRef
from kit.errors import MismatchError, ShapeError
from kit.evaluate.metrics import FrameErrors, Score, frame_errors, score
from kit.reference.device_path import DeviceResult
from kit.server.bundle import Bundle
from kit.wire.packet import MeanSizes

DEVICE, FLOAT = "device", "float"
"""Names of the two paths."""


@dataclass(frozen=True, slots=True)
class SubjectScore:
    """Figures of one subject."""

    dataset: str
    subject: str
    score: Score


@dataclass(frozen=True, slots=True)
class Example:
    """One frame, in ADC codes, with where it stands among its dataset's frames.

    Attributes:
        rank: ``best``, ``median`` or ``worst`` by PRD.
        ref: origin of the frame.
        prd: percent.
        frame: integers [T].
        decoded: float32 [T].
    """

    rank: str
    ref: FrameRef
    prd: float
    frame: NDArray[Any]
    decoded: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Figures of one path on one split.

    Attributes:
        path: ``device`` (INT8 encoder, integer search, decoded from packet bytes) or ``float``.
        split: of the frames.
        engine: what ran the encoder, for example ``reference`` or ``keras``.
        target: where it ran.
        overall: all datasets pooled.
        datasets: by dataset, in the order of the frames.
        subjects: by dataset and subject, in the order of the frames.
        index_entropy: order-0 entropy of the indices of each level in bits; empty for the float path.
        errors: of every frame.
        refs: of every frame.
        examples: best, median and worst frame of each dataset.
        sizes: mean sizes of the packets; None for the float path.
    """

    path: str
    split: str
    engine: str
    target: str
    overall: Score
    datasets: dict[str, Score]
    subjects: tuple[SubjectScore, ...]
    index_entropy: tuple[float, ...]
    errors: FrameErrors
    refs: tuple[FrameRef, ...]
    examples: tuple[Example, ...]
    sizes: MeanSizes | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "path": self.path,
            "split": self.split,
            "engine": self.engine,
            "target": self.target,
            "overall": self.overall.as_dict(),
            "datasets": {name: found.as_dict() for name, found in self.datasets.items()},
            "subjects": [
                {"dataset": found.dataset, "subject": found.subject, **found.score.as_dict()} for found in self.subjects
            ],
            "index_entropy_bits": [round(bits, 4) for bits in self.index_entropy],
        }


def evaluate_path(
    config: Config,
    bundle: Bundle,
    result: DeviceResult,
    frames: NDArray[Any],
    refs: Sequence[FrameRef],
    *,
    split: str = "test",
    engine: str = "reference",
    target: str = "python",
) -> Evaluation:
    """Decode the packets of a device path and compare with what it was fed.

    Everything is taken from the packet bytes. Where packets carry no side information, the mean and scale that the
    device computed stand in, so that the shape alone is judged.

    Args:
        config: of the build.
        bundle: its server side.
        result: of the device path or of a target, for ``frames``.
        frames: int16 or int32 [n, T].
        refs: origin of each frame.
        split: name of the split that the frames are.
        engine: what ran the encoder.
        target: where it ran.

    Raises:
        ShapeError: counts that differ.
        MismatchError: packets that do not hold the indices of ``result``.
    """
    layout = bundle.layout
    packets = layout.unpack_batch(result.packets)
    if not np.array_equal(packets.indices, result.indices):
        raise MismatchError("packets do not hold the indices of the device path", "rebuild with kit build-firmware")
    mean = result.mean if packets.mean is None else packets.mean
    scale = result.scale_code if packets.scale_code is None else packets.scale_code
    decoded = bundle.decode(packets.indices, mean, scale)
    labels = {"path": DEVICE, "split": split, "engine": engine, "target": target}
    entropy = index_entropy(packets.indices, config.model.latent_width)
    sizes = layout.mean_sizes(result.packets) if len(result.packets) else None
    return evaluation(config, frames, decoded, refs, index_entropy=entropy, sizes=sizes, **labels)


def evaluation(
    config: Config,
    frames: NDArray[Any],
    decoded: NDArray[np.float32],
    refs: Sequence[FrameRef],
    *,
    path: str,
    split: str,
    engine: str,
    target: str,
    index_entropy: tuple[float, ...] = (),
    sizes: MeanSizes | None = None,
) -> Evaluation:
    """Figures of reconstructed frames, grouped by dataset and subject.

    Raises:
        ShapeError: counts that differ.
    """
    if len(refs) != len(frames):
        raise ShapeError(f"{len(frames)} frames have {len(refs)} origins")
    errors = frame_errors(frames, decoded, config.data.gates.flat_std_codes)
    by_dataset = _groups([ref.dataset for ref in refs])
    by_subject = _groups([(ref.dataset, ref.subject) for ref in refs])
    return Evaluation(
        path=path,
        split=split,
        engine=engine,
        target=target,
        overall=score(errors),
        datasets={name: score(errors, chosen) for name, chosen in by_dataset.items()},
        subjects=tuple(
            SubjectScore(dataset, subject, score(errors, chosen)) for (dataset, subject), chosen in by_subject.items()
        ),
        index_entropy=index_entropy,
        errors=errors,
        refs=tuple(refs),
        examples=_examples(errors, by_dataset, refs, frames, decoded),
        sizes=sizes,
    )


def _groups(keys: list[Any]) -> dict[Any, NDArray[np.bool_]]:
    """Members of each distinct key as bool[n], in order of appearance."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    of_frame = np.array([numbers[key] for key in keys], np.int64)
    return {key: of_frame == number for key, number in numbers.items()}


def _examples(
    errors: FrameErrors,
    by_dataset: dict[str, NDArray[np.bool_]],
    refs: Sequence[FrameRef],
    frames: NDArray[Any],
    decoded: NDArray[np.float32],
) -> tuple[Example, ...]:
    found = []
    for chosen in by_dataset.values():
        members = np.flatnonzero(chosen & errors.usable)
        if not members.size:
            continue
        ordered = members[np.argsort(errors.relative[members], kind="stable")]
        for rank, at in (("best", 0), ("median", len(ordered) // 2), ("worst", -1)):
            number = int(ordered[at])
            prd = float(errors.prd[number])
            found.append(Example(rank, refs[number], prd, frames[number].copy(), decoded[number].copy()))
    return tuple(found)


def index_entropy(indices: NDArray[np.uint16], entries: int) -> tuple[float, ...]:
    """Order-0 entropy of each level's indices in bits.

    Args:
        indices: uint16[n, P, M].
        entries: K.
    """
    levels = []
    for level in range(indices.shape[2]):
        counts = np.bincount(indices[:, :, level].ravel(), minlength=entries)
        share = counts[counts > 0] / max(1, counts.sum())
        levels.append(float(-(share * np.log2(share)).sum()) + 0.0)
    return tuple(levels)
