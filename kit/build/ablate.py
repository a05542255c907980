"""Variants of a configuration, trained over several seeds and compared with confidence intervals.

Every run has a folder of its own, named by all that shapes its result: a finished one is not repeated, an interrupted
one goes on where it stopped, and one of other settings or recordings is another run.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from kit.config import Config, parse_config
from kit.errors import ConfigError
from kit.files import atomic_write_text, read_json, sha256_bytes, write_json

if TYPE_CHECKING:
    from kit.data import Dataset

BASE = "base"
"""Label of the configuration as it is given."""

CONFIDENCE = 0.95

RESULT = "result.json"

RUN_FORMAT = 2
"""Part of a run's name: results of another make are not taken for ones of this."""


@dataclass(frozen=True)
class Variant:
    """A configuration to compare, and what it is called: its settings, or ``base``."""

    label: str
    config: Config


@dataclass(frozen=True)
class Run:
    """A finished training; figures of the best epoch on the validation frames, float model.

    Attributes:
        label: of the variant.
        seed: train.seed.
        val_prd: pooled PRD in percent.
        prd_at_rate: the same at the bits that ``train.rate_bits`` asks for (:func:`kit.model.callbacks.judged_error`);
            ``val_prd`` where it asks for none. Variants are compared by it.
        entropy_bits: order-0 entropy of the indices, bits per index, level by level.
        decoder_parameters: size of the decoder.
        best_epoch: counted from 0.
        epochs: trained.
        steps_per_second: of the whole training, validation included.
    """

    label: str
    seed: int
    val_prd: float
    prd_at_rate: float
    entropy_bits: tuple[float, ...]
    decoder_parameters: int
    best_epoch: int
    epochs: int
    steps_per_second: float


def with_settings(config: Config, text: str) -> Config:
    """``config`` with ``key=value`` settings, separated by commas; values are YAML.

    Raises:
        ConfigError: not of that form, or a key or value that the schema refuses.
    """
    raw = config.model_dump(mode="json")
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set {text}: {part.strip()!r} is not section.key=value", "separate several by commas")
        node: Any = raw
        *sections, last = key.split(".")
        for section in sections:
            node = node.setdefault(section, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise ConfigError(f"--set {text}: {key} is no key of the configuration", "name it section.key")
        try:
            node[last] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--set {text}: {value!r} is not a YAML value", "quote it") from None
    return parse_config(raw, f"--set {text}")


def variants(base: Config, settings: Sequence[str]) -> list[Variant]:
    """The base and one variant per setting.

    Raises:
        ConfigError: see :func:`with_settings`; or a variant twice.
    """
    if len(set(settings)) < len(settings):
        raise ConfigError("--set: a variant is given twice", "give each once")
    return [Variant(BASE, base), *(Variant(text, with_settings(base, text)) for text in settings)]


def with_budget(config: Config, seed: int, epochs: int | None, steps_per_epoch: int | None) -> Config:
    """``config`` with its seed and, where given, its length replaced."""
    changes = {"seed": seed, "epochs": epochs, "steps_per_epoch": steps_per_epoch}
    given = {key: value for key, value in changes.items() if value is not None}
    raw = config.model_dump(mode="json")
    return parse_config({**raw, "train": {**raw["train"], **given}})


def train_run(label: str, config: Config, dataset: Dataset, out: Path) -> Run:
    """Train one variant with one seed, or take its finished result from ``out``.

    Raises:
        TrainingError: see :func:`kit.model.training.train`.
    """
    from kit.data.batches import training_batches, validation_batches
    from kit.model.callbacks import judged_error
    from kit.model.decoder import build_decoder
    from kit.model.training import fingerprint, train

    key = sha256_bytes(f"{RUN_FORMAT} {fingerprint(config)} {json.dumps(dataset.to_json(), sort_keys=True)}".encode())[:12]
    folder = out / "runs" / key
    if (folder / RESULT).is_file():
        known = read_json(folder / RESULT)
        return Run(**{**known, "label": label, "entropy_bits": tuple(known["entropy_bits"])})
    batches = partial(training_batches, dataset, config)
    result = train(config, batches, validation_batches(dataset, config), folder)
    best = _history_row(folder / "history.csv", result.best_epoch)
    run = Run(
        label,
        config.train.seed,
        result.best_val_prd,
        100.0 * math.sqrt(judged_error(best)),
        _entropy(best),
        build_decoder(config).count_params(),
        result.best_epoch,
        result.epochs,
        result.steps_per_second,
    )
    write_json(folder / RESULT, asdict(run))
    return run


def _history_row(history: Path, epoch: int) -> dict[str, str]:
    with history.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))[epoch]


