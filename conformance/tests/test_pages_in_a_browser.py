"""The suite's pages as Chromium shows them: complete, within the window, in light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from isograd import ConvPool, Network, Softmax, plugins
from isograd.backend import Backend
from isograd.graph import PRIMITIVES
from isograd.pages.browser import faults
from isograd.testing import ReferenceBackend
from isograd_conformance.crosscheck import check
from isograd_conformance.crosscheck.display import as_page as check_page
from isograd_conformance.report.display import MARKS
from isograd_conformance.report.display import as_page as matrix_page
from isograd_conformance.report.matrix import Environment, build
from isograd_conformance.report.records import Record
from isograd_conformance.strategies.networks import toy_digits

Make = Callable[..., Backend]
LONG = f"<b>{'a_name_without_a_space' * 12}</b>\n    {'and a line ' * 30}"


def matrix(make: Make) -> str:
    """A report with a row for each primitive, every status, and failures with long messages."""
    records = [
        Record(backend, row, primitive, judges, dtype, f"test_{row}[{dtype}]", elements=9, status=status)
        for backend in ("one", "two:device", "")
        for row, primitive in [*((name, True) for name in PRIMITIVES), ("updates", False)]
        for judges in ("forward", "gradient", "linear", "metamorphic", "extremes")
        for dtype, status in zip(("float32", "float64", "int32"), MARKS, strict=False)
    ]
    for record, status in zip(records, MARKS, strict=False):
        record.status, record.message, record.diagnosis = status, LONG, LONG
    environment = Environment({"isograd": "1", "NumPy": LONG}, {"one": {"version": LONG}}, "quick", 2.0, 7)
    return matrix_page(build(environment, records, False, False))


def crosscheck(make: Make) -> str:
    """A cross-check of two backends, one of which has a doubled tanh."""
    doubled = make(tanh=lambda x: 2 * np.tanh(x))
    doubled.name = "doubled"
    network = Network([ConvPool(3, window=3, activation="tanh"), Softmax(4)], (1, 12, 12), seed=1)
    names = [plugins.register_backend(backend.name, backend) for backend in (ReferenceBackend(), doubled)]
    try:
        return check_page(check(network, toy_digits(), backends=["reference", "doubled"], steps=1))
    finally:
        for name in names:
            plugins.unregister(name)


@pytest.fixture(scope="module", params=[matrix, crosscheck], ids=["matrix", "crosscheck"])
def page(
    request: pytest.FixtureRequest, table_backend: Make, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One of the pages."""
    path = tmp_path_factory.mktemp("pages") / "page.html"
    path.write_text(request.param(table_backend), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_shown_whole(
    browser: Any, page: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    assert faults(browser, page, scheme, width) == []
