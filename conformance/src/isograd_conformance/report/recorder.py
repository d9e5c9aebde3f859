"""The part of the pytest plugin that records what the suite's tests show, and reports it at the end."""

from __future__ import annotations

import json
import platform
from collections.abc import Generator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import pytest

from isograd.errors import FileFormatError
from isograd_conformance import options
from isograd_conformance.expected import ExpectedFailure, read_expected, unmatched
from isograd_conformance.report.records import PROPERTY, Record, records

if TYPE_CHECKING:
    from isograd_conformance.report.matrix import Report

SUITE = "isograd_conformance.suite"
# What stands for a pair where there is only one backend.
PAIRS = "pairs of backends"
SECTION = "where it parts from the reference"


class Recorder:
    """Records every test of the suite, and writes the report.

    Parameters
    ----------
    json_file, html_file : Path or None
        Where the report goes beside the terminal.
    expected : Path or None
        The file of expected failures.
    """

    def __init__(self, json_file: Path | None, html_file: Path | None, expected: Path | None) -> None:
        self._json, self._html = json_file, html_file
        self._expected = () if expected is None else read_expected(expected)
        self._deselected = 0

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self._deselected += sum(_in_suite(item) for item in items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuse entries that are of no test, but where only a part of the suite has been chosen."""
        ids = [item.nodeid for item in session.items if _in_suite(item)]
        if ids and not self._deselected:
            for entry in unmatched(self._expected, ids):
                raise pytest.UsageError(f"expected_failure {entry.test!r} matches no test of the suite")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if not _in_suite(item):
            return (yield)
        from isograd_conformance.bounds import tally

        assert isinstance(item, pytest.Function)
        tally.reset()
        # The same mapping is filled in when the test has run; each phase's report takes a copy of the list.
        item.stash[_VALUES] = asdict(_record(item))
        item.user_properties.append((PROPERTY, item.stash[_VALUES]))
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        try:
            return (yield)
        finally:
            if _VALUES in item.stash:
                _count(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if _VALUES in item.stash and call.when == "call":
            if report.failed and call.excinfo is not None:
                _explain(item, report, call.excinfo.value)
            for entry in self._expected:
                if entry.matches(item.nodeid):
                    _expect(report, entry, item.stash[_VALUES])
        return report

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Print the report, and write the files; worker processes have no terminal."""
        stats = terminalreporter.stats
        kinds = ("passed", "failed", "skipped", "error", "xfailed", "xpassed")
        found = records(r for kind in kinds for r in stats.get(kind, []) if hasattr(r, "user_properties"))
        if not found:
            return
        from rich.console import Console

        from isograd_conformance.report.display import as_page, print_report
        from isograd_conformance.report.matrix import build

        session = terminalreporter._session
        stopped = bool(session.shouldfail or session.shouldstop)
        left_out = self._deselected > 0 or _chosen_by_options(config) or bool(_missing_modules(found))
        report = build(_environment(), found, left_out, stopped)
        terminalreporter.section("isograd conformance")
        console = Console(
            width=max(terminalreporter._tw.fullwidth, 100), file=terminalreporter._tw._file,
            markup=False, highlight=False, emoji=False,
        )  # fmt: skip
        print_report(report, console, tables=config.get_verbosity() >= 0)
        self._write(report, as_page)

    def _write(self, report: Report, as_page: Any) -> None:
        from isograd.cli.folders import write_text

        if self._json is not None:
            write_text(self._json, json.dumps(report.to_dict(), indent=1, allow_nan=False))
        if self._html is not None:
            write_text(self._html, as_page(report))


# What the report of a test carries: its `Record` as plain data.
_VALUES = pytest.StashKey[dict[str, Any]]()


def _in_suite(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and item.module.__name__.startswith(SUITE)


def _record(item: pytest.Function) -> Record:
    """What a test is about, from its parameters, its marks and its module."""
    from isograd.graph import PRIMITIVES

    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    subject = parameters.get("subject", parameters.get("pair", ""))
    alone = "pair" in parameters and not subject
    backend = PAIRS if alone else " + ".join(subject) if isinstance(subject, tuple) else str(subject)
    area = item.module.__name__.rpartition(".test_")[2].replace("_", " ")
    name = parameters.get("name", parameters.get("layer", area))
    mark = item.get_closest_marker("judges")
    judges = str(mark.args[0]) if mark and mark.args else area
    dtype = parameters.get("dtype", "")
    primitive = name in PRIMITIVES
    return Record(
        backend, str(name) if isinstance(name, str) else area, primitive, judges, str(dtype), item.nodeid
    )


def _count(item: pytest.Item) -> None:
    """Fill in what the test has compared, in the record that the reports carry."""
    from isograd_conformance.bounds import tally
    from isograd_conformance.subject import Subject

    assert isinstance(item, pytest.Function)
    values = item.stash[_VALUES]
    values |= {name: getattr(tally, name) for name in ("elements", "vacuous", "unlikely", "worst")}
    values["dtypes"] = sorted(tally.dtypes)
    subject = item.funcargs.get("subject")
    if isinstance(subject, Subject) and values["dtype"]:
        values["declared"] = subject.declares(values["dtype"])


def _explain(item: pytest.Item, report: pytest.TestReport, error: BaseException) -> None:
    """Find the first node that is wrong, once, for the example that Hypothesis has made small."""
    from isograd_conformance.diagnosis import diagnose

    found = _disagreement(error)
    if found is None:
        return
    diagnosis = str(diagnose(found))
    report.sections.append((SECTION, diagnosis))
    item.stash[_VALUES]["diagnosis"] = diagnosis


def _disagreement(error: BaseException | None) -> Any:
    """The disagreement behind an exception: itself, one of a group, or what it was raised from."""
    from isograd_conformance.bounds import DisagreementError

    if isinstance(error, DisagreementError):
        return error if error.subject is not None else None
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_disagreement, error.exceptions)), None)
    return _disagreement(error.__cause__) if error is not None and error.__cause__ else None


