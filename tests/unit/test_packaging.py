"""What a wheel must contain is written down by hand; this finds what was forgotten."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest on these versions

ROOT = Path(__file__).parents[2]


def test_every_package_is_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {".".join(init.parent.relative_to(ROOT).parts) for init in ROOT.glob("kit/**/__init__.py")}
    assert found == {name for name in listed if not name.startswith(("kit.host", "kit.share"))}
