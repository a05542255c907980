"""``kit ablate``: variants of a configuration, trained over several seeds and compared."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def command(
    config: Annotated[Path, typer.Option(help="Base configuration: a YAML file, or the name of one of the kit's own.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A variant: section.key=value, several settings of one variant by commas."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per variant.")] = 3,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of a run (default: the config's).")] = None,
    steps_per_epoch: Annotated[int | None, typer.Option(min=1, help="Steps of an epoch (default: as above).")] = None,
    data: Annotated[Path | None, typer.Option(help="Root folder of recordings (default: KIT_DATA).")] = None,
    packets: Annotated[
        bool, typer.Option("--packets", help="Go on to INT8, refit and packets; quantize and packet settings count.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of runs and table (default: runs/ablate/NAME).")] = None,
) -> None:
    """Train a configuration and its variants over several seeds; print validation PRD with confidence intervals.

    Finished runs are not repeated; after an interruption the same command goes on.
    """
    from rich.console import Console

    from kit.build.ablate import ablate, markdown, variants
    from kit.build.ablate_packets import packet_run
    from kit.build.configs import find_config
    from kit.build.frames import needs_root
    from kit.config import Config, load_config
    from kit.data import Dataset, build_dataset
    from kit.data.sources import find_root
    from kit.model.backend import load_tensorflow

    base = load_config(find_config(config))
    chosen = variants(base, settings or [])
    root = find_root(base, data)
    for variant in chosen:
        if needs_root(variant.config):
            root.require(variant.config.name)
    load_tensorflow()
    folder = out or Path("runs") / "ablate" / base.name
    loaded: dict[str, Dataset] = {}

    def load(config: Config) -> Dataset:
        key = config.model_dump_json(include={"signal", "data"})
        if key not in loaded:
            loaded[key] = build_dataset(config, root.path, None if config.data.mode == "memory" else folder / "cache")
        return loaded[key]

    console = Console(soft_wrap=True)
    judge = partial(packet_run, out=folder, console=console) if packets else None

    def say(text: str) -> None:
        console.print(f"[bold]{text}[/bold]")

    try:
        rows, caption = ablate(chosen, seeds, (epochs, steps_per_epoch), load, folder, say, judge)
    except KeyboardInterrupt:
        typer.echo("kit: interrupted; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    if not (console.is_terminal and print_table(console, rows, caption)):
        typer.echo(markdown(rows, caption), nl=False)
    typer.echo(f"ablation: {folder / 'ablation.md'}")


VARIANT_WIDTH = 24
"""Least width of the column of settings, in characters."""

FILE_ONLY = ("entropy, bits per index", "decoder parameters", "steps/s")
"""Columns that a terminal has no room for."""


def print_table(console: Console, rows: list[dict[str, Any]], caption: str) -> bool:
    """Print a table; False where the terminal is too narrow for one."""
    from rich.table import Table

    from kit.build.ablate import table_cells

    heads, cells = table_cells(rows)
    shown = [column for column, head in enumerate(heads) if head not in FILE_ONLY]
    table = Table(caption=caption, caption_justify="left")
    needed = 1
    for column in shown:
        # Words of the heads may stand below each other, figures stay in one piece.
        width = max(len(text) for text in (*heads[column].split(), *(row[column] for row in cells if column)))
        width = width if column else max(width, VARIANT_WIDTH)
        table.add_column(heads[column], overflow="fold", justify="right" if column else "left", width=width)
        needed += width + 3
    if needed > console.width:
        return False
    for row in cells:
        variant = row[0].replace(",", ",\n")
        table.add_row(variant, *(row[column] for column in shown[1:]))
    console.print(table, soft_wrap=False, highlight=False)
    return True
