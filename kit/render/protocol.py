"""``kit_protocol.h``: the serial protocol's constants for C, from the message registry."""

from __future__ import annotations

from jinja2 import Environment, TemplateError

from kit import __version__
from kit.errors import RenderError
from kit.files import asset, sha256_file
from kit.render.environment import HASH_DIGITS, environment
from kit.wire.registry import protocol_view

TEMPLATE = "protocol.h.j2"


def render_protocol_header(env: Environment | None = None) -> str:
    """Text of ``generated/kit_protocol.h``; the same for every build of one kit version.

    Args:
        env: the environment of the other templates; the shared one when None.

    Raises:
        RenderError: the template names something that the registry lacks.
    """
    template_hash = sha256_file(asset("firmware_templates", TEMPLATE))[:HASH_DIGITS]
    try:
        template = (env or environment()).get_template(TEMPLATE)
        return template.render(p=protocol_view(), kit_version=__version__, template_hash=template_hash)
    except TemplateError as error:
        raise RenderError(f"cannot render {TEMPLATE}: {error}", "reinstall rvq-firmware-kit") from None
