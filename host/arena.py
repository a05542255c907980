"""Size of the tensor arena: measured on the target by TensorFlow Lite Micro itself, or by the wheel with a margin."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.errors import ConfigError, RunnerError
from kit.golden.arena import WheelArena, wheel_arena
from kit.graph.container import open_model
from kit.host.boards import NATIVE, find_board
from kit.host.firmware import Firmware
from kit.host.toolchain import require_tool
from kit.render.tflm import ARENA_ALIGN, Arena

PROBE_SECONDS = 300.0
_RESULT = struct.Struct("<4sII")


@dataclass(frozen=True, slots=True)
class Measured:
    """One target's arena.

    Attributes:
        target: ``native`` or ``qemu:BOARD``.
        used: bytes that TensorFlow Lite Micro reports as used.
        needed: the smallest arena that it starts with.
    """

    target: str
    used: int
    needed: int


def measure(firmware: Firmware, board: str = NATIVE) -> Measured:
    """Compile the probe for a target and run it there.

    Args:
        firmware: rendered for TensorFlow Lite Micro, with the library of the board among its ``tflm_roots``.
        board: the process of this machine, or an emulated board.

    Raises:
        EngineError: no library for the board.
        ToolchainError: compiler or emulator is missing or fails.
        RunnerError: the probe fails; carries what it said.
    """
    target = NATIVE if board == NATIVE else f"qemu:{board}"
    command = [] if board == NATIVE else find_board(board).emulate(Path("image"))
    if command:
        require_tool(command[0])
    image = firmware.build("arena", board).resolve()
    if board == NATIVE:
        command = [str(image), "in", "out"]
    else:
        options = ("-serial", "null", "-semihosting-config", "enable=on,target=native,arg=kit_arena,arg=in,arg=out")
        command = [*find_board(board).emulate(image), *options]
    with tempfile.TemporaryDirectory(prefix="kit-arena-") as name:
        (Path(name) / "in").touch()
        try:
            done = subprocess.run(
                command, cwd=name, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise RunnerError(f"{target}: the arena probe did not end within {PROBE_SECONDS:g} s") from None
        out = Path(name) / "out"
        result = out.read_bytes() if out.is_file() else b""
    if done.returncode or len(result) != _RESULT.size:
        text = (done.stderr + done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise RunnerError(f"{target}: the arena probe failed: {text[-1] if text else f'code {done.returncode}'}")
    _, used, needed = _RESULT.unpack(result)
    return Measured(target, used, needed)


def kernel_scratch_bytes(model: bytes) -> int:
    """Margin for kernels that optimised libraries have and the wheel has not: two unrolled columns of int16 for the
    convolution that reads most, which is what CMSIS-NN asks for at most."""
    view = open_model(model)
    sizes = [0]
    for op in view.operators:
        if op.op in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            shape = view.tensors[op.inputs[1]].shape
            sizes.append(4 * int(np.prod(shape[1:], dtype=np.int64)))
    return _aligned(max(sizes))


def _aligned(size: int) -> int:
    return -(-size // ARENA_ALIGN) * ARENA_ALIGN


def arena_of_targets(found: Sequence[Measured], fixed: int | None = None) -> Arena:
    """The arena that is enough on every measured target.

    Raises:
        ConfigError: ``fixed`` (``firmware.arena_bytes``) is smaller.
    """
    most = max(found, key=lambda each: each.needed)
    each = "; ".join(f"{item.target} uses {item.used} bytes and needs {item.needed}" for item in found)
    return _chosen(most.needed, most.needed, fixed, f"Measured by TensorFlow Lite Micro: {each}")


def arena_of_wheel(model: bytes, wheel: WheelArena | None = None, fixed: int | None = None) -> Arena:
    """The arena by the wheel's measure.

    Args:
        model: the .tflite.
        wheel: what the wheel allocates; None measures it.
        fixed: ``firmware.arena_bytes``, when it is a number.

    Raises:
        ConfigError: ``fixed`` is less than any target can do with.
        ToolchainError: the wheel is missing.
    """
    wheel = wheel or wheel_arena(model)
    scratch = kernel_scratch_bytes(model)
    text = (
        f"Measured by the tflite-micro wheel: {wheel.head} bytes of tensors and {wheel.tail} of records with 64-bit "
        f"pointers, which 32-bit targets need less for; margin for kernel scratch: {scratch}"
    )
    # Records are a little larger in some releases; tensors are not. Less than the tensors is never enough.
    return _chosen(wheel.total + scratch, max(wheel.head, wheel.tail), fixed, text)


def _chosen(size: int, needed: int, fixed: int | None, provenance: str) -> Arena:
    if fixed is None:
        return Arena(_aligned(size), needed, provenance)
    if fixed < needed:
        raise ConfigError(
            f"firmware.arena_bytes = {fixed}: the encoder needs at least {needed} bytes, {needed - fixed} more",
            f"set firmware.arena_bytes: auto, or at least {_aligned(size)}",
        )
    return Arena(fixed, needed, f"Fixed by firmware.arena_bytes. {provenance}")
