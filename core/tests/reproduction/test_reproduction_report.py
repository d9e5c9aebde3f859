"""The three texts of a report: complete, well formed, and free of what others wrote into them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd import __version__
from isograd.reproduction import Report, Result
from isograd.reproduction.gather import make_report
from isograd.reproduction.report import HEADINGS, row, sentence, to_html, to_json, to_markdown
from isograd.reproduction.results import Mistake, Votes
from isograd.training import EpochRecord, History

pytest.importorskip("jinja2")

Make = Callable[..., Result]
VOTES = Votes({"plurality": 0.9967, "mean": 0.995}, {"plurality": 0.9, "mean": 0.8})
BAD = "<script src=http://x>|\n`&\"'"


class Parsed(HTMLParser):
    """Every tag with its attributes, every text, and whether the tags close in order."""

    EMPTY = ("meta", "img")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


@pytest.fixture(scope="module")
def report(result_of: Make) -> Report:
    results = [
        result_of([(0.98, 0.975), (0.99, 0.978)], name="shallow", reported=97.80, group="pair"),
        result_of([(0.9, 0.9)], wanted=3, name="other", failed={1: f"died: {BAD}"}, group="pair"),
        result_of([(0.9, 0.99)] * 5, name="ensemble", reported=99.67, members=5, votes=VOTES),
        result_of([(0.9, 0.99), (0.9, 0.98)], name="fast", reported=99.67, figure="mean"),
        result_of([], wanted=3, name="waiting", summary=BAD, mistakes=(Mistake(0, 1, 2),)),
    ]
    return make_report("chapter6", results)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    from isograd.reproduction.pictures import Picture

    # The header of a PNG file, of which the width is read.
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (300).to_bytes(4) + bytes(8)
    pictures = {result.experiment.name: [Picture(BAD, png)] for result in report.results}
    return to_html(report, pictures, {"pair": [Picture("both", png)]})


def test_json_has_every_number_and_says_where_it_was_computed(report: Report) -> None:
    data = json.loads(to_json(report), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert data == json.loads(json.dumps(report.to_data()))
    assert (data["format"], data["collection"]) == (1, "chapter6")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", data["date"])
    assert data["versions"]["isograd"] == __version__
    assert data["versions"]["NumPy"] == np.__version__
    assert [result["experiment"]["name"] for result in data["results"]] == [
        result.experiment.name for result in report.results
    ]


def test_numbers_that_json_does_not_have_become_texts(result_of: Make) -> None:
    result = result_of([(0.5, 0.5)])
    history = History([EpochRecord(0, float("nan"), 0.1, 1.0, 1.0, measured={"a": float("inf")})])
    result = replace(result, runs=(replace(result.runs[0], history=history),))
    (record,) = json.loads(to_json(make_report("mnist", [result])))["results"][0]["runs"][0]["history"][
        "epochs"
    ]
    assert (record["cost"], record["measured"]) == ("nan", {"a": "inf"})


def test_the_table_in_markdown_has_a_row_of_equally_many_cells_for_each_experiment(report: Report) -> None:
    lines = to_markdown(report).splitlines()
    start = lines.index(f"| {' | '.join(HEADINGS)} |")
    rows = lines[start : start + 2 + len(report.results)]
    assert all(len(re.split(r"(?<!\\)\|", line)) == len(HEADINGS) + 2 for line in rows)
    assert rows[2].startswith("| shallow | four layers | 97.80 | 97.80 | +0.00 | 2 of 2 | full | 4 | ")
    assert [line.split()[1] for line in rows[2:]] == [result.experiment.name for result in report.results]
    for result in report.results:
        after = lines.index(f"## {result.experiment.name}")
        assert lines[after + 2] == sentence(result)


def test_what_others_wrote_is_no_markdown(report: Report) -> None:
    text = to_markdown(report)
    assert "`died: <script src=http://x>| '&\"'`" in text  # as code, in one line
    assert "| &lt;script src=http://x>\\| `&\"' |" in text
    assert text.count("<script") == 1


def test_the_page_needs_nothing_from_anywhere(page: str) -> None:
    parsed = Parsed(page)
    assert parsed.open == []
    assert {tag for tag, _ in parsed.tags}.isdisjoint({"script", "link", "iframe", "object", "base"})
    targets = [
        value or "" for _, attributes in parsed.tags for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "background")
    ]  # fmt: skip
    assert len([target for target in targets if target.startswith("data:image/png;base64,")]) == 6
    assert all(target.startswith(("data:", "#")) for target in targets)
    styles = re.findall(r"<style>(.*?)</style>|style=\"(.*?)\"", page, re.DOTALL)
    assert not re.search(r"url\(|@import|https?:", str(styles))
    (policy,) = (a["content"] for _, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_page_shows_every_text_and_takes_none_for_markup(page: str, report: Report) -> None:
    parsed = Parsed(page)
    for result in report.results:
        assert all(cell in parsed.text for cell in row(result))
        assert sentence(result) in parsed.text
    assert f"Seed 1 failed: died: {BAD}" in parsed.text
    assert [attributes["alt"] for tag, attributes in parsed.tags if tag == "img"] == ["both", *[BAD] * 5]
    links = [attributes["href"] for tag, attributes in parsed.tags if tag == "a"]
    ids = [attributes["id"] for tag, attributes in parsed.tags if tag == "h2" and "id" in attributes]
    assert links == [f"#{name}" for name in ids] == [f"#{r.experiment.name}" for r in report.results]


def test_in_a_notebook_a_report_is_its_table_and_takes_no_text_for_markup(report: Report) -> None:
    parsed = Parsed(report._repr_html_())
    assert {tag for tag, _ in parsed.tags} == {"div", "table", "thead", "tbody", "tr", "th", "td"}
    assert all(cell in parsed.text for result in report.results for cell in (*HEADINGS, *row(result)))


def test_the_page_marks_what_is_judged_and_which_run_counts(page: str) -> None:
    good = [attributes for _, attributes in Parsed(page).tags if attributes.get("class") == "good"]
    # The differences of the first and of the ensemble, and the chosen runs of the first two, five cells each.
    assert len(good) == 2 + 5 + 5
    assert len([a for _, a in Parsed(page).tags if a.get("class") == "bad"]) == 1  # the mean of 98.50


@settings(max_examples=15)
@given(st.text(max_size=30))
def test_any_text_is_shown_as_it_is(result_of: Make, text: str) -> None:
    report = make_report("chapter6", [result_of([(0.5, 0.5)], failed={1: text})])
    shown = Parsed(to_html(report, {"deep": []}, {})).text
    assert f"Seed 1 failed: {text}".replace("\r\n", "\n").replace("\r", "\n") in shown.replace("\r", "\n")
    (line,) = [line for line in to_markdown(report).split("\n") if line.startswith("Seed 1 failed: ")]
    assert line.count("`") == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"wanted": 1},
            "Of 1 run, that of seed 0 has the best validation accuracy; its test accuracy in epoch",
        ),
        (
            {"figure": "mean"},
            "The mean of 1 run with a fixed number of epochs, each tested once, is 50.00 %.",
        ),
        ({"members": 2, "wanted": 2}, "1 of 2 runs are finished."),
        (
            {"members": 1, "votes": VOTES, "vote": "mean", "shifts": 2},
            "1 networks with shifts=2: by the mean of the probabilities 99.50 % of the test images are right "
            "(0 errors), by plurality 99.67 %.",
        ),
        (
            {"members": 1, "votes": VOTES},
            "1 networks: by plurality 99.67 % of the test images are right (0 errors), by the mean of the "
            "probabilities 99.50 %.",
        ),
    ],
)
def test_a_sentence_says_what_the_figure_is(result_of: Make, values: dict[str, Any], said: str) -> None:
    assert sentence(result_of([(0.5, 0.5)], **values)).startswith(said)
