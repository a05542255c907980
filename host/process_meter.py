"""Memory and processor time of another process of this machine, from /proc (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kit.errors import RunnerError

PAGE_BYTES = 4096 if not hasattr(os, "sysconf") else os.sysconf("SC_PAGE_SIZE")
TICKS_PER_SECOND = 100 if not hasattr(os, "sysconf") else os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process holds and has used so far.

    Attributes:
        memory_bytes: resident set (/proc/PID/statm, second field).
        cpu_seconds: user and system time of all its threads (/proc/PID/stat), in steps of 1 / :data:`TICKS_PER_SECOND`.
    """

    memory_bytes: int
    cpu_seconds: float


def read_process(pid: int) -> Reading | None:
    """Meter a process; None when it has ended.

    Raises:
        RunnerError: this system has no /proc.
    """
    if not Path("/proc/self/statm").is_file():
        raise RunnerError("memory and processor time are read from /proc, which this system lacks", "use Linux")
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        # The name of the program, in parentheses, may hold spaces: count from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError, ValueError):
        return None
    # A process that has ended but was not waited for has no memory any more.
    if pages == 0:
        return None
    return Reading(pages * PAGE_BYTES, (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND)
