"""docs/serial.md explains the errors that the code has."""

from __future__ import annotations

import re

from tests.support import ROOT


def test_every_explained_error_is_one_of_the_code() -> None:
    page = (ROOT / "docs" / "serial.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "host").glob("*.py")))
    rows = page.split("| error |")[1].splitlines()[2:]
    errors = [error for row in rows if row.startswith("|") for error in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(errors) > 10
    for error in errors:
        if error.startswith("kit "):
            continue
        # What a message puts in: X a port, N and M numbers, ... anything.
        pieces = [piece.strip(" ,") for piece in re.split(r"\bX\b|\bN\b|\bM\b|\.\.\.", error)]
        assert all(piece in code for piece in pieces), error
