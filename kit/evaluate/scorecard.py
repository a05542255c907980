"""The scorecard: every codec on the same frames, as one document of plain values behind table, CSV and page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kit
from kit.config import Config
from kit.data import Dataset
from kit.errors import ConfigError
from kit.evaluate import bootstrap, noise, rhythm
from kit.evaluate.baselines import BASELINES, Baseline
from kit.evaluate.beats import require_detector
from kit.evaluate.candidate import Candidate, Reconstruction
from kit.evaluate.evalset import evaluation_set
from kit.evaluate.judge import Judge
from kit.evaluate.ladder import ladder, require_float
from kit.evaluate.metrics import DEFINITION
from kit.evaluate.probes import run_probes
from kit.evaluate.rates import BaselineRates, Progress, Rate, curve_bytes
from kit.evaluate.sizes import coded_sizes, lossless_sizes
from kit.reference.normalise import lsb_bits

FORMAT = 1
"""Version of the document."""

DEFINITIONS = {
    "PRD": DEFINITION,
    "PRDN": "100 % * sqrt(sum of squared errors / sum of squared samples, frame means removed), in ADC codes over all "
    "frames: large frames weigh more, which the PRD avoids",
    "heart rate": f"60 / mean beat interval in windows of {rhythm.WINDOW_S:g} s or more; absolute difference from the "
    "same detector on the original, over windows in which both have one",
    "beat interval": f"absolute difference of intervals whose two beats both signals have, within "
    f"{1000 * rhythm.MATCH_S:g} ms",
    "coherence": "magnitude-squared, mean over 0.5 to 8 Hz (PPG) or 0.5 to 40 Hz (ECG), segments of a frame's length",
    "interval": f"{bootstrap.LEVEL:g} % bootstrap over subjects, {bootstrap.RESAMPLES} resamples, fixed seed",
    "payload": "bytes of a frame's indices (of its coded coefficients for baselines), mean over frames",
    "wire": "bytes of a frame with everything sent: side information, header, CRC and framing; baselines are put into "
    "the same packets",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What to evaluate.

    Attributes:
        split: ``test`` or ``val``.
        frames: of each dataset for a quick look, or None for all.
        ladder: measure the INT8 ladder of each run.
        cache: folder for baselines' finished work, or None.
        curves: run the baselines along whole curves; else only at the payloads of the runs.
    """

    split: str = "test"
    frames: int | None = None
    ladder: bool = False
    cache: Path | None = None
    curves: bool = True


OpenDataset = Callable[[Config], Dataset]


def scorecard(
    candidates: Sequence[Candidate], options: Options, open_dataset: OpenDataset, progress: Progress
) -> dict[str, Any]:
    """Judge all candidates; those of equal signal and data share frames and baselines.

    Args:
        candidates: one or more.
        options: what to evaluate.
        open_dataset: recordings of a configuration.
        progress: called with (what is under way, frames done, frames in all).

    Raises:
        KitError: a candidate that cannot be evaluated; raised before any long work where it can be known.
    """
    names = [candidate.name for candidate in candidates]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two things to evaluate are named {twice[0]}", "give each run folder its own name")
    for candidate in candidates:
        candidate.check()
        require_detector(candidate.config.signal.kind)
        if options.ladder:
            require_float(candidate.folder)
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(_data_key(candidate.config), []).append(candidate)
    return {
        "format": FORMAT,
        "kit": kit.__version__,
        "definitions": DEFINITIONS,
        "sets": [_set(group, options, open_dataset, progress) for group in groups.values()],
    }


def _data_key(config: Config) -> str:
    """Candidates of equal keys see the same frames and the same side information."""
    dump = config.model_dump(mode="json")
    facts = [dump["signal"], dump["data"]["sources"], dump["data"]["gates"], dump["data"]["split"]]
    return json.dumps([*facts, config.quantize.input_clip, config.packet.side_information], sort_keys=True)


def _set(
    group: list[Candidate], options: Options, open_dataset: OpenDataset, progress: Progress
) -> dict[str, Any]:
    config = group[0].config
    progress("recordings", 0, 1)
    frames = evaluation_set(open_dataset(config), config, options.split, options.frames)
    judge = Judge(frames)
    runs = [_run(candidate, judge, options, progress) for candidate in group]
    rates = BaselineRates(frames, options.cache, progress)
    raw_bytes = config.signal.frame_samples * config.signal.sample_bits / 8
    found = {
        baseline.name: {
            name: _rates(rates, baseline, name, runs, raw_bytes if options.curves else None) for name in frames.members
        }
        for baseline in BASELINES
    }
    for run in runs:
        run["matched"] = [
            _matched(judge, group[0], baseline, found[baseline.name], run, progress)
            for baseline in BASELINES
        ]
    subjects = {name: len({ref.subject for ref in frames.refs if ref.dataset == name}) for name in frames.members}
    return {
        "label": frames.label,
        "split": frames.split,
        "synthetic": frames.synthetic,
        "quick": frames.quick,
        "kind": config.signal.kind,
        "sample_rate_hz": config.signal.sample_rate_hz,
        "frame_samples": config.signal.frame_samples,
        "frame_seconds": config.signal.frame_seconds,
        "raw_bytes": raw_bytes,
        "statistics_of": frames.train_split,
        "noise_index": noise.DEFINITION[config.signal.kind],
        "input_lsb_per_unit": 1 << lsb_bits(config.quantize.input_clip),
        "datasets": {
            name: {"frames": int(chosen.sum()), "available": frames.available[name], "subjects": subjects[name]}
            for name, chosen in frames.members.items()
        },
        "runs": runs,
        "curves": {
            name: {
                key: sorted((rate.point for rate in by_name[name]), key=lambda point: point["payload_bytes"])
                for key, by_name in found.items()
            }
            for name in frames.members
        },
        "lossless": {name: _lossless(rates, group[0], name, raw_bytes) for name in frames.members},
    }


