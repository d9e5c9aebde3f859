"""Pages as Chromium shows them: complete, within the window, in light and dark, asking for nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from isograd.errors import UnsupportedError
from isograd.figures import plot_errors, plot_filters
from isograd.figures.style import figure_png
from isograd.pages.browser import PICTURE, chromium, faults, take_pictures
from isograd.reproduction import Experiment, Result, Trained
from isograd.training import EpochRecord, History

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

RESULTS = Path(__file__).resolve().parents[3] / "docs" / "results"
LONG = "/home/somebody/" + "a_folder_with_a_long_name/" * 12


def result(name: str, runs: int, **values: Any) -> Result:
    """An experiment with runs of five epochs, watched by diagnostics."""
    experiment = Experiment(name, "chapter6/deep_relu", "four hidden layers", 97.8, group="both")
    histories = [
        History(
            [
                EpochRecord(
                    epoch, 0.5, 0.1, 1.0, 1e4, 0.9 + epoch / 100, 0.3, 0.97,
                    {"gradient_norm/0.bias": 0.1 + epoch, "training_accuracy": 0.9, "training_cost": 0.2},
                )
                for epoch in range(5)
            ],
            "completed",
        )
        for _ in range(runs)
    ]  # fmt: skip
    trained = tuple(
        Trained(seed, history, "numpy:cpu 0.1.0 (NumPy 2.4.6)") for seed, history in enumerate(histories)
    )
    return Result(experiment, experiment.run(0), False, runs, trained, **values)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report with every kind of content, the widest of it very wide."""
    from isograd.data import Dataset
    from isograd.reproduction.gather import make_report
    from isograd.reproduction.pictures import Picture, draw, draw_group
    from isograd.reproduction.report import to_html

    results = [result("one", 3), result("other", 1, failed={1: f"{LONG}: no space left; {'m' * 300}"})]
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 28, 28), dtype=np.uint8)
    errors = plot_errors(Dataset(images, np.zeros(30, np.int32)), np.ones(30, np.int32), columns=11)
    filters = plot_filters(np.random.default_rng(0).normal(size=(40, 20, 5, 5)))
    pictures = {one.experiment.name: draw(one, None) for one in results}
    pictures["one"] += [Picture("errors", figure_png(errors)), Picture(LONG, figure_png(filters))]
    page = tmp_path_factory.mktemp("pages") / "report.html"
    text = to_html(make_report("chapter6", results), pictures, {"both": draw_group(results)})
    assert text.count("<img ") >= 8
    page.write_text(text, encoding="utf-8")
    return page


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_is_shown_whole(
    browser: Any, report: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    assert faults(browser, report, scheme, width) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", sorted(RESULTS.glob("*.html")), ids=lambda page: page.stem)
def test_a_published_page_is_shown_whole(browser: Any, page: Path, scheme: Literal["light", "dark"]) -> None:
    assert faults(browser, page, scheme) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            '<img src="http://127.0.0.1:9/a.png" alt="far">',
            "a request leaves the page: http://127.0.0.1:9/a.png",
        ),
        ('<link rel="stylesheet" href="beside.css">', "a request leaves the page: file://"),
        ('<img src="data:image/png;base64,AAAA" alt="bad">', "an image is not decoded: bad"),
        ('<p style="width: 1300px">wide</p>', "<p> is wider than the page: wide"),
        ('<p style="color: #999; background: #fff">faint</p>', "a text is too faint: faint"),
        ("<script>console.warn('careful')</script>", "warning on the console: careful"),
        ("<script>throw new Error('oh')</script>", "error of a script: oh"),
    ],
)
def test_each_fault_is_found(browser: Any, tmp_path: Path, body: str, fault: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(f'<!doctype html><html lang="en"><title>a</title><body>{body}</body></html>')
    found = faults(browser, page)
    assert any(one.startswith(fault) for one in found), found


def test_what_scrolls_may_be_wide(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    wide = '<div class="scroll" style="overflow-x: auto"><p style="width: 3000px">wide</p></div>'
    page.write_text(f'<!doctype html><html lang="en"><title>a</title><body>{wide}</body></html>')
    assert faults(browser, page) == []


def test_a_picture_is_the_top_of_each_page(browser: Any, report: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    tab = browser.new_page(color_scheme="light")
    (picture,) = take_pictures(tab, report.parent, tmp_path)
    tab.close()
    assert picture == tmp_path / "report.png"
    with image.open(picture) as opened:
        assert (opened.format, opened.size) == ("PNG", PICTURE)


@pytest.mark.parametrize("missing", ["playwright", "Chromium"])
def test_what_is_missing_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "playwright":
        monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
        message = "a browser needs playwright: pip install playwright"
    else:
        pytest.importorskip("playwright")
        monkeypatch.setenv("PATH", "")
        message = "none of chromium, chromium-browser, google-chrome is installed"
    with pytest.raises(UnsupportedError, match=message), chromium():
        pass
