"""The coding model as the templates print it: tables in the layout that ``kit_coding.c`` reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.render.tables import Table, table
from kit.wire.coding import CodingModel, LevelModel
from kit.wire.context import ContextNetwork

_POINTERS = (
    "slot", "slot_high", "first", "members", "member_scale", "context", "rows", "row_scale", "network",
)  # fmt: skip
_FIELDS = (*_POINTERS, "start", "groups", "far_classes", "shift")


@dataclass(frozen=True, slots=True)
class CodingView:
    """Tables of every level and their size; the fields of kit_coding_level_t in order, by name and value, and those of
    kit_coding_network_t where the first level has one."""

    name: str
    tables: tuple[Table, ...]
    levels: tuple[tuple[tuple[str, str | int], ...], ...]
    bytes: int
    network: tuple[tuple[str, str | int], ...] = ()


def coding_view(model: CodingModel | None, prefix: str) -> CodingView | None:
    """View of a model, which has proved its own bounds; None where indices have a fixed width."""
    if model is None:
        return None
    name = f"{prefix}_coding"
    tables: list[Table] = []
    levels = []
    network: tuple[tuple[str, str | int], ...] = ()
    for number, level in enumerate(model.levels):
        found = _tables(level, f"{name}{number}") if not level.uniform else {}
        tables += found.values()
        values: dict[str, str | int] = dict.fromkeys(_POINTERS, "NULL")
        values.update({key: each.name for key, each in found.items()})
        values.update(start=max(0, len(level.rows) - 1), groups=max(0, level.groups), far_classes=level.far)
        values["shift"] = level.shift
        if level.network is not None:
            own = _network_tables(level.network, f"{name}_network")
            tables += own.values()
            network = _network_fields(level.network, own)
            values["network"] = f"&{name}_network"
        levels.append(tuple((key, values[key]) for key in _FIELDS))
    return CodingView(name, tuple(tables), tuple(levels), sum(each.bytes for each in tables), network)


def _tables(level: LevelModel, name: str) -> dict[str, Table]:
    groups, rows = level.groups, len(level.rows)
    found = _place_tables(level, name) if not level.in_place else {}
    found["first"] = table(f"{name}_first", f"first place of each group, and the end, [{groups + 1}]", level.first)
    members = _packed(level.members, 4)
    found["members"] = table(f"{name}_members", f"weights within groups, two a byte, [{len(members)}]", members)
    found["member_scale"] = table(f"{name}_member_scale", f"scales of their weights, [{groups}]", level.member_scale)
    if level.network is None:
        about = f"context classes by place of the index conditioned on, [{len(level.context)}]"
        found["context"] = table(f"{name}_context", about, level.context)
        codes = np.stack([_packed(row, 4) for row in level.rows])
        found["rows"] = table(f"{name}_rows", f"weights of groups, two a byte, [{rows}][{codes.shape[1]}]", codes)
        found["row_scale"] = table(f"{name}_row_scale", f"scale of each row, [{rows}]", level.row_scale)
    return found


def _place_tables(level: LevelModel, name: str) -> dict[str, Table]:
    entries = len(level.slot)
    found = {"slot": table(f"{name}_slot", f"place of each index, low 8 bits, [{entries}]", _low(level.slot))}
    if entries > 256:
        high = _packed(level.slot >> 8, 2)
        found["slot_high"] = table(f"{name}_slot_high", f"bits 8 and 9 of four places, [{len(high)}]", high)
    return found


def _network_tables(network: ContextNetwork, name: str) -> dict[str, Table]:
    rows, width = network.embedding.shape
    units, inputs = network.recurrent.shape
    abouts = {
        "embedding": f"vector of each group, and of no group, [{rows}][{width}]",
        "recurrent": f"weights to the units from the vector and the units before, [{units}][{inputs}]",
        "unit_bias": f"biases of the units, [{units}]",
        "output": f"weights from the units to the groups, [{network.groups}][{units}]",
        "output_bias": f"biases of the groups, [{network.groups}]",
    }
    return {key: table(f"{name}_{key}", about, getattr(network, key)) for key, about in abouts.items()}


def _network_fields(network: ContextNetwork, tables: dict[str, Table]) -> tuple[tuple[str, str | int], ...]:
    sizes = (("width", network.width), ("units", network.units))
    return (*((key, each.name) for key, each in tables.items()), *sizes)


def _low(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return (values & 0xFF).astype(np.uint8)


def _packed(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Numbers of ``bits`` bits, 8 / bits of them in a byte, the first lowest."""
    per_byte = 8 // bits
    padded = np.zeros(-(-len(values) // per_byte) * per_byte, np.uint8)
    padded[: len(values)] = values
    parts = padded.reshape(-1, per_byte).astype(np.uint8) << (bits * np.arange(per_byte, dtype=np.uint8))
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(parts, axis=1).astype(np.uint8)
    return packed
