"""Status codes of the device: read from the one table there is, the X-macro of ``firmware/runtime/kit_status.h``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from kit.errors import ArtifactError
from kit.files import asset

_ENTRY = re.compile(r'X\(\s*([A-Z][A-Z0-9_]*)\s*,\s*(-?\d+)\s*,\s*"([^"\\]*)"\s*\)')


@dataclass(frozen=True, slots=True)
class Status:
    """One status code: C name without prefix, value and text."""

    name: str
    value: int
    text: str


def parse_status_header(source: str) -> tuple[Status, ...]:
    """Entries of the X-macro in C source, in order.

    Raises:
        ArtifactError: no entry, or a value that is used twice.
    """
    found = tuple(Status(name, int(value), text) for name, value, text in _ENTRY.findall(source))
    if not found or len({status.value for status in found}) != len(found):
        raise ArtifactError("kit_status.h holds no valid table of status codes", "reinstall rvq-firmware-kit")
    return found


@cache
def status_table() -> tuple[Status, ...]:
    """All status codes of this kit version.

    Raises:
        ArtifactError: the header is missing or holds no table.
    """
    return parse_status_header(asset("firmware", "runtime", "kit_status.h").read_text(encoding="utf-8"))


def find_status(value: int) -> Status:
    """The status code of a value; one named ``UNKNOWN`` when the table lacks it."""
    known = {status.value: status for status in status_table()}
    return known.get(value, Status("UNKNOWN", value, "not known to this kit"))
