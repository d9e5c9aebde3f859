"""The suite's pages."""

from __future__ import annotations

from typing import Any

from isograd import pages

# On the terminal, what the classes of the pages' cells are in CSS.
COLOURS = {"good": "green", "bad": "bold red", "note": "yellow", "none": "dim"}


def render(template: str, **values: Any) -> str:
    """The page that a template of this package makes of the values, which are escaped."""
    return pages.render("isograd_conformance", template, **values)
