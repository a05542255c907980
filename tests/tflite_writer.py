"""Damaging .tflite files that :mod:`kit.graph.tflite_writer` wrote."""

from __future__ import annotations

from typing import Any

import tflite

from kit.graph.tflite_writer import Layer, Model, write_tflite

__all__ = [
    "Layer", "Model", "with_contradicting_codes", "with_operator", "with_options_type", "with_schema_version",
    "with_tensor_type", "write_tflite",
]  # fmt: skip


def _overwrite(model: bytes, table: Any, slot: int, value: int, size: int) -> bytes:
    """The model with the scalar field at vtable offset ``slot`` of ``table`` set; the field must be present."""
    offset = table._tab.Offset(slot)
    assert offset, "the field holds its default and is not stored"
    at = table._tab.Pos + offset
    return model[:at] + value.to_bytes(size, "little", signed=True) + model[at + size :]


def with_operator(model: bytes, index: int, op: str) -> bytes:
    """The model with the code of operator ``index`` replaced by that of ``op``, ``ADD`` or ``LOGISTIC`` say."""
    code = getattr(tflite.BuiltinOperator, op)
    root = tflite.Model.GetRootAs(model, 0)
    entry = root.OperatorCodes(root.Subgraphs(0).Operators(index).OpcodeIndex())
    return _overwrite(_overwrite(model, entry, 4, min(code, 127), 1), entry, 10, code, 4)


def with_schema_version(model: bytes, version: int) -> bytes:
    """The model claiming another version of the TensorFlow Lite schema."""
    return _overwrite(model, tflite.Model.GetRootAs(model, 0), 4, version, 4)


def with_tensor_type(model: bytes, number: int, kind: int) -> bytes:
    """The model with the type of tensor ``number`` replaced (a member of ``tflite.TensorType``)."""
    return _overwrite(model, tflite.Model.GetRootAs(model, 0).Subgraphs(0).Tensors(number), 6, kind, 1)


def with_contradicting_codes(model: bytes, index: int, op: str) -> bytes:
    """The model in which only the newer of operator ``index``'s two codes is replaced by that of ``op``."""
    root = tflite.Model.GetRootAs(model, 0)
    entry = root.OperatorCodes(root.Subgraphs(0).Operators(index).OpcodeIndex())
    return _overwrite(model, entry, 10, getattr(tflite.BuiltinOperator, op), 4)


def with_options_type(model: bytes, index: int, kind: int) -> bytes:
    """The model with the options type of operator ``index`` replaced (a member of ``tflite.BuiltinOptions``)."""
    return _overwrite(model, tflite.Model.GetRootAs(model, 0).Subgraphs(0).Operators(index), 10, kind, 1)
