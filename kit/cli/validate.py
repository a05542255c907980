"""``kit validate``: the same frames through every target, compared bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.tflm_option import TflmRoots

if TYPE_CHECKING:
    from rich.progress import Progress

    from kit.host.exactness import Exactness, Pool
    from kit.host.firmware import Firmware
    from kit.host.validate import FrameSet, Report


def command(
    run: Annotated[Path | None, typer.Option(help="Run folder (default: the firmware of this checkout).")] = None,
    firmware: Annotated[Path | None, typer.Option(help="Firmware folder, instead of --run.")] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="Comma-separated: aot, tflm, tflm-wheel, reference; * is all of them, and skips what cannot run "
            "(default: what the build was rendered for, and reference)."
        ),
    ] = "",
    target: Annotated[
        str,
        typer.Option(
            help="Comma-separated: golden, reference, native, qemu:BOARD, uart:BOARD, serial:PORT; qemu:* and uart:* "
            "are all emulated boards, and skip those whose tools are not installed."
        ),
    ] = "native",
    layers: Annotated[bool, typer.Option("--layers", help="Compare the output of every layer too.")] = False,
    tflm_root: TflmRoots = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="At most so many frames (default: all; --random: 64; per encoder: 200).")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Take frames of this data root, not vectors.npz.")] = None,
    random: Annotated[bool, typer.Option("--random", help="Take random frames only.")] = False,
    random_frames: Annotated[int, typer.Option(min=0, help="So many random frames besides the others.")] = 0,
    config: Annotated[
        list[Path] | None,
        typer.Option(help="Instead of a build: this configuration with random weights; may be repeated."),
    ] = None,
    architectures: Annotated[
        int, typer.Option(min=0, help="Instead of a build: so many random architectures with random weights.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the report as JUnit XML.")] = None,
) -> None:
    """Run reference frames on every engine and target and compare latents, indices and packets bit for bit.

    What departs is explained: the first layer, the pattern and the cause. Exit code 1 when a cell differs or fails,
    when none ran, or none of an engine that was named.
    """
    from kit.errors import ConfigError
    from kit.host.engines import parse_engines, parse_tflm_roots
    from kit.host.firmware import Firmware, firmware_folder
    from kit.host.report_files import write_junit, write_report_json
    from kit.host.targets import parse_targets

    if data is not None and random:
        raise ConfigError("--data and --random name two sources of frames", "give one of them")
    targets = parse_targets(target)
    engines = parse_engines(engine) if engine else ()
    roots = parse_tflm_roots(tflm_root or [])
    if config or architectures:
        if engines or layers:
            raise ConfigError("--engine and --layers are for one build", "give --run or --firmware")
        if junit is not None:
            raise ConfigError("--junit is for one build", "use --json")
        counts = (0 if random else frames or 200, (frames or 64) if random else random_frames)
        _many(config or [], architectures, targets, data, counts, seed, "*" in target, json_path)
        return
    device = Firmware(firmware_folder(run, firmware), tflm_roots=roots)
    chosen = _frames(device, data, frames, random, random_frames, seed)
    report = _validate(device, (engines, targets), chosen, layers, "*" in engine + target)
    print_matrix(report)
    if json_path is not None:
        write_report_json(json_path, report)
    if junit is not None:
        write_junit(junit, report)
    named = [name for name in engine.replace(" ", "").split(",") if name and name != "*"]
    if not report.passed or not _any_ran(report, targets, named):
        raise typer.Exit(1)


def _frames(
    device: Firmware, data: Path | None, count: int | None, random_only: bool, random_frames: int, seed: int
) -> FrameSet:
    from kit.host import validate

    if random_only:
        return validate.random_frames(device, count or 64, seed)
    chosen = validate.vector_frames(device, count) if data is None else _dataset_frames(device, data, count)
    return validate.join([chosen, validate.random_frames(device, random_frames, seed)]) if random_frames else chosen


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


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _validate(
    device: Firmware, axes: tuple[tuple[str, ...], tuple[str, ...]], chosen: FrameSet, layers: bool, skip_absent: bool
) -> Report:
    from kit.host.validate import validate

    engines, targets = axes
    with _progress() as bar:
        task = bar.add_task("starting", total=len(chosen.frames))

        def progress(target: str, done: int, total: int) -> None:
            bar.update(task, description=target, completed=done, total=total)

        return validate(
            device, targets, chosen, engines=engines, layers=layers, skip_absent=skip_absent, progress=progress
        )


def _any_ran(report: Report, targets: tuple[str, ...], named: list[str]) -> bool:
    """Something of what was asked for ran: of the targets, and of each engine that was named."""
    ran = [outcome for outcome in report.outcomes if outcome.state != "skipped"]
    if named:
        return set(named) <= {outcome.engine for outcome in ran}
    return any(outcome.target in targets for outcome in ran) or any(outcome.truth for outcome in ran)


def print_matrix(report: Report) -> None:
    """Print the matrix, and below it what each cell has to say."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from kit.host.matrix_table import matrix_table, notes, summary

    console = Console(highlight=False)
    build = f"{report.name}, build {report.build_hash}, rendered for {report.engine}"
    console.print(f"{build}: {report.frames} frames of {report.source}; truth: {report.truth}", markup=False)
    console.print(matrix_table(report))
    for cells, sentences in notes(report).items():
        console.print(f"{cells}:", markup=False, style="bold")
        for text in sentences:
            console.print(Padding(Text(text), (0, 0, 0, 2)))
    console.print(summary(report), markup=False)


