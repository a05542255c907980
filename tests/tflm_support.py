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

from tests.support import ROOT, missing, need

DOUBLE, REAL = "tflm-double", "tflm-real"
DOUBLE_SOURCE = ROOT / "tests" / "tflm_double"
CXX_FLAGS = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-fno-exceptions")


@cache
def _compiled_double() -> Path:
    folder = Path(mkdtemp(prefix="tflm-double-"))
    root = folder / "root"
    shutil.copytree(DOUBLE_SOURCE, root)
    (root / "lib").mkdir()
    member, library = folder / "double.o", root / "lib" / "libtflm-double.a"
    source = root / "src" / "double.cc"
    compiled = [need("g++"), *CXX_FLAGS, f"-I{root / 'include'}", "-c", str(source), "-o", str(member)]
    for step in (compiled, ["ar", "rcs", str(library), str(member)]):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return root


def tflm_root(which: str) -> Path:
    """A TFLM_ROOT for this machine: the compiled double, or that of the environment (skips without one)."""
    if which == DOUBLE:
        return _compiled_double()
    root = os.environ.get("TFLM_ROOT")
    if not root:
        missing("TFLM_ROOT", "TFLM_ROOT is not set: no real TensorFlow Lite Micro")
        raise AssertionError("unreachable")
    return Path(root)
