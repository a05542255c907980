"""``kit evaluate``: the scorecard of runs and zoo entries, beside transform coders on the same frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kit.config import Config
    from kit.data import Dataset


def command(
    run: Annotated[
        list[str] | None, typer.Option(help="Run folder, run name or zoo entry; may be repeated.")
    ] = None,
    zoo: Annotated[bool, typer.Option("--zoo", help="Every entry of the zoo.")] = False,
    data: Annotated[Path | None, typer.Option(help="Root folder of recordings (default: KIT_DATA).")] = None,
    split: Annotated[str, typer.Option(help="test or val.")] = "test",
    frames: Annotated[int | None, typer.Option(min=12, help="A quick look: so many frames of each dataset.")] = None,
    target: Annotated[
        str, typer.Option(help="Computes the packets: reference, golden, native, qemu:BOARD, serial:PORT.")
    ] = "reference",
    ladder: Annotated[bool, typer.Option("--ladder", help="PRD from float to packet, rung by rung.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON.")] = None,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Write all figures as CSV.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with curves and overlays.")] = None,
    curves: Annotated[
        bool, typer.Option("--curves/--no-curves", help="Baselines along whole curves, or at the runs' payloads only.")
    ] = True,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for baselines' results (default: evaluate-cache beside the run).")
    ] = None,
) -> None:
    """Judge codecs from packet bytes: distortion, heart rate, probes, beside baselines at equal payload."""
    from rich.console import Console

    from kit.build.candidates import find_candidates
    from kit.errors import ConfigError
    from kit.evaluate.scorecard import Options, scorecard
    from kit.evaluate.scorecard_page import render_page
    from kit.evaluate.scorecard_table import print_scorecard, scorecard_csv
    from kit.files import atomic_write_text, write_json

    if split not in ("test", "val"):
        raise ConfigError(f"--split {split}: figures are of subjects that training did not see", "give test or val")
    candidates = find_candidates(run or [], zoo, target)
    beside = next((c.folder.parent for c in candidates if not c.weights.endswith(c.folder.name)), Path("runs"))
    options = Options(split, frames, ladder, cache or beside / "evaluate-cache", curves)
    try:
        with _progress() as progress:
            document = scorecard(candidates, options, lambda config: _dataset(config, data), progress)
    except KeyboardInterrupt:
        typer.echo("kit: interrupted; finished baselines are kept, the same command goes on from there", err=True)
        raise typer.Exit(130) from None
    print_scorecard(document, Console(highlight=False))
    if json_path is not None:
        write_json(json_path, document)
    if csv_path is not None:
        atomic_write_text(csv_path, scorecard_csv(document))
    if html is not None:
        atomic_write_text(html, render_page(document))
        typer.echo(f"page: {html}")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """One bar on standard error that says what is under way, and vanishes when all is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task("starting", total=None)
        yield lambda what, done, total: display.update(task, description=what, completed=done, total=total)


def _dataset(config: Config, data: Path | None) -> Dataset:
    """The configured recordings, or what stands in for them where no folder is known."""
    from kit.build.frames import reporting_config
    from kit.data import build_dataset
    from kit.data.sources import find_root

    root = find_root(config, data).path
    return build_dataset(reporting_config(config, root), root)
