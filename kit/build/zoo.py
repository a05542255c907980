"""Trained weights that travel with the kit: ``zoo/<config name>/``.

An entry holds ``encoder.tflite``, ``codebook.npz``, ``decoder.npz``, ``decoder.json``,
``coding.npz`` where indices are range-coded, ``dataset.json`` (what it was trained on), ``config.yaml`` (resolved),
``figures.json``, ``scorecard.json`` (of ``kit evaluate``) and ``model_card.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.config import Config, load_config
from kit.errors import ArtifactError, ConfigError
from kit.files import asset, checkout, read_json, sha256_file
from kit.wire.coding import CODING_FILE

WEIGHTS = ("encoder.tflite", "codebook.npz", "decoder.npz", "decoder.json", "dataset.json")
"""Files of an entry that a build takes over unchanged."""

_MATCHING = {
    "signal": None,
    "model": None,
    "quantize": ("input_clip", "input_shaping", "input_remainder_bits", "codebook_bits", "beam"),
}
"""Sections (and keys) in which a config must equal the one the weights were trained with."""


@dataclass(frozen=True)
class Entry:
    """One trained model of the zoo."""

    name: str
    folder: Path

    @property
    def config(self) -> Config:
        """The resolved configuration the weights were trained with."""
        return load_config(self.folder / "config.yaml")

    @property
    def has_coding(self) -> bool:
        """A model of range-coded indices is among its weights."""
        return CODING_FILE in read_json(self.folder / "figures.json")["sha256"]

    @property
    def weights(self) -> tuple[str, ...]:
        """Its weight files."""
        return (*WEIGHTS, CODING_FILE) if self.has_coding else WEIGHTS

    def compression_ratio(self, facts: dict[str, Any]) -> float:
        """Raw bytes of a frame over its index bytes, the mean on the test set that takes most."""
        signal = self.config.signal
        raw = signal.frame_samples * signal.sample_bits / 8
        return float(raw / max(figure["payload_bytes"] for figure in facts["figures"]))

    def check(self) -> None:
        """Compare every weight file with the SHA-256 in ``figures.json``.

        Raises:
            ArtifactError: a file is missing or damaged.
        """
        recorded = read_json(self.folder / "figures.json")["sha256"]
        for name in self.weights:
            path = self.folder / name
            if not path.is_file() or sha256_file(path) != recorded.get(name):
                raise ArtifactError(
                    f"zoo entry {self.name}: {name} is missing or damaged", "restore it from the project"
                )

    def summary(self) -> dict[str, Any]:
        """Facts for ``kit zoo``: ratio, training data, figures (dataset, split, frames, PRD), size in bytes."""
        facts = read_json(self.folder / "figures.json")
        size = sum((self.folder / name).stat().st_size for name in self.weights)
        return {
            "name": self.name,
            "compression_ratio": self.compression_ratio(facts),
            "trained_on": facts["trained_on"],
            "build_hash": facts["build_hash"],
            "figures": facts["figures"],
            "bytes": size,
        }


def entries() -> list[Entry]:
    """All entries of the zoo, by name."""
    base = checkout()
    folder = base / "zoo" if base is not None else asset("zoo")
    if not folder.is_dir():
        return []
    return [Entry(item.name, item) for item in sorted(folder.iterdir()) if (item / "figures.json").is_file()]


def entry_for(config: Config) -> Entry:
    """The entry whose weights fit ``config``.

    Raises:
        ConfigError: there is none of that name, or it was trained with other settings; names the first difference.
    """
    found = {entry.name: entry for entry in entries()}
    if config.name not in found:
        known = ", ".join(found) or "none"
        raise ConfigError(
            f"there are no trained weights for config {config.name} (trained: {known})",
            "train them with --train --data DIR",
        )
    entry = found[config.name]
    trained, wanted = entry.config.model_dump(), config.model_dump()
    for section, keys in _MATCHING.items():
        for key in keys or trained[section]:
            if trained[section][key] != wanted[section][key]:
                raise ConfigError(
                    f"{section}.{key} = {wanted[section][key]!r}, but the weights of {config.name} were trained with "
                    f"{trained[section][key]!r}",
                    "train anew with --train --data DIR, or give the config another name and train it",
                )
    return entry
