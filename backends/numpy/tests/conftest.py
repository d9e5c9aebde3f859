"""Hypothesis's profile, and the backend; what is true of every backend is tested by isograd_conformance."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from isograd_conformance.subject import Subject
from isograd_numpy.backend import NumpyBackend

# "ci" repeats the same examples, "thorough" draws new ones and more: pytest --hypothesis-profile=thorough.
settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("ci"), derandomize=False, max_examples=500)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def backend() -> NumpyBackend:
    return NumpyBackend()


@pytest.fixture(scope="session")
def numpy(backend: NumpyBackend) -> Subject:
    """The backend as the checks of isograd_conformance take it."""
    return Subject("numpy", backend, "cpu")
