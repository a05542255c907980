"""The Jinja environment of what people read: reports, scorecards, model cards."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment(package: str, *, html: bool) -> Environment:
    """Templates of a package's folder; an unknown name is an error.

    Args:
        package: dotted name of the package whose folder holds the templates.
        html: escape what is put in.
    """
    return Environment(
        loader=PackageLoader(package, "."),
        undefined=StrictUndefined,
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
