"""``kit zoo``: the trained weights that travel with the kit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    add: Annotated[Path | None, typer.Option(help="Add this trained run (in a checkout).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the trained weights that travel with the kit, with their figures."""
    import json

    from rich.console import Console
    from rich.table import Table

    from kit.build.zoo import entries

    if add is not None:
        from kit.build.zoo_add import add_run

        typer.echo(f"added {add_run(add).name}")
    listed = entries()
    if as_json:
        typer.echo(json.dumps([entry.summary() for entry in listed], indent=1, sort_keys=True))
        return
    table = Table(title="Trained weights (device path: INT8 encoder, integer search, decoded from packet bytes)")
    for heading in ("config", "ratio", "trained on", "evaluated on", "frames", "float PRD %", "device PRD %", "kB"):
        table.add_column(heading, justify="left" if heading in {"config", "trained on", "evaluated on"} else "right")
    for entry in listed:
        facts = entry.summary()
        for position, figure in enumerate(facts["figures"]):
            first = position == 0
            table.add_row(
                entry.name if first else "",
                f"{facts['compression_ratio']:.1f}x" if first else "",
                facts["trained_on"] if first else "",
                f"{figure['dataset']} {figure['split']}",
                str(figure["frames"]),
                f"{figure['float_prd_percent']:.2f}",
                f"{figure['device_prd_percent']:.2f}",
                f"{facts['bytes'] / 1000:.0f}" if first else "",
            )
    Console().print(table)
