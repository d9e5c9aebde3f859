"""A network applied to a whole data set, a fixed number of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.architecture import Architecture
from isograd.backend import Array
from isograd.backend_choice import BackendChoice
from isograd.compilation import compile_cached
from isograd.data import Dataset
from isograd.errors import ArgumentError, ShapeError
from isograd.graph import (
    Function,
    Tensor,
    argmax,
    gather,
    grad,
    log_likelihood,
    pad,
    simplify,
    softmax,
    variable,
)
from isograd.graph.tensor import Shape
from isograd.training.checks import whole

# One size for all, so that one compiled function serves any number of examples.
CHUNK_ROWS = 250


def evaluation_function(
    architecture: Architecture, data: Dataset, examples: int, wanted: Sequence[str], shifts: int = 0
) -> Function:
    """The network in mode "evaluate" on some rows of resident data: `CHUNK_ROWS`, or all if they are fewer.

    Inputs: resident "inputs" (examples, *features) of the data's dtype and, for "cost", "labels" int32
    (examples,); changing "rows" int32 (rows,), and with shifts "lines" int32 (height,) and "columns" int32
    (width,), which of the lines and columns of each image, with `shifts` more of zeros on every side, are to
    be its own. State: parameters and layer state, by path.

    Outputs, those that are wanted, with one row an example: "class" int32 (rows,), the first of the largest
    outputs; "probabilities" (rows, classes), the softmax; "cost" (rows,), the log-likelihood cost.
    """
    inputs, state, z = _forward(architecture, data, examples, min(examples, CHUNK_ROWS), shifts)
    outputs: dict[str, Tensor] = {}
    if "class" in wanted:
        outputs["class"] = argmax(z, axis=1)
    if "probabilities" in wanted:
        outputs["probabilities"] = softmax(z)
    if "cost" in wanted:
        outputs["cost"] = _costs(inputs, z, examples)
    return simplify(Function(inputs, outputs, state))


def _forward(
    architecture: Architecture, data: Dataset, examples: int, rows: int, shifts: int = 0
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Inputs and state of the network in mode "evaluate" on some rows, and its output."""
    inputs = {
        "inputs": variable("inputs", (examples, *data.feature_shape), data.inputs.dtype.name),
        "rows": variable("rows", (rows,), "int32"),
    }
    state = architecture.variables()
    images = gather(inputs["inputs"], inputs["rows"])
    if shifts:
        images = images.reshape(rows, *image_shape(architecture, data))
        inputs["lines"] = variable("lines", images.shape[2:3], "int32")
        inputs["columns"] = variable("columns", images.shape[3:], "int32")
        images = _moved(images, shifts, inputs["lines"], inputs["columns"])
    x = architecture.read(images, data.scale)
    return inputs, state, architecture.forward(x, state, state, "evaluate", {})[0][-1]


def _moved(images: Tensor, shifts: int, lines: Tensor, columns: Tensor) -> Tensor:
    """Lines and columns, by number, of images (rows, channels, height, width) with zeros around them."""
    around = (0, 0, shifts, shifts)
    x = pad(images, low=around, high=around, interior=(0, 0, 0, 0))
    x = gather(x.transpose(2, 3, 0, 1), lines)
    x = gather(x.transpose(1, 0, 2, 3), columns)
    return x.transpose(2, 3, 1, 0)


def image_shape(architecture: Architecture, data: Dataset) -> Shape:
    """(channels, height, width) of a data set's examples, by the network's input or else by their own shape.

    Raises
    ------
    ShapeError
        If neither has three axes.
    """
    for shape in (architecture.input_shape, data.feature_shape):
        if len(shape) == 3:
            return shape
    raise ShapeError(
        f"shifts needs images (channels, height, width); the network's input_shape is "
        f"{list(architecture.input_shape)}, and the examples have the shape {list(data.feature_shape)}"
    )


def checked_shifts(architecture: Architecture, data: Dataset, shifts: object) -> int:
    """The argument `shifts`: 0, or of images a whole number below their height and width."""
    checked = whole("shifts", shifts, 0)
    if checked:
        _, height, width = image_shape(architecture, data)
        if checked >= min(height, width):
            raise ArgumentError(
                f"shifts is {checked}; expected less than the images' height and width, {height} and {width}"
            )
    return checked


def _costs(inputs: dict[str, Tensor], z: Tensor, examples: int) -> Tensor:
    """The log-likelihood cost of each row; "labels" joins the inputs."""
    inputs["labels"] = variable("labels", (examples,), "int32")
    return log_likelihood(z, gather(inputs["labels"], inputs["rows"]))


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
        arrays = {"inputs": data.inputs, "labels": data.labels}
        self._resident = {
            name: self._backend.to_device(array, device)
            for name, array in arrays.items()
            if name in function.inputs
        }
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