# ---- many encoders ----


def _many(
    configs: list[Path], architectures: int, targets: tuple[str, ...], data: Path | None, counts: tuple[int, int],
    seed: int, skip_absent: bool, json_path: Path | None,
) -> None:  # fmt: skip
    from itertools import chain

    from kit.config import load_config
    from kit.files import write_json
    from kit.host.exactness import architecture_cases, config_cases, exactness

    loaded = [load_config(path) for path in configs]
    pool = _pool(data)
    cases = chain(config_cases(loaded, seed, pool, counts), architecture_cases(architectures, seed, pool, counts))
    total = len(loaded) + architectures
    with _progress() as bar:
        outer = bar.add_task("encoders", total=total)
        inner = bar.add_task("", total=None)

        def progress(case: str, target: str, done: int, frames: int) -> None:
            bar.update(inner, description=f"{case} on {target}", completed=done, total=frames)

        def done(name: str, report: Report) -> None:
            bar.advance(outer)
            for outcome in report.outcomes:
                if outcome.state == "failed":
                    bar.console.print(f"{name}: {outcome.target}: {outcome.detail}", markup=False, soft_wrap=True)

        result = exactness(cases, targets, skip_absent=skip_absent, progress=progress, done=done)
    print_exactness(result, f"{counts[0]} real frames ({pool.label}, cut anew) and {counts[1]} random ones each")
    if json_path is not None:
        write_json(json_path, result.as_dict())
    if not result.passed:
        raise typer.Exit(1)


def _pool(data: Path | None) -> Pool:
    """Recordings of the recommended configuration's sources: below ``data``, or what stands in for them."""
    import numpy as np

    from kit.build.frames import reporting_config
    from kit.config import load_config
    from kit.data.dataset import build_dataset
    from kit.data.recording import SPLITS
    from kit.files import asset
    from kit.host.exactness import Pool

    config = reporting_config(load_config(asset("configs", "08x_ds8_l2.yaml")), data)
    dataset = build_dataset(config, data)
    frames = np.concatenate([dataset.frames(split) for split in SPLITS])
    return Pool(frames, config.signal.sample_bits, dataset.label)


def print_exactness(result: Exactness, frames: str) -> None:
    """Print what each target did over all encoders."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(result.reports)} encoders, {frames}", title_justify="left")
    table.add_column("target", no_wrap=True)
    for column in ("encoders", "frames", "latents", "differ", "packet bytes", "differ"):
        table.add_column(column, justify="right")
    for tally in result.tallies:
        state = "skipped" if not tally.cases else "" if not tally.failed else f"{tally.failed} failed"
        numbers = (tally.cases, tally.frames, *tally.latents, *tally.packets)
        table.add_row(f"{tally.target} {state}".strip(), *(f"{number:,}" for number in numbers))
    console = Console(highlight=False)
    console.print(table)
    truths = ", ".join(f"{name} ({count})" for name, count in result.truths.items())
    console.print(f"compared with: {truths}", soft_wrap=True)
