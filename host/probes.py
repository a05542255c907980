"""Stages and units of the probes: read from the one place they stand, ``firmware/runtime/kit_probe.h``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from kit.errors import ArtifactError
from kit.files import asset

UNITS = {1: "cycles", 2: "instructions"}
"""KIT_CYCLES_* that mean something."""

_ENUM = re.compile(r"enum \{(.*?)\};", re.DOTALL)
_LIMIT = re.compile(r"#define KIT_PROBE_(LEVELS|LAYERS)_MAX (\d+)")
_MEMBER = re.compile(r"^\s*KIT_PROBE_([A-Z0-9_]+)", re.MULTILINE)
_SHIFT = re.compile(r"#define KIT_CYCLES_ICOUNT_SHIFT (\d+)")


@dataclass(frozen=True, slots=True)
class StageNumbers:
    """Numbers of the probes' stages.

    Attributes:
        fixed: name in lower case to number; ``off`` is what belongs to no stage.
        level: number of the first RVQ level, and how many there can be.
        layer: number of the first encoder layer, and how many there can be.
    """

    fixed: dict[str, int]
    level: tuple[int, int]
    layer: tuple[int, int]

    @property
    def count(self) -> int:
        """Stages in all."""
        return self.layer[0] + self.layer[1]


def parse_stages(source: str) -> StageNumbers:
    """Stages from the C source of ``kit_probe.h``.

    Raises:
        ArtifactError: not what this kit's header looks like.
    """
    limits = {name: int(value) for name, value in _LIMIT.findall(source)}
    enum = _ENUM.search(source)
    names = _MEMBER.findall(enum.group(1)) if enum else []
    if set(limits) != {"LEVELS", "LAYERS"} or names[-3:] != ["LEVEL_0", "LAYER_0", "STAGES"] or names[0] != "OFF":
        raise ArtifactError("kit_probe.h does not list the stages", "reinstall rvq-firmware-kit")
    fixed = {name.lower(): number for number, name in enumerate(names[:-3])}
    first = len(fixed)
    return StageNumbers(fixed, (first, limits["LEVELS"]), (first + limits["LEVELS"], limits["LAYERS"]))


@cache
def stage_numbers() -> StageNumbers:
    """Stages of this kit version."""
    return parse_stages(asset("firmware", "runtime", "kit_probe.h").read_text(encoding="utf-8"))


@cache
def icount_shift() -> int:
    """What an emulator is started with (``-icount shift=N``) so that timers count instructions."""
    found = _SHIFT.search(asset("firmware", "runtime", "kit_cycles.h").read_text(encoding="utf-8"))
    if found is None:
        raise ArtifactError("kit_cycles.h does not say the icount shift", "reinstall rvq-firmware-kit")
    return int(found.group(1))


def unit_name(unit: int) -> str:
    """``cycles`` or ``instructions``; empty for a counter that counts nothing reliable."""
    return UNITS.get(unit, "")
