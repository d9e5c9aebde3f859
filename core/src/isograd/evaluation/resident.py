"""Evaluations of a data set that lies on the device, to be repeated with other parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.architecture import Architecture
from isograd.backend import Array, Executable
from isograd.backend_choice import BackendChoice
from isograd.compilation import compile_cached
from isograd.data import Dataset
from isograd.evaluation.functions import CHUNK_ROWS, evaluation_function
from isograd.graph import Function


def on_device(arrays: Mapping[str, npt.NDArray[Any]], choice: BackendChoice) -> dict[str, Array]:
    """Arrays as the backend's, by the same names."""
    backend, device = choice
    return {name: backend.to_device(array, device) for name, array in arrays.items()}


class Evaluator:
    """A compiled evaluation of one data set, which lies on the device from now on.

    Parameters
    ----------
    architecture : Architecture
    data : Dataset
    choice : BackendChoice
    wanted : sequence of str
        Which outputs of `evaluation_function`.
    """

    def __init__(
        self, architecture: Architecture, data: Dataset, choice: BackendChoice, wanted: Sequence[str]
    ) -> None:
        self._data = data
        self._backend, device = choice
        function = evaluation_function(architecture, data, len(data), wanted)
        self._executable = compile_cached(self._backend, function, device)
        read = {name: array for name, array in data.arrays().items() if name in function.inputs}
        self._resident = on_device(read, choice)
        size = min(len(data), CHUNK_ROWS)
        self._steps = -(-len(data) // size)
        # The last chunk is filled up with its last row, and what it gives for those is cut off.
        rows = np.minimum(np.arange(self._steps * size, dtype=np.int32), np.int32(len(data) - 1))
        self._rows = self._backend.to_device(rows.reshape(self._steps, size), device)

    def __call__(self, state: Mapping[str, Array]) -> dict[str, npt.NDArray[Any]]:
        """The outputs for every example, (n, ...); `state` is the network's, on the device."""
        outputs, _ = self._backend.run_steps(
            self._executable, state, self._resident, {"rows": self._rows}, self._steps
        )
        return {name: rows.reshape(-1, *rows.shape[2:])[: len(self._data)] for name, rows in outputs.items()}

    def accuracy(self, classes: npt.NDArray[Any]) -> float:
        """The fraction of examples of which `classes` gives the label."""
        return accuracy(self._data, classes)


class Parts:
    """A compiled function of some rows of a data set, which lies on the device from now on.

    Unlike in an `Evaluator` every example counts once, so that outputs may be of all rows of a step together.

    Parameters
    ----------
    make : callable
        The `Function` for a number of rows, with inputs as in `evaluation_function`.
    data : Dataset
    choice : BackendChoice
    """

    def __init__(self, make: Callable[[int], Function], data: Dataset, choice: BackendChoice) -> None:
        self._backend, device = choice
        self._resident = on_device(data.arrays(), choice)
        self._parts: list[tuple[Executable, Array, int]] = []
        whole, rest = divmod(len(data), CHUNK_ROWS)
        for first, steps, rows in ((0, whole, CHUNK_ROWS), (whole * CHUNK_ROWS, 1, rest)):
            if steps and rows:
                executable = compile_cached(self._backend, make(rows), device)
                places = np.arange(first, first + steps * rows, dtype=np.int32).reshape(steps, rows)
                self._parts.append((executable, self._backend.to_device(places, device), steps))

    def __call__(self, state: Mapping[str, Array]) -> list[dict[str, npt.NDArray[Any]]]:
        """The outputs with a leading axis for the steps: of `CHUNK_ROWS` rows each, then of the rest."""
        return [
            self._backend.run_steps(executable, state, self._resident, {"rows": rows}, steps)[0]
            for executable, rows, steps in self._parts
        ]


def accuracy(data: Dataset, classes: npt.NDArray[Any]) -> float:
    """The fraction of a data set of which `classes`, (n,), gives the label."""
    return int(np.count_nonzero(classes == data.labels)) / len(data)


def mean_cost(costs: npt.NDArray[Any]) -> float:
    """The mean of the examples' costs, summed in double precision."""
    return float(np.mean(costs, dtype=np.float64))
