"""TensorFlow Lite Micro in tests: the API double always, a real library where TFLM_ROOT names one.

The double is no evidence about TensorFlow Lite Micro: its test ids say ``tflm-double``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from kit.host.boards import BOARDS
from tests.support import ROOT, missing, need

DOUBLE, REAL = "tflm-double", "tflm-real"
DOUBLE_SOURCE = ROOT / "tests" / "tflm_double"
CXX_FLAGS = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-fno-exceptions")


@cache
def _compiled_double(compiler: str = "g++", flags: tuple[str, ...] = ()) -> Path:
    folder = Path(mkdtemp(prefix="tflm-double-"))
    root = folder / "root"
    shutil.copytree(DOUBLE_SOURCE, root)
    (root / "lib").mkdir()
    member, library = folder / "double.o", root / "lib" / "libtflm-double.a"
    source = root / "src" / "double.cc"
    compiled = [need(compiler), *CXX_FLAGS, *flags, f"-I{root / 'include'}", "-c", str(source), "-o", str(member)]
    for step in (compiled, [compiler.replace("g++", "ar"), "rcs", str(library), str(member)]):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return root


def double_for(name: str) -> Path:
    """The double compiled for a board (skips without its C++ compiler and library)."""
    board = BOARDS[name]
    compiler = board.compiler.replace("gcc", "g++")
    done = subprocess.run(
        [need(compiler), "-x", "c++", "-fsyntax-only", "-"], input="#include <algorithm>\n", capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        missing(compiler, f"no C++ library for {compiler}")
    return _compiled_double(compiler, (*board.cpu_flags, *board.specs, "-ffunction-sections", "-fdata-sections"))


def tflm_root(which: str) -> Path:
    """A TFLM_ROOT for this machine: the compiled double, or that of the environment (skips without one)."""
    if which == DOUBLE:
        return _compiled_double()
    root = os.environ.get("TFLM_ROOT")
    if not root:
        missing("TFLM_ROOT", "TFLM_ROOT is not set: no real TensorFlow Lite Micro")
        raise AssertionError("unreachable")
    return Path(root)
