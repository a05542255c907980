"""The ``kit`` command: one verb per file.

A verb's module imports what it needs inside its function, so that starting one verb never pays for (or fails on) the
packages of another. Expected failures are one line on standard error and a non-zero exit code.
"""

from __future__ import annotations

import importlib
import os
import sys

import typer

from kit import __version__
from kit.errors import KitError

VERBS = {
    "build-firmware": "build_firmware",
    "validate": "validate",
    "emulate": "emulate",
    "ports": "ports",
    "serial-capture": "serial_capture",
    "capture-info": "capture_info",
    "decode": "decode",
    "size": "size",
    "bench": "bench",
    "evaluate": "evaluate",
    "zoo": "zoo",
    "ablate": "ablate",
    "doctor": "doctor",
}
"""Verb: module of kit.cli with its ``command`` function."""

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
for _verb, _module in VERBS.items():
    app.command(name=_verb)(importlib.import_module(f"kit.cli.{_module}").command)
app.add_typer(importlib.import_module("kit.cli.soak").app, name="soak")


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"kit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_print_version, is_eager=True),
) -> None:
    """Embedded firmware generation kit for learned biosignal compression."""


def main() -> None:
    """Entry point of the ``kit`` command: expected failures become one line and an exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except KitError as error:
        typer.echo(f"kit: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output left (`kit doctor | head`): not an error, but nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
