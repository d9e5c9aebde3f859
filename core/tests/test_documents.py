"""What the documents show is what happens."""

from __future__ import annotations

import doctest
import io
import re
import tomllib
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isograd
from isograd import training
from isograd.data import Dataset, DatasetSplits
from isograd.reproduction import COLLECTIONS
from isograd.runs import parse_run
from isograd.training import Triangular

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def digits() -> Dataset:
    """Twelve images, all alike."""
    return Dataset(np.zeros((12, 1, 28, 28), np.uint8), np.arange(12) % 10, scale=1 / 256)


def test_the_known_answers_of_the_page_on_randomness_are_right() -> None:
    failures, attempted = doctest.testfile(str(ROOT / "docs" / "randomness.md"), module_relative=False)
    assert attempted >= 3
    assert failures == 0


def test_the_formulas_of_the_page_on_training_are_what_happens() -> None:
    failures, attempted = doctest.testfile(str(ROOT / "docs" / "training.md"), module_relative=False)
    assert attempted >= 20
    assert failures == 0


def test_the_examples_of_the_page_on_layers_and_costs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failures, attempted = doctest.testfile(str(ROOT / "docs" / "extend.md"), module_relative=False)
    assert attempted >= 10
    assert failures == 0


def test_what_the_page_on_the_chapter_s_names_shows_is_printed() -> None:
    failures, attempted = doctest.testfile(str(ROOT / "docs" / "network3.md"), module_relative=False)
    assert attempted >= 10
    assert failures == 0


@pytest.mark.usefixtures("reference_by_default")
def test_the_chapter_s_listing_on_the_page_on_its_names_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "network3.md").read_text(encoding="utf-8")
    (listing,) = [
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if ">>>" not in block
    ]
    splits = DatasetSplits(digits(), digits(), digits())
    monkeypatch.setattr("isograd.network3.data.load_dataset", {"mnist": splits}.__getitem__)
    names: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()) as stream:
        exec(compile(listing, "network3.md", "exec"), names)
    assert stream.getvalue().count("Epoch") == 60
    assert names["filters"].shape == (20, 1, 5, 5)


def test_the_examples_of_the_page_on_callbacks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failures, attempted = doctest.testfile(str(ROOT / "docs" / "callbacks.md"), module_relative=False)
    assert attempted >= 40
    assert failures == 0


def test_the_page_on_callbacks_lists_all_of_them() -> None:
    page = (ROOT / "docs" / "callbacks.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)", page.partition("## Those that there are")[2], re.MULTILINE))
    public = {name: getattr(training, name) for name in training.__all__}
    offered = {n for n, c in public.items() if isinstance(c, type) and issubclass(c, training.Callback)}
    methods = {name for name, value in vars(training.Callback).items() if callable(value)}
    assert listed >= offered | methods


def test_the_page_on_training_has_the_same_run_in_python_and_as_a_file() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    asked = text.partition("## How to ask for it")[2]
    for name, value in tomllib.loads(table)["training"].items():
        if name not in ("epochs", "mini_batch_size", "eta"):
            assert f"{name}={value}" in asked
    network = '[network]\ninput_shape = [2]\nlayers = [{ type = "Softmax", n_out = 2 }]\n'
    run = parse_run(f'{network}{table}[data]\nname = "mnist"\n', "training.md", "page")
    assert run.eta() == Triangular(0.5, 2)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert missing == []


def test_the_page_on_reproduction_lists_the_experiments() -> None:
    table = ["| | name | group | preset | changed | epochs | networks | reported |", f"|{'---|' * 8}"]
    for collection, experiments in COLLECTIONS.items():
        for e in experiments:
            changed = ", ".join(f"{key.partition('.')[2]} = {value:g}" for key, value in e.changes.items())
            figures = (e.run(0).training.epochs, e.members or "", e.reported and f"{e.reported:.2f}")
            cells = (collection, f"`{e.name}`", e.group, f"`{e.preset}`", changed, *figures)
            table.append(f"| {' | '.join('' if cell is None else str(cell) for cell in cells)} |")
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    assert page.partition("## The experiments")[2].partition("\n\n")[2].partition("\n\n")[2] == (
        "\n".join(table) + "\n"
    )


def test_the_graph_example_of_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    example = next(block for block in blocks if "G.Function" in block)
    exec(compile(example, "README.md", "exec"), {"print": lambda text: str(text)})


@pytest.mark.usefixtures("reference_by_default")
def test_the_page_on_the_symbolic_interface_runs_from_its_top_to_its_end() -> None:
    page = (ROOT / "docs" / "symbolic.md").read_text(encoding="utf-8")
    printed: list[object] = []
    names = {"print": lambda *values: printed.extend(values)}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "symbolic.md", "exec"), names)
    first, last, right, _ = printed
    assert last < first
    assert right > 0.9


@pytest.mark.usefixtures("reference_by_default")
def test_the_example_of_the_page_on_ensembles_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "ensembles.md").read_text(encoding="utf-8"), re.DOTALL
    )
    splits = DatasetSplits(digits(), digits(), digits())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(isograd, "load_dataset", lambda name: splits, raising=False)
    printed: list[object] = []
    exec(compile(example, "ensembles.md", "exec"), {"print": lambda *values: printed.extend(values)})
    # Of images that are all alike, one class is right: 2 of 12, or 1.
    errors = [text for text in printed if isinstance(text, str)]
    assert len(errors) in (10, 11)
    assert all(re.fullmatch(r"\d+: \d -> \d", text) for text in errors)
