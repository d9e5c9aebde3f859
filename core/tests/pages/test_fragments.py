"""What a notebook shows of networks, histories and reports: well formed, with every text escaped."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import FullyConnected, Network, Softmax
from isograd.errors import UnsupportedError
from isograd.pages.fragments import frame, image, table
from isograd.testing import ReferenceBackend
from isograd.training import EpochRecord, History
from isograd.training.notebook import MOST_ROWS, history_html, in_notebook

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.sampled_from(
    ["<script>alert(1)</script>", "\"><img src=x onerror='x'>", "a&lt;b", "</iframe>"]
)


class Parsed(HTMLParser):
    """Tags with attributes, and texts; tags have to close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)
        if tag in ("td", "th"):
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data

    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}


TABLE = {"div", "table", "thead", "tbody", "tr", "th", "td"}


@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_a_table_shows_every_text_and_has_no_other_tags(rows: list[tuple[str, str]]) -> None:
    parsed = Parsed(table(rows[0], rows, bold=[0]))
    assert parsed.texts == [text for row in (rows[0], *rows) for text in row]
    assert parsed.names() == TABLE


@given(page=TEXTS, title=TEXTS)
def test_a_frame_holds_the_page_as_it_is_and_lets_no_script_run(page: str, title: str) -> None:
    ((tag, attributes),) = Parsed(frame(page, title)).tags
    assert tag == "iframe"
    assert (attributes["srcdoc"], attributes["title"], attributes["sandbox"]) == (page, title, None)


@given(content=st.binary(), text=TEXTS)
def test_an_image_is_in_its_own_address(content: bytes, text: str) -> None:
    ((tag, attributes),) = Parsed(image(content, text)).tags
    kind, _, coded = str(attributes["src"]).partition(",")
    assert (tag, attributes["alt"], kind) == ("img", text, "data:image/svg+xml;base64")
    assert base64.b64decode(coded) == content


def test_a_network_is_the_table_of_its_summary() -> None:
    network = Network([FullyConnected(3, name="hidden"), Softmax(2)], (4,))
    parsed = Parsed(network._repr_html_())
    words = " ".join(parsed.texts).split()
    assert words == network.summary().split()
    assert parsed.names() == TABLE


def record(epoch: int, **values: Any) -> EpochRecord:
    return EpochRecord(epoch, **{"cost": 1.0, "eta": 0.5, "seconds": 1.0, "images_per_second": 9.0, **values})


@given(
    measured=st.dictionaries(TEXTS, st.floats(), max_size=3),
    cost=st.floats(),
    accuracy=st.none() | st.floats(0, 1),
)
def test_a_history_shows_what_was_measured_whatever_its_name_and_value(
    measured: dict[str, float], cost: float, accuracy: float | None
) -> None:
    history = History([record(0, cost=cost, validation_accuracy=accuracy, measured=measured)])
    without_curves = pytest.MonkeyPatch()
    with without_curves.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        parsed = Parsed(history_html(history))
    assert parsed.names() == TABLE
    heading = ["validation accuracy"] if accuracy is not None else []
    assert parsed.texts[: 6 + len(heading) + len(measured) - 1] == [
        *("epoch", "cost", *heading, "eta", "seconds", "images/s"),
        *measured,
    ]
    assert f"{cost:.5g}" in parsed.texts
    assert all(f"{value:.5g}" in parsed.texts for value in measured.values())


def test_a_long_history_leaves_the_middle_out_and_the_best_epoch_stands_out() -> None:
    history = History([record(epoch, validation_accuracy=epoch % 7 / 7) for epoch in range(3 * MOST_ROWS)])
    page = history_html(history)
    rows = page.partition("<tbody>")[2].split("<tr>")[1:]
    assert len(rows) == MOST_ROWS + 1
    assert rows[MOST_ROWS // 2].count("…") == 6
    assert [">174</td>" in row for row in rows if "font-weight:bold" in row] == [True]
    assert history_html(History()) == "<p>no epochs yet</p>"


@pytest.mark.parametrize("cost", [1.0, float("nan"), float("inf")])
def test_with_matplotlib_a_history_has_its_curves_as_a_drawing_of_its_own(cost: float) -> None:
    pytest.importorskip("matplotlib")
    history = History([record(epoch, cost=cost, validation_accuracy=0.5) for epoch in range(3)])
    (source,) = [attributes["src"] for tag, attributes in Parsed(history._repr_html_()).tags if tag == "img"]
    drawing = ElementTree.fromstring(base64.b64decode(str(source).partition(",")[2]))
    assert drawing.tag.endswith("svg")


@dataclass
class Shown:
    """What a notebook shows at one place, one thing after the other."""

    contents: list[Any]

    def update(self, content: Any) -> None:
        self.contents.append(content)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[Shown]:
    """Places in a notebook that looks as one of Jupyter's."""
    places: list[Shown] = []

    def display(content: Any, *, display_id: bool) -> Shown:
        assert display_id
        places.append(Shown([content]))
        return places[-1]

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return places


Train = Callable[..., History]


def train(**arguments: Any) -> History:
    network = Network([Softmax(2)], (2,), dtype="float64")
    data = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1]
    return network.SGD(data, 2, 2, 0.5, data, backend=ReferenceBackend(), **arguments)


@pytest.mark.parametrize("progress", [None, True])
def test_in_a_notebook_training_shows_one_display_that_grows(
    notebook: list[Shown], progress: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_notebook()
    history = train(progress=progress)
    (place,) = notebook
    first, *_, last = place.contents
    assert "progress" in Parsed(first._repr_html_()).names()
    assert Parsed(last._repr_html_()).names() == TABLE
    lines = repr(last).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 0", "epoch 1"]
    assert f"cost {history.epochs[1].cost:.5g}" in lines[1]
    assert repr(first).startswith("epoch 0 of 2: step 0 of 2")
    assert capsys.readouterr() == ("", "")


def test_a_display_in_a_notebook_can_be_declined(notebook: list[Shown]) -> None:
    train(progress=False)
    assert notebook == []


def test_a_run_that_does_not_begin_shows_nothing(notebook: list[Shown]) -> None:
    with pytest.raises(UnsupportedError):
        train(gradient="native")
    assert notebook == []


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])
def test_a_shell_without_a_kernel_is_no_notebook(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert not in_notebook()
