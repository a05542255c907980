"""The golden: TensorFlow Lite Micro's own arithmetic, from the ``tflite-micro`` package."""

from kit.golden.interpreter import available, golden_latents, golden_layers

__all__ = ["available", "golden_latents", "golden_layers"]
