"""Codecs to compare with: each a file, each with a real decoder, each counted like the kit's own packets."""

from kit.evaluate.baselines.coded import Baseline, Coded
from kit.evaluate.baselines.dct import DctCoder
from kit.evaluate.baselines.decimation import DecimationCoder
from kit.evaluate.baselines.rice import rice_bits
from kit.evaluate.baselines.spiht import SpihtCoder

__all__ = ["BASELINES", "Baseline", "Coded", "rice_bits"]

BASELINES: tuple[type[Baseline], ...] = (DctCoder, SpihtCoder, DecimationCoder)
"""The lossy ones, best known first."""
