"""Errors a user can act on: what failed, where, and what to do next.

The command line prints a :class:`KitError` as one line, without a traceback, and exits with its ``exit_code``.
Anything else that escapes is a defect of the kit.
"""

from __future__ import annotations


class KitError(Exception):
    """Base of every expected failure.

    Args:
        what: what failed and where, as one sentence without a final stop.
        fix: what the user can do next; empty only where ``what`` already says it.
    """

    exit_code = 1

    def __init__(self, what: str, fix: str = "") -> None:
        self.what = what
        self.fix = fix
        super().__init__(f"{what}; {fix}" if fix else what)


class ConfigError(KitError):
    """A configuration that cannot be used: unknown key, wrong type or impossible value."""

    exit_code = 2


class DataError(KitError):
    """Recordings that are missing, unreadable or unusable."""


class ArtifactError(KitError):
    """A build artifact that is missing, truncated, of the wrong shape or changed since it was recorded."""


class UnsupportedOpError(ArtifactError):
    """An operator that the chosen engine cannot run; names the operator, its layer and the way out."""


class GraphError(ArtifactError):
    """A .tflite or stored graph that is not a valid integer encoder."""


class ShapeError(KitError):
    """An array whose shape, dtype or range is not what a function documents."""


class RenderError(KitError):
    """A template that cannot be rendered."""


class ToolchainError(KitError):
    """A compiler, emulator or Python package that is missing or fails."""


class EngineError(KitError):
    """An engine that cannot run there: the firmware is not rendered for it, or its library is missing."""


class RunnerError(KitError):
    """A target that does not start, hangs or answers nonsense."""


class LinkError(KitError):
    """The serial link: port missing, busy, unplugged, silent, or a device of another build."""


class LinkTimeout(LinkError):
    """The device did not answer in time."""


class CaptureError(KitError):
    """A capture file that cannot be written, read or decoded."""


class MismatchError(KitError):
    """Two runtimes that must agree bit for bit do not."""


class TrainingError(KitError):
    """Training that cannot start, continue or export."""
