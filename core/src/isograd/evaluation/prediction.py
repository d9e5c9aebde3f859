"""Outputs for any number of examples, which pass through the device a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.architecture import Architecture
from isograd.backend import Array
from isograd.backend_choice import BackendChoice
from isograd.compilation import compile_cached
from isograd.data import Dataset, as_dataset
from isograd.evaluation.functions import CHUNK_ROWS, evaluation_function, image_shape


def as_examples(architecture: Architecture, x: npt.ArrayLike | Dataset) -> Dataset:
    """Examples of the network's input shape, (n, *features), to predict: an array gets labels of 0.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If `x` is no such data; the message calls it x.
    """
    if isinstance(x, Dataset):
        data = x
    else:
        examples = len(x) if isinstance(x, Sized) else 0
        data = as_dataset((x, np.zeros(examples, np.int32)), "x")
    architecture.check_features(data.feature_shape, "x")
    return data


def predict(
    architecture: Architecture,
    data: Dataset,
    choice: BackendChoice,
    state: Mapping[str, Array],
    wanted: Sequence[str],
    shifts: int = 0,
) -> dict[str, npt.NDArray[Any]]:
    """Outputs of `evaluation_function` for every example, each (n, ...).

    With shifts what is predicted is the mean over all (2 * shifts + 1)**2 of them, and the class is the
    first of the largest mean. The data pass through the device a chunk at a time: one compiled function
    serves any number of them.
    """
    if shifts:
        mean = _mean_predicted(architecture, data, choice, state, shifts)
        both = {"predicted": mean, "class": mean.argmax(axis=1).astype(np.int32)}
        return {name: both[name] for name in wanted}
    backend, device = choice
    executable = compile_cached(backend, evaluation_function(architecture, data, CHUNK_ROWS, wanted), device)
    rows = backend.to_device(np.arange(CHUNK_ROWS, dtype=np.int32)[np.newaxis], device)
    results: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in wanted}
    for resident, size in _chunks(data, choice):
        outputs, _ = backend.run_steps(executable, state, resident, {"rows": rows}, 1)
        for name, found in results.items():
            found.append(outputs[name][0, :size])
    return {name: np.concatenate(found) for name, found in results.items()}


def _mean_predicted(
    architecture: Architecture, data: Dataset, choice: BackendChoice, state: Mapping[str, Array], shifts: int
) -> npt.NDArray[Any]:
    """(n, classes) of the network's dtype; the mean is taken in double precision.

    A run has the shifts to the side, one a step, of a chunk that is shifted up or down by as much.
    """
    backend, device = choice
    function = evaluation_function(architecture, data, CHUNK_ROWS, ["predicted"], shifts)
    executable = compile_cached(backend, function, device)
    _, height, width = image_shape(architecture, data)
    ways = 2 * shifts + 1
    first = np.arange(ways, dtype=np.int32)[:, np.newaxis]
    columns = backend.to_device(first + np.arange(width, dtype=np.int32), device)
    rows = backend.to_device(np.tile(np.arange(CHUNK_ROWS, dtype=np.int32), (ways, 1)), device)
    results = []
    for resident, size in _chunks(data, choice):
        total = np.zeros((CHUNK_ROWS, *architecture.output_shape))
        for down in range(ways):
            lines = np.tile(np.arange(down, down + height, dtype=np.int32), (ways, 1))
            per_step = {"rows": rows, "columns": columns, "lines": backend.to_device(lines, device)}
            outputs, _ = backend.run_steps(executable, state, resident, per_step, ways)
            total += outputs["predicted"].sum(axis=0, dtype=np.float64)
        results.append((total[:size] / ways**2).astype(architecture.dtype))
    return np.concatenate(results)


def _chunks(data: Dataset, choice: BackendChoice) -> Iterator[tuple[dict[str, Array], int]]:
    """The inputs on the device, `CHUNK_ROWS` at a time, and how many of these are the data set's own."""
    backend, device = choice
    for start in range(0, len(data), CHUNK_ROWS):
        part = data.inputs[start : start + CHUNK_ROWS]
        missing = [(0, CHUNK_ROWS - len(part)), *[(0, 0)] * (part.ndim - 1)]
        yield {"inputs": backend.to_device(np.pad(part, missing, mode="edge"), device)}, len(part)
