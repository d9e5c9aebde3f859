"""What tests of several distributions need."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>.+) -->\n)?^(?P<indent> *)```(?P<kind>.*)\n(?P<text>(?:.*\n)*?)(?P=indent)```$",
    re.MULTILINE,
)


class Block(NamedTuple):
    """A fenced block of a document: its language, its text, and the comment in the line before it."""

    kind: str
    text: str
    note: str


@pytest.fixture(scope="session")
def blocks() -> Callable[..., list[Block]]:
    """blocks(document, *languages): its fenced blocks in order; "" is no language."""
    return _blocks


def _blocks(document: str, *kinds: str) -> list[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    found = [Block(m["kind"], dedent(m["text"]), m["note"] or "") for m in _BLOCK.finditer(text)]
    return [block for block in found if block.kind in kinds]


@pytest.fixture(scope="session")
def new_process() -> Callable[[str], str]:
    """new_process(code): what Python prints that runs the code, warnings being errors; it has to end well."""
    return _new_process


def _new_process(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def run_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """run_document(document, **names): run its blocks of Python, one after another, and return all names.

    With `only`, those that have that text. They begin with the names given, in an empty folder, on a data
    set of a few digits, and on the reference backend under the name of each that is known and not installed.
    A block whose note is "from FILE" has to be a part of that file, and is not run; nor is one of the note
    "not run: REASON".
    """
    from isograd import plugins
    from isograd.plugins import BackendDescriptor
    from isograd.plugins.known import known

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ISOGRAD_BACKEND", raising=False)
    for module in ("isograd", "isograd.data", "isograd.network3.data"):
        monkeypatch.setattr(f"{module}.load_dataset", lambda name: _digits(), raising=False)
    with ExitStack() as stack:
        priorities = dict.fromkeys(known("backends"), 0) | {"reference": 10**6}
        for name in priorities.keys() - plugins.backend_descriptors().keys():
            load = partial(_reference_backend, name)
            described = BackendDescriptor(
                name, "for tests", load, dtypes=("float32", "float64"), priority=priorities[name]
            )
            stack.enter_context(plugins.registered(described))

        def run(document: str, *, only: str = "", **names: Any) -> dict[str, Any]:
            for block in _blocks(document, "python"):
                if only not in block.text:
                    continue
                if block.note.startswith("from "):
                    assert block.text in (ROOT / block.note.removeprefix("from ")).read_text(encoding="utf-8")
                elif not block.note.startswith("not run: "):
                    _run(document, block.text, names)
            return names

        yield run


def _run(document: str, text: str, names: dict[str, Any]) -> None:
    """Run a block; of one with prompts, the answers have to be those that it shows."""
    if not text.startswith(">>>"):
        exec(compile(text, document, "exec"), names)
        return
    example = doctest.DocTestParser().get_doctest(text, {}, document, document, 0)
    example.globs = names
    report: list[str] = []
    failures, _ = doctest.DocTestRunner(verbose=False).run(example, out=report.append, clear_globs=False)
    assert failures == 0, "".join(report)


def _digits() -> Any:
    """Images of 28 x 28 bytes of ten classes, twelve in each part."""
    import numpy as np

    from isograd.data import Dataset, DatasetSplits

    images = np.random.default_rng(0).integers(0, 256, (12, 1, 28, 28), dtype=np.uint8)
    part = Dataset(images, np.arange(12) % 10, scale=1 / 256)
    return DatasetSplits(part, part, part)


def _reference_backend(name: str) -> Any:
    """The reference backend under another name; it has one thread, and so any limit is kept."""
    from isograd.testing import ReferenceBackend

    made = ReferenceBackend()
    made.name = name
    made.capabilities = replace(made.capabilities, limits_threads=True)
    made.limit_threads = lambda threads: nullcontext()  # type: ignore[method-assign]
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Where it is missing the tests are skipped, unless ISOGRAD_BROWSER=required."""
    from isograd.errors import UnsupportedError
    from isograd.pages.browser import chromium

    try:
        with chromium() as started:
            yield started
    except UnsupportedError as error:
        if os.environ.get("ISOGRAD_BROWSER") == "required":
            pytest.fail(str(error))
        pytest.skip(str(error))
