"""What docs/export.md shows is what happens."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isograd.graph import PRIMITIVES
from isograd.onnx import OPERATORS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "export.md"


def test_the_example_runs(
    library: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library("onnx")
    library("onnxruntime")
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    printed: list[Any] = []
    exec(compile(example, "export.md", "exec"), {"print": lambda *values: printed.extend(values)})
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
