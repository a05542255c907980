"""Variants of a configuration, trained over several seeds and compared with confidence intervals.

Every run has a folder of its own, named by all that shapes its result: a finished one is not repeated, an interrupted
one goes on where it stopped, and one of other settings or recordings is another run.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
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


Judge = Callable[["Run", Config, "Dataset", Path], "Run"]
"""From a training, its configuration, recordings and folder to the run that is compared."""


@dataclass(frozen=True)
class Variant:
    """A configuration to compare, and what it is called: its settings, or ``base``."""

    label: str
    config: Config


@dataclass(frozen=True)
class Run:
    """A finished training; figures of the best epoch on the validation frames: of the float model, or of packets.

    Attributes:
        label: of the variant.
        seed: train.seed.
        val_prd: pooled PRD in percent.
        entropy_bits: order-0 entropy of the indices, bits per index, level by level.
        positions: of a frame; each has an index of every level.
        latents: values of a frame between encoder and quantizer.
        decoder_parameters: size of the decoder.
        best_epoch: counted from 0.
        epochs: trained.
        steps_per_second: of the whole training, validation included.
        payload_bytes: mean bytes of a frame's indices as they are sent; None for the float model.
        sets: of packets, (pooled PRD in percent, mean payload bytes) by dataset.
    """

    label: str
    seed: int
    val_prd: float
    entropy_bits: tuple[float, ...]
    positions: int
    latents: int
    decoder_parameters: int
    best_epoch: int
    epochs: int
    steps_per_second: float
    payload_bytes: float | None = None
    sets: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def frame_bits(self) -> float:
        """Bits of a frame's indices: of the payload, or their order-0 entropy where nothing was sent."""
        return self.positions * sum(self.entropy_bits) if self.payload_bytes is None else 8 * self.payload_bytes

    def prd_at_bits_of(self, base: Run) -> float:
        """``val_prd`` as it would be at the bits that ``base`` takes for a frame, in percent.

        By the slope of fine quantization: an error (not its square) twice as large for every bit that each of the
        base's latents has less. An estimate; the further the bits are apart, the less it is worth.
        """
        return float(self.val_prd * 2.0 ** ((self.frame_bits - base.frame_bits) / base.latents))


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


def train_run(label: str, config: Config, dataset: Dataset, out: Path) -> tuple[Run, Path]:
    """Train one variant with one seed, or take its finished result from ``out``; and the folder that it is in.

    Raises:
        TrainingError: see :func:`kit.model.training.train`.
    """
    from kit.data.batches import training_batches, validation_batches
    from kit.model.decoder import build_decoder
    from kit.model.training import fingerprint, train

    frames = json.dumps(dataset.to_json(), sort_keys=True)
    key = sha256_bytes(f"{RUN_FORMAT} {fingerprint(config)} {frames}".encode())[:12]
    folder = out / "runs" / key
    if (known := known_run(folder, label)) is not None:
        return known, folder
    batches = partial(training_batches, dataset, config)
    result = train(config, batches, validation_batches(dataset, config), folder)
    positions = config.latent_positions
    run = Run(
        label,
        config.train.seed,
        result.best_val_prd,
        _entropy(folder / "history.csv", result.best_epoch),
        positions,
        positions * config.model.embedding_dim,
        build_decoder(config).count_params(),
        result.best_epoch,
        result.epochs,
        result.steps_per_second,
    )
    write_json(folder / RESULT, asdict(run))
    return run, folder


def known_run(folder: Path, label: str) -> Run | None:
    """The finished run of ``folder`` under the label of today, or None."""
    if not (folder / RESULT).is_file():
        return None
    known = read_json(folder / RESULT)
    sets = {name: (prd, payload) for name, (prd, payload) in known["sets"].items()}
    return Run(**{**known, "label": label, "entropy_bits": tuple(known["entropy_bits"]), "sets": sets})


