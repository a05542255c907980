"""One progress bar for work that is counted in frames or steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error that vanishes when done; yields ``progress(done, total)``."""
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(title, total=total)

        def progress(done: int, whole: int) -> None:
            display.update(task, completed=done, total=whole)

        yield progress
