"""What the templates see: the build's facts with every decision taken. The graph and the codebook stay free of C."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.errors import RenderError
from kit.files import sha256_bytes
from kit.graph.codebook import IntegerCodebook
from kit.graph.ir import Conv, Encoder, TensorInfo, folded_bias
from kit.render.layouts import Packed, isa_layouts, rows, wide_windows
from kit.render.plan import BATCH_MAX, MemoryPlan, plan_memory
from kit.render.proof import device_shift, is_small
from kit.render.search import search_tables
from kit.render.tables import Row, Table, rows_of, table
from kit.wire.packet import PacketLayout
from kit.wire.scale import lsb_bits


@dataclass(frozen=True, slots=True)
class ModelView:
    """Geometry of the codec; see kit_model_t for units and ranges."""

    prefix: str
    upper: str
    container_bits: int
    sample_bits: int
    sample_max: int
    sample_rate_mhz: int
    frame_samples: int
    ring_samples: int
    positions: int
    dims: int
    latent_channels: int
    levels: int
    index_bits: int
    lsb_bits: int
    side_information: int
    mean_bytes: int
    input_shaping: str
    input_channels: int
    remainder_bits: int
    packet_bytes: int
    index_bytes: int
    length_bytes: int
    row_bytes: int
    frames_per_packet: int
    build_hash_bytes: tuple[str, ...]


def model_view(config: Config, build_hash: str) -> ModelView:
    """Geometry from the configuration.

    Args:
        build_hash: 16 hex digits.

    Raises:
        RenderError: ``build_hash`` is something else.
    """
    if len(build_hash) != 16 or set(build_hash) - set("0123456789abcdef"):
        raise RenderError(f"build hash {build_hash!r} is not 16 lower-case hex digits")
    signal, layout, prefix = config.signal, PacketLayout.from_config(config), config.firmware.symbol_prefix
    return ModelView(
        prefix=prefix,
        upper=prefix.upper(),
        container_bits=signal.container_bits,
        sample_bits=signal.sample_bits,
        sample_max=(1 << (15 if signal.container_bits == 16 else 23)) - 1,
        sample_rate_mhz=signal.sample_rate_hz * 1000,
        frame_samples=signal.frame_samples,
        ring_samples=signal.frame_samples + config.firmware.ring_margin_samples + 1,
        positions=config.latent_positions,
        dims=config.model.embedding_dim,
        latent_channels=config.latent_channels,
        levels=config.model.num_levels,
        index_bits=config.model.index_bits,
        lsb_bits=lsb_bits(config.quantize.input_clip),
        side_information=int(config.packet.side_information),
        mean_bytes=layout.mean_bytes,
        input_shaping="KIT_SHAPING_" + config.quantize.input_shaping.upper(),
        input_channels=config.quantize.input_channels,
        remainder_bits=config.quantize.input_remainder_bits,
        packet_bytes=layout.frame_bytes,
        index_bytes=layout.index_bytes,
        length_bytes=layout.length_bytes,
        row_bytes=layout.row_bytes,
        frames_per_packet=layout.frames_per_packet,
        build_hash_bytes=tuple(f"0x{byte:02x}" for byte in bytes.fromhex(build_hash)),
    )


@dataclass(frozen=True, slots=True)
class CodebookView:
    """The codebook's search tables, and kit_codebook_t's fields in order: what each is called, and its value."""

    tables: tuple[Table, ...]
    fields: tuple[tuple[str, str | int], ...]
    bits: int
    entries: int
    coordinates: str
    stored: int
    stride: int
    beam: int


def codebook_view(codebook: IntegerCodebook, prefix: str) -> CodebookView:
    """Tables of a codebook; it has proved its own overflow bounds.

    Raises:
        RenderError: the search tables do not describe the codebook.
    """
    name, search = f"{prefix}_codebook", search_tables(codebook)
    levels, stored = search.order.shape
    wide, many, stride = search.rows.dtype == np.int16, search.order.dtype == np.uint16, search.rows.shape[2]
    axes = f"[level={levels}][3 + entry={stored}][dim={stride}]"
    rows = table(name, f"three axes per level, then its RVQ entries in order along the first, {axes}", search.rows)
    order = table(f"{name}_order", "index of each stored entry", search.order)
    keys = table(f"{name}_keys", "place of each block's first entry along the first axis", search.keys)
    sides = table(
        f"{name}_sides", "places of four entries along the second and along the third axis, a byte each", search.sides
    )
    base = table(f"{name}_axis_base", "taken off places along each axis to make keys and sides", search.axis_base)
    axis_shift = table(
        f"{name}_axis_shift", "what takes places along each axis to residual units, bits", search.axis_shift
    )
    shift = table(f"{name}_shift", "left shift of each level's entries, bits", codebook.entry_shift.astype(np.uint8))
    price = " and a price" if codebook.price_dims else ""
    return CodebookView(
        tables=(rows, order, keys, sides, base, axis_shift, shift),
        fields=(
            ("rows8", 0 if wide else rows.name),
            ("rows16", rows.name if wide else 0),
            ("order8", 0 if many else order.name),
            ("order16", order.name if many else 0),
            ("keys", keys.name),
            ("sides", sides.name),
            ("axis_base", base.name),
            ("axis_shift", axis_shift.name),
            ("entry_shift", shift.name),
            ("stored", stored),
            ("dims", codebook.dims),
            ("price_dims", codebook.price_dims),
            ("stride", stride),
            ("levels", levels),
            ("copies", codebook.copies),
            ("residual_frac_bits", codebook.residual_frac_bits),
            ("latent_zero_point", codebook.latent_zero_point),
        ),
        bits=16 if wide else 8,
        entries=codebook.num_entries,
        coordinates=f"{codebook.dims} dimensions{price}",
        stored=stored,
        stride=stride,
        beam=codebook.beam,
    )


def step_macs_max(encoder: Encoder, codebook: IntegerCodebook) -> int:
    """Multiply-accumulates of the longest step of the codec: a batch of a layer's columns, or the search of a level.

    An encoder that the engine runs as a whole (no layers in the graph) is one step.
    """
    graph = encoder.graph
    columns = [_column_macs(node, graph.tensors[node.input], graph.tensors[node.output]) for node in graph.nodes]
    engine = BATCH_MAX * max(columns) if columns else graph.macs
    return max(engine, codebook.beam * codebook.num_entries * (codebook.dims + codebook.price_dims))


def _column_macs(node: Conv, source: TensorInfo, target: TensorInfo) -> int:
    return node.kernel * target.channels * (1 if node.depthwise else source.channels)


@dataclass(frozen=True, slots=True)
class WeightsView:
    """A layer's weights in one layout, and the macro of the instruction set that reads it (empty: all others)."""

    isa: str
    layout: str
    table: Table
    complete: bool


