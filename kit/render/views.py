"""What the templates see: the build's facts with every decision taken. The graph and the codebook stay free of C."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.errors import RenderError
from kit.files import sha256_bytes
from kit.graph.codebook import IntegerCodebook
from kit.graph.ir import Conv, Encoder, folded_bias
from kit.render.layouts import Packed, isa_layouts, rows
from kit.render.plan import Window, plan_memory
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
    levels: int
    index_bits: int
    lsb_bits: int
    side_information: int
    mean_bytes: int
    packet_bytes: int
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
        levels=config.model.num_levels,
        index_bits=config.model.index_bits,
        lsb_bits=lsb_bits(config.quantize.input_clip),
        side_information=int(config.packet.side_information),
        mean_bytes=layout.mean_bytes,
        packet_bytes=layout.frame_bytes,
        frames_per_packet=layout.frames_per_packet,
        build_hash_bytes=tuple(f"0x{byte:02x}" for byte in bytes.fromhex(build_hash)),
    )


@dataclass(frozen=True, slots=True)
class CodebookView:
    """The codebook's tables and kit_codebook_t's scalars; the unused entry pointer prints as 0."""

    table: Table
    norms: Table
    shifts: Table
    entries8: str
    entries16: str
    entries: int
    dims: int
    levels: int
    residual_frac_bits: int
    latent_zero_point: int


def codebook_view(codebook: IntegerCodebook, prefix: str) -> CodebookView:
    """Tables of a codebook; it has proved its own overflow bounds."""
    name = f"{prefix}_codebook"
    axes = f"[level={codebook.num_levels}][entry={codebook.num_entries}][dim={codebook.dims}]"
    values = np.ascontiguousarray(codebook.integer)
    wide = values.dtype == np.int16
    norms = (codebook.shifted().astype(np.int64) ** 2).sum(axis=2)
    shifts = codebook.entry_shift.astype(np.uint8)
    return CodebookView(
        table=table(name, f"RVQ entries, {axes}", values),
        norms=table(f"{name}_norms", "squared length of each shifted entry", norms.astype(np.int32)),
        shifts=table(f"{name}_shift", "left shift of each level's entries, bits", shifts),
        entries8="0" if wide else name,
        entries16=name if wide else "0",
        entries=codebook.num_entries,
        dims=codebook.dims,
        levels=codebook.num_levels,
        residual_frac_bits=codebook.residual_frac_bits,
        latent_zero_point=codebook.latent_zero_point,
    )


@dataclass(frozen=True, slots=True)
class WeightsView:
    """A layer's weights in one layout, and the macro of the instruction set that reads it (empty: all others)."""

    isa: str
    layout: str
    table: Table


@dataclass(frozen=True, slots=True)
class LayerView:
    """One layer of the ahead-of-time engine; see kit_aot_layer_t for units and ranges."""

    prefix: str
    about: str
    weights: tuple[WeightsView, ...]
    bias: Table
    multiplier: Table
    shift: Table
    window: Window
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
    output: int
    output_bytes: int
    activation_bytes: int
    macs: int


def plan_view(encoder: Encoder, prefix: str) -> PlanView:
    """C view of a checked encoder (:func:`kit.graph.check.check`).

    Raises:
        UnsupportedOpError: a layer that the engine cannot run.
    """
    graph = encoder.graph
    plan = plan_memory(graph)
    layers = tuple(
        _layer(encoder, node, window, f"{prefix}_{node.name}")
        for node, window in zip(graph.nodes, plan.windows, strict=True)
    )
    return PlanView(layers, len(layers), plan.output, plan.output_bytes, plan.activation_bytes, graph.macs)


def _weights(encoder: Encoder, node: Conv, prefix: str) -> tuple[WeightsView, ...]:
    """Every layout of a layer's weights, the one for all other instruction sets last."""

    def view(isa: str, packed: Packed) -> WeightsView:
        about = f"{node.name} weights, layout {packed.layout}, {packed.axes}"
        return WeightsView(isa, packed.layout, table(f"{prefix}_weights", about, packed.values))

    special = tuple(view(isa, packed) for isa, packed in isa_layouts(encoder, node).items())
    return (*special, view("", rows(encoder, node)))


def _layer(encoder: Encoder, node: Conv, window: Window, prefix: str) -> LayerView:
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
            np.array(node.requant.shift, np.int8),
        ),
        window=window,
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
