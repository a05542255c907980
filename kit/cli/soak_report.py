"""How the soaks print what they found."""

from __future__ import annotations

from typing import Any

import typer


def report(name: str, values: dict[str, Any], failures: list[str], as_json: bool) -> None:
    """Print a soak's figures, one per line, and fail the command when a bar is missed.

    Raises:
        RunnerError: ``failures`` is not empty.
    """
    import json

    from kit.errors import RunnerError

    if as_json:
        typer.echo(json.dumps(values))
    else:
        for key, value in values.items():
            typer.echo(f"{key:<20} {value}")
    if failures:
        raise RunnerError(f"soak {name} failed: {', '.join(failures)}")
    if not as_json:
        typer.echo(f"soak {name}: passed")
