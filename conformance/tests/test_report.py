"""The report of a run of the suite, what a failure says in it, and failures that are expected."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import plugins
from isograd.backend import Backend
from isograd_conformance.report.display import MARKS, as_page, cell_of
from isograd_conformance.report.matrix import ORDER, Cell, Environment, build
from isograd_conformance.report.records import Record
from isograd_conformance.strategies.networks import every_kind_of_layer
from isograd_conformance.subject import Subject

Make = Callable[..., Backend]
PRIMITIVE_TESTS = ("-k", "whatever_its_operands_are_made_of")
# So many examples that one has a tanh, whichever they are.
NETWORK_TESTS = ("-k", "step_of_a_random_network", "--conformance-scale", "20")


LAYERS = [type(layer).__name__ for layer in every_kind_of_layer()]


@pytest.fixture(scope="module", autouse=True)
def frameworks() -> None:
    """Import what a failure asks for its verdict: frameworks can not be imported anew in every inner run."""
    for name, descriptor in plugins.backend_descriptors().items():
        if not descriptor.missing():
            Subject.choose(name)


@pytest.fixture
def folder(unregistered: pytest.Pytester, table_backend: Make) -> Iterator[pytest.Pytester]:
    """A folder whose runs know also the backend "doubled", whose tanh is twice what it should be."""
    doubled = table_backend(tanh=lambda x: 2 * np.tanh(x))
    doubled.name = "doubled"
    plugins.register_backend("doubled", doubled)
    yield unregistered
    plugins.unregister("doubled")


def run(pytester: pytest.Pytester, backend: str, *arguments: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    """The suite, or the modules named, on a backend; and the report as JSON, empty where none was written."""
    modules = [] if any(a.startswith("isograd_conformance") for a in arguments) else ["isograd_conformance"]
    suite = ("-p", "no:cacheprovider", "--pyargs", *modules, "--backend", backend)
    path = pytester.path / "report.json"
    result = pytester.runpytest_inprocess(*suite, "--conformance-json", str(path), *arguments)
    return result, json.loads(path.read_text()) if path.exists() else {}


@pytest.mark.parametrize("arguments", [PRIMITIVE_TESTS, ("isograd_conformance.suite.test_transfers",)])
def test_a_part_of_the_suite_is_no_verdict(arguments: tuple[str, ...], folder: pytest.Pytester) -> None:
    result, report = run(folder, "reference", *arguments)
    assert result.ret == 0
    assert report["conforms"] is None
    assert report["left_out"] is True
    result.stdout.fnmatch_lines(["*no failure in a part of the suite, which is no verdict*"])


def test_a_failure_names_node_hint_and_other_backends_and_the_primitive_is_marked(
    folder: pytest.Pytester,
) -> None:
    result, report = run(folder, "doubled", "-k", "whatever_its_operands_are_made_of and tanh")
    assert result.ret == 1
    assert report["conforms"] is False
    failures = [r for r in report["records"] if r["status"] == "fail"]
    assert {(r["row"], r["dtype"]) for r in failures} == {("tanh", "float32"), ("tanh", "float64")}
    result.stdout.fnmatch_lines(
        [
            "*where it parts from the reference*",
            "doubled first parts from the reference at tanh, by itself.",
            "*node *tanh(x float32*",
            "*hint *exactly 2 times what is expected*",
            "*reference *agrees*",
            "*replay(specification, function, inputs, state)*",
        ]
    )


def test_a_failing_network_shrinks_to_the_smallest_and_its_node_is_named(folder: pytest.Pytester) -> None:
    """One layer with the activation, whatever its kind, and one row; nothing else of the network is left."""
    result, report = run(folder, "doubled", *NETWORK_TESTS)
    assert result.ret == 1
    text = result.stdout.str()
    drawn = text.partition("Failing test case")[2].partition("where it parts")[0]
    layers = re.findall(rf"\b({'|'.join(LAYERS)})\(", drawn)
    assert (len(layers), layers[-1]) == (2, "Softmax"), drawn
    assert all(part in drawn for part in ("'tanh'", "n_out=2", "rows=1", "lmbda=0.0", "momentum=0.0"))
    (failure,) = (r for r in report["records"] if r["status"] == "fail")
    assert "first parts from the reference at tanh" in failure["diagnosis"]
    assert "exactly 2 times" in failure["diagnosis"]


EXPECTED = """
[[expected_failure]]
test = "whatever_its_operands_are_made_of[{backend}-tanh-float32]"
reason = "its tanh is doubled"
example = "example.py"

