"""The records of a run, added up: primitive by property by dtype, and areas by property."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from isograd.cli.output import plain_data
from isograd.graph import DTYPES
from isograd.pages.fragments import frame
from isograd_conformance.report.records import Record, Status

# From the gravest: a cell shows the first that any of its tests has.
ORDER: tuple[Status, ...] = ("fail", "expected", "vacuous", "pass", "unsupported", "not run")


@dataclass(frozen=True)
class Environment:
    """On what the verdict rests.

    Attributes
    ----------
    versions : dict of str to str
        Of the suite, the specification and what else computes.
    backends : dict of str to dict
        By specification: version and capabilities.
    profile : str
    scale : float
    seed : int or None
        Of the examples, where one was given.
    """

    versions: dict[str, str]
    backends: dict[str, dict[str, Any]]
    profile: str
    scale: float
    seed: int | None = None


@dataclass
class Cell:
    """All tests of one row, property and dtype."""

    status: Status = "not run"
    tests: int = 0
    elements: int = 0
    vacuous: int = 0
    worst: float = 0.0
    dtypes: frozenset[str] = frozenset()

    def add(self, other: Cell) -> None:
        """Count further tests."""
        self.status = min(self.status, other.status, key=ORDER.index) if self.tests else other.status
        self.tests += other.tests
        self.elements += other.elements
        self.vacuous += other.vacuous
        self.worst = max(self.worst, other.worst)
        self.dtypes |= other.dtypes


@dataclass
class Matrix:
    """One backend's cells, by row, property and dtype ("" where a test is of none in particular)."""

    backend: str
    primitives: dict[str, dict[str, dict[str, Cell]]] = field(default_factory=dict)
    areas: dict[str, dict[str, dict[str, Cell]]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        part = self.primitives if record.primitive else self.areas
        columns = part.setdefault(record.row, {})
        cell = columns.setdefault(record.judges, {}).setdefault(record.dtype, Cell())
        cell.add(
            Cell(record.status, 1, record.elements, record.vacuous, record.worst, frozenset(record.dtypes))
        )

    @property
    def cells(self) -> list[Cell]:
        """All cells."""
        parts = (self.primitives, self.areas)
        return [
            c for part in parts for row in part.values() for column in row.values() for c in column.values()
        ]

    @property
    def tests(self) -> int:
        """How many tests there are."""
        return sum(cell.tests for cell in self.cells)

    @property
    def passes(self) -> bool:
        """Whether all of them pass."""
        return all(cell.status == "pass" for cell in self.cells)

    @property
    def properties(self) -> list[str]:
        """The properties that primitives are judged by, those of most primitives first."""
        return [name for name, _ in Counter(n for row in self.primitives.values() for n in row).most_common()]

    @property
    def dtypes(self) -> list[str]:
        """Those that appear, in the specification's order."""
        seen = {dtype for row in self.primitives.values() for column in row.values() for dtype in column}
        return [dtype for dtype in DTYPES if dtype in seen]


@dataclass
class Report:
    """A whole run.

    Attributes
    ----------
    environment : Environment
    records : list of Record
    left_out : bool
        Whether tests were left out, by options such as -k or by naming a part of the suite: the run is then
        no verdict.
    stopped : bool
        Whether the run ended before all tests had run.
    """

    environment: Environment
    records: list[Record]
    left_out: bool = False
    stopped: bool = False

    def matrices(self) -> list[Matrix]:
        """One for each backend, each pair and, without a name, the specification itself."""
        found: dict[str, Matrix] = {}
        for record in self.records:
            found.setdefault(record.backend, Matrix(record.backend)).add(record)
        return list(found.values())

    def having(self, *statuses: Status) -> list[Record]:
        """The records with one of these statuses."""
        return [record for record in self.records if record.status in statuses]

    @property
    def elements(self) -> int:
        """How many numbers were compared."""
        return sum(record.elements for record in self.records)

    @property
    def vacuous(self) -> float:
        """The share of them whose bound proves nothing."""
        return sum(record.vacuous for record in self.records) / max(self.elements, 1)

    @property
    def unlikely(self) -> int:
        """How many arrays agree, but are farther off than independent roundings would take them."""
        return sum(record.unlikely for record in self.records)

    @property
    def worst(self) -> float:
        """The largest err/E of what passed."""
        return max((r.worst for r in self.records if r.status != "fail"), default=0.0)

    @property
    def conforms(self) -> bool | None:
        """The verdict; None where not all of the suite has run."""
        if self.having("fail"):
            return False
        return None if self.left_out or self.stopped else True

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        failed, expected = len(self.having("fail")), len(self.having("expected"))
        backends = ", ".join(self.environment.backends) or "the specification"
        if failed:
            return f"{backends}: does not conform: {_tests(failed)} failed"
        if self.conforms is None:
            return f"{backends}: no failure in a part of the suite, which is no verdict"
        if expected:
            return f"{backends}: conforms, but for {_tests(expected)} expected to fail"
        return f"{backends}: conforms"

    def _repr_html_(self) -> str:
        """The page of the report, for a notebook. Raises UnsupportedError if Jinja is not installed."""
        from isograd_conformance.report.display import as_page

        return frame(as_page(self), self.sentence)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        whole: dict[str, Any] = plain_data(
            {
                "verdict": self.sentence,
                "conforms": self.conforms,
                **asdict(self.environment),
                "elements": self.elements,
                "vacuous": self.vacuous,
                "unlikely": self.unlikely,
                "worst": self.worst,
                "left_out": self.left_out,
                "stopped": self.stopped,
                "records": [asdict(record) for record in self.records],
            }
        )
        return whole


def build(environment: Environment, records: Iterable[Record], left_out: bool, stopped: bool) -> Report:
    """The report of a run: records in the order of backend, area and row."""
    return Report(environment, _sorted(list(records)), left_out, stopped)


def _sorted(records: Sequence[Record]) -> list[Record]:
    """Primitives by name; everything else in the order of the tests, which workers may mix up."""
    return sorted(records, key=lambda r: (r.backend == "", r.backend, not r.primitive, r.row, r.test))


def _tests(number: int) -> str:
    return f"{number} test{'' if number == 1 else 's'}"
