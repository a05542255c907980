"""``kit doctor``: what the kit finds on this machine, and how to get what it does not find."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.errors import ConfigError

if TYPE_CHECKING:
    from kit.build.doctor import Finding
    from kit.host.tflm_doctor import Check


def command(
    root: Annotated[
        Path | None, typer.Argument(help="With --tflm: the folder to check (default: TFLM_ROOT of the environment).")
    ] = None,
    tflm: Annotated[
        bool, typer.Option("--tflm", help="Check a TFLM_ROOT instead: headers, library, target and model.")
    ] = False,
    target: Annotated[str | None, typer.Option(help="With --tflm: board, or native, that the library is for.")] = None,
    run: Annotated[Path | None, typer.Option(help="With --tflm: run folder whose encoder shall run.")] = None,
    model: Annotated[Path | None, typer.Option(help="With --tflm: the .tflite that shall run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List every tool and package: found or not, version, what it is for, how to get it.

    With --tflm: whether headers, library, target and model of a TensorFlow Lite Micro belong together (docs/tflm.md).

    Exit code 1 when something that the main job needs is missing, or a check finds something wrong.
    """
    if tflm:
        _check_tflm(root, target, run, model, as_json)
        return
    given = {"ROOT": root, "--target": target, "--run": run, "--model": model}
    unused = [name for name, value in given.items() if value is not None]
    if unused:
        raise ConfigError(f"{', '.join(unused)} without --tflm", "add --tflm")
    _list_tools(as_json)


def _list_tools(as_json: bool) -> None:
    from kit.build.doctor import examine

    findings = examine()
    if as_json:
        _print_json(findings)
    else:
        marks = {"found": "[green]ok[/green]", "missing": "[red]missing[/red]", "optional": "[yellow]absent[/yellow]"}
        rows = [
            (marks[f.state], f.name, f.version, f.purpose, "" if f.state == "found" else f.how) for f in findings
        ]
        _print_table("kit doctor", ("", "name", "version", "what it is for", "how to get it"), rows)
        if any(finding.name == "tflite-micro" and finding.state != "found" for finding in findings):
            typer.echo("Without the tflite-micro wheel the NumPy reference executor stands in for the golden.")
    missing = [finding.name for finding in findings if finding.state == "missing"]
    if missing:
        typer.echo(f"kit: missing for the main job: {', '.join(missing)}", err=True)
        raise typer.Exit(1)


def _check_tflm(root: Path | None, target: str | None, run: Path | None, model: Path | None, as_json: bool) -> None:
    from kit.host.tflm_doctor import examine_tflm
    from kit.host.tflm_root import find_tflm

    if run is not None and model is not None:
        raise ConfigError("--run and --model both name an encoder", "give one of them")
    found = find_tflm(root)
    checks = examine_tflm(found, target, run / "encoder.tflite" if run is not None else model)
    if as_json:
        _print_json(checks)
    else:
        marks = {"ok": "[green]ok[/green]", "wrong": "[red]wrong[/red]", "unknown": "[yellow]cannot tell[/yellow]"}
        rows = [(marks[check.state], check.name, check.says, check.fix) for check in checks]
        _print_table(f"kit doctor --tflm {found.root}", ("", "check", "found", "what to do"), rows)
    wrong = [check.name for check in checks if check.state == "wrong"]
    if wrong:
        typer.echo(f"kit: wrong in {found.root}: {', '.join(wrong)}", err=True)
        raise typer.Exit(1)


def _print_json(rows: Sequence[Finding] | Sequence[Check]) -> None:
    import json

    typer.echo(json.dumps([row.as_dict() for row in rows], indent=1))


def _print_table(title: str, headings: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_lines=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
