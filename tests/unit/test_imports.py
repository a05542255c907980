"""Imports point one way, and the lean rooms never reach TensorFlow (STYLE rule 1)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

RANKS = {
    "errors": 0, "files": 0, "config": 0, "parallel": 0,
    "wire": 1, "graph": 1,
    "golden": 2, "reference": 2, "render": 2, "server": 2,
    "data": 3,
    "model": 4,
    "quantize": 5,
    "host": 6,
    "evaluate": 7,
    "build": 8,
    "cli": 9, "__main__": 10,
}  # fmt: skip
LEAN = {
    "errors",
    "files",
    "config",
    "parallel",
    "wire",
    "graph",
    "golden",
    "reference",
    "render",
    "server",
    "host",
    "cli",
    "build",
}
BASE_ORDER = {"errors": 0, "files": 1, "config": 1, "parallel": 1}


def modules() -> list[tuple[str, Path]]:
    """(room, file) of every Python file of the package, with host/ as room ``host``."""
    found = []
    for path in sorted((ROOT / "kit").rglob("*.py")):
        parts = path.relative_to(ROOT / "kit").parts
        if parts[0] != "__init__.py":
            found.append((parts[0].removesuffix(".py"), path))
    found.extend(("host", path) for path in sorted((ROOT / "host").rglob("*.py")))
    return found


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of everything a module imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import at line {node.lineno}"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_every_room_has_a_rank() -> None:
    assert {room for room, _ in modules()} <= set(RANKS)


@pytest.mark.parametrize(("room", "path"), modules(), ids=lambda value: getattr(value, "name", value))
def test_imports_point_one_way(room: str, path: Path) -> None:
    for name in imported(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] != "kit" or len(parts) < 2 or parts[1] == "__version__":
            continue
        target = parts[1]
        if target == room:
            continue
        assert target in RANKS, f"{path}: kit.{target} is no room"
        if RANKS[room] == 0:
            assert BASE_ORDER[target] < BASE_ORDER[room], f"{room} must not import {target} ({path})"
        else:
            assert RANKS[room] > RANKS[target], f"{room} must not import {target} ({path})"


@pytest.mark.parametrize("path", [path for room, path in modules() if room in LEAN], ids=lambda path: path.name)
def test_lean_rooms_do_not_name_tensorflow(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported(ast.parse(path.read_text()))}
    assert not tops & {"tensorflow", "keras"}, path


LEAN_VERBS = [
    "ports",
    "serial-capture",
    "capture-info",
    "decode",
    "validate",
    "emulate",
    "doctor",
    "zoo",
    "evaluate",
    "size",
    "--help",
]


@pytest.mark.parametrize("verb", LEAN_VERBS)
def test_lean_verbs_start_without_tensorflow(verb: str) -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None\n"
        f"sys.argv = ['kit', {verb!r}] + ({verb!r} != '--help') * ['--help']\n"
        "from kit.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
