"""What a failed make said: the reason, not that a recipe failed."""

from __future__ import annotations

import pytest

from kit.host.firmware import _first_error


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("./generated is not rendered for ENGINE=aot\nmake: *** [Makefile:242: compiler] Error 1\n", "./generated is"),
        ("x.c: In function 'f':\nx.c:3: error: no y\nmake: *** [Makefile:1: x.o] Error 1\n", "x.c:3: error: no y"),
        ("Makefile:3: *** no board x.  Stop.\n", "Makefile:3: *** no board x"),
        ("make: *** No rule to make target 'q'.  Stop.\n", "make: *** No rule"),
        ("", "no output"),
    ],
)
def test_the_line_that_says_why(output: str, expected: str) -> None:
    assert _first_error(output).startswith(expected)
