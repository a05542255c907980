"""Rewrites ``tests/golden/tiny``: ``python -m tests.golden.update``. Nothing else writes there.

``inputs/`` is a small build with random weights (kept, unless ``--inputs`` asks for a new one); ``rendered/`` is what
the templates make of it. Read the difference before you commit it: it is what every user's next render will show.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from kit.config import load_config
from kit.files import read_npz
from kit.graph.codebook import IntegerCodebook
from kit.graph.fingerprint import build_hash
from kit.graph.store import load
from kit.render import Vectors, render_firmware
from tests.firmware_folder import make_firmware

FOLDER = Path(__file__).resolve().parent / "tiny"
INPUTS, RENDERED = FOLDER / "inputs", FOLDER / "rendered"


def render() -> dict[str, str]:
    """What the templates make of the inputs: file name to text."""
    config, encoder = load_config(INPUTS / "config.yaml"), load(INPUTS)
    codebook = IntegerCodebook.load(INPUTS / "codebook.npz")
    vectors = read_npz(INPUTS / "vectors.npz")
    return render_firmware(
        config,
        encoder,
        codebook,
        Vectors(vectors["frames"], vectors["packets"], str(vectors["source"])),
        (INPUTS / "encoder.tflite").read_bytes(),
        build_hash(config, encoder, codebook),
    )


def main() -> None:
    """Write the rendered files, and new inputs where asked for."""
    if "--inputs" in sys.argv or not INPUTS.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            made = make_firmware(Path(folder))
            shutil.rmtree(INPUTS, ignore_errors=True)
            shutil.copytree(made.artifacts, INPUTS)
    shutil.rmtree(RENDERED, ignore_errors=True)
    RENDERED.mkdir(parents=True)
    for name, text in render().items():
        (RENDERED / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
