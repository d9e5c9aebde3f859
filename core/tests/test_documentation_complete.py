"""What is public says what it is, and the site shows it: the build fails on the same omissions."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from isograd import graph as G
from isograd.plugins import hookspecs
from isograd.runs import parse_run

pytest.importorskip("griffe")

DOCS = Path(__file__).resolve().parents[2] / "docs"
SITE = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
HOOKS = [name for name in vars(hookspecs) if name.startswith("isograd_")]


@pytest.fixture(scope="module")
def hook() -> Iterator[Callable[[str], ModuleType]]:
    """hook("reference"): the module of that name that the site is built with."""
    known = set(sys.modules)
    sys.path.insert(0, str(DOCS / "_hooks"))
    yield importlib.import_module
    sys.path.remove(str(DOCS / "_hooks"))
    for name in set(sys.modules) - known:
        if str(DOCS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_every_public_name_and_method_has_a_docstring(hook: Any) -> None:
    assert hook("reference").undocumented() == []


def test_every_public_name_is_on_the_page_of_its_module(hook: Any) -> None:
    reference = hook("reference")
    pages = reference.pages()
    described = {name for text in pages.values() for name in re.findall(r"^::: (\S+)", text, re.MULTILINE)}
    for module in reference.modules().values():
        for name in reference.names(module):
            found = reference.target(module, name)
            owner = found.parent.path
            linked = f"[`{name}`](../graph-language.md#" in pages[f"reference/{module.path}.md"]
            assert found.path in described or owner in described or linked, f"{module.path}.{name}"


def test_a_public_name_without_a_docstring_fails_the_build(
    hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = hook("reference")
    found = reference.target(reference.modules()["isograd.graph"], "softmax")
    monkeypatch.setattr(found, "docstring", None)
    with pytest.raises(LookupError, match=r"isograd\.graph\.softmax"):
        reference.pages()


def test_every_primitive_is_specified(hook: Any) -> None:
    text = hook("language").primitives()
    headings = re.findall(r"^#### (\w+)$", text, re.MULTILINE)
    assert sorted(headings) == sorted(G.PRIMITIVES)
    assert len(re.findall(r"^Gradient:", text, re.MULTILINE)) == len(G.PRIMITIVES)


@pytest.mark.parametrize("missing", ["meaning", "rule", "example"])
def test_a_primitive_without_its_specification_fails_the_build(
    hook: Any, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    language = hook("language")
    meaning = "" if missing == "meaning" else "Nothing."
    new = G.Primitive("nothing", "unary", G.PRIMITIVES["neg"].build, meaning)
    monkeypatch.setitem(G.PRIMITIVES, "nothing", new)
    if missing != "rule":
        monkeypatch.setitem(G.VJP, "nothing", G.VJP["neg"])
    if missing != "example":
        monkeypatch.setitem(language.EXAMPLES, "nothing", language.EXAMPLES["neg"])
    with pytest.raises(LookupError, match="'nothing'"):
        language.primitives()


def test_the_page_on_the_graph_language_says_which_dtypes_a_primitive_takes(hook: Any) -> None:
    dtypes = hook("language").dtypes
    assert dtypes(G.PRIMITIVES["argmax"]) == [
        (dtype, "int32") for dtype in ("float32", "float64", "int32", "uint8")
    ]
    assert [taken for taken, _ in dtypes(G.PRIMITIVES["exp"])] == ["float32", "float64"]


def test_every_command_argument_and_option_has_help(hook: Any) -> None:
    text = hook("commands").reference()
    for command, context in hook("commands").commands():
        assert f"## {context.command_path}\n" in text
        assert all(
            option in text for parameter in command.params for option in parameter.opts[:1] if "-" in option
        )


def test_an_option_without_help_fails_the_build(hook: Any) -> None:
    commands = hook("commands")
    command, _ = list(commands.commands())[1]
    command.params[1].help = None
    with pytest.raises(LookupError, match=f"'{command.params[1].name}' of the command '{command.name}'"):
        commands.check_command(command)


def test_the_run_file_that_is_shown_has_every_key_and_is_read(hook: Any) -> None:
    text = hook("commands").run_file_example().removeprefix("```toml\n").removesuffix("```")
    shown, run = tomllib.loads(text), parse_run(text, "run-files.md", "page")
    assert shown.keys() >= {field.name for field in fields(run)}
    for table in ("network", "training"):
        assert shown[table].keys() == {field.name for field in fields(getattr(run, table))}
    assert all(field.name in text.partition("[data]")[2] for field in fields(run.data))


def test_every_hook_of_plugins_is_specified(hook: Any) -> None:
    assert len(HOOKS) >= 5
    assert hook("reference").hooks().split("\n\n") == [f"::: {hookspecs.__name__}.{name}" for name in HOOKS]


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w./-]+\.md", SITE.partition("\nnav:")[2]))
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert {page for page in pages if not page.startswith("results/")} - listed == set()


def test_tables_are_put_where_a_page_asks_for_them(hook: Any) -> None:
    asked = {
        name
        for page in DOCS.rglob("*.md")
        for name in re.findall(r"^<!-- generated: (\w+) -->$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert asked == {"primitives", "conventions", "derived", "commands", "run_file", "hooks"}


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[t](training.md#the-cost)", "[t](training.md#the-cost)"),
        ("[suite](../conformance/README.md)", "[suite](conformance.md)"),
        ("[the tests](../core/tests/conftest.py)", "the tests (`core/tests/conftest.py`)"),
        ("[conftest.py](../core/tests/conftest.py)", "`core/tests/conftest.py`"),
        ("[`Tensor`](../core/src/isograd/graph/tensor.py)", "[`Tensor`][isograd.graph.tensor.Tensor]"),
        ("![p](figures/mnist.png)", "![p](figures/mnist.png)"),
        ("[out](https://example.org)", "[out](https://example.org)"),
        ("```\n[t](../nowhere.md)\n```", "```\n[t](../nowhere.md)\n```"),
    ],
)
def test_links_are_what_the_site_has(hook: Any, link: str, shown: str) -> None:
    places = {"docs/training.md": "training.md", "conformance/README.md": "conformance.md"}
    places |= {"docs/figures/mnist.png": "figures/mnist.png"}
    objects = hook("reference").objects()
    assert hook("links").translated(link, "docs/page.md", "page.md", places, objects) == shown


def test_a_link_that_leads_nowhere_fails_the_build(hook: Any) -> None:
    with pytest.raises(LookupError, match=r"docs/page\.md links to \.\./nowhere\.md"):
        hook("links").translated("[t](../nowhere.md)", "docs/page.md", "page.md", {}, {})


def test_a_pipe_in_the_code_of_a_table_is_a_pipe(hook: Any) -> None:
    cell = hook("markup").with_pipes("| `--data NAME\\|<PATH>` | `a` |\n`b\\|c`")
    assert cell == "| <code>--data NAME&#124;&lt;PATH&gt;</code> | `a` |\n`b\\|c`"
