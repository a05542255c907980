"""The stage that fits the model of range-coded indices, and what it saves on frames it was not fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kit.build.frames import shares
from kit.build.pipeline import Context
from kit.build.progress import bar
from kit.wire.coding import CODING_FILE, PLACES_MAX, TABLE_BYTES_MAX, LevelModel

if TYPE_CHECKING:
    from kit.reference.device_path import DevicePath

TRAINING_FRAMES = 24576
"""Random training windows the model is fitted to, in equal parts of each dataset: what training dwells on is no reason
for longer packets of the others."""
VALIDATION_FRAMES = 4096
"""Validation frames that decide between shapes of its tables, in equal parts of each dataset."""
MEASURED_FRAMES = 1024
"""Frames that sizes are measured on before anything else is."""


def fit_coding_model(context: Context) -> None:
    """Fit the coding model to the indices of the INT8 path on training frames; write coding.npz."""
    from kit.data.batches import training_frames
    from kit.quantize.coding import fit_coding

    path = context.device_path(packets=False)
    windows = training_frames(context.dataset, context.config, TRAINING_FRAMES, weighted=False)
    train = _indices(path, windows, "training windows")
    validation = _indices(path, shares(context.dataset, "val", VALIDATION_FRAMES), "validation frames")
    model = fit_coding(
        train,
        validation,
        context.config.model.index_bits,
        network=context.config.packet.context == "network",
        # A codebook of this run is in order. One of the zoo may not be, but many entries have no table of places.
        in_place=context.train or context.config.model.latent_width > PLACES_MAX,
    )
    model.save(context.folder / CODING_FILE)
    shapes = ", ".join(_shape(level) for level in model.levels)
    context.console.print(
        f"  {model.table_bytes:,} of {TABLE_BYTES_MAX:,} bytes of tables; by level: {shapes}", highlight=False
    )


def _shape(level: LevelModel) -> str:
    if level.uniform:
        return "uniform"
    if level.network is not None:
        return f"{level.groups} groups by a network of {level.network.units} units"
    return f"{level.groups} groups in {len(level.rows)} contexts"


def _indices(path: DevicePath, frames: NDArray[Any], what: str) -> NDArray[np.uint16]:
    with bar(what, len(frames)) as progress:
        return path.run(frames, progress).indices


def measure_coding(context: Context) -> None:
    """Print what range-coded packets come to on validation frames; where there are none, on training or test frames."""
    dataset, layout = context.reporting, context.device_path().layout
    split = next((name for name in ("val", "train") if len(dataset.frames(name))), "test")
    frames = shares(dataset, split, MEASURED_FRAMES)
    sizes = layout.mean_sizes(context.device_path().run(frames).packets)
    saved = 100 * (1 - sizes.index_bytes / layout.index_bytes)
    where = f"{dataset.label}, {split}, {len(frames)} frames"
    context.manifest.facts["coding"] = {
        "index_bytes": round(sizes.index_bytes, 3), "wire_bytes": round(sizes.wire_bytes, 3), "frames": where,
    }  # fmt: skip
    context.console.print(
        f"  range coding: {sizes.index_bytes:.2f} bytes of indices a frame instead of {layout.index_bytes} "
        f"({saved:.1f} % less), {sizes.wire_bytes:.2f} on the wire ({where})",
        highlight=False,
    )