def _run(candidate: Candidate, judge: Judge, options: Options, progress: Progress) -> dict[str, Any]:
    """Figures, ladder and probes of one candidate."""
    name, frames = candidate.name, judge.set
    result = candidate.reconstruct(frames.frames, lambda done, total: progress(name, done, total))
    engine, target = candidate.labels
    figures = judge.figures(result.decoded, result.sizes)
    for found in figures.values():
        for example in found["examples"]:
            number = example.pop("frame")
            example["original"] = frames.frames[number].tolist()
            example["decoded"] = [round(float(value), 2) for value in result.decoded[number]]
    progress(f"{name}, probes", 0, 1)
    return {
        "name": name,
        "weights": candidate.weights,
        "trained_on": candidate.bundle.label,
        "build_hash": candidate.bundle.build_hash,
        "engine": engine,
        "target": target,
        "decoder_parameters": candidate.bundle.decoder.parameters,
        "encoder_mac": candidate.encoder.graph.macs,
        "side_bytes": candidate.layout.side_bytes,
        "raw_bytes": candidate.layout.raw_bits / 8,
        "figures": figures,
        "ladder": _ladder(candidate, judge, result, progress) if options.ladder else None,
        "probes": run_probes(candidate.config, lambda windows: candidate.reconstruct(windows).decoded),
    }


def _ladder(candidate: Candidate, judge: Judge, result: Reconstruction, progress: Progress) -> dict[str, Any]:
    return ladder(
        candidate.folder,
        judge.set,
        candidate.device_path(),
        candidate.bundle.decoder,
        result.decoded,
        lambda done, total: progress(f"{candidate.name}, ladder", done, total),
    )


def _payloads(runs: list[dict[str, Any]], dataset: str) -> list[float]:
    """Mean payloads of the runs on a dataset, each once."""
    return sorted({round(run["figures"][dataset]["payload_bytes"], 3) for run in runs})


def _rates(
    rates: BaselineRates, baseline: type[Baseline], dataset: str, runs: list[dict[str, Any]], raw_bytes: float | None
) -> list[Rate]:
    """A baseline at the payloads of the runs and, with the bytes of a raw frame, along its curve."""
    kept = _payloads(runs, dataset)
    if raw_bytes is None:
        return rates.rates(baseline, dataset, kept, [])
    return rates.rates(baseline, dataset, kept, [payload for payload in curve_bytes(raw_bytes) if payload not in kept])


def _matched(
    judge: Judge,
    candidate: Candidate,
    baseline: type[Baseline],
    found: dict[str, list[Rate]],
    run: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """Figures of one baseline at the payload of one run, dataset by dataset."""
    frames = judge.set
    progress(f"{baseline.name} beside {run['name']}", 0, 1)
    decoded = np.zeros(frames.frames.shape, np.float32)
    bits: NDArray[np.float64] = np.zeros(len(frames.frames))
    settings = {}
    for name, chosen in frames.members.items():
        wanted = round(run["figures"][name]["payload_bytes"], 3)
        rate = next(one for one in found[name] if one.wanted == wanted and one.y is not None)
        assert rate.y is not None
        decoded[chosen], bits[chosen] = frames.to_codes(rate.y, chosen), rate.bits
        settings[name] = rate.setting
    figures = judge.figures(decoded, coded_sizes(candidate.layout, bits))
    for name, dataset in figures.items():
        del dataset["examples"]
        dataset["setting"] = settings[name]
    return {"name": baseline.name, "title": baseline.title, "short": baseline.short, "figures": figures}


def _lossless(rates: BaselineRates, candidate: Candidate, dataset: str, raw_bytes: float) -> dict[str, Any]:
    bits = rates.lossless(dataset)
    sizes = lossless_sizes(candidate.layout, bits)
    payload = float(sizes.payload.mean())
    return {
        "title": "DPCM + Rice, lossless",
        "frames": len(bits),
        "payload_bytes": payload,
        "wire_bytes": float(sizes.wire.mean()),
        "ratio": raw_bytes / payload if payload else None,
    }
