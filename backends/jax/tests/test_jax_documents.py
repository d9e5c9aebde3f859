"""What the documents show of JAX is what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

RunDocument = Callable[..., dict[str, Any]]


def test_the_page_on_programs_that_embed_a_network_shows_what_happens(run_document: RunDocument) -> None:
    assert "as_function" in run_document("docs/torch-and-jax.md", only="isograd_jax")
