"""Waveforms and indices as terminal text: braille dots, two across and four down in every character."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint16)
_BRAILLE = 0x2800
_FINE = 4
"""Points computed per column of dots, so that steep strokes stay joined."""
GAP_MARK = "·"


def braille_wave(samples: NDArray[np.float32], columns: int, rows: int) -> list[str]:
    """A waveform as ``rows`` lines of ``columns`` characters; missing signal is a dotted line in the middle.

    Args:
        samples: float32[n], NaN where signal is missing; the first at the left edge, the last at the right.
        columns: characters across.
        rows: characters down.
    """
    width, height = 2 * columns, 4 * rows
    low, high = _limits(samples)
    dots = np.zeros((height, width), np.bool_)
    if high > low and len(samples) > 1:
        points = np.interp(
            np.linspace(0, len(samples) - 1, _FINE * width + 1), np.arange(len(samples)), samples
        )  # NaN spreads to its neighbours, which is right: they have nothing to be joined to.
        level = (high - points) / (high - low) * (height - 1)
        groups = np.stack([level[i : i + _FINE * width : _FINE] for i in range(_FINE + 1)])
        known = np.isfinite(groups).all(axis=0)
        for x in np.flatnonzero(known):
            top, bottom = round(float(groups[:, x].min())), round(float(groups[:, x].max()))
            dots[max(0, top) : min(height, bottom + 1), x] = True
    cells = dots.reshape(rows, 4, columns, 2).transpose(0, 2, 1, 3)
    codes = (cells * _DOTS).sum(axis=(2, 3))
    lines = ["".join(chr(_BRAILLE + code) if code else " " for code in row) for row in codes.tolist()]
    return _mark_gaps(lines, samples, columns)


def _limits(samples: NDArray[np.float32]) -> tuple[float, float]:
    """What the plot spans: the known samples and a little more; equal where there are none."""
    known = samples[np.isfinite(samples)]
    if len(known) == 0:
        return 0.0, 0.0
    low, high = float(known.min()), float(known.max())
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _mark_gaps(lines: list[str], samples: NDArray[np.float32], columns: int) -> list[str]:
    """Dot the middle line where the signal is missing."""
    if len(samples) == 0:
        return lines
    edges = np.linspace(0, len(samples), columns + 1)
    missing = np.isnan(samples)
    middle = len(lines) // 2
    text = list(lines[middle])
    for x in range(columns):
        first = int(edges[x])
        if missing[first : max(first + 1, int(edges[x + 1]))].all():
            text[x] = GAP_MARK
    lines[middle] = "".join(text)
    return lines


def index_shades(indices: NDArray[np.uint16], index_bits: int) -> NDArray[np.uint8]:
    """Indices as shades 0..255, spread over the range of an index.

    Args:
        indices: uint16[n].
        index_bits: bits of an index, 1..12.
    """
    top = max(1, (1 << index_bits) - 1)
    return (indices.astype(np.uint32) * 255 // top).astype(np.uint8)
