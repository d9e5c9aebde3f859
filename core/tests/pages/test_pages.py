"""Pages of templates: values are escaped, what a template lacks is an error, and so is a missing Jinja."""

from __future__ import annotations

import sys

import pytest

from isograd import pages
from isograd.errors import UnsupportedError


def test_without_jinja_a_page_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UnsupportedError, match=r'pip install "isograd\[report\]"'):
        pages.render("isograd", "base.html.jinja")


def test_the_frame_of_all_pages_is_a_page() -> None:
    pytest.importorskip("jinja2")
    page = pages.render("isograd", "base.html.jinja")
    assert page.startswith("<!doctype html>\n<html lang=")
    assert page.endswith("</html>")


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    jinja2 = pytest.importorskip("jinja2")
    with pytest.raises(jinja2.UndefinedError, match="report"):
        pages.render("isograd", "reproduction.html.jinja")
