"""What this machine has of what the kit uses."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata

from kit.host.toolchain import TOOLS, find_tool


@dataclass(frozen=True)
class Finding:
    """One tool or package. ``state`` is ``found``, ``missing`` (the main job needs it) or ``optional`` (absent)."""

    name: str
    kind: str
    state: str
    version: str
    purpose: str
    how: str

    def as_dict(self) -> dict[str, str]:
        """Plain mapping for JSON."""
        return asdict(self)


_EXTRA_TRAIN = 'pip install "rvq-firmware-kit[train]"'
_EXTRA_DEV = 'pip install "rvq-firmware-kit[dev]"'
_BASE = "pip install rvq-firmware-kit"

PACKAGES = (
    # distribution, needed by the main job, purpose, how to get it
    ("numpy", True, "integer reference executor, server-side decoder", _BASE),
    ("jinja2", True, "renders the firmware", _BASE),
    ("pyserial", True, "serial ports", _BASE),
    ("pydantic", True, "checks the configuration", _BASE),
    ("PyYAML", True, "reads the configuration", _BASE),
    ("typer", True, "command line", _BASE),
    ("rich", True, "tables and progress", _BASE),
    ("cobs", True, "packet framing", _BASE),
    ("tflite", True, "reads .tflite files", _BASE),
    ("flatbuffers", True, "writes .tflite files", _BASE),
    ("scipy", True, "resampling with an anti-alias filter", _BASE),
    ("matplotlib", True, "pictures and the report", _BASE),
    ("pyelftools", True, "flash and RAM of a firmware", _BASE),
    (
        "tflite-micro",
        False,
        "the golden: TensorFlow Lite Micro's own arithmetic",
        f"{_BASE} (wheel: x86-64 Linux only)",
    ),
    ("tensorflow", False, "training and INT8 export (--train)", _EXTRA_TRAIN),
    ("tensorboard", False, "shows the training logs", _EXTRA_TRAIN),
    ("heartpy", False, "demo recordings without a download", 'pip install "rvq-firmware-kit[demo]"'),
    ("pytest", False, "tests", _EXTRA_DEV),
    ("hypothesis", False, "property tests", _EXTRA_DEV),
    ("ruff", False, "code style", _EXTRA_DEV),
    ("mypy", False, "type checks", _EXTRA_DEV),
)


def _python() -> Finding:
    good = sys.version_info >= (3, 10)
    return Finding(
        "python", "tool", "found" if good else "missing", platform.python_version(), "runs the kit", "Python >= 3.10"
    )


def _package(name: str, needed: bool, purpose: str, how: str) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "package", "missing" if needed else "optional", "", purpose, how)
    return Finding(name, "package", "found", version, purpose, how)


def examine() -> list[Finding]:
    """Findings in a fixed order: Python, programs, packages."""
    findings = [_python()]
    for tool in TOOLS:
        found = find_tool(tool.name)
        absent = "missing" if tool.needed else "optional"
        state, version = ("found", found.version) if found is not None else (absent, "")
        findings.append(Finding(tool.name, "tool", state, version, tool.purpose, tool.how))
    findings.extend(_package(*row) for row in PACKAGES)
    return findings
