"""A network inside programs of a backend's framework: the graph of a batch, and its arrays' way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from isograd.architecture import Architecture
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.function import Function, check_array
from isograd.graph.tensor import Shape, variable
from isograd.layers import Mode
from isograd.network import Network
from isograd.training.step import MASK

__all__ = ["INPUT", "OUTPUT", "adopt_arrays", "batch_function", "check_arrays", "check_network"]

INPUT = "x"
"""The name of the batch among a function's inputs."""
OUTPUT = "output"
"""The name of the last layer's output."""


def batch_function(architecture: Architecture, shape: Shape, mode: Mode) -> Function:
    """The network on a batch, for frameworks that differentiate it themselves; it is not simplified.

    Inputs: "x", of the batch's shape (rows, *features) and the architecture's dtype, and in mode "train"
    "mask/PATH" bool (rows, *shape). State: parameters and layer state, by path; mode "train" updates the
    latter. Output: "output" (rows, classes), of the last layer.

    Raises
    ------
    ShapeError
        If there is no row, or the features are not those of the network's input.
    """
    if not shape or not shape[0]:
        raise ShapeError(f"{INPUT} has shape {list(shape)}; expected (rows, *features) with at least one row")
    architecture.check_features(shape[1:], INPUT)
    x = variable(INPUT, shape, architecture.dtype)
    state = architecture.variables()
    declared = architecture.masks if mode == "train" else {}
    masks = {path: variable(MASK + path, (shape[0], *spec.shape), "bool") for path, spec in declared.items()}
    outputs, updates = architecture.forward(architecture.read(x, 1), state, state, mode, masks)
    inputs = {tensor.name: tensor for tensor in (x, *masks.values())}
    return Function(inputs, {OUTPUT: outputs[-1]}, state, updates)


def check_network(net: object) -> Network:
    """`net`, if it is a `Network`; ArgumentTypeError otherwise."""
    if not isinstance(net, Network):
        raise ArgumentTypeError(f"net is a {type(net).__name__}; expected a Network")
    return net


def check_arrays(arrays: Mapping[str, Any], shapes: Mapping[str, Shape], dtype: str, argument: str) -> None:
    """Refuse arrays, of any library, that are not exactly those of `shapes`, by path, and of that dtype.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        The message begins with `argument` and names the path.
    """
    for path in [*shapes, *sorted(arrays.keys() - shapes.keys())]:
        if path not in arrays:
            raise ArgumentError(f"{argument}: {path} is missing")
        if path not in shapes:
            raise ArgumentError(
                f"{argument}: {path} belongs to nothing in this network; expected {', '.join(shapes)}"
            )
        check_array(f"{argument}: {path}", arrays[path], shapes[path], dtype)


def adopt_arrays(net: Network, arrays: Mapping[str, npt.NDArray[Any]], argument: str) -> None:
    """Give a network copies of these parameters and state, by path; `net.training` is None then.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        As `check_arrays`; the network is as it was.
    """
    check_arrays(arrays, net.architecture.array_shapes, net.dtype, argument)
    net.adopt(arrays)
    # What it says of a run to resume is of other arrays.
    net.training = None
