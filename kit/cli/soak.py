"""``kit soak``: long benchmarks of the link, one sub-command per subject."""

from __future__ import annotations

import importlib

import typer

SUBJECTS = {
    "stream": "soak_stream",
    "kill": "soak_kill",
    "replug": "soak_replug",
    "faults": "soak_faults",
    "decode": "soak_decode",
    "uart": "soak_uart",
}
"""Sub-command: module of kit.cli with its ``command`` function."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Long benchmarks of the link.")
for _subject, _module in SUBJECTS.items():
    app.command(name=_subject)(importlib.import_module(f"kit.cli.{_module}").command)
