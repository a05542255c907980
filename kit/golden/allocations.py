"""Print what the tflite-micro wheel allocates for a model read from standard input: ``python -m ... < model``.

The wheel writes it to the C-level standard error and to nowhere else, hence a process of its own.
"""

from __future__ import annotations

import sys

from kit.golden.interpreter import interpreter_of


def main() -> None:
    """Exit status 0 when the model loads."""
    interpreter_of(sys.stdin.buffer.read(), preserve=False).print_allocations()


if __name__ == "__main__":
    main()
