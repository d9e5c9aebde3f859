"""A limit of threads that several contexts share holds for each, and is gone after the last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd.thread_limits import ThreadLimits


class Setting:
    """A process-wide number of threads, as frameworks have one."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def limit(self, threads: int) -> Callable[[], None]:
        if threads < 1:
            raise ValueError(threads)
        before, self.threads = self.threads, threads

        def restore() -> None:
            self.threads = before

        return restore


@given(original=st.integers(1, 9), moves=st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=12))
def test_the_smallest_holds_however_contexts_overlap(original: int, moves: list[tuple[bool, int]]) -> None:
    setting = Setting(original)
    limits = ThreadLimits(setting.limit)
    active: list[tuple[int, Any]] = []
    for enter, number in moves:
        if enter:
            active.append((number, limits(number)))
            active[-1][1].__enter__()
        elif active:
            _, context = active.pop(number % len(active))
            context.__exit__(None, None, None)
        assert setting.threads == min((asked for asked, _ in active), default=original)
    for _, context in active:
        context.__exit__(None, None, None)
    assert setting.threads == original


def test_an_error_inside_and_one_in_applying_it_leave_nothing_behind() -> None:
    setting = Setting(4)
    limits = ThreadLimits(setting.limit)
    with pytest.raises(KeyboardInterrupt), limits(2):
        raise KeyboardInterrupt
    with limits(3):
        with pytest.raises(ValueError, match="0"), limits(0):
            pass
        assert setting.threads == 3
    assert setting.threads == 4
