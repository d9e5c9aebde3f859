"""What one test of the suite has shown, as plain data that travels from a worker process to the main one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import pytest

# Under this name a record is among a test report's user properties.
PROPERTY = "isograd-conformance"

Status = Literal["pass", "fail", "expected", "unsupported", "vacuous", "not run"]


@dataclass
class Record:
    """One test on one backend, or on a pair.

    Attributes
    ----------
    backend : str
        The specification; of a pair both, with " + " between; "" for a test of the specification itself.
    row : str
        The primitive or layer, or else the area: the name of the test's module.
    primitive : bool
        Whether the row is a primitive of the table.
    judges : str
        The property.
    dtype : str
        Or "" where the test is of none in particular.
    test : str
        Its node identifier.
    dtypes : list of str
        Of what it has compared.
    declared : bool
        Whether the backend declares the dtype.
    elements, vacuous, unlikely : int
    worst : float
        As in `bounds.Tally`.
    status : str
    message, diagnosis : str
        Of a failure or an expected one.
    """

    backend: str
    row: str
    primitive: bool
    judges: str
    dtype: str
    test: str
    dtypes: list[str] = field(default_factory=list)
    declared: bool = True
    elements: int = 0
    vacuous: int = 0
    unlikely: int = 0
    worst: float = 0.0
    status: Status = "not run"
    message: str = ""
    diagnosis: str = ""


def records(reports: Iterable[pytest.TestReport]) -> list[Record]:
    """The record of each test, from the reports of its phases: what failed counts, else the call."""
    found: dict[str, Record] = {}
    for report in reports:
        values = dict(report.user_properties).get(PROPERTY)
        if values is None:
            continue
        record = Record(**cast("dict[str, Any]", values))
        record.status = _status(report, record)
        if record.status in ("fail", "expected") and not record.message:
            record.message = _message(report)
        before = found.get(report.nodeid)
        if before is None or before.status != "fail":
            found[report.nodeid] = record
    return list(found.values())


def _status(report: pytest.TestReport, record: Record) -> Status:
    if getattr(report, "wasxfail", None) is not None and report.skipped:
        return "expected"
    if report.failed:
        return "fail"
    if report.skipped:
        return "unsupported" if "does not declare" in str(report.longrepr) else "not run"
    if not record.declared:
        return "unsupported"
    # Vacuous is a test none of whose numbers has proved anything.
    return "vacuous" if record.elements and record.vacuous == record.elements else "pass"


def _message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(getattr(crash, "message", None) or report.longrepr or "")
