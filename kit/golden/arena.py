"""What the golden's own allocator takes for a model."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass

from kit.errors import GraphError, ToolchainError
from kit.golden.interpreter import TRIAL_SECONDS, available

_TOTAL = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


@dataclass(frozen=True, slots=True)
class WheelArena:
    """Arena of the tflite-micro wheel, which has 64-bit pointers and the reference kernels.

    Attributes:
        head: bytes of tensors and of kernel scratch.
        tail: bytes of records: interpreter, nodes, quantization.
    """

    head: int
    tail: int

    @property
    def total(self) -> int:
        """Bytes that are used."""
        return self.head + self.tail


def wheel_arena(model: bytes) -> WheelArena:
    """Measure the arena of a model that the golden runs.

    Raises:
        ToolchainError: the package is missing.
        GraphError: the package does not load the model, or does not tell.
    """
    reason = available()
    if reason is not None:
        raise ToolchainError(f"the tensor arena cannot be measured: {reason}", "set TFLM_ROOT or firmware.arena_bytes")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "kit.golden.allocations"],
            input=model, capture_output=True, timeout=TRIAL_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise GraphError(f"TensorFlow Lite Micro did not load the model within {TRIAL_SECONDS} s") from None
    found = {name: int(size) for name, size in _TOTAL.findall(done.stderr.decode("utf-8", "replace"))}
    if done.returncode or {"head", "tail", "total"} - found.keys() or found["total"] != found["head"] + found["tail"]:
        raise GraphError("the tflite-micro package does not say what it allocates for the model", "set TFLM_ROOT")
    return WheelArena(found["head"], found["tail"])
