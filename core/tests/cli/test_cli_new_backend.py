"""`isograd new-backend`: what it writes is a package; what it can not write leaves nothing behind.

That the package passes the conformance suite is the business of the project's session `template`.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import __version__, plugins
from isograd.backend_choice import load_backend
from isograd.cli import new_backend
from isograd.graph import PRIMITIVES
from isograd.plugins.known import known

Invoke = Callable[..., Any]


@pytest.fixture
def made(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a new backend "my-own", whose package can be imported."""
    invoke("new-backend", "my-own", "made")
    folder = Path("made").absolute()
    monkeypatch.syspath_prepend(folder / "src")
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_package_has_code_tests_and_what_others_need_to_build_and_check_it(made: Path) -> None:
    assert files(made).keys() == {
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/isograd_my_own/__init__.py",
        "src/isograd_my_own/backend.py",
        "src/isograd_my_own/operations.py",
        "src/isograd_my_own/py.typed",
        "tests/test_isograd_my_own.py",
    }


def test_the_code_is_short(made: Path) -> None:
    """What an author has to read before the first change; blank lines are not read."""
    texts = [text for path, text in files(made).items() if path.endswith(".py")]
    assert sum(bool(line.strip()) for text in texts for line in text.splitlines()) < 150


def test_its_entry_point_is_a_backend_that_has_every_primitive(made: Path) -> None:
    project = tomllib.loads((made / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "isograd-my-own"
    assert f"isograd>={__version__},<" in project["dependencies"][0]
    (name, target), *others = project["entry-points"]["isograd.backends.v1"].items()
    module, _, attribute = target.partition(":")
    assert (name, others) == ("my-own", [])
    descriptor = getattr(import_module(module), attribute)
    with plugins.registered(descriptor):
        backend = load_backend(descriptor)
    assert (backend.name, descriptor.name) == ("my-own", "my-own")
    assert set(descriptor.dtypes) == backend.capabilities.dtypes
    assert import_module("isograd_my_own.operations").OPERATIONS.keys() == PRIMITIVES.keys()


def test_the_last_lines_say_what_to_run_next(invoke: Invoke) -> None:
    lines = [line.strip() for line in invoke("new-backend", "mine", "a folder").stdout.splitlines()]
    assert lines[-4:] == [
        "cd 'a folder'",
        'python -m pip install -e ".[test]"',
        "pytest",
        "$EDITOR src/isograd_mine/operations.py",
    ]


def test_without_a_folder_it_is_named_after_the_distribution(invoke: Invoke) -> None:
    invoke("new-backend", "my_own")
    assert (Path("isograd-my-own") / "src" / "isograd_my_own").is_dir()


WORDS = st.from_regex(r"[a-z][a-z0-9]{0,5}([-_][a-z0-9]{1,5}){0,2}", fullmatch=True)


@given(name=WORDS.filter(lambda name: name not in {*known("backends"), "all", "mnist", "conformance"}))
def test_for_every_name_the_placeholders_are_gone_and_the_code_parses(name: str) -> None:
    written = dict(new_backend.rendered(new_backend.placeholders(name)))
    tomllib.loads(written["pyproject.toml"])
    for path, text in written.items():
        workflow = path.startswith(".github")
        assert "$" not in path
        assert "$" not in (text.replace("${{", "") if workflow else text)
        assert not path.endswith(new_backend.SUFFIX)
        if path.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize("name", ["", "Mine", "my backend", "mine:cpu", "my--own", "-x", "9lives", "a/b"])
def test_what_is_no_name_of_a_backend_is_refused(name: str, invoke: Invoke, folder: Path) -> None:
    before = files(folder)
    assert f"error: NAME is {name!r}; expected" in invoke("new-backend", "--", name, "made", code=1).stderr
    assert files(folder) == before


@pytest.mark.parametrize("name", ["all", "conformance", *known("backends"), *known("datasets")])
def test_a_name_that_isograd_uses_itself_is_refused(name: str, invoke: Invoke) -> None:
    assert f"error: NAME is {name!r}, which isograd uses" in invoke("new-backend", name, code=1).stderr
    assert not Path(f"isograd-{name}").exists()


def test_what_lies_in_the_folder_is_not_touched(invoke: Invoke, folder: Path) -> None:
    before = files(folder)
    for place in (".", "run.toml"):
        stderr = invoke("new-backend", "mine", place, code=1).stderr
        assert f"error: DIR is {place!r}, which is no empty folder" in stderr
    assert "'no/such' is no folder" in invoke("new-backend", "mine", "no/such/place", code=1).stderr
    assert files(folder) == before


def test_an_empty_folder_is_filled_and_stays_the_same_folder(
    invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = folder / "empty"
    empty.mkdir()
    identity = empty.stat().st_ino
    monkeypatch.chdir(empty)
    invoke("new-backend", "mine", ".")
    invoke("new-backend", "mine", "../beside")
    assert empty.stat().st_ino == identity
    assert files(empty) == files(folder / "beside")


@pytest.mark.parametrize("place", ["new", "empty"])
def test_a_failure_half_way_leaves_nothing(
    place: str, invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "empty").mkdir()
    before = sorted(folder.rglob("*"))
    write, count = Path.write_text, iter(range(100))

    def write_text(path: Path, *arguments: Any, **options: Any) -> int:
        if next(count) == 4:
            raise OSError(28, "No space left on device")
        return write(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", write_text)
    stderr = invoke("new-backend", "mine", place, code=1).stderr
    assert stderr == f"error: {place}: can not be written: No space left on device\n"
    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_can_not_be_read_is_told_in_one_line(
    invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "closed").mkdir()

    def iterdir(path: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", iterdir)
    stderr = invoke("new-backend", "mine", "closed", code=1).stderr
    assert stderr == "error: closed: can not be written: Permission denied\n"
