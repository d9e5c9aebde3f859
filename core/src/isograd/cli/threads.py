"""How many threads a command uses: one, unless it is told otherwise.

The matrices of small networks gain little from a second thread, and on a busy machine the threads wait for
each other. A command owns its process, so it may decide; the library leaves threads alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isograd.backend import Backend


def threads_for(backend: Backend, asked: int | None) -> int | None:
    """What was asked for, else one; None where the backend can not be held to a number."""
    if asked is None and backend.capabilities.limits_threads:
        return 1
    return asked


def one_thread(backend: Backend) -> AbstractContextManager[None]:
    """A context in which the backend uses one thread, if it can be held to that."""
    return backend.limit_threads(1) if backend.capabilities.limits_threads else nullcontext()
