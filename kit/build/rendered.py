"""The rendered files of a run folder's artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.build.pipeline import Context
from kit.files import read_npz
from kit.wire.coding import CODING_FILE, load_coding

if TYPE_CHECKING:
    from kit.render.tflm import Arena

ARTIFACTS = ("config.yaml", "encoder.tflite", "codebook.npz", "graph.json", "weights.npz", "vectors.npz")
"""What a firmware folder carries so that it can be validated anywhere."""


def artifacts(context: Context) -> tuple[str, ...]:
    """What the firmware folder of a build carries: :data:`ARTIFACTS` and the model of range-coded indices, if any."""
    return (*ARTIFACTS, CODING_FILE) if context.config.packet.coding == "range" else ARTIFACTS


def rendered_files(context: Context, arena: Arena | None) -> dict[str, str]:
    """File name to text, as :func:`kit.render.render_firmware` gives them.

    Args:
        context: of a build whose vectors are made.
        arena: of TensorFlow Lite Micro, where it is known.
    """
    from kit.graph.codebook import IntegerCodebook
    from kit.graph.store import load
    from kit.render.firmware import Vectors, render_firmware

    vectors = read_npz(context.folder / "vectors.npz")
    return render_firmware(
        context.config,
        load(context.folder),
        IntegerCodebook.load(context.folder / "codebook.npz"),
        Vectors(vectors["frames"], vectors["packets"], str(vectors["source"])),
        (context.folder / "encoder.tflite").read_bytes(),
        context.manifest.facts["build_hash"],
        load_coding(context.config, context.folder),
        arena,
    )
