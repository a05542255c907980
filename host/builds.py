"""Which build a device runs: build hashes to run folders and server bundles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kit.errors import ArtifactError, LinkError
from kit.files import checkout, read_json


@dataclass(frozen=True, slots=True)
class KnownBuild:
    """A build of this machine; ``server`` is None where the run has no decoder yet."""

    build_hash: str
    name: str
    server: Path | None


def _read_hash(path: Path, *keys: str) -> str | None:
    """A string deep in a JSON file, None when the file is missing or has none there."""
    if not path.is_file():
        return None
    try:
        value = read_json(path)
    except ArtifactError:
        return None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def build_of_run(run: Path) -> KnownBuild | None:
    """The build in a run folder, None when it holds none."""
    server = run / "server"
    bundled = _read_hash(server / "bundle.json", "build_hash")
    if bundled is not None:
        return KnownBuild(bundled, run.name, server)
    recorded = _read_hash(run / "manifest.json", "facts", "build_hash")
    return None if recorded is None else KnownBuild(recorded, run.name, None)


def known_builds(folders: Iterable[Path] | None = None) -> list[KnownBuild]:
    """Builds below ``runs`` folders: those given, or of the working folder and of this checkout."""
    if folders is None:
        root = checkout()
        folders = [Path.cwd() / "runs", *([root / "runs"] if root else [])]
    runs = dict.fromkeys(path.resolve() for folder in folders if folder.is_dir() for path in sorted(folder.iterdir()))
    return [build for run in runs if (build := build_of_run(run)) is not None]


def find_build(build_hash: str, run: Path | None = None, server: Path | None = None) -> KnownBuild:
    """The build with this hash: in ``run`` or ``server`` where given, else in any known run.

    Raises:
        ArtifactError: ``run`` or ``server`` holds no build.
        LinkError: no known build has the hash, or the one given has another.
    """
    if run is not None and server is not None:
        raise ArtifactError("--run and --server name two builds", "give one of them")
    if run is None and server is None:
        builds = known_builds()
        for build in sorted(builds, key=lambda b: b.server is None):
            if build.build_hash == build_hash:
                return build
        names = ", ".join(f"{build.name} ({build.build_hash})" for build in builds) or "none"
        raise LinkError(
            f"the device runs build {build_hash}, which is not known here; known builds: {names}",
            "give --run or --server of the build that was flashed, or --any-build to store undecoded",
        )
    if run is not None:
        found = build_of_run(run)
    else:
        assert server is not None
        bundled = _read_hash(server / "bundle.json", "build_hash")
        found = None if bundled is None else KnownBuild(bundled, server.name, server)
    if found is None:
        raise ArtifactError(f"{run or server} holds no build", "give a run folder of kit build-firmware")
    if found.build_hash != build_hash:
        raise LinkError(
            f"the device runs build {build_hash}, {run or server} is build {found.build_hash}",
            "flash that firmware, or name the run that the device was built from",
        )
    return found
