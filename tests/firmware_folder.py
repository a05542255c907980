"""A whole firmware folder of a small random build, for tests that compile and run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kit.host.firmware import Firmware
from kit.host.random_firmware import FRAMES, random_firmware
from tests.models import tiny_config
from tests.support import seed

__all__ = ["FRAMES", "make_firmware"]


def make_firmware(folder: Path, **overrides: Any) -> Firmware:
    """Random weights for a tiny configuration, rendered with their artifacts; see ``tests.models.tiny_config``."""
    return random_firmware(folder, tiny_config(**overrides), np.random.default_rng(seed()))
