"""A limit of threads that several contexts share: for backends whose frameworks have one for the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["ThreadLimits"]


class ThreadLimits:
    """Limits a process-wide number of threads, for `Backend.limit_threads`, also where contexts overlap.

    Runs in several threads leave their contexts in any order. While any is active, the smallest number that
    is asked for holds; the last that ends restores what was there before the first began.

    Parameters
    ----------
    apply : callable
        ``apply(threads)`` limits the number now and returns a function that restores it. It is called in the
        thread that enters or leaves a context, for frameworks that keep the number by thread too.
    """

    def __init__(self, apply: Callable[[int], Callable[[], None]]) -> None:
        self._apply = apply
        self._lock = threading.Lock()
        self._asked: list[int] = []
        self._restore: Callable[[], None] | None = None

    @contextmanager
    def __call__(self, threads: int) -> Iterator[None]:
        """A context with at most so many."""
        with self._lock:
            restore = self._apply(min([*self._asked, threads]))
            self._asked.append(threads)
            self._restore = self._restore or restore
        try:
            yield
        finally:
            with self._lock:
                self._asked.remove(threads)
                self._leave()

    def _leave(self) -> None:
        if self._asked:
            self._apply(min(self._asked))
        elif self._restore is not None:
            self._restore()
            self._restore = None
