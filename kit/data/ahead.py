"""Batches computed one step ahead, beside the training step.

TensorFlow's own prefetching keeps a thread that may enter Python while the interpreter shuts down, which hangs the
process. Here a thread lives for one batch only and is Python's own: the interpreter waits for it before it shuts down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class _Job(threading.Thread, Generic[Batch]):
    """One batch under way."""

    def __init__(self, make: Callable[[int], Batch], step: int) -> None:
        super().__init__(name=f"batch-{step}", daemon=False)
        self.step, self._make = step, make
        self._batch: list[Batch] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """Compute; whoever asks for the result gets the error too."""
        try:
            self._batch.append(self._make(self.step))
        except BaseException as error:
            self._error = error

    def result(self) -> Batch:
        """The batch, once it is there."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._batch[0]


class Ahead(Generic[Batch]):
    """``make``, which starts on step ``s + 1`` in the background when it returns step ``s``.

    Args:
        make: function of the step number alone, safe to run in any thread.
        stop: first step that is never asked for; None without end.
    """

    def __init__(self, make: Callable[[int], Batch], stop: int | None = None) -> None:
        self._make, self._stop = make, stop
        self._lock = threading.Lock()
        self._job: _Job[Batch] | None = None

    def __call__(self, step: int) -> Batch:
        """The batch of ``step``: equal to ``make(step)`` whatever was asked for before."""
        step = int(step)
        with self._lock:
            job, self._job = self._job, None
            batch = job.result() if job is not None and job.step == step else self._make(step)
            if self._stop is None or step + 1 < self._stop:
                self._job = _Job(self._make, step + 1)
                self._job.start()
            return batch