def _expect(report: pytest.TestReport, entry: ExpectedFailure, values: dict[str, Any]) -> None:
    """Turn an expected failure's report into one; a test that passes must have its example still fail."""
    if report.skipped:
        return
    if report.passed:
        try:
            fails = entry.still_fails()
        except FileFormatError as error:
            report.outcome, report.longrepr = "failed", str(error)
            return
        if not fails:
            report.outcome = "failed"
            report.longrepr = (
                f"expected to fail ({entry.reason}), but it passes, and so does {entry.example.name}: "
                "remove the entry"
            )
            return
    report.outcome = "skipped"
    report.wasxfail = entry.reason
    values["message"] = entry.reason


def _chosen_by_options(config: pytest.Config) -> bool:
    """Whether options leave tests out; where workers collect, the main process does not see which."""
    names = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf")
    return any(config.getoption(name, None) for name in names)


def _missing_modules(found: list[Record]) -> set[str]:
    """The modules of the suite of which no test has run or been skipped."""
    from isograd_conformance import suite

    modules = {module.name for module in iter_modules(suite.__path__) if module.name.startswith("test_")}
    return modules - {Path(record.test.partition("::")[0]).stem for record in found}


def _environment() -> Any:
    import numpy as np

    from isograd import __version__, plugins
    from isograd_conformance.report.matrix import Environment
    from isograd_conformance.subject import Subject

    active = options.active()
    backends = {}
    for specification in active.backends:
        subject = Subject.choose(specification)
        capabilities = asdict(subject.capabilities)
        capabilities["dtypes"] = sorted(subject.capabilities.dtypes)
        backends[specification] = {
            "version": subject.backend.version,
            "device": subject.device,
            **capabilities,
        }
    versions = {
        "isograd-conformance": metadata.version("isograd-conformance"),
        "specification": str(plugins.SPECIFICATION),
        "isograd": __version__,
        "hypothesis": metadata.version("hypothesis"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    return Environment(versions, backends, active.profile, active.scale, active.seed)
