"""The golden: TensorFlow Lite Micro's own arithmetic, from the ``tflite-micro`` package."""

from kit.golden.interpreter import available, golden_latents, golden_layers, golden_taps

__all__ = ["available", "golden_latents", "golden_layers", "golden_taps"]
