"""A compiled Function: a pure function of arrays, which several threads may call at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.backend_checks import check_primitives
from isograd.graph import Function, simplify
from isograd_numpy.lowering import LOWERINGS
from isograd_numpy.plan import Plan
from isograd_numpy.program import make_plan

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

# As many plans are kept for reuse as threads are likely to call at once; each holds its own scratch memory.
_IDLE_PLANS = 4
# Larger resident arrays are used where they lie, by a plan made for them; smaller ones are copied.
_BOUND_BYTES = 2**22


class NumpyExecutable:
    """A Function and the plans that run it, one for each caller at a time.

    Attributes
    ----------
    function : Function
    device : str
    """

    def __init__(self, function: Function, device: str) -> None:
        self.function = function
        self.device = device
        self._simplified = simplify(function)
        check_primitives("numpy", self._simplified, LOWERINGS)
        self._idle: list[tuple[dict[str, Array], Plan]] = []
        self._lock = threading.Lock()

    def __call__(self, inputs: Arrays, state: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
        """The outputs and the new state, in fresh memory. Raises as `isograd.backend.Executable` says."""
        self.function.check_call(inputs, state)
        with self._plan({}) as plan:
            _fill(plan.inputs, inputs)
            _fill(plan.state, state)
            with np.errstate(all="ignore"):
                plan.run()
            return _copies(plan.outputs), _copies(plan.state)

    def run_steps(
        self, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """As `Backend.run_steps`: the state stays in the plan's buffers from the first step to the last."""
        self.function.check_run(state, resident, per_step, steps)
        bound = {name: array for name, array in resident.items() if array.nbytes >= _BOUND_BYTES}
        with self._plan(bound) as plan:
            _fill(plan.state, state)
            _fill(plan.inputs, {name: array for name, array in resident.items() if name not in bound})
            stacked = {n: np.empty((steps, *v.shape), v.dtype) for n, v in plan.outputs.items()}
            feeds = [(plan.inputs[name], rows) for name, rows in per_step.items()]
            results = [(stacked[name], value) for name, value in plan.outputs.items()]
            with np.errstate(all="ignore"):
                _loop(plan.calls, feeds, results, steps)
            return stacked, _copies(plan.state)

    @contextmanager
    def _plan(self, resident: Arrays) -> Iterator[Plan]:
        """A plan for the caller alone, bound to these resident arrays; made when none is idle."""
        bound = dict(resident)
        with self._lock:
            fitting = [i for i, (arrays, _) in enumerate(self._idle) if _same_objects(arrays, bound)]
            plan = self._idle.pop(fitting[-1])[1] if fitting else None
        plan = plan or make_plan(self._simplified, bound)
        yield plan
        with self._lock:
            self._idle = [*self._idle, (bound, plan)][-_IDLE_PLANS:]


def _same_objects(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(a[name] is b[name] for name in a)


def _loop(
    calls: list[Callable[[], object]],
    feeds: list[tuple[Array, Array]],
    results: list[tuple[Array, Array]],
    steps: int,
) -> None:
    copy = np.copyto
    for step in range(steps):
        for buffer, rows in feeds:
            copy(buffer, rows[step])
        for call in calls:
            call()
        for rows, value in results:
            rows[step] = value


def _fill(buffers: dict[str, Array], values: Arrays) -> None:
    for name, value in values.items():
        np.copyto(buffers[name], value)


def _copies(arrays: Arrays) -> dict[str, Array]:
    """Fresh arrays in C order, however the plan lays its own out."""
    return {name: np.array(array, order="C") for name, array in arrays.items()}
