"""What tests of several distributions need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Where it is missing the tests are skipped, unless ISOGRAD_BROWSER=required."""
    from isograd.errors import UnsupportedError
    from isograd.pages.browser import chromium

    try:
        with chromium() as started:
            yield started
    except UnsupportedError as error:
        if os.environ.get("ISOGRAD_BROWSER") == "required":
            pytest.fail(str(error))
        pytest.skip(str(error))
