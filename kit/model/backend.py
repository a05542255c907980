"""Loads TensorFlow: late, quietly, and with a clear word where it is missing."""

from __future__ import annotations

import os
import sys
import tempfile

from kit.errors import ToolchainError


def load_tensorflow() -> None:
    """Import TensorFlow and start its runtime once.

    Its C++ side greets on standard error before any log level is in force, so that descriptor is set aside meanwhile;
    what it said is part of the error when it does not start.

    Raises:
        ToolchainError: not installed, or it does not start on this machine.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            tf.zeros(1).numpy()
        except ModuleNotFoundError as error:
            raise ToolchainError(
                f"training needs TensorFlow ({error.name} is not installed)",
                'pip install "rvq-firmware-kit[train]"',
            ) from None
        except Exception as error:
            said.seek(0)
            last = (said.read().decode(errors="replace").strip().splitlines() or [""])[-1]
            raise ToolchainError(f"TensorFlow does not start: {error} {last}".strip(), "see kit doctor") from None
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
