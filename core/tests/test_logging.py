"""What the library logs, and that it writes nothing to a stream of its own accord."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from isograd import Network, Softmax
from isograd.compilation import CompilationCache
from isograd.graph import Function, variable
from isograd.testing import ReferenceBackend

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*ROOT.glob("core/src/**/*.py"), *ROOT.glob("backends/*/src/**/*.py")]
# What is asked to print: the command line's output and log, and the chapter's program in its own words.
MAY_PRINT = ("isograd/cli/output.py", "isograd/cli/log.py", "isograd/network3/network.py")


def prints(source: str) -> Iterator[int]:
    """The lines that write to stdout or stderr, other than a module's when it is run as a program."""
    tree = ast.parse(source)
    program = "__name__ == '__main__'"
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == program)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "print",
            "sys.stdout.write",
            "sys.stderr.write",
        ):
            yield node.lineno


def test_the_library_prints_nothing() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        if not path.as_posix().endswith(MAY_PRINT)
        for line in prints(path.read_text(encoding="utf-8"))
    ]
    assert len(SOURCES) > 50
    assert found == []


def test_the_scan_for_prints_sees_them() -> None:
    assert list(prints("def f():\n    print(1)\n")) == [2]
    assert list(prints("import sys\nsys.stderr.write('x')\n")) == [2]
    assert list(prints("console.print(1)\nif __name__ == '__main__':\n    print(1)\n")) == []


def test_without_a_handler_of_the_programs_nothing_is_shown() -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("isograd").handlers)


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[tuple[str, str]]:
    return [(record.name, record.getMessage()) for record in caplog.records if record.levelno == level]


def test_training_logs_epochs_as_information_and_chunks_for_debugging(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = np.eye(4), [0, 1, 0, 1]
    with caplog.at_level(logging.DEBUG, "isograd"):
        network = Network([Softmax(2)], (4,), dtype="float64")
        history = network.SGD(data, 2, 3, 0.5, data, backend=ReferenceBackend())
    run = "isograd.training.run"
    told = messages(caplog, logging.INFO)
    assert {name for name, _ in told} == {run}
    assert told[0][1] == "training on reference from epoch 0 of 2, step 0 of 2"
    for (_, line), record in zip(told[1:3], history.epochs, strict=True):
        assert line.startswith(f"epoch {record.epoch}: cost {record.cost:.5g}, validation ")
    assert told[3:] == [(run, "stopped: completed")]
    details = messages(caplog, logging.DEBUG)
    chunks = [line.partition(" in ")[0] for name, line in details if name == run]
    assert chunks == [f"epoch {e}: steps {a} to {b} of 2" for e in (0, 1) for a, b in ((0, 1), (1, 2))]
    assert ("isograd.backend_choice", "backend reference on cpu, chosen by argument backend") in details


def test_only_what_is_compiled_is_logged_as_such(caplog: pytest.LogCaptureFixture) -> None:
    x = variable("x", (2,), "float64")
    cache, backend = CompilationCache(), ReferenceBackend()
    with caplog.at_level(logging.DEBUG, "isograd"):
        for _ in range(2):
            cache.compile(backend, Function({"x": x}, {"y": x + x}), "cpu")
    assert [name for name, _ in messages(caplog, logging.DEBUG)] == ["isograd.compilation"]
    assert "reference compiled" in caplog.text
