"""The option that names TensorFlow Lite Micro, alike in every verb that builds with it."""

from __future__ import annotations

from typing import Annotated

import typer

TflmRoots = Annotated[
    list[str] | None,
    typer.Option(
        help="TensorFlow Lite Micro for engine tflm: DIR, or BOARD=DIR for one board; may be repeated (default: "
        "TFLM_ROOT of the environment)."
    ),
]
