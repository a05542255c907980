"""``kit validate``: the same frames through every target, compared bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kit.host.firmware import Firmware
    from kit.host.validate import FrameSet, Report


def command(
    run: Annotated[Path | None, typer.Option(help="Run folder (default: the firmware of this checkout).")] = None,
    firmware: Annotated[Path | None, typer.Option(help="Firmware folder, instead of --run.")] = None,
    target: Annotated[
        str, typer.Option(help="Comma-separated: golden, reference, native, qemu:BOARD, uart:BOARD, serial:PORT.")
    ] = "native",
    frames: Annotated[
        int | None, typer.Option(min=1, help="At most so many frames (default: all; random: 64).")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Take frames of this data root, not vectors.npz.")] = None,
    random: Annotated[bool, typer.Option("--random", help="Take random frames.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of --random.")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the report as JUnit XML.")] = None,
) -> None:
    """Run reference frames on every target and compare latents, indices and packets bit for bit.

    Exit code 1 when a target differs, fails, or none ran.
    """
    from kit.errors import ConfigError
    from kit.host.firmware import Firmware, firmware_folder
    from kit.host.report_files import write_junit, write_report_json
    from kit.host.targets import parse_targets
    from kit.host.validate import random_frames, vector_frames

    if data is not None and random:
        raise ConfigError("--data and --random name two sources of frames", "give one of them")
    device = Firmware(firmware_folder(run, firmware))
    targets = parse_targets(target)
    if random:
        chosen = random_frames(device, frames or 64, seed)
    elif data is not None:
        chosen = _dataset_frames(device, data, frames)
    else:
        chosen = vector_frames(device, frames)
    report = _validate(device, targets, chosen)
    _print(report)
    if json_path is not None:
        write_report_json(json_path, report)
    if junit is not None:
        write_junit(junit, report)
    if not report.passed:
        raise typer.Exit(1)


def _dataset_frames(device: Firmware, root: Path, count: int | None) -> FrameSet:
    """Frames of every split of the configured dataset, at most ``count``, spread evenly."""
    import numpy as np

    from kit.build.frames import evenly_spaced
    from kit.data.dataset import build_dataset
    from kit.data.recording import SPLITS
    from kit.host.validate import FrameSet

    dataset = build_dataset(device.config, root)
    frames = np.concatenate([dataset.frames(split) for split in SPLITS])
    chosen = frames if count is None else evenly_spaced(frames, count)
    return FrameSet(chosen, f"{dataset.label}, all splits, {len(chosen)} of {len(frames)} frames")


def _validate(device: Firmware, targets: tuple[str, ...], chosen: FrameSet) -> Report:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from kit.host.validate import validate

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=len(chosen.frames))

        def progress(target: str, done: int, total: int) -> None:
            bar.update(task, description=target, completed=done, total=total)

        return validate(device, targets, chosen, progress=progress)


def _print(report: Report) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    build = f"{report.name}, build {report.build_hash}, engine {report.engine}"
    console.print(f"{build}: {report.frames} frames of {report.source}; truth: {report.truth}", markup=False)
    marks = {"passed": "[green]passed[/green]", "failed": "[red]FAILED[/red]", "skipped": "[yellow]skipped[/yellow]"}
    for outcome in report.outcomes:
        console.print(f"  {marks[outcome.state]}  {outcome.target:20s} ", end="")
        console.print(outcome.detail, markup=False)
        if outcome.layer is not None:
            console.print(f"          first layer that differs: {outcome.layer}", markup=False)
