"""What is computed on some rows of a data set: the network in mode "evaluate", its costs and gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isograd.architecture import Architecture
from isograd.costs import row_costs, target_variables
from isograd.data import Dataset
from isograd.errors import ShapeError
from isograd.graph import (
    Function,
    Tensor,
    argmax,
    gather,
    grad,
    pad,
    simplify,
    variable,
)
from isograd.graph.tensor import Shape

CHUNK_ROWS = 250
"""Rows of a chunk: one size for all, so that one compiled function serves any number of examples."""


def evaluation_function(
    architecture: Architecture, data: Dataset, examples: int, wanted: Sequence[str], shifts: int = 0
) -> Function:
    """The network in mode "evaluate" on some rows of resident data: `CHUNK_ROWS`, or all if they are fewer.

    Inputs: resident "inputs" (examples, *features) of the data's dtype and, for "cost", what
    `costs.target_variables` gives; changing "rows" int32 (rows,), and with shifts "lines" int32 (height,) and
    "columns" int32 (width,), which of the lines and columns of each image, with `shifts` more of zeros on
    every side, are to be its own. State: parameters and layer state, by path.

    Outputs, those that are wanted, with one row an example: "class" int32 (rows,), the first of the largest
    outputs; "outputs" (rows, *output_shape), the last layer's; "predicted", of that shape, what the network's
    cost makes of them, such as their softmax; "cost" (rows,), `costs.row_costs`.
    """
    inputs, state, layers = forward_rows(architecture, data, examples, min(examples, CHUNK_ROWS), shifts)
    z = layers[-1]
    outputs: dict[str, Tensor] = {}
    if "class" in wanted:
        outputs["class"] = argmax(z, axis=1)
    if "outputs" in wanted:
        outputs["outputs"] = z
    if "predicted" in wanted:
        outputs["predicted"] = architecture.cost.predicted(z)
    if "cost" in wanted:
        inputs |= target_variables(data, examples)
        outputs["cost"] = row_costs(architecture.cost, z, inputs)
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


def parameter_gradients(
    architecture: Architecture, cost: Tensor, state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The gradient of a cost with respect to each parameter, by path."""
    parameters = {path: state[path] for path in architecture.parameters}
    return dict(zip(parameters, grad(cost, list(parameters.values())), strict=True))
