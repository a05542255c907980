"""What every test may use: required tools, recordings and random seeds."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kit.golden import available
from kit.host.boards import BOARDS

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = frozenset(os.environ.get("KIT_REQUIRE", "").replace(" ", "").split(",")) - {""}
"""Tools and data whose absence is a failure here instead of a skip."""


def missing(name: str, why: str) -> None:
    """Skip the running test because ``name`` is absent, or fail it where KIT_REQUIRE asks for ``name``."""
    if name in REQUIRED:
        pytest.fail(f"{why} (KIT_REQUIRE asks for {name})")
    pytest.skip(why)


def need(tool: str) -> str:
    """Path of a program on PATH; skips (or fails, see :func:`missing`) when it is absent."""
    path = shutil.which(tool)
    if path is None:
        missing(tool, f"{tool} not found")
        raise AssertionError("unreachable")
    return path


def need_arm_cxx() -> None:
    """A C++ compiler for Cortex-M with its library, which is another package; skips (or fails) without either."""
    compiler = need("arm-none-eabi-g++")
    probe = "#include <cstddef>\n#include <new>\n#include <cstring>\n#include <algorithm>\n"
    done = subprocess.run([compiler, "-x", "c++", "-fsyntax-only", "-"], input=probe, capture_output=True, text=True)
    if done.returncode:
        missing("libstdc++-arm-none-eabi-newlib", "no C++ library for Arm (libstdc++-arm-none-eabi-newlib)")


def need_target(target: str) -> None:
    """Compiler and emulator of a board, ``qemu:BOARD`` or ``uart:BOARD``; make and the native compiler otherwise."""
    need("make")
    board = target.rpartition(":")[2]
    for tool in BOARDS[board].tools if board in BOARDS else ("gcc",):
        need(tool)


def data_root() -> Path:
    """Folder of real recordings: KIT_DATA or ../shared/data; skips (or fails) without it."""
    root = Path(os.environ.get("KIT_DATA", ROOT.parent / "shared" / "data"))
    if not (root / "manifest.csv").is_file():
        missing("data", f"no recordings at {root.name} (set KIT_DATA)")
    return root


def seed() -> int:
    """Seed of randomised tests: KIT_SEED, or a constant."""
    return int(os.environ.get("KIT_SEED", "20261123"))


def need_package(module: str) -> Any:
    """The imported module; skips (or fails, see :func:`missing`) without it. Also at the top of a test file."""
    try:
        return importlib.import_module(module)
    except ImportError:
        if module in REQUIRED:
            pytest.fail(f"{module} is not installed (KIT_REQUIRE asks for it)")
        pytest.skip(f"{module} is not installed", allow_module_level=True)


def need_golden() -> None:
    """Skips (or fails) where the tflite-micro wheel cannot run."""
    reason = available()
    if reason is not None:
        missing("tflite-micro", reason)


def seeded_keras() -> Any:
    """Keras with the tests' global seed set; skips where TensorFlow is not installed."""
    try:
        import keras
    except ImportError:
        missing("tensorflow", "TensorFlow is not installed")
    keras.utils.set_random_seed(seed())
    return keras
