"""``manifest.json``: what a run folder holds, from what it was made, and which stage made it.

Every stage reads the artifacts of earlier stages from disk. Before it does, their SHA-256 is compared with what the
manifest recorded, so that an edited or half-copied file is named instead of used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import kit
from kit.errors import ArtifactError
from kit.files import asset, read_json, sha256_file, write_json

FORMAT = 1
RUNTIMES = ("numpy", "scipy", "tensorflow", "keras", "tflite", "tflite-micro", "jinja2", "matplotlib")


def sha256_tree(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative names and file hashes in sorted order."""
    if path.is_file():
        return sha256_file(path)
    digest = hashlib.sha256()
    for item in sorted(p for p in path.rglob("*") if p.is_file() and "build" not in p.relative_to(path).parts):
        digest.update(f"{item.relative_to(path).as_posix()}\0{sha256_file(item)}\n".encode())
    return digest.hexdigest()


def runtime_versions() -> dict[str, str]:
    """Installed versions of the packages that an artifact's bytes can depend on."""
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def template_hashes() -> dict[str, str]:
    """SHA-256 of every firmware template, by name."""
    folder = asset("firmware_templates")
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in sorted(folder.rglob("*.j2"))}


@dataclass
class Manifest:
    """The manifest of one run folder, written after every stage."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """The manifest of ``folder``; an empty one where there is none yet.

        Raises:
            ArtifactError: present but unreadable or of another format.
        """
        path = folder / "manifest.json"
        if not path.is_file():
            return cls(folder)
        raw = read_json(path)
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise ArtifactError(f"{path} is not a manifest of format {FORMAT}", "build into a new folder with --out")
        return cls(folder, raw.get("facts", {}), raw.get("artifacts", {}), raw.get("stages", {}))

    def save(self) -> None:
        """Write ``manifest.json``."""
        write_json(
            self.folder / "manifest.json",
            {
                "format": FORMAT,
                "kit": kit.__version__,
                "runtimes": runtime_versions(),
                "templates": template_hashes(),
                "facts": self.facts,
                "artifacts": self.artifacts,
                "stages": self.stages,
            },
        )

    def check(self, names: tuple[str, ...], stage: str) -> dict[str, str]:
        """Hashes of the named artifacts, which must exist and be what their stage wrote.

        Raises:
            ArtifactError: one is missing or was changed.
        """
        hashes = {}
        for name in names:
            path = self.folder / name
            if not path.exists():
                raise ArtifactError(f"stage {stage} needs {path}, which is missing", "rerun kit build-firmware")
            actual = sha256_tree(path)
            recorded = self.artifacts.get(name)
            if recorded is None or recorded != actual:
                raise ArtifactError(
                    f"stage {stage}: {path} is not what was recorded in manifest.json",
                    "restore it, or rerun kit build-firmware with --fresh",
                )
            hashes[name] = actual
        return hashes

    def record(self, stage: str, key: str, names: tuple[str, ...]) -> None:
        """Record what ``stage`` wrote and the key of what it was made from, and save."""
        for name in names:
            path = self.folder / name
            if not path.exists():
                raise ArtifactError(f"stage {stage} did not write {name}")
            self.artifacts[name] = sha256_tree(path)
        self.stages[stage] = {"key": key, "outputs": {name: self.artifacts[name] for name in sorted(names)}}
        self.save()

    def is_current(self, stage: str, key: str, names: tuple[str, ...]) -> bool:
        """Whether ``stage`` was made from the same key and its outputs are unchanged on disk."""
        entry = self.stages.get(stage)
        if entry is None or entry["key"] != key or list(entry["outputs"]) != sorted(names):
            return False
        # Its own record, not the artifacts': another stage may since have written a file of the same name.
        return all(
            (self.folder / name).exists() and sha256_tree(self.folder / name) == digest
            for name, digest in entry["outputs"].items()
        )
