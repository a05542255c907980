"""``kit doctor``: what the kit finds on this machine, and how to get what it does not find."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List every tool and package: found or not, version, what it is for, how to get it.

    Exit code 1 when something that the main job needs is missing.
    """
    import json

    from rich.console import Console
    from rich.table import Table

    from kit.build.doctor import examine

    findings = examine()
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in findings], indent=1))
    else:
        table = Table(title="kit doctor", show_lines=False)
        for heading in ("", "name", "version", "what it is for", "how to get it"):
            table.add_column(heading, overflow="fold")
        marks = {"found": "[green]ok[/green]", "missing": "[red]missing[/red]", "optional": "[yellow]absent[/yellow]"}
        for finding in findings:
            how = "" if finding.state == "found" else finding.how
            table.add_row(marks[finding.state], finding.name, finding.version, finding.purpose, how)
        Console().print(table)
        if any(finding.name == "tflite-micro" and finding.state != "found" for finding in findings):
            typer.echo("Without the tflite-micro wheel the NumPy reference executor stands in for the golden.")
    missing = [finding.name for finding in findings if finding.state == "missing"]
    if missing:
        typer.echo(f"kit: missing for the main job: {', '.join(missing)}", err=True)
        raise typer.Exit(1)
