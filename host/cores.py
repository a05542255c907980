"""What a core can do at best, and how fast it usually runs: for bounds and estimates beside measured instructions.

A bound counts nothing but multiply-accumulates: no loads, no loop, no requantization. Clock and cycles per instruction
are assumptions: they turn instructions into an estimate of time, and every place that shows it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Core:
    """One kind of core.

    Attributes:
        name: as its maker calls it.
        mac8: multiply-accumulates of int8 by int8 per instruction, at most; ``basis8`` names the instruction.
        mac16: of int8 or int16 by int16 (the search), likewise.
        clock_hz: usual clock, that of ``clock_of``.
        cycles_per_instruction: assumed for this kind of code out of memory without wait states.
        reason: where that assumption comes from.
    """

    name: str
    mac8: float
    basis8: str
    mac16: float
    basis16: str
    clock_hz: int
    clock_of: str
    cycles_per_instruction: float
    reason: str

    def estimate_ms(self, count: float, unit: str) -> float:
        """Milliseconds at the usual clock of so many instructions (or measured cycles)."""
        cycles = count if unit == "cycles" else count * self.cycles_per_instruction
        return cycles / self.clock_hz * 1000.0


_CORES: dict[str, Core] = {
    "cortex-m0": Core(
        "Cortex-M0", 0.5, "MULS, ADDS", 0.5, "MULS, ADDS", 16_000_000, "nRF51822", 1.5,
        "loads take 2 cycles, branches 3, the rest 1",
    ),
    "cortex-m0plus": Core(
        "Cortex-M0+", 0.5, "MULS, ADDS", 0.5, "MULS, ADDS", 48_000_000, "SAMD21", 1.4,
        "loads take 2 cycles, branches 2, the rest 1",
    ),
    "cortex-m3": Core(
        "Cortex-M3", 1.0, "MLA", 1.0, "MLA", 72_000_000, "STM32F103", 1.6,
        "MLA takes 2 cycles, loads 1 to 2, branches 2 to 4, the rest 1",
    ),
    "cortex-m4": Core(
        "Cortex-M4", 2.0, "SMLAD", 2.0, "SMLAD", 64_000_000, "nRF52832", 1.4,
        "SMLAD takes 1 cycle, LDRD 3, loads 1 to 2, branches 2 to 4",
    ),
    "cortex-m33": Core(
        "Cortex-M33", 2.0, "SMLAD", 2.0, "SMLAD", 128_000_000, "nRF5340", 1.1,
        "as Cortex-M4, with two issued at times",
    ),
    "cortex-m7": Core(
        "Cortex-M7", 2.0, "SMLAD", 2.0, "SMLAD", 400_000_000, "STM32H743", 0.7,
        "two instructions issued in many cycles, code and data in tightly coupled memory",
    ),
    "cortex-m55": Core(
        "Cortex-M55", 16.0, "VMLADAVA.S8", 8.0, "VMLADAVA.S16", 160_000_000, "Ensemble E3, efficiency core", 1.5,
        "vector instructions take 2 cycles and overlap in part, scalar ones 1",
    ),
    "rv32imac": Core(
        "RV32IMAC", 0.5, "MUL, ADD", 0.5, "MUL, ADD", 160_000_000, "ESP32-C6", 1.2,
        "single issue, loads 1 to 2 cycles, taken branches 2 to 3",
    ),
}  # fmt: skip


def core_of(cpu_flags: Sequence[str]) -> Core | None:
    """The core that a board's compiler flags name; None when it is not in the table."""
    for flag in cpu_flags:
        key, _, value = flag.partition("=")
        name = value.partition("+")[0].partition("_")[0]
        if key in ("-mcpu", "-march") and name in _CORES:
            return _CORES[name]
    return None
