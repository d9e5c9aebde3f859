"""The documentation site as Chromium shows it: within the window, in light and dark, asking nobody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest

from isograd.pages.browser import faults

pytest.importorskip("material")
pytest.importorskip("mkdocstrings")

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    "index",
    "graph-language",
    "command-line",
    "hooks",
    "training",
    "conformance",
    "reference/isograd.layers",
]


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that logs nothing."""

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built as strictly as by `nox -s docs`."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    config.plugins.run_event("startup", command="build", dirty=False)
    build(config)
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where a server has the site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("width", [1300, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_shown_whole_and_asks_nobody_else(
    browser: Any, address: str, page: str, scheme: Literal["light", "dark"], width: int
) -> None:
    assert faults(browser, f"{address}{page}.html", scheme, width) == []


def test_a_word_is_found(browser: Any, address: str) -> None:
    tab = browser.new_page()
    tab.goto(f"{address}index.html")
    tab.locator(".md-search__input").fill("conv2d_dw")
    tab.locator(".md-search-result__link").first.wait_for(state="attached", timeout=20_000)
    assert "graph-language" in (tab.locator(".md-search-result__link").first.get_attribute("href") or "")
    tab.close()


def test_no_page_names_another_host_for_what_it_shows(site: Path) -> None:
    from html.parser import HTMLParser

    asked: list[str] = []

    class Asks(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names = {"link": "href"}.get(tag, "src")
            asked.extend(value or "" for name, value in attrs if name == names and tag != "a")

    for page in site.rglob("*.html"):
        Asks().feed(page.read_text(encoding="utf-8"))
    assert asked
    assert [one for one in asked if "//" in one and not one.startswith("data:")] == []
