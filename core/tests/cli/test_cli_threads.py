"""A command keeps to one thread unless it is told otherwise, on backends that can be held to a number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from isograd.cli.threads import one_thread, threads_for
from isograd.testing import ReferenceBackend


class Limited(ReferenceBackend):
    """Notes the limits that it is given."""

    capabilities = replace(ReferenceBackend.capabilities, limits_threads=True)

    def __init__(self) -> None:
        self.limits: list[int] = []

    @contextmanager
    def limit_threads(self, threads: int) -> Iterator[None]:
        self.limits.append(threads)
        yield


@pytest.mark.parametrize(("asked", "given"), [(None, 1), (1, 1), (4, 4)])
def test_one_thread_is_the_default_where_there_is_a_limit(asked: int | None, given: int) -> None:
    assert threads_for(Limited(), asked) == given


@pytest.mark.parametrize("asked", [None, 2])
def test_a_backend_without_a_limit_gets_what_was_asked_for_and_may_refuse(asked: int | None) -> None:
    assert threads_for(ReferenceBackend(), asked) == asked


def test_evaluation_is_held_to_one_thread_where_that_is_possible() -> None:
    backend = Limited()
    with one_thread(backend):
        assert backend.limits == [1]
    with one_thread(ReferenceBackend()):
        pass
