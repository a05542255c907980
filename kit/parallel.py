"""Blocks of frames on all cores, each with one thread of BLAS.

BLAS threads that wait for each other on a busy machine cost a factor of thirty, and their number can change the order
of a sum. Whole blocks in threads of their own do neither: NumPy releases the interpreter while it computes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

Block = TypeVar("Block")
Result = TypeVar("Result")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_blocks(function: Callable[[Block], Result], blocks: Sequence[Block]) -> Iterator[Result]:
    """``function`` of every block, in order; at most two blocks a core are under way or waiting to be taken."""
    with threadpool_limits(1, user_api="blas"):
        if len(blocks) < 2 or cores() < 2:
            yield from map(function, blocks)
            return
        with ThreadPoolExecutor(cores()) as pool:
            waiting: deque[Future[Result]] = deque()
            for block in blocks:
                waiting.append(pool.submit(function, block))
                if len(waiting) >= 2 * cores():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
