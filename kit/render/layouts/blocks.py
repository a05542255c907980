"""What the vector layouts share: channels in groups, taps in blocks, and the numbers that finish a group behind it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def in_blocks(weights: NDArray[np.int8], group: int, block: int, short_first: bool) -> NDArray[np.int8]:
    """Rows of taps in blocks, zeros where there is no channel or no tap.

    Args:
        weights: int8 [channel][tap].
        group: channels of a group.
        block: taps of a block.
        short_first: the block that is not full, if any, comes first instead of last; its zeros stand behind its taps.

    Returns:
        int8 [group][block][channel in group][tap in block].
    """
    channels, taps = weights.shape
    groups, blocks = -(-channels // group), -(-taps // block)
    padded = np.zeros((groups * group, blocks * block), np.int8)
    first = taps - (blocks - 1) * block
    if short_first:
        padded[:channels, :first] = weights[:, :first]
        padded[:channels, block:] = weights[:, first:]
    else:
        padded[:channels, :taps] = weights
    return padded.reshape(groups, group, blocks, block).transpose(0, 2, 1, 3)


def words(values: Sequence[int] | NDArray[np.integer], group: int) -> NDArray[np.int8]:
    """int32 of every channel as little-endian bytes, int8 [group][4 * channels of a group]; zeros for missing ones."""
    given = np.asarray(values, np.int64)
    padded = np.zeros(-(-len(given) // group) * group, "<i4")
    padded[: len(given)] = given
    return padded.view(np.int8).reshape(-1, 4 * group)


def with_words(blocks: NDArray[np.int8], *columns: NDArray[np.int8]) -> NDArray[np.int8]:
    """Each group's weights followed by its words, flattened: int8 [bytes]."""
    return np.concatenate([blocks.reshape(len(blocks), -1), *columns], axis=1).reshape(-1)