@dataclass(frozen=True, slots=True)
class PlanVariant:
    """The memory plan for one instruction set (macro ``isa``; empty: all others)."""

    isa: str
    plan: MemoryPlan


@dataclass(frozen=True, slots=True)
class LayerView:
    """One layer of the ahead-of-time engine; see kit_aot_layer_t for units and ranges."""

    prefix: str
    about: str
    weights: tuple[WeightsView, ...]
    bias: Table
    multiplier: Table
    shift: Table
    small: int
    in_channels: int
    out_channels: int
    in_columns: int
    out_columns: int
    kernel: int
    stride: int
    pad_left: int
    depthwise: int
    in_zero_point: int
    out_zero_point: int
    act_min: int
    act_max: int


@dataclass(frozen=True, slots=True)
class PlanView:
    """The ahead-of-time engine's tables and memory."""

    layers: tuple[LayerView, ...]
    layer_count: int
    variants: tuple[PlanVariant, ...]
    macs: int


def plan_view(encoder: Encoder, prefix: str) -> PlanView:
    """C view of a checked encoder (:func:`kit.graph.check.check`).

    Raises:
        UnsupportedOpError: a layer that the engine cannot run.
    """
    graph = encoder.graph
    plans = [PlanVariant(isa, plan_memory(graph, wide)) for isa, wide in wide_windows(encoder).items() if wide]
    plans.append(PlanVariant("", plan_memory(graph)))
    layers = tuple(_layer(encoder, node, f"{prefix}_{node.name}") for node in graph.nodes)
    return PlanView(layers, len(layers), tuple(plans), graph.macs)


def _weights(encoder: Encoder, node: Conv, prefix: str) -> tuple[WeightsView, ...]:
    """Every layout of a layer's weights, the one for all other instruction sets last."""

    def view(isa: str, packed: Packed) -> WeightsView:
        about = f"{node.name} weights, layout {packed.layout}, {packed.axes}"
        values = table(f"{prefix}_weights", about, packed.values, packed.align)
        return WeightsView(isa, packed.layout, values, packed.complete)

    special = tuple(view(isa, packed) for isa, packed in isa_layouts(encoder, node).items())
    return (*special, view("", rows(encoder, node)))


def _layer(encoder: Encoder, node: Conv, prefix: str) -> LayerView:
    graph = encoder.graph
    source, target = graph.tensors[node.input], graph.tensors[node.output]
    out = f"[out={target.channels}]"
    return LayerView(
        prefix=prefix,
        about=f"{node.name} (Keras layer {node.keras_layer})",
        weights=_weights(encoder, node, prefix),
        bias=table(
            f"{prefix}_bias",
            f"{node.name} bias with the input zero point folded in, {out}",
            folded_bias(encoder, node).astype(np.int32),
        ),
        multiplier=table(
            f"{prefix}_multiplier",
            f"{node.name} requantization multipliers, Q31, {out}",
            np.array(node.requant.multiplier, np.int32),
        ),
        shift=table(
            f"{prefix}_shift",
            f"{node.name} requantization shifts, positive is left, {out}",
            np.array(device_shift(node), np.int8),
        ),
        small=int(is_small(encoder, node)),
        in_channels=source.channels,
        out_channels=target.channels,
        in_columns=source.length,
        out_columns=target.length,
        kernel=node.kernel,
        stride=node.stride,
        pad_left=node.pad_left,
        depthwise=int(node.depthwise),
        in_zero_point=source.zero_point,
        out_zero_point=target.zero_point,
        act_min=node.act_min,
        act_max=node.act_max,
    )


@dataclass(frozen=True, slots=True)
class EncoderFileView:
    """The .tflite as lines of hexadecimal bytes."""

    rows: tuple[tuple[str, ...], ...]
    count: int
    sha256: str


def encoder_file_view(model_bytes: bytes) -> EncoderFileView:
    """Lines of 16 bytes."""
    rows = tuple(tuple(f"0x{byte:02x}" for byte in model_bytes[at : at + 16]) for at in range(0, len(model_bytes), 16))
    return EncoderFileView(rows, len(model_bytes), sha256_bytes(model_bytes))


@dataclass(frozen=True, slots=True)
class VectorsView:
    """Frames and packets in printed lines, frame by frame."""

    source: str
    count: int
    frames: tuple[tuple[Row, ...], ...]
    packets: tuple[tuple[Row, ...], ...]


def vectors_view(frames: NDArray[np.signedinteger], packets: NDArray[np.uint8], source: str) -> VectorsView:
    """Lines of frames [n, T] and packets [n, packet bytes]."""
    return VectorsView(
        source, len(frames), tuple(rows_of(frame) for frame in frames), tuple(rows_of(packet) for packet in packets)
    )
