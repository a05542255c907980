"""A firmware folder: where it is, what travels in it, and how ``make`` turns it into images."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from kit.config import Config, load_config
from kit.errors import ArtifactError, EngineError, ToolchainError, UnsupportedOpError
from kit.files import checkout
from kit.graph.codebook import IntegerCodebook
from kit.graph.fingerprint import build_hash
from kit.graph.ir import Encoder
from kit.graph.store import load
from kit.host.boards import BOARDS, NATIVE, PROCESSES
from kit.host.tflm_root import find_tflm
from kit.host.toolchain import require_tool
from kit.wire.coding import CodingModel, load_coding
from kit.wire.packet import PacketLayout

ImageKind = Literal["runner", "app", "speed", "arena"]
Probes = Literal["", "1", "frame"]
"""Images with probes: none, by stage, of whole frames only (make's PROBES)."""
DOUBLE_MACRO = "KIT_TFLM_DOUBLE"
"""Flag of a TFLM_ROOT that is the API double of the tests."""
MAKE_SECONDS = 900.0
_ERROR_MARKS = (" error:", "undefined reference", "region `", "multiple definition", "No rule to make", "*** ")


def firmware_folder(run: Path | None = None, firmware: Path | None = None) -> Path:
    """The firmware folder that the options of a verb mean: ``--firmware``, ``--run``, or that of this checkout.

    Raises:
        ArtifactError: it is not there, or holds no rendered firmware.
    """
    if run is not None and firmware is not None:
        raise ArtifactError("--run and --firmware name two firmware folders", "give one of them")
    if firmware is not None:
        folder = firmware
    elif run is not None:
        folder = run / "firmware"
    else:
        root = checkout()
        if root is None:
            raise ArtifactError("no firmware folder given", "add --run runs/NAME")
        folder = root / "firmware"
    if not (folder / "generated").is_dir():
        raise ArtifactError(f"{folder} holds no rendered firmware", "run kit build-firmware first")
    return folder


@dataclass(frozen=True)
class Firmware:
    """A rendered firmware and the artifacts it was rendered from, which travel in ``generated/artifacts``.

    Attributes:
        folder: where it is.
        chosen_engine: engine that its images are made with; empty: the one it was rendered for.
        tflm_roots: TFLM_ROOT by board (:func:`kit.host.engines.parse_tflm_roots`), for images with engine tflm.
    """

    folder: Path
    chosen_engine: str = ""
    tflm_roots: tuple[tuple[str, Path], ...] = ()

    @property
    def engine(self) -> str:
        """What runs the encoder in its images: ``aot`` or ``tflm``."""
        return self.chosen_engine or self.config.firmware.engine

    @property
    def artifacts(self) -> Path:
        """Folder of config.yaml, encoder.tflite, codebook.npz, graph.json, weights.npz and vectors.npz."""
        return self.folder / "generated" / "artifacts"

    @cached_property
    def config(self) -> Config:
        """Resolved configuration of the build."""
        return load_config(self.artifacts / "config.yaml")

    @cached_property
    def encoder(self) -> Encoder:
        """Integer graph and weights."""
        return load(self.artifacts)

    @cached_property
    def codebook(self) -> IntegerCodebook:
        """The codebook the device searches."""
        return IntegerCodebook.load(self.artifacts / "codebook.npz")

    @cached_property
    def coding(self) -> CodingModel | None:
        """What indices are range-coded with; None where they have a fixed width."""
        return load_coding(self.config, self.artifacts)

    @cached_property
    def build_hash(self) -> str:
        """16 hex digits of what the artifacts compute; what every target must report."""
        coding = self.coding
        return build_hash(self.config, self.encoder, self.codebook, None if coding is None else coding.arrays())

    @property
    def layout(self) -> PacketLayout:
        """Packet layout of the build."""
        return PacketLayout.from_config(self.config, self.coding)

    @property
    def latent_bytes(self) -> int:
        """INT8 values of a frame's latents: P * C * D."""
        return self.config.latent_positions * self.config.latent_channels

    def model_bytes(self) -> bytes:
        """The .tflite file.

        Raises:
            ArtifactError: it is not there.
        """
        path = self.artifacts / "encoder.tflite"
        try:
            return path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"cannot read {path}: {error.strerror}", "rebuild with kit build-firmware") from None

    def image(self, kind: ImageKind, board: str = NATIVE, probes: Probes = "", taps: bool = False) -> Path:
        """Where ``make`` puts an image; see :meth:`build`."""
        suffix = "" if board in PROCESSES else ".elf"
        purpose = "taps" if taps else "arena" if kind == "arena" else ""
        parts = [board, "" if self.engine == "aot" else self.engine, purpose]
        parts += ["probes", probes] if probes else []
        return self.folder / "build" / "-".join(part for part in parts if part) / f"{kind}{suffix}"

    def build(self, kind: ImageKind, board: str = NATIVE, probes: Probes = "", taps: bool = False) -> Path:
        """Compile an image with ``make`` and return its path; nothing is done when it is current.

        Args:
            kind: which image.
            board: for what.
            probes: with counters (kit_probe.h).
            taps: with the output of every layer (kit_tap.h); of a ``runner`` only.

        Raises:
            ToolchainError: make or the compiler is missing or fails, with the first error line.
            ArtifactError: probes or taps are asked for, and the folder is of a kit that had none.
            EngineError: not rendered for the engine, or no TensorFlow Lite Micro for the board.
            UnsupportedOpError: an encoder that the aot engine does not run.
        """
        self._check_sources(probes, taps)
        require_tool("make")
        require_tool(_native_compiler() if board in PROCESSES else BOARDS[board].compiler)
        command = ["make", "-C", str(self.folder), kind, f"BOARD={board}", *self._engine_variables(board)]
        command += [f"PROBES={probes}"] if probes else []
        command += ["TAPS=1"] if taps else []
        try:
            done = subprocess.run(
                [*command, f"-j{os.cpu_count() or 1}"],
                capture_output=True, text=True, timeout=MAKE_SECONDS, check=False, env=_make_environment(),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ToolchainError(f"{' '.join(command)}: not done after {MAKE_SECONDS:g} s") from None
        if done.returncode:
            raise ToolchainError(f"{' '.join(command)} failed: {_first_error(done.stdout + done.stderr)}")
        image = self.image(kind, board, probes, taps)
        if not image.is_file():
            raise ToolchainError(f"{' '.join(command)} did not make {image}")
        return image

    def _check_sources(self, probes: Probes, taps: bool) -> None:
        """The folder may be of an older kit, or rendered for another engine."""
        wanted = {"probes": (probes, "runtime/kit_probe.c"), "taps": (taps, "runtime/kit_tap.h")}
        for name, (asked, source) in wanted.items():
            if asked and not (self.folder / source).is_file():
                raise ArtifactError(f"{self.folder} has no {name}: an older kit wrote it", "rerun kit build-firmware")
        if self.engine == "aot" and self.encoder.graph.opaque:
            raise UnsupportedOpError(
                "the encoder has operators that only TensorFlow Lite Micro runs", "validate it with --engine tflm"
            )
        if self.engine == "tflm" and not any((self.folder / "generated").glob("*_tflm.h")):
            raise EngineError(f"{self.folder} is not rendered for engine tflm", "rerun kit build-firmware")

    def _engine_variables(self, board: str) -> list[str]:
        """What tells make the engine; of TensorFlow Lite Micro, also where its library for the board is."""
        if self.engine == "aot":
            return ["ENGINE=aot"]
        return [f"ENGINE={self.engine}", f"TFLM_ROOT={self._tflm_root(board).resolve()}"]

    def _tflm_root(self, board: str) -> Path:
        roots = dict(self.tflm_roots)
        root = roots.get(board, roots.get(""))
        if root is None:
            raise EngineError(
                f"engine tflm needs TensorFlow Lite Micro for {board}, and no TFLM_ROOT names it",
                "give --tflm-root DIR or --tflm-root BOARD=DIR (docs/tflm.md says where to get one)",
            )
        return root

    def tflm_library(self, board: str) -> str:
        """File name of the archive that images for a board are linked with; empty with engine aot.

        Raises:
            EngineError: engine tflm, and no TFLM_ROOT for the board.
            ToolchainError: that TFLM_ROOT holds none.
        """
        return "" if self.engine == "aot" else find_tflm(self._tflm_root(board)).library.name

    def runs_double(self, board: str) -> bool:
        """Whether images for a board hold the API double of the tests instead of TensorFlow Lite Micro.

        Raises:
            EngineError, ToolchainError: as :meth:`tflm_library`.
        """
        return self.engine == "tflm" and find_tflm(self._tflm_root(board)).defines(DOUBLE_MACRO)


def _make_environment() -> dict[str, str]:
    """Environment without what an outer make hands down: its RUN or BUILD would point this one elsewhere."""
    variables = {"RUN", "BUILD", "BOARD", "PROBES", "TAPS", "ENGINE"}
    inherited = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", *variables}
    return {name: value for name, value in os.environ.items() if name not in inherited}


def _native_compiler() -> str:
    """What make takes: CC, or the system's ``cc``; gcc where that is missing, so that messages name a package."""
    chosen = os.environ.get("CC", "cc").split()
    return chosen[0] if chosen and shutil.which(chosen[0]) else "gcc"


def _first_error(output: str) -> str:
    """The line that says why; what make adds about the failure of a recipe says only that it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("make")]
    marked = [line for line in lines if any(mark in line for mark in _ERROR_MARKS)]
    reasons = [line for line in said if line in marked]
    return (reasons or said or marked or lines or ["no output"])[0]