def _entropy(row: dict[str, str]) -> tuple[float, ...]:
    levels = sum(name.startswith("val_entropy_") for name in row)
    return tuple(float(row[f"val_entropy_{level}"]) for level in range(levels))


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its two-sided t interval at ``CONFIDENCE``; infinite with one value."""
    from scipy.stats import t

    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return float(array.mean()), math.inf
    quantile = float(t.ppf(0.5 + CONFIDENCE / 2, len(array) - 1))
    return float(array.mean()), quantile * float(array.std(ddof=1)) / math.sqrt(len(array))


def compare(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per variant in the order of their first run.

    ``val_prd``, ``prd_at_rate`` and ``change`` are mean and half width of the interval; ``change`` is that of
    ``prd_at_rate`` against the base, seed by seed, over the seeds that both have, and None for the base itself. A half width that one seed cannot give is None.
    """
    base = {run.seed: run.prd_at_rate for run in runs if run.label == BASE}
    rows = []
    for label in dict.fromkeys(run.label for run in runs):
        own = [run for run in runs if run.label == label]
        paired = [run.prd_at_rate - base[run.seed] for run in own if run.seed in base]
        rows.append(
            {
                "variant": label,
                "seeds": [run.seed for run in own],
                "val_prd": _finite(t_interval([run.val_prd for run in own])),
                "prd_at_rate": _finite(t_interval([run.prd_at_rate for run in own])),
                "change": _finite(t_interval(paired)) if paired and label != BASE else None,
                "entropy_bits": [float(v) for v in np.mean([run.entropy_bits for run in own], axis=0)],
                "decoder_parameters": own[0].decoder_parameters,
                "steps_per_second": float(np.mean([run.steps_per_second for run in own])),
            }
        )
    return rows


def _finite(interval: tuple[float, float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in interval]


def markdown(rows: Sequence[dict[str, Any]], caption: str) -> str:
    """The comparison as a Markdown table under its caption."""
    lines = [
        caption,
        "",
        "| variant | seeds | validation PRD, % | at its rate, % | change, % | entropy, bits per index | decoder parameters "
        "| steps/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        entropy = " + ".join(f"{bits:.2f}" for bits in row["entropy_bits"])
        cells = (
            row["variant"],
            len(row["seeds"]),
            _plus_minus(row["val_prd"], "{:.3f}"),
            _plus_minus(row["prd_at_rate"], "{:.3f}"),
            _plus_minus(row["change"], "{:+.3f}"),
            entropy,
            f"{row['decoder_parameters']:,}",
            f"{row['steps_per_second']:.1f}",
        )
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _plus_minus(interval: list[float | None] | None, form: str) -> str:
    if interval is None or interval[0] is None:
        return ""
    mean, half = interval
    return form.format(mean) + (f" ± {half:.3f}" if half is not None else "")


def ablate(
    chosen: Sequence[Variant],
    seeds: int,
    budget: tuple[int | None, int | None],
    load: Callable[[Config], Dataset],
    out: Path,
    say: Callable[[str], None],
) -> str:
    """Train every variant with every seed; write ``ablation.json`` and ``ablation.md`` after each run.

    Args:
        chosen: the variants; seeds of a variant are its own train.seed and the ones that follow it.
        seeds: how many.
        budget: epochs and steps per epoch, None where the configuration's own count.
        load: recordings of a configuration.
        out: folder.
        say: told of each run before it starts.

    Returns:
        the Markdown table.
    """
    runs: list[Run] = []
    table = ""
    for offset in range(seeds):
        for variant in chosen:
            config = with_budget(variant.config, variant.config.train.seed + offset, *budget)
            dataset = load(config)
            say(f"{variant.label}, seed {config.train.seed}")
            runs.append(train_run(variant.label, config, dataset, out))
            rows = compare(runs)
            caption = (
                f"Validation PRD (pooled, float model, best epoch) on {dataset.label}, "
                f"{len(dataset.frames('val'))} frames of validation subjects; {config.train.epochs} epochs of "
                f"{config.train.steps_per_epoch} steps of {config.train.batch_size} frames; at its rate: where "
                "train.rate_bits is set, the error at those bits, by a factor of four for a bit in every channel; ± is "
                f"the half width of the {CONFIDENCE:.0%} t interval over seeds, change is that at the rate against {BASE}, "
                "seed by seed."
            )
            table = markdown(rows, caption)
            write_json(out / "ablation.json", {"rows": rows, "runs": [asdict(run) for run in runs], "caption": caption})
            atomic_write_text(out / "ablation.md", table)
    return table