[[expected_failure]]
test = "whatever_its_operands_are_made_of[{backend}-tanh-float64]"
reason = "its tanh is doubled in float64 too"
example = "example.py"
"""


@pytest.mark.parametrize(
    ("backend", "code", "passes"),
    [
        ("doubled", 1, True),  # the tests fail, as is expected
        ("reference", 1, True),  # they pass, but the example still shows the failure
        ("reference", 0, False),  # all is well: the entry is out of date
    ],
)
def test_an_expected_failure_is_strict(
    backend: str, code: int, passes: bool, folder: pytest.Pytester
) -> None:
    folder.makepyfile(example=f"raise SystemExit({code})")
    file = folder.path / "expected.toml"
    file.write_text(EXPECTED.format(backend=backend))
    arguments = ("--conformance-expected", str(file), "-k", "whatever_its_operands_are_made_of and tanh")
    result, report = run(folder, backend, *arguments)
    assert (result.ret == 0) == passes
    statuses = {r["status"] for r in report["records"]}
    assert statuses == ({"expected"} if passes else {"fail"})
    if passes:
        result.stdout.fnmatch_lines(["expected to fail: *its tanh is doubled*"])
    else:
        result.stdout.fnmatch_lines(["*remove the entry*"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "*expected_failure*tables"),
        ("[[expected_failure]]\ntest = 'x'\nexample = 'example.py'", "expected test, reason, example"),
        ("[[expected_failure]]\ntest = 'x'\nreason = ' '\nexample = 'example.py'", "reason is ' '"),
        ("[[expected_failure]]\ntest = 'x'\nreason = 'y'\nexample = 'none.py'", "no file beside it"),
        ("[[expected_failure]]\ntest = 'nothing'\nreason = 'y'\nexample = 'example.py'", "matches no test"),
        ("[[", "no TOML"),
    ],
)
def test_a_bad_file_of_expected_failures_is_refused(text: str, message: str, folder: pytest.Pytester) -> None:
    folder.makepyfile(example="raise SystemExit(1)")
    file = folder.path / "expected.toml"
    file.write_text(text)
    suite = ("-p", "no:cacheprovider", "--pyargs", "isograd_conformance.suite.test_transfers")
    result = folder.runpytest_inprocess(*suite, "--backend", "reference", "--conformance-expected", str(file))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}*"])


RECORDS = st.builds(
    Record,
    backend=st.sampled_from(["a", "b", "a + b", ""]),
    row=st.sampled_from(["exp", "updates"]),
    primitive=st.booleans(),
    judges=st.sampled_from(["forward", "gradient"]),
    dtype=st.sampled_from(["float32", "int32", ""]),
    test=st.text(st.characters(codec="ascii"), max_size=5),
    elements=st.integers(0, 10),
    worst=st.floats(0, 2) | st.just(float("inf")),
    status=st.sampled_from(sorted(MARKS)),
    message=st.sampled_from(["", "<b>&"]),
)


@given(st.lists(RECORDS, max_size=10))
def test_a_report_counts_every_record_once_and_shows_the_gravest(records: list[Record]) -> None:
    report = build(Environment({}, {}, "quick", 1.0), records, False, False)
    cells = [cell for matrix in report.matrices() for cell in matrix.cells]
    assert sum(cell.tests for cell in cells) == len(records)
    assert sum(cell.elements for cell in cells) == report.elements
    failed = any(record.status == "fail" for record in records)
    assert (report.conforms is False) == failed
    assert any(cell.status == "fail" for cell in cells) == failed
    json.dumps(report.to_dict(), allow_nan=False)
    assert "<b>&" not in as_page(report)
    shown = report._repr_html_()
    assert shown.startswith("<iframe ")
    assert shown.count("<") == 2
    assert html.unescape(shown.partition(' srcdoc="')[2].partition('"')[0]) == as_page(report)


@given(st.lists(st.sampled_from(ORDER), min_size=1))
def test_a_cell_shows_the_gravest_of_its_tests(statuses: list[Any]) -> None:
    cell = Cell()
    for status in statuses:
        cell.add(Cell(status, 1))
    assert cell.status == min(statuses, key=ORDER.index)
    assert cell.tests == len(statuses)


@given(st.sets(st.sampled_from(["float32", "float64"])), st.sampled_from(["float32", "float64", "int32"]))
def test_a_test_of_no_dtype_in_particular_is_shown_for_those_that_it_has_compared(
    compared: set[str], dtype: str
) -> None:
    cell = Cell("pass", 1, dtypes=frozenset(compared))
    assert (cell_of({"": cell}, dtype) is cell) == (dtype in compared)
    own = Cell("fail", 1)
    assert cell_of({"": cell, dtype: own}, dtype) is own
