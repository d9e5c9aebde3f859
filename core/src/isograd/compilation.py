"""The cache of what backends compile."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from isograd.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from isograd.backend import Backend, Executable
    from isograd.graph.function import Function


logger = logging.getLogger(__name__)


class CompilationCache:
    """Compiled functions, the least recently used dropped first. It may be used from any thread.

    The key is the function's digest (its graph, names, shapes and dtypes), the device, the backend object
    with its `compilation_key`, and for native gradients what is differentiated. Threads that ask for the same
    at once compile it once; a compilation that fails is not kept.

    Parameters
    ----------
    maxsize : int
        How many compiled functions are kept, at least 1.
    """

    def __init__(self, maxsize: int = 128) -> None:
        if not isinstance(maxsize, int) or isinstance(maxsize, bool):
            raise ArgumentTypeError(f"maxsize is {maxsize!r}; expected an int")
        if maxsize < 1:
            raise ArgumentError(f"maxsize is {maxsize}; expected at least 1")
        self._maxsize = maxsize
        self._lock = threading.Lock()
        # The backend is kept beside what it compiled: its id is in the key and must not be given out anew.
        self._entries: OrderedDict[Hashable, tuple[Backend, Future[Executable]]] = OrderedDict()

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def clear(self) -> None:
        """Forget everything; executables in use stay valid."""
        with self._lock:
            self._entries.clear()

    def compile(self, backend: Backend, function: Function, device: str) -> Executable:
        """As `Backend.compile`, once for each key."""
        return self._get(backend, function, device, None, lambda: backend.compile(function, device))

    def compile_native_gradient(
        self, backend: Backend, function: Function, cost: str, wrt: Sequence[str], device: str
    ) -> Executable:
        """As `Backend.compile_native_gradient`, once for each key."""
        return self._get(
            backend,
            function,
            device,
            (cost, tuple(wrt)),
            lambda: backend.compile_native_gradient(function, cost, wrt, device),
        )

    def _get(
        self,
        backend: Backend,
        function: Function,
        device: str,
        gradient: Hashable,
        make: Callable[[], Executable],
    ) -> Executable:
        key = (id(backend), backend.compilation_key(device), device, gradient, function.digest)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                compiled: Future[Executable] = Future()
                self._entries[key] = backend, compiled
                if len(self._entries) > self._maxsize:
                    self._entries.popitem(last=False)
            else:
                self._entries.move_to_end(key)
        if entry is not None:
            return entry[1].result()
        started = time.perf_counter()
        try:
            compiled.set_result(make())
        except BaseException as error:
            with self._lock:
                if self._entries.get(key) == (backend, compiled):
                    del self._entries[key]
            compiled.set_exception(error)
            raise
        seconds = time.perf_counter() - started
        logger.debug("%s compiled %.12s for %s in %.3f s", backend.name, function.digest, device, seconds)
        return compiled.result()


# What the whole process has compiled; a run that needs its own bounds makes its own cache.
compiled_functions = CompilationCache()
compile_cached = compiled_functions.compile
