"""What the README shows is what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def test_the_readme_shows_what_a_function_has_become(
    run_document: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run_document("backends/torch/README.md")
    assert "def " in capsys.readouterr().out