def _entropy(history: Path, epoch: int) -> tuple[float, ...]:
    with history.open(encoding="utf-8", newline="") as stream:
        row = list(csv.DictReader(stream))[epoch]
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

    ``val_prd``, ``same_bits`` and ``change`` are mean and half width of the interval. ``same_bits`` is
    :meth:`Run.prd_at_bits_of` the base of the same seed, over the seeds that both have, and ``change`` that less the
    base's own, seed by seed; both are None for the base itself. A half width that one seed cannot give is None.
    """
    bases = {run.seed: run for run in runs if run.label == BASE}
    rows = []
    for label in dict.fromkeys(run.label for run in runs):
        own = [run for run in runs if run.label == label]
        pairs = [(run.prd_at_bits_of(bases[run.seed]), bases[run.seed].val_prd) for run in own if run.seed in bases]
        compared = label != BASE and bool(pairs)
        rows.append(
            {
                "variant": label,
                "seeds": [run.seed for run in own],
                "val_prd": _finite(t_interval([run.val_prd for run in own])),
                "same_bits": _finite(t_interval([prd for prd, _ in pairs])) if compared else None,
                "change": _finite(t_interval([prd - base for prd, base in pairs])) if compared else None,
                "entropy_bits": [float(v) for v in np.mean([run.entropy_bits for run in own], axis=0)],
                "frame_bits": float(np.mean([run.frame_bits for run in own])),
                "sets": {name: _set_figures(own, name) for name in own[0].sets},
                "decoder_parameters": own[0].decoder_parameters,
                "steps_per_second": float(np.mean([run.steps_per_second for run in own])),
            }
        )
    return rows


def _set_figures(runs: Sequence[Run], name: str) -> dict[str, Any]:
    """PRD with its interval and mean payload of one dataset."""
    prd = _finite(t_interval([run.sets[name][0] for run in runs]))
    return {"val_prd": prd, "payload_bytes": float(np.mean([run.sets[name][1] for run in runs]))}


def _finite(interval: tuple[float, float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in interval]


def table_cells(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and cells of the comparison, as people read them."""
    sets = list(dict.fromkeys(name for row in rows for name in row["sets"]))
    heads = ["variant", "seeds", "validation PRD, %", "entropy, bits per index", "bits of a frame"]
    heads += ["PRD at the base's bits, %", "change, %", *(f"{name}: PRD, %; bytes" for name in sets)]
    heads += ["decoder parameters", "steps/s"]
    cells = [
        [
            row["variant"],
            str(len(row["seeds"])),
            _plus_minus(row["val_prd"], "{:.3f}"),
            " + ".join(f"{bits:.2f}" for bits in row["entropy_bits"]),
            f"{row['frame_bits']:.1f}",
            _plus_minus(row["same_bits"], "{:.3f}"),
            _plus_minus(row["change"], "{:+.3f}"),
            *(_set_cell(row["sets"].get(name)) for name in sets),
            f"{row['decoder_parameters']:,}",
            f"{row['steps_per_second']:.1f}",
        ]
        for row in rows
    ]
    return heads, cells


def markdown(rows: Sequence[dict[str, Any]], caption: str) -> str:
    """The comparison as a Markdown table under its caption."""
    heads, cells = table_cells(rows)
    lines = [caption, "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells)]) + "\n"


def _set_cell(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{_plus_minus(found['val_prd'], '{:.3f}')}; {found['payload_bytes']:.1f}"


def _plus_minus(interval: list[float | None] | None, form: str) -> str:
    if interval is None or interval[0] is None:
        return ""
    mean, half = interval
    return form.format(mean) + (f" ± {half:.3f}" if half is not None else "")


def _require_difference(chosen: Sequence[Variant]) -> None:
    from kit.model.training import fingerprint

    for variant in chosen[1:]:
        if fingerprint(variant.config) == fingerprint(chosen[0].config):
            raise ConfigError(
                f"--set {variant.label}: float models are the same with and without it",
                "add --packets, which goes on to what the device sends",
            )


def ablate(
    chosen: Sequence[Variant],
    seeds: int,
    budget: tuple[int | None, int | None],
    load: Callable[[Config], Dataset],
    out: Path,
    say: Callable[[str], None],
    judge: Judge | None = None,
) -> tuple[list[dict[str, Any]], str]:
    """Train every variant with every seed; write ``ablation.json`` and ``ablation.md`` after each run.

    Args:
        chosen: the variants; seeds of a variant are its own train.seed and the ones that follow it.
        seeds: how many.
        budget: epochs and steps per epoch, None where the configuration's own count.
        load: recordings of a configuration.
        out: folder.
        say: told of each run before it starts.
        judge: makes of a training the run that is compared; without it trainings are, as float models.

    Returns:
        the rows of :func:`compare`, and their caption.

    Raises:
        ConfigError: a variant that no training of float models shows.
    """
    if judge is None:
        _require_difference(chosen)
    what = "float model" if judge is None else "from packets, engine reference"
    runs: list[Run] = []
    rows: list[dict[str, Any]] = []
    caption = ""
    for offset in range(seeds):
        for variant in chosen:
            config = with_budget(variant.config, variant.config.train.seed + offset, *budget)
            dataset = load(config)
            say(f"{variant.label}, seed {config.train.seed}")
            run, folder = train_run(variant.label, config, dataset, out)
            runs.append(run if judge is None else judge(run, config, dataset, folder))
            rows = compare(runs)
            caption = (
                f"Validation PRD (pooled, {what}, best epoch) on {dataset.label}, "
                f"{len(dataset.frames('val'))} frames of validation subjects; {config.train.epochs} epochs of "
                f"{config.train.steps_per_epoch} steps of {config.train.batch_size} frames; ± is the half width of the "
                f"{CONFIDENCE:.0%} t interval over seeds. PRD at the base's bits: an estimate, twice the error for one "
                f"bit less in each latent of {BASE}; change: that less the PRD of {BASE}, seed by seed."
            )
            write_json(out / "ablation.json", {"rows": rows, "runs": [asdict(run) for run in runs], "caption": caption})
            atomic_write_text(out / "ablation.md", markdown(rows, caption))
    return rows, caption
