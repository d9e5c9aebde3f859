"""Self-contained HTML pages: one file each, without a script or a request to anywhere."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

# On the terminal, what the classes of the pages' cells are in CSS.
COLOURS = {"good": "green", "bad": "bold red", "note": "yellow", "none": "dim"}


def render(template: str, **values: Any) -> str:
    """The page that a template of this package makes of the values, which are escaped."""
    environment = Environment(
        loader=PackageLoader("isograd_conformance", "pages"),
        autoescape=select_autoescape(enabled_extensions=("jinja",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
