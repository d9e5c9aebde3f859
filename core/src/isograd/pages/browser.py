"""What a browser makes of pages: for tests of them, and for pictures of them.

It needs playwright, from PyPI, and a Chromium of the system: none is downloaded.

    python -m isograd.pages.browser docs/results docs/figures

takes a picture of each page of a folder.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin

from isograd.errors import UnsupportedError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PICTURE = (1200, 1600)

_MILLISECONDS = 30_000

# What is inside of an element that scrolls may be wider: it has a bar of its own.
_TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    const scrolls = element => ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
    const within = element => {
        for (let at = element.parentElement; at && at !== document.body; at = at.parentElement) {
            if (scrolls(at)) return true;
        }
        return false;
    };
    const wide = [...document.querySelectorAll("body, body *")].filter(element => {
        const box = element.getBoundingClientRect();
        const wide = box.width > width + 1 || box.right > width + 1;
        return wide && !within(element) && element.checkVisibility({opacityProperty: true});
    });
    const name = element => element.tagName.toLowerCase();
    return wide.map(e => `<${name(e)}> is wider than the page: ${e.textContent.trim().slice(0, 60)}`);
}"""

_NOT_DECODED = """async () => {
    const images = [...document.images];
    await Promise.allSettled(images.map(image => image.decode()));
    return images.filter(i => !(i.complete && i.naturalWidth)).map(i => `an image is not decoded: ${i.alt}`);
}"""

# WCAG 2.1, success criterion 1.4.3: text needs a contrast of 4.5 to 1 to what is behind it.
_TOO_FAINT = """() => {
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const over = ([red, green, blue, share = 1], back) =>
        [red, green, blue].map((part, i) => share * part + (1 - share) * back[i]);
    const visible = element => element.checkVisibility({opacityProperty: true, visibilityProperty: true});
    const luminance = parts => parts.map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const behind = element => {
        if (!element) return [255, 255, 255];
        const colour = channels(getComputedStyle(element).backgroundColor);
        return (colour[3] ?? 1) === 1 ? colour : over(colour, behind(element.parentElement));
    };
    const faint = [...document.querySelectorAll("body *")].filter(element => {
        if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) return false;
        if (!visible(element)) return false;
        const back = behind(element), front = over(channels(getComputedStyle(element).color), back);
        const both = [front, back].map(luminance).sort((a, b) => a - b);
        return (both[1] + 0.05) / (both[0] + 0.05) < 4.5;
    });
    return faint.map(e => `a text is too faint: ${e.textContent.trim().slice(0, 60)}`);
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A `playwright.sync_api.Browser`, which is closed afterwards.

    Raises
    ------
    UnsupportedError
        If playwright or Chromium is not installed, or Chromium does not start.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise UnsupportedError("a browser needs playwright: pip install playwright") from error
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise UnsupportedError(f"none of {', '.join(PROGRAMS)} is installed (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except Error as error:
            raise UnsupportedError(f"{program} does not start: {error}") from error
        try:
            yield browser
        finally:
            browser.close()


def faults(
    browser: Any, page: Path | str, scheme: Literal["light", "dark"] = "light", width: int = 1200
) -> list[str]:
    """What is wrong with a page, one sentence each.

    That is: a request to anywhere but the file itself, or its server, and data: URLs, an error or a warning
    on the console, an error of a script, an element that is wider than the page and not inside of one that
    scrolls, an image that is not decoded, a text of too little contrast.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
        As `chromium` gives it.
    page : Path or str
        An HTML file, or the address of a page that a server has.
    scheme : "light" or "dark"
        What the reader prefers.
    width : int
        Of the window, in pixels.
    """
    found: list[str] = []
    address = page.resolve().as_uri() if isinstance(page, Path) else page
    # A file is whole by itself; a page of a server may ask for what lies beside it there.
    allowed = ("data:", address if isinstance(page, Path) else urljoin(page, "/"))

    def requested(request: Any) -> None:
        if not request.url.startswith(allowed):
            found.append(f"a request leaves the page: {request.url}")

    def logged(message: Any) -> None:
        if message.type in ("error", "warning"):
            found.append(f"{message.type} on the console: {message.text}")

    with browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}) as context:
        tab = context.new_page()
        tab.set_default_timeout(_MILLISECONDS)
        tab.on("request", requested)
        tab.on("console", logged)
        tab.on("pageerror", lambda error: found.append(f"error of a script: {error}"))
        tab.goto(address)
        for question in (_TOO_WIDE, _NOT_DECODED, _TOO_FAINT):
            found += tab.evaluate(question)
    return found


def take_pictures(tab: Any, pages: Path, pictures: Path) -> list[Path]:
    """The top of every page of a folder, `PICTURE` pixels, as NAME.png in another; the files.

    Parameters
    ----------
    tab : playwright.sync_api.Page
    pages, pictures : Path
        The folders.
    """
    made = []
    width, height = PICTURE
    tab.set_viewport_size({"width": width, "height": height})
    for page in sorted(pages.glob("*.html")):
        tab.goto(page.resolve().as_uri())
        made.append(pictures / f"{page.stem}.png")
        tab.screenshot(path=made[-1])
    return made


if __name__ == "__main__":
    with chromium() as started:
        for picture in take_pictures(started.new_page(color_scheme="light"), *map(Path, sys.argv[1:])):
            print(picture)
