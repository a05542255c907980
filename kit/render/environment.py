"""The Jinja environment and the provenance that every rendered file begins with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from kit import __version__
from kit.config import Config
from kit.errors import RenderError
from kit.files import asset, sha256_bytes, sha256_file
from kit.graph.ir import SCHEMA

RUNTIME_ABI = 8
"""KIT_RUNTIME_ABI that rendered files are made for; a test compares it with kit_common.h."""

HASH_DIGITS = 12
"""Hex digits of the model, config and template hashes in a banner."""

_DEVICE_SECTIONS = ("signal", "model", "quantize", "packet", "firmware")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rendered file comes from: nothing but contents, so that equal inputs give equal bytes.

    Attributes:
        kit_version: version of the kit.
        build_hash: 16 hex digits; what the device computes.
        model_hash: start of the SHA-256 of the .tflite.
        config_hash: start of the SHA-256 of the configuration's sections that concern the device.
        ir_schema: version of the stored graph.
        abi: version of the runtime.
    """

    kit_version: str
    build_hash: str
    model_hash: str
    config_hash: str
    ir_schema: int
    abi: int


@dataclass(frozen=True, slots=True)
class TemplateOrigin:
    """Name of a template and the start of its SHA-256."""

    name: str
    hash: str


def config_hash(config: Config) -> str:
    """Hash of the sections that concern the device: where the recordings lie on a machine does not."""
    dump = config.model_dump(mode="json", exclude={"model": set(config.model.keys_off_device)})
    text = json.dumps({name: dump[name] for name in _DEVICE_SECTIONS}, sort_keys=True)
    return sha256_bytes(text.encode("utf-8"))[:HASH_DIGITS]


def origin_of(config: Config, model_bytes: bytes, build_hash: str) -> Origin:
    """Provenance of one render."""
    return Origin(
        kit_version=__version__,
        build_hash=build_hash,
        model_hash=sha256_bytes(model_bytes)[:HASH_DIGITS],
        config_hash=config_hash(config),
        ir_schema=SCHEMA,
        abi=RUNTIME_ABI,
    )


@cache
def environment() -> Environment:
    """Jinja environment of all templates; an unknown name is an error."""
    return Environment(
        loader=FileSystemLoader(asset("firmware_templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render_template(name: str, origin: Origin, context: dict[str, Any]) -> str:
    """Text of one template.

    Args:
        name: file below firmware_templates.
        origin: provenance for the banner.
        context: what the template may name.

    Raises:
        RenderError: the template is missing, malformed, or names something unknown.
    """
    template = TemplateOrigin(name, sha256_file(asset("firmware_templates", name))[:HASH_DIGITS])
    try:
        return environment().get_template(name).render(origin=origin, template=template, **context)
    except TemplateError as error:
        raise RenderError(f"cannot render {name}: {error}", "reinstall rvq-firmware-kit") from None
