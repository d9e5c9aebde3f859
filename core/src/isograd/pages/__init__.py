"""Self-contained HTML pages: one file each, without a script or a request to anywhere."""

from __future__ import annotations

from typing import Any

from isograd.errors import UnsupportedError


def render(package: str, template: str, **values: Any) -> str:
    """The page that a template in a package's folder "pages" makes of the values, which are escaped.

    The template can extend "base.html.jinja", the frame and the style of all pages.

    Raises
    ------
    UnsupportedError
        If Jinja is not installed.
    """
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
    except ImportError as error:
        raise UnsupportedError(
            'pages need Jinja, which is not installed: pip install "isograd[report]"'
        ) from error
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "pages"), PackageLoader("isograd", "pages")]),
        autoescape=select_autoescape(enabled_extensions=("jinja",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
