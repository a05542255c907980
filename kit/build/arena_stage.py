"""The stage that measures the tensor arena, before the firmware is rendered with it."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kit.build.pipeline import Context
from kit.build.rendered import artifacts, rendered_files
from kit.errors import KitError
from kit.files import read_json, sha256_file, write_json

if TYPE_CHECKING:
    from kit.host.arena import Measured
    from kit.render.tflm import Arena

ARENA = "arena.json"


def arena_facts(context: Context) -> str:
    """What the size depends on besides the artifacts: the libraries, and the targets it is measured on."""
    from kit.golden import available

    wheel = available() is None
    roots = [f"{board}={_identity(root)}" for board, root in context.tflm_roots]
    return ";".join([*roots, *context.targets, f"wheel={wheel}"])


def _identity(root: Path) -> str:
    """Hash of the libraries below a TFLM_ROOT, without its name."""
    found = [path for pattern in ("*.a", "lib/*.a", "gen/*/lib/*.a") for path in sorted(root.glob(pattern))]
    return ",".join(sha256_file(path)[:12] for path in found)


def recorded_arena(context: Context) -> Arena | None:
    """The arena that :func:`measure_arena` wrote; None where nothing could measure it."""
    from kit.render.tflm import Arena

    facts = read_json(context.folder / ARENA)
    return None if facts["arena"] is None else Arena(**facts["arena"])


def measure_arena(context: Context) -> None:
    """Write arena.json: measured on every target with a library, else by the wheel; else only why not.

    Raises:
        ConfigError: ``firmware.arena_bytes`` is too small; says by how much.
        ToolchainError: engine tflm, and nothing can measure.
    """
    from kit.host.arena import arena_of_targets, arena_of_wheel

    fixed = context.config.firmware.arena_bytes
    number = None if fixed == "auto" else fixed
    model = (context.folder / "encoder.tflite").read_bytes()
    try:
        found = _on_targets(context, arena_of_wheel(model)) if context.tflm_roots else []
        arena = arena_of_targets(found, number) if found else arena_of_wheel(model, fixed=number)
    except KitError as error:
        if context.config.firmware.engine == "tflm":
            raise
        # An ahead-of-time build does not need it; it then has no harness beside it.
        write_json(context.folder / ARENA, {"arena": None, "measured": [], "reason": str(error)})
        context.console.print(f"  not for TensorFlow Lite Micro: {error}", highlight=False, markup=False)
        return
    write_json(context.folder / ARENA, {"arena": asdict(arena), "measured": [asdict(each) for each in found]})
    context.manifest.facts["arena"] = asdict(arena)
    context.console.print(f"  {arena.bytes:,} bytes. {arena.provenance}", highlight=False, markup=False)


def _on_targets(context: Context, first: Arena) -> list[Measured]:
    """Measurements on those targets of the build that there is a library for; ``first`` sizes nothing but the probe."""
    from kit.host.arena import measure
    from kit.host.boards import BOARDS, NATIVE
    from kit.host.engines import ANY_BOARD
    from kit.host.firmware import Firmware
    from kit.render.firmware import copy_runtime

    roots = dict(context.tflm_roots)
    named = [target.rpartition(":")[2] for target in context.targets if target.partition(":")[0] != "serial"]
    boards = [board for board in dict.fromkeys(named) if board == NATIVE or board in BOARDS]
    boards = [board for board in boards if board in roots or ANY_BOARD in roots]
    if not boards:
        return []
    with tempfile.TemporaryDirectory(prefix="kit-arena-") as name:
        folder = Path(name) / "firmware"
        carried = {each: context.folder / each for each in artifacts(context)}
        copy_runtime(folder, rendered_files(context, first), carried)
        firmware = Firmware(folder, "tflm", context.tflm_roots)
        return [measure(firmware, board) for board in boards]
