"""Device code from a build: memory plan, C view of the graph, templates, banner."""

from __future__ import annotations

from kit.render.firmware import ARTIFACTS, GENERATED, Vectors, copy_runtime, render_firmware, write_firmware

__all__ = ["ARTIFACTS", "GENERATED", "Vectors", "copy_runtime", "render_firmware", "write_firmware"]
