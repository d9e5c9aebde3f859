"""What the documents on conformance show is what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isograd_conformance.faults.catalogue import structure

Blocks = Callable[..., Any]
RunDocument = Callable[..., dict[str, Any]]


def test_the_check_of_the_page_on_it_agrees(run_document: RunDocument) -> None:
    assert run_document("docs/check.md", **run_document("docs/index.md"))["result"].agrees


def test_the_fault_of_the_page_on_faults_is_made(run_document: RunDocument) -> None:
    run_document("docs/faults.md", **vars(structure))
