"""Exports of small random builds, and their examples compiled against the SDK doubles of ``tests/export_sdk``.

The doubles are no evidence about a vendor's SDK (``tests/export_sdk/README.md``).
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.build.export import LAYOUTS, Build, Layout, export_files, write_export
from kit.config import Config
from kit.files import read_npz
from kit.host.random_firmware import random_firmware
from kit.render.environment import origin_of
from kit.render.tflm import Arena
from tests.models import tiny_config
from tests.support import ROOT, need, seed
from tests.tflm_support import DOUBLE, tflm_root

SDK = ROOT / "tests" / "export_sdk"
ENGINES = ("aot", "tflm")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
CXX_FLAGS = ("-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics")
SDK_OF = {"platformio": "arduino"}
"""Layouts whose example is written against another one's interface."""
ATTRIBUTION = ("The weights in src/ were fitted on these recordings:", "- random: none")


@dataclass(frozen=True, eq=False)
class RandomBuild:
    """What :func:`kit.build.export.export_files` gets, and what the device must answer."""

    build: Build
    frames: NDArray[Any]
    packets: NDArray[np.uint8]
    build_hash: str

    @property
    def engine(self) -> str:
        return self.build.config.firmware.engine


@dataclass(frozen=True)
class Exported:
    """An export on disk."""

    layout: Layout
    folder: Path
    source: RandomBuild

    @property
    def engine(self) -> str:
        return self.source.engine

    @property
    def sdk(self) -> Path:
        """Folder of the doubles that the example compiles with; one that does not exist where it needs none."""
        return SDK / SDK_OF.get(self.layout.name, self.layout.name)

    def sources(self, *folders: str) -> list[Path]:
        found = [path for folder in folders for path in sorted((self.folder / folder).iterdir())]
        return [path for path in found if path.suffix in (".c", ".cpp", ".ino")]


def random_build(engine: str, **sections: Any) -> RandomBuild:
    """Random weights for a tiny configuration with a depthwise stage, rendered for one engine.

    Args:
        engine: ``aot`` or ``tflm``.
        sections: further sections of the configuration.
    """
    chosen = {"engine": engine, "embedded_frames": 4}
    config: Config = tiny_config(
        model={"num_stages": 3}, signal={"frame_samples": 64}, firmware=chosen, **sections
    )
    arena = Arena(65536, 0, "Generous, for tests") if engine == "tflm" else None
    with TemporaryDirectory() as scratch:
        firmware = random_firmware(Path(scratch), config, np.random.default_rng(seed()), arena=arena)
        generated = sorted((firmware.folder / "generated").iterdir())
        files = {path.name: path.read_text(encoding="utf-8") for path in generated if path.is_file()}
        vectors = read_npz(firmware.artifacts / "vectors.npz")
        origin = origin_of(config, firmware.model_bytes(), firmware.build_hash)
    build = Build(config, files, origin, ATTRIBUTION)
    return RandomBuild(build, vectors["frames"], vectors["packets"], origin.build_hash)


def export(source: RandomBuild, layout: str, folder: Path) -> Exported:
    """The build written to ``folder``."""
    found = LAYOUTS[layout]
    write_export(export_files(found, source.build), folder, {"layout": layout})
    return Exported(found, folder, source)


def compile_objects(
    sources: Iterable[Path], includes: Sequence[Path], folder: Path, cross: str = "", flags: Sequence[str] = ()
) -> list[Path]:
    """Compile each source alone, C as C99 and the rest as C++17, with every warning an error."""
    folder.mkdir(parents=True, exist_ok=True)
    search = [f"-I{path}" for path in includes]
    objects = []
    for source in sources:
        target = folder / f"{source.stem}-{source.suffix[1:]}.o"
        c = source.suffix == ".c"
        standard = ("-std=c99",) if c else CXX_FLAGS
        command = [need(f"{cross}{'gcc' if c else 'g++'}"), *standard, *WARNINGS, "-O1", *flags]
        language = [] if c else ["-x", "c++"]
        command += [*search, *language, "-c", str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        objects.append(target)
    return objects


def includes_of(exported: Exported) -> list[Path]:
    """Header folders: the library, the example, the SDK double, and the double of TensorFlow Lite Micro."""
    folders = [exported.folder / "src", exported.folder / exported.layout.example, exported.sdk, SDK / "common"]
    if exported.engine == "tflm":
        folders.append(tflm_root(DOUBLE) / "include")
    return folders


@cache
def library_objects(source: RandomBuild) -> list[Path]:
    """The library, compiled once: a test shows that it is the same for every layout."""
    folder = Path(mkdtemp(prefix="kit-export-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    exported = export(source, "cmake", folder / "lib")
    return compile_objects(exported.sources("src"), includes_of(exported), folder / "o", flags=engine_flags(exported))


def engine_flags(exported: Exported) -> tuple[str, ...]:
    """Those of the double of TensorFlow Lite Micro: its engine says so in the hello."""
    return ("-DTF_LITE_STATIC_MEMORY", "-DKIT_TFLM_DOUBLE") if exported.engine == "tflm" else ()


def build_example(exported: Exported, folder: Path, flags: Sequence[str] = ()) -> Path:
    """The exported example as a program of this machine."""
    doubles = [*sorted(exported.sdk.glob("sdk.*")), SDK / "common" / "stdio_line.c"] if exported.sdk.is_dir() else []
    sources = [*exported.sources(exported.layout.example), *doubles]
    objects = library_objects(exported.source)
    objects = [*objects, *compile_objects(sources, includes_of(exported), folder, flags=flags)]
    library = [str(tflm_root(DOUBLE) / "lib" / "libtflm-double.a")] if exported.engine == "tflm" else []
    program = folder / "stream"
    command = [need("g++"), *map(str, objects), *library, "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return program
