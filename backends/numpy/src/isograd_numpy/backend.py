"""The NumPy backend: the embedded default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from isograd.backend import Backend, Capabilities, Executable
from isograd.backend_checks import check_executable, check_steps, native_array
from isograd.graph import DTYPES, Function
from isograd.thread_limits import ThreadLimits
from isograd_numpy import __version__
from isograd_numpy.executable import NumpyExecutable

Array = npt.NDArray[Any]


def _limit(threads: int) -> Callable[[], None]:
    restore: Callable[[], None] = threadpool_limits(limits=threads, user_api="blas").restore_original_limits
    return restore


_limits = ThreadLimits(_limit)


class NumpyBackend(Backend):
    """Executes graphs with NumPy and the BLAS that it brings, on the CPU."""

    name = "numpy"
    version = f"{__version__} (NumPy {np.__version__})"
    capabilities = Capabilities(dtypes=frozenset(DTYPES), deterministic=True, fuses=True, limits_threads=True)

    def devices(self) -> list[str]:
        """The CPU alone."""
        return ["cpu"]

    def to_device(self, array: Array, device: str) -> Array:
        """The array itself, in this machine's byte order: data are used where they lie."""
        self.resolve_device(device)
        return native_array(self.name, array, self.capabilities.dtypes)

    def to_host(self, array: Array) -> Array:
        """The array itself."""
        return np.asarray(array)

    def compile(self, function: Function, device: str) -> NumpyExecutable:
        """Lower the function; buffers are laid out when it first runs."""
        return NumpyExecutable(function, self.resolve_device(device))

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        """Limits the BLAS libraries of the whole process, and puts their limits back afterwards."""
        return _limits(threads)

    def run_steps(
        self,
        executable: Executable,
        state: Mapping[str, Array],
        resident: Mapping[str, Array],
        per_step: Mapping[str, Array],
        steps: int,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """All steps in one straight line each, on the same buffers."""
        compiled = check_executable(executable, NumpyExecutable)
        return compiled.run_steps(state, resident, per_step, check_steps(steps, resident, per_step))
