"""Recordings to frames and training batches."""

from kit.data.dataset import Dataset, FrameRef, build_dataset

__all__ = ["Dataset", "FrameRef", "build_dataset"]
