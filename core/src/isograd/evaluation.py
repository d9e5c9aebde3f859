"""A network applied to a whole data set, a fixed number of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.architecture import Architecture
from isograd.backend import Array, Executable
from isograd.backend_choice import BackendChoice
from isograd.compilation import compile_cached
from isograd.data import Dataset, as_dataset
from isograd.errors import ShapeError
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
    inputs, state, layers = forward_rows(architecture, data, examples, min(examples, CHUNK_ROWS), shifts)
    z = layers[-1]
    outputs: dict[str, Tensor] = {}
    if "class" in wanted:
        outputs["class"] = argmax(z, axis=1)
    if "probabilities" in wanted:
        outputs["probabilities"] = softmax(z)
    if "cost" in wanted:
        outputs["cost"] = row_costs(inputs, z, examples)
    return simplify(Function(inputs, outputs, state))


def forward_rows(
    architecture: Architecture, data: Dataset, examples: int, rows: int, shifts: int = 0
) -> tuple[dict[str, Tensor], dict[str, Tensor], list[Tensor]]:
    """Inputs and state of the network in mode "evaluate" on some rows, and the output of every layer."""
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
    return inputs, state, architecture.forward(x, state, state, "evaluate", {})[0]


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


def row_costs(inputs: dict[str, Tensor], z: Tensor, examples: int) -> Tensor:
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


def on_device(arrays: Mapping[str, npt.NDArray[Any]], choice: BackendChoice) -> dict[str, Array]:
    """Arrays as the backend's, by the same names."""
    backend, device = choice
    return {name: backend.to_device(array, device) for name, array in arrays.items()}


def predict(
    architecture: Architecture,
    data: Dataset,
    choice: BackendChoice,
    state: Mapping[str, Array],
    wanted: Sequence[str],
    shifts: int = 0,
) -> dict[str, npt.NDArray[Any]]:
    """Outputs of `evaluation_function` for every example, each (n, ...).

    With shifts the probabilities are the mean over all (2 * shifts + 1)**2 of them, and the class is the
    first of the largest mean. The data pass through the device a chunk at a time: one compiled function
    serves any number of them.
    """
    if shifts:
        mean = _mean_probabilities(architecture, data, choice, state, shifts)
        both = {"probabilities": mean, "class": mean.argmax(axis=1).astype(np.int32)}
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
        arrays = {"inputs": data.inputs, "labels": data.labels}
        self._resident = {name: self._backend.to_device(array, device) for name, array in arrays.items()}
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


def gradients(
    architecture: Architecture, data: Dataset, choice: BackendChoice, state: Mapping[str, Array]
) -> dict[str, npt.NDArray[Any]]:
    """The gradient of the mean log-likelihood cost of a data set, in mode "evaluate", by parameter path.

    Each has the parameter's shape and the network's dtype. The parts of the data set are added in double
    precision.
    """
    parts = Parts(lambda rows: _gradient_function(architecture, data, rows), data, choice)
    totals = {path: np.zeros(spec.shape) for path, spec in architecture.parameters.items()}
    for outputs in parts(state):
        for path, total in totals.items():
            total += outputs[path].sum(axis=0, dtype=np.float64)
    return {path: (total / len(data)).astype(architecture.dtype) for path, total in totals.items()}


def _gradient_function(architecture: Architecture, data: Dataset, rows: int) -> Function:
    """The gradient of the *sum* of the costs of some rows of resident data; an output for each parameter."""
    inputs, state, layers = forward_rows(architecture, data, len(data), rows)
    cost = row_costs(inputs, layers[-1], len(data)).sum()
    return simplify(Function(inputs, parameter_gradients(architecture, cost, state), state))


def parameter_gradients(
    architecture: Architecture, cost: Tensor, state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The gradient of a cost with respect to each parameter, by path."""
    parameters = {path: state[path] for path in architecture.parameters}
    return dict(zip(parameters, grad(cost, list(parameters.values())), strict=True))


def mean_cost(costs: npt.NDArray[Any]) -> float:
    """The mean of the examples' costs, summed in double precision."""
    return float(np.mean(costs, dtype=np.float64))
