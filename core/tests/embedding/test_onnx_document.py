"""What docs/export.md shows is what happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from isograd.graph import PRIMITIVES
from isograd.onnx import OPERATORS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "export.md"


def test_the_example_runs(library: Callable[[str], Any], run_document: Callable[..., Any]) -> None:
    library("onnx")
    library("onnxruntime")
    printed: list[Any] = []
    run_document("docs/export.md", print=lambda *values: printed.extend(values))
    shape, classes, input_shape = printed
    assert (shape, classes.shape, input_shape) == ((3, 10), (3,), "[1, 28, 28]")


def test_the_table_of_operators_is_that_of_the_lowerings() -> None:
    rows = [
        f"| `{primitive}` | {' '.join(f'`{operator}`' for operator in OPERATORS[primitive]) or 'nothing'} |"
        for primitive in PRIMITIVES
        if primitive in OPERATORS
    ]
    table = "\n".join(["| primitive | ONNX operators |", "|---|---|", *rows])
    assert table in PAGE.read_text(encoding="utf-8")
