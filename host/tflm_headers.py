"""What the headers of a ``TFLM_ROOT`` say when the harness includes them: macros, as the compiler itself sees them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.host.tflm_root import TflmRoot

INCLUDED = (
    "tensorflow/lite/c/common.h",
    "tensorflow/lite/micro/micro_interpreter.h",
    "tensorflow/lite/micro/micro_mutable_op_resolver.h",
    "tensorflow/lite/micro/kernels/conv.h",
    "tensorflow/lite/micro/kernels/depthwise_conv.h",
    "tensorflow/lite/schema/schema_generated.h",
)
"""Headers that the harness includes (firmware/engines/tflm)."""

_MACRO = re.compile(r"^#define (\w+)(?: (.*))?$", re.MULTILINE)
_ABSENT = re.compile(r"fatal error: '?([^:']+)'?(?:: No such file| file not found)")
_NUMBER = re.compile(r"\(?(\d+)[uUlL]*\)?")
_GENERATED_FOR = re.compile(r"FLATBUFFERS_VERSION_(MAJOR|MINOR|REVISION) == (\d+)")
_SCHEMA_FILES = (
    "tensorflow/compiler/mlir/lite/schema/schema_generated.h",
    "tensorflow/lite/schema/schema_generated.h",
)


@dataclass(frozen=True)
class Headers:
    """What preprocessing told.

    Attributes:
        macros: every macro and its text; empty where the headers could not be preprocessed.
        problem: why they could not, without a final stop; empty otherwise.
        is_wrong: the headers are at fault, not a missing compiler.
        assumed: flags of the root, which stand in for the macros where the compiler is missing.
    """

    macros: Mapping[str, str]
    problem: str
    is_wrong: bool
    assumed: TflmRoot

    def defines(self, macro: str) -> bool:
        """Whether a macro is defined where the harness is compiled."""
        return macro in self.macros if self.macros else self.assumed.defines(macro)

    def number(self, macro: str) -> int | None:
        """Value of a macro that is a number; None where it is none or absent."""
        found = _NUMBER.fullmatch(self.macros.get(macro, "").strip())
        return int(found.group(1)) if found else None

    @property
    def flatbuffers(self) -> str:
        """Version of the FlatBuffers headers, ``25.9.23``; empty where they do not say."""
        numbers = [self.number(f"FLATBUFFERS_VERSION_{part}") for part in ("MAJOR", "MINOR", "REVISION")]
        return "" if None in numbers else ".".join(map(str, numbers))

    @property
    def schema_flatbuffers(self) -> str:
        """Version that the schema's header was generated for; empty where it takes any."""
        path = next((found for name in _SCHEMA_FILES if (found := self.assumed.header(name))), None)
        parts = dict(_GENERATED_FOR.findall(path.read_text(encoding="utf-8", errors="replace"))) if path else {}
        return ".".join(parts[part] for part in ("MAJOR", "MINOR", "REVISION")) if len(parts) == 3 else ""


def read_headers(root: TflmRoot, cxx: Sequence[str]) -> Headers:
    """Macros that the harness sees.

    Args:
        root: where the headers are, and flags to read them with.
        cxx: command of the C++ compiler with the flags of the processor.
    """
    if shutil.which(cxx[0]) is None:
        return Headers({}, f"{cxx[0]} is not installed", False, root)
    with tempfile.TemporaryDirectory(prefix="kit-") as folder:
        source = Path(folder, "headers.cc")
        source.write_text("".join(f'#include "{name}"\n' for name in INCLUDED), encoding="utf-8")
        includes = [part for path in root.include_dirs for part in ("-isystem", str(path))]
        command = [*cxx, "-std=c++17", "-fno-exceptions", "-fno-rtti", *root.flags, *includes, "-E", "-dM", str(source)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return Headers(dict(_MACRO.findall(done.stdout)), "", False, root)
    absent = _ABSENT.search(done.stderr)
    if absent is None:
        lines = [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.splitlines()
        return Headers({}, f"{cxx[0]} fails on the headers: {lines[0] if lines else 'no message'}", True, root)
    if "/" not in absent.group(1) and not absent.group(1).endswith(".h"):
        return Headers({}, f"{cxx[0]} lacks the C++ library ({absent.group(1)})", False, root)
    return Headers({}, f"{absent.group(1)} is in no include folder", True, root)
