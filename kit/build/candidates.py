"""Finds what ``kit evaluate`` is to judge: run folders, names of runs, entries of the zoo."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from kit.build.zoo import Entry, entries
from kit.errors import ArtifactError, ConfigError
from kit.evaluate.candidate import Candidate
from kit.files import read_json
from kit.graph.codebook import IntegerCodebook
from kit.server.bundle import Bundle
from kit.server.decoder_io import load_decoder
from kit.wire.coding import load_coding

BENCHMARKS = {"bench_seed"}
"""Zoo entries that are kept for the benchmarks of speed, not for devices; ``--zoo`` leaves them out."""


def find_candidates(given: Sequence[str], whole_zoo: bool, target: str) -> list[Candidate]:
    """One candidate for each of ``given``, then for each zoo entry where ``whole_zoo``.

    Args:
        given: paths of run folders, or names: of a run below ``runs/``, else of a zoo entry; ``zoo/NAME`` is the entry.
        whole_zoo: add every zoo entry that is meant for devices.
        target: that computes the packets.

    Raises:
        ConfigError: nothing asked for.
        ArtifactError: a run that is not there or not finished, a zoo entry that is damaged.
    """
    zoo = {entry.name: entry for entry in entries()}
    found = [_candidate(name, zoo, target) for name in given]
    if whole_zoo:
        found += [_from_zoo(entry, target) for entry in zoo.values() if entry.name not in BENCHMARKS]
    if not found:
        raise ConfigError("nothing to evaluate", "give --run runs/NAME (several times for several), or --zoo")
    return found


def _candidate(given: str, zoo: dict[str, Entry], target: str) -> Candidate:
    path = Path(given)
    for folder in (path, Path("runs") / path):
        if (folder / "manifest.json").is_file():
            return _from_run(folder, target)
    name = path.name if path.parent in (Path(), Path("zoo")) else ""
    if name in zoo:
        return _from_zoo(zoo[name], target)
    if path.is_dir():
        raise ArtifactError(f"{given} is not a run: it has no manifest.json", "build it with kit build-firmware")
    runs = sorted(p.parent.name for p in Path("runs").glob("*/manifest.json"))
    near = difflib.get_close_matches(path.name, [*runs, *zoo], n=1, cutoff=0.0)
    hint = f"; nearest: {near[0]}" if near else ""
    raise ArtifactError(f"no run or zoo entry {given}{hint}", "see runs/ and kit zoo")


def _from_run(folder: Path, target: str) -> Candidate:
    if not (folder / "server").is_dir():
        raise ArtifactError(f"{folder} is not finished: it has no server bundle", "finish it with kit build-firmware")
    facts = read_json(folder / "manifest.json").get("facts", {})
    bundle = Bundle.load(folder / "server")
    return Candidate(folder.resolve().name, folder, str(facts.get("weights", "unknown")), bundle, target)


def _from_zoo(entry: Entry, target: str) -> Candidate:
    entry.check()
    facts, folder = read_json(entry.folder / "figures.json"), entry.folder
    bundle = Bundle(
        entry.config,
        IntegerCodebook.load(folder / "codebook.npz"),
        load_decoder(folder),
        facts["build_hash"],
        facts["trained_on"],
        load_coding(entry.config, folder),
    )
    return Candidate(entry.name, folder, f"zoo/{entry.name}", bundle, target)