def accuracy(data: Dataset, classes: npt.NDArray[Any]) -> float:
    """The fraction of a data set of which `classes`, (n,), gives the label."""
    return int(np.count_nonzero(classes == data.labels)) / len(data)


def predict(
    architecture: Architecture,
    data: Dataset,
    choice: BackendChoice,
    state: Mapping[str, Array],
    wanted: str,
    shifts: int = 0,
) -> npt.NDArray[Any]:
    """One output of `evaluation_function` for every example, (n, ...).

    With shifts the probabilities are the mean over all (2 * shifts + 1)**2 of them, and the class is the
    first of the largest mean. The data pass through the device a chunk at a time: one compiled function
    serves any number of them.
    """
    if shifts:
        mean = _mean_probabilities(architecture, data, choice, state, shifts)
        return mean if wanted == "probabilities" else mean.argmax(axis=1).astype(np.int32)
    backend, device = choice
    executable = compile_cached(
        backend, evaluation_function(architecture, data, CHUNK_ROWS, [wanted]), device
    )
    rows = backend.to_device(np.arange(CHUNK_ROWS, dtype=np.int32)[np.newaxis], device)
    results = []
    for resident, size in _chunks(data, choice):
        outputs, _ = backend.run_steps(executable, state, resident, {"rows": rows}, 1)
        results.append(outputs[wanted][0, :size])
    return np.concatenate(results)


def _mean_probabilities(
    architecture: Architecture, data: Dataset, choice: BackendChoice, state: Mapping[str, Array], shifts: int
) -> npt.NDArray[Any]:
    """(n, classes) of the network's dtype; the mean is taken in double precision.

    A run has the shifts to the side, one a step, of a chunk that is shifted up or down by as much.
    """
    backend, device = choice
    function = evaluation_function(architecture, data, CHUNK_ROWS, ["probabilities"], shifts)
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
            total += outputs["probabilities"].sum(axis=0, dtype=np.float64)
        results.append((total[:size] / ways**2).astype(architecture.dtype))
    return np.concatenate(results)


def _chunks(data: Dataset, choice: BackendChoice) -> Iterator[tuple[dict[str, Array], int]]:
    """The inputs on the device, `CHUNK_ROWS` at a time, and how many of these are the data set's own."""
    backend, device = choice
    for start in range(0, len(data), CHUNK_ROWS):
        part = data.inputs[start : start + CHUNK_ROWS]
        missing = [(0, CHUNK_ROWS - len(part)), *[(0, 0)] * (part.ndim - 1)]
        yield {"inputs": backend.to_device(np.pad(part, missing, mode="edge"), device)}, len(part)


def gradients(
    architecture: Architecture, data: Dataset, choice: BackendChoice, state: Mapping[str, Array]
) -> dict[str, npt.NDArray[Any]]:
    """The gradient of the mean log-likelihood cost of a data set, in mode "evaluate", by parameter path.

    Each has the parameter's shape and the network's dtype. The parts of the data set are added in double
    precision.
    """
    backend, device = choice
    arrays = {"inputs": data.inputs, "labels": data.labels}
    resident = {name: backend.to_device(array, device) for name, array in arrays.items()}
    whole, rest = divmod(len(data), CHUNK_ROWS)
    totals = {path: np.zeros(spec.shape) for path, spec in architecture.parameters.items()}
    for first, steps, rows in ((0, whole, CHUNK_ROWS), (whole * CHUNK_ROWS, 1, rest)):
        if not steps or not rows:
            continue
        executable = compile_cached(backend, _gradient_function(architecture, data, rows), device)
        places = np.arange(first, first + steps * rows, dtype=np.int32).reshape(steps, rows)
        per_step = {"rows": backend.to_device(places, device)}
        outputs, _ = backend.run_steps(executable, state, resident, per_step, steps)
        for path, total in totals.items():
            total += outputs[path].sum(axis=0, dtype=np.float64)
    return {path: (total / len(data)).astype(architecture.dtype) for path, total in totals.items()}


def _gradient_function(architecture: Architecture, data: Dataset, rows: int) -> Function:
    """The gradient of the *sum* of the costs of some rows of resident data; an output for each parameter."""
    inputs, state, z = _forward(architecture, data, len(data), rows)
    cost = _costs(inputs, z, len(data)).sum()
    parameters = {path: state[path] for path in architecture.parameters}
    found = grad(cost, list(parameters.values()))
    return simplify(Function(inputs, dict(zip(parameters, found, strict=True)), state))


def mean_cost(costs: npt.NDArray[Any]) -> float:
    """The mean of the examples' costs, summed in double precision."""
    return float(np.mean(costs, dtype=np.float64))
