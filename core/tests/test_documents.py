"""What the documents show is what happens."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import typer

from isograd import graph as G
from isograd import training
from isograd.backend import one_by_one
from isograd.backend_checks import check_executable, check_steps
from isograd.cli.app import app
from isograd.graph.reference import REFERENCE
from isograd.interpreter import Interpreter
from isograd.reproduction import COLLECTIONS
from isograd.runs import parse_run, read_preset
from isograd.testing import ReferenceBackend
from isograd.training import Triangular

Blocks = Callable[..., Any]
Parse = Callable[[Sequence[str]], None]
RunDocument = Callable[..., dict[str, Any]]

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
READMES = sorted((*ROOT.glob("*/README.md"), *ROOT.glob("*/*/README.md")))
# Their blocks need a distribution beside the core, whose tests run them.
ELSEWHERE = {"docs/check.md", "docs/faults.md", "conformance/README.md"}
ELSEWHERE |= {"docs/export.md", "docs/sklearn.md", "docs/torch-and-jax.md"} | {
    path.relative_to(ROOT).as_posix() for path in ROOT.glob("backends/*/README.md")
}
DOCUMENTS = sorted({path.relative_to(ROOT).as_posix() for path in (*PAGES, *READMES)})
QUICK_START = "docs/index.md"


def having(language: str) -> list[str]:
    """The documents with a block of a language."""
    return [name for name in DOCUMENTS if f"```{language}\n" in (ROOT / name).read_text(encoding="utf-8")]


@pytest.mark.parametrize("document", [name for name in having("python") if name not in ELSEWHERE])
def test_the_python_of_a_document_runs(document: str, run_document: RunDocument) -> None:
    # Other pages go on from the quick start.
    page = document.startswith("docs/") and document != QUICK_START
    run_document(document, **(run_document(QUICK_START) if page else {}))


def test_the_chapter_s_listing_on_the_page_on_its_names_trains_for_its_epochs(
    run_document: RunDocument, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run_document("docs/network3.md", only="filters")
    assert capsys.readouterr().out.count("Epoch") == 60
    assert names["filters"].shape == (20, 1, 5, 5)


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


def test_the_run_steps_of_the_page_on_backends_is_the_default(run_document: RunDocument) -> None:
    checks = {"check_executable": check_executable, "check_steps": check_steps}
    names = run_document("docs/write-a-backend.md", Interpreter=Interpreter, np=np, **checks)
    run_steps = names["run_steps"]
    x, w = G.variable("x", ()), G.variable("w", ())
    function = G.Function({"x": x}, {"y": x * w}, {"w": w}, {"w": w + x})
    executable = Interpreter(
        function, "cpu", lambda node, *operands: REFERENCE[node.primitive](*operands, **node.attributes)
    )
    arguments = executable, {"w": np.float32(2)}, {}, {"x": np.arange(3, dtype=np.float32)}, 3
    found, expected = run_steps(ReferenceBackend(), *arguments), one_by_one(ReferenceBackend(), *arguments)
    assert found[0]["y"].tolist() == expected[0]["y"].tolist() == [0, 2, 6]
    assert found[1] == expected[1] == {"w": 5}


def test_the_example_of_the_page_on_ensembles_lists_errors(
    run_document: RunDocument, capsys: pytest.CaptureFixture[str]
) -> None:
    run_document("docs/ensembles.md")
    # Images without a pattern, of which some are right by chance.
    errors = [line for line in capsys.readouterr().out.splitlines() if "->" in line]
    assert errors
    assert all(re.fullmatch(r"\d+: \d -> \d", line) for line in errors)


@pytest.fixture(scope="module")
def parse() -> Parse:
    """parse(["train", "run.toml"]): go as far as the command itself; wrong usage raises."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("isograd", [], resilient_parsing=True)

    def parse(arguments: Sequence[str]) -> None:
        name, command, rest = group.resolve_command(context, list(arguments))
        command.make_context(name, rest, parent=context)

    return parse


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of each `isograd` in lines of a shell."""
    for line in text.splitlines():
        for command in re.split(r"[;|]|&&", line.partition(" #")[0].removeprefix("$ ")):
            words = command.split()
            while words and re.fullmatch(r"[A-Z_]+=\S+", words[0]):
                words = words[1:]
            if words[:1] == ["isograd"]:
                yield shlex.split(" ".join(words[1:]))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_command_line_takes_the_commands_of_a_document(
    document: str, parse: Parse, blocks: Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ISOGRAD_SEED", raising=False)
    for block in blocks(document, "", "console"):
        for arguments in commands(block.text):
            parse(arguments)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_command_line_knows_the_commands_in_the_text_of_a_document(document: str, parse: Parse) -> None:
    mentioned = re.findall(r"`isograd ([a-z][^`]*)`", (ROOT / document).read_text(encoding="utf-8"))
    for text in mentioned:
        # One capital stands for a number.
        words = re.sub(r"\b[A-Z]\b", "1", text.replace("...", "").replace("\\|", "|")).split()
        if "--help" in words:
            continue
        # A mention leaves out what its sentence is not about.
        assert refusal(parse, words) in ("", "MissingParameter"), text


def refusal(parse: Parse, words: Sequence[str]) -> str:
    """The kind of error by which the command line refuses words, or empty."""
    try:
        parse(words)
    except Exception as error:
        return type(error).__name__
    return ""


@pytest.mark.parametrize("document", having("toml"))
def test_the_toml_of_a_document_is_read(document: str, blocks: Blocks) -> None:
    whole = tomllib.loads(read_preset("chapter6/shallow").to_toml())
    for block in blocks(document, "toml"):
        tables = tomllib.loads(block.text)
        if set(tables) <= set(whole):
            text = tomli_w.dumps(whole | {name: whole[name] | table for name, table in tables.items()})
            parse_run(text, document, "page").augmentation()
        else:
            assert set(tables) <= {"expected_failure", "project"}, document
