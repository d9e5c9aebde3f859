"""What the documents show of PyTorch is what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

RunDocument = Callable[..., dict[str, Any]]


def test_the_page_on_programs_that_embed_a_network_shows_what_happens(run_document: RunDocument) -> None:
    assert "as_module" in run_document("docs/torch-and-jax.md", only="isograd_torch")


def test_the_readme_shows_what_a_function_has_become(
    run_document: RunDocument, capsys: pytest.CaptureFixture[str]
) -> None:
    run_document("backends/torch/README.md", only="import")
    assert "def " in capsys.readouterr().out
