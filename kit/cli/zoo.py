"""``kit zoo``: the trained weights that travel with the kit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CAPTION = "bytes: mean of a frame's indices; PRD in %: float autoencoder, and device: INT8, decoded from packet bytes"


def command(
    add: Annotated[Path | None, typer.Option(help="Add this trained run (in a checkout).")] = None,
    scorecard: Annotated[
        Path | None, typer.Option(help="Its scorecard, from kit evaluate --json (default: scorecard.json in the run).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the trained weights that travel with the kit, with their figures."""
    import json

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from kit.build.zoo import entries

    if add is not None:
        from kit.build.zoo_add import add_run

        typer.echo(f"added {add_run(add, scorecard).name}")
    listed = entries()
    if as_json:
        typer.echo(json.dumps([entry.summary() for entry in listed], indent=1, sort_keys=True))
        return
    table = Table(title="Trained weights", caption=CAPTION, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("config", "ratio", "kB", "test set", "frames", "bytes", "float", "device"):
        left = heading in {"config", "test set"}
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for entry in listed:
        facts = entry.summary()
        head = (entry.name, f"{facts['compression_ratio']:.3g}x", f"{facts['bytes'] / 1000:.0f}")
        for figure in facts["figures"]:
            table.add_row(
                *head,
                figure["dataset"],
                str(figure["frames"]),
                f"{figure['payload_bytes']:.1f}",
                f"{figure['float_prd_percent']:.2f}",
                f"{figure['device_prd_percent']:.2f}",
            )
            head = ("", "", "")
    Console().print(table)
    for entry in listed:
        typer.echo(f"{entry.name}: trained on {entry.summary()['trained_on']}; {entry.folder / 'model_card.md'}")
