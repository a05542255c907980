"""What the renderer proves about a layer, so that kernels may leave out what cannot happen."""

from __future__ import annotations

from kit.graph.ir import Conv, Encoder, accumulator_bound

SMALL_ACCUMULATOR = 1 << 23
SMALL_SHIFT_MIN = -22


def device_shift(node: Conv) -> tuple[int, ...]:
    """Shifts of a layer for its table. A multiplier of 0 gives 0 with any; -1 keeps it with all others."""
    return tuple(s if m else -1 for m, s in zip(node.requant.multiplier, node.requant.shift, strict=True))


def is_small(encoder: Encoder, node: Conv) -> bool:
    """Whether every accumulator is below 2^23 in magnitude and every shift in -22..-1, as the fast kernels need.

    Then 256 accumulators fit 31 bits; the high product is below 2^23; and half of 2^n plus the zero point times 2^n, at
    most 255 * 2^21, can be added to it in int32 (NUMERICS.md section 3.6).
    """
    in_range = all(SMALL_SHIFT_MIN <= shift <= -1 for shift in device_shift(node))
    return in_range and int(accumulator_bound(encoder, node).max()) < SMALL_ACCUMULATOR
