"""Capture files (``.kitcap``): append-only, every record checked, whole up to the last record whatever interrupts.

The format is described in docs/capture_format.md; this module is the way in to its reader, writer and records.
"""

from __future__ import annotations

from kit.host.capture_reader import CaptureReader
from kit.host.capture_records import (
    GAP_REASONS,
    SUFFIX,
    VERSION,
    WITHIN_SESSION,
    CaptureHeader,
    CountersRecord,
    EndRecord,
    GapRecord,
    NoteRecord,
    PacketRecord,
    Record,
    SessionRecord,
)
from kit.host.capture_writer import CaptureWriter

__all__ = [
    "GAP_REASONS",
    "SUFFIX",
    "VERSION",
    "WITHIN_SESSION",
    "CaptureHeader",
    "CaptureReader",
    "CaptureWriter",
    "CountersRecord",
    "EndRecord",
    "GapRecord",
    "NoteRecord",
    "PacketRecord",
    "Record",
    "SessionRecord",
]
