"""Other libraries that isograd is embedded in, and a backend; where one is missing the tests are skipped."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest


@pytest.fixture(scope="session")
def library() -> Callable[[str], Any]:
    """library(name): the imported library. With ISOGRAD_EMBEDDING=required a missing one fails the test."""

    def find(name: str) -> Any:
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if os.environ.get("ISOGRAD_EMBEDDING") == "required":
                pytest.fail(str(error))
            pytest.skip(str(error))

    return find
