"""Target names, as in ``--target native,qemu:mps2-an386``, to runners."""

from __future__ import annotations

from kit.errors import RunnerError
from kit.host.boards import BOARDS, NATIVE, PROCESSES, emulated_boards, find_board
from kit.host.firmware import Firmware
from kit.host.image_runner import ImageRunner
from kit.host.link_runner import serial_runner, uart_runner
from kit.host.runners import Runner, golden_runner, reference_runner

FORMS = "golden, reference, native, qemu:BOARD, uart:BOARD, serial:PORT"


def parse_targets(text: str) -> tuple[str, ...]:
    """Target names of a comma-separated list, checked for form and board, without repetitions.

    A board's bare name stands for ``qemu:BOARD``; ``qemu:*`` and ``uart:*`` for every emulated board.

    Raises:
        RunnerError: empty list, unknown form or unknown board.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    names = tuple(dict.fromkeys(name for part in parts for name in _expand(part)))
    if not names:
        raise RunnerError("no target given", f"targets: {FORMS}")
    for name in names:
        kind, colon, rest = name.partition(":")
        if kind in ("golden", "reference", NATIVE) and not colon:
            continue
        if kind not in ("qemu", "uart", "serial") or not rest:
            raise RunnerError(f"no target {name!r}", f"targets: {FORMS}; boards: {', '.join(BOARDS)}")
        if kind in ("qemu", "uart") and not (kind == "uart" and rest in PROCESSES):
            find_board(rest)
    return names


def _expand(part: str) -> tuple[str, ...]:
    if part in ("qemu:*", "uart:*"):
        return tuple(part.replace("*", board) for board in emulated_boards())
    return (f"qemu:{part}" if part in BOARDS else part,)


def shows_layers(target: str) -> bool:
    """Whether a target can give every layer's output; over a serial line only packets travel."""
    return target.partition(":")[0] not in ("uart", "serial")


def make_runner(target: str, firmware: Firmware, layers: bool = False) -> Runner:
    """The runner of one target.

    Args:
        target: its name.
        firmware: the build, with the engine to run.
        layers: give every layer's output too, where :func:`shows_layers`.

    Raises:
        RunnerError: unknown target.
        ToolchainError: something it needs is not installed here.
    """
    (target,) = parse_targets(target)
    kind, _, rest = target.partition(":")
    if kind == "golden":
        return golden_runner(firmware, layers)
    if kind == "reference":
        return reference_runner(firmware, layers)
    if kind == "serial":
        return serial_runner(firmware, rest)
    if kind == "uart":
        return uart_runner(firmware, rest)
    return ImageRunner(firmware, rest or NATIVE, layers)
