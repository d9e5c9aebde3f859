"""What a network is before it has any weights: layers that fit together, and the graph that they build."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.costs import Cost, LogLikelihood
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph import Tensor, cast, constant, variable
from isograd.graph.dtypes import FLOATING, DType, as_dtype
from isograd.graph.tensor import Shape
from isograd.layers.base import Layer, MaskSpec, Mode, ParameterSpec, StateSpec
from isograd.layers.initialisers import InitialiserLike, as_scheme, initial_value


class Architecture:
    """Layers that fit together. It holds no arrays, so that a file is checked before any array is made.

    Parameters
    ----------
    layers : sequence of Layer
    input_shape : sequence of int
        The shape of one example, such as (1, 28, 28).
    dtype : str
        float32 or float64: of parameters, state and everything computed from them.
    cost : Cost

    Attributes
    ----------
    names : tuple of str
        Each layer's part of the paths: its name, or its position.
    shapes : tuple of tuple of int
        Each layer's output shape.
    parameters, state, masks : dict
        By path, "LAYER.ARRAY", in the order of the layers: what each layer declares.

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If an argument is not as described, two layers share a name, a layer can not take its input, or the
        cost not the last one's output.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Sequence[int],
        dtype: str,
        cost: Cost = LogLikelihood(),  # noqa: B008 (frozen, and without fields)
    ) -> None:
        self.layers = _checked_layers(layers)
        self.input_shape = _checked_shape(input_shape, "input_shape")
        self.dtype: DType = as_dtype(dtype)
        if self.dtype not in FLOATING:
            raise ArgumentTypeError(f"dtype is {self.dtype}; expected float32 or float64")
        self.names = _checked_names(self.layers)
        self.parameters: dict[str, ParameterSpec] = {}
        self.state: dict[str, StateSpec] = {}
        self.masks: dict[str, MaskSpec] = {}
        shapes = [self.input_shape]
        for name, layer in zip(self.names, self.layers, strict=True):
            shape = shapes[-1]
            try:
                shapes.append(_checked_shape(layer.output_shape(shape), "its output_shape"))
            except ShapeError as error:
                raise ShapeError(f"layers: {describe_layer(name, layer)}: {error}") from error
            self.parameters |= {f"{name}.{key}": spec for key, spec in layer.parameters(shape).items()}
            self.state |= {f"{name}.{key}": spec for key, spec in layer.state(shape).items()}
            self.masks |= {f"{name}.{key}": spec for key, spec in layer.masks(shape).items()}
        self.shapes = tuple(shapes[1:])
        if not isinstance(cost, Cost):
            hint = "; call the class" if isinstance(cost, type) and issubclass(cost, Cost) else ""
            raise ArgumentTypeError(f"cost is {cost!r}; expected a Cost{hint}")
        try:
            cost.check_output(self.output_shape)
        except ShapeError as error:
            raise ShapeError(f"layers: {error}") from error
        self.cost = cost

    @property
    def output_shape(self) -> Shape:
        """The last layer's: for `LogLikelihood` (classes,), of the weighted input of a softmax."""
        return self.shapes[-1]

    @property
    def array_shapes(self) -> dict[str, Shape]:
        """The shape of every parameter and state array by path."""
        parameters = {path: spec.shape for path, spec in self.parameters.items()}
        return parameters | {path: spec.shape for path, spec in self.state.items()}

    def variables(self) -> dict[str, Tensor]:
        """A variable for every parameter and state array by path."""
        return {path: variable(path, shape, self.dtype) for path, shape in self.array_shapes.items()}

    def read(self, data: Tensor, scale: float) -> Tensor:
        """Rows of a data set, of any dtype, as what the first layer takes: (rows, *input_shape), scaled."""
        self.check_features(data.shape[1:], "data")
        x = cast(data.reshape(-1, *self.input_shape), self.dtype)
        return x if scale == 1 else x * constant(scale, self.dtype)

    def check_features(self, features: Shape, argument: str) -> None:
        """Refuse data whose examples do not have the network's input shape.

        Axes of size 1 may be missing or added, and either may be flat: (784,), (28, 28) and (1, 28, 28) are
        the same image. Axes in another order have as many elements but another meaning.
        """
        same = [n for n in features if n != 1] == [n for n in self.input_shape if n != 1]
        flat = 1 in (len(features), len(self.input_shape)) and math.prod(features) == math.prod(
            self.input_shape
        )
        if not (same or flat):
            raise ShapeError(
                f"{argument} has examples of shape {list(features)}; the network's input_shape is "
                f"{list(self.input_shape)}"
            )

    def forward(
        self,
        x: Tensor,
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The graph of all layers, one after the other.

        Parameters
        ----------
        x : Tensor
            (rows, *input_shape), of the network's dtype.
        params, state : mapping of path to Tensor
        mode : "train" or "evaluate"
        masks : mapping of path to Tensor
            bool, (rows, *shape); empty in mode "evaluate".

        Returns
        -------
        outputs : list of Tensor
            Of every layer; the last is what the cost takes: (rows, classes), the weighted input of a softmax.
        new_state : dict of path to Tensor
            New values of the state; empty where nothing changes.

        Raises
        ------
        ShapeError
            If a layer builds another shape than it declared.
        """
        outputs: list[Tensor] = []
        new_state: dict[str, Tensor] = {}
        for name, layer, shape in zip(self.names, self.layers, self.shapes, strict=True):
            built, updated = layer.build(
                (x,), _below(name, params), _below(name, state), mode, _below(name, masks)
            )
            if [t.shape for t in built] != [(x.shape[0], *shape)]:
                found = " and ".join(str(list(t.shape)) for t in built) or "nothing"
                raise ShapeError(
                    f"{describe_layer(name, layer)} builds {found}; it declares {[x.shape[0], *shape]}"
                )
            (x,) = built
            outputs.append(x)
            new_state |= {f"{name}.{key}": tensor for key, tensor in updated.items()}
        return outputs, new_state

    def summary_rows(self) -> list[tuple[str, str, str]]:
        """The headings layer, output shape, parameters; the input, the layers, and the total."""
        counts = dict.fromkeys(self.names, 0)
        for path, spec in self.parameters.items():
            counts[path.partition(".")[0]] += math.prod(spec.shape)
        rows = [("layer", "output shape", "parameters"), ("input", _by(self.input_shape), "")]
        rows += [
            (describe_layer(name, layer), _by(shape), f"{counts[name]:,}")
            for name, layer, shape in zip(self.names, self.layers, self.shapes, strict=True)
        ]
        return [*rows, ("total", "", f"{sum(counts.values()):,}")]

    def summary(self) -> str:
        """`summary_rows` as a plain-text table."""
        rows = self.summary_rows()
        left, middle, right = (max(len(row[column]) for row in rows) for column in range(3))
        return "\n".join(f"{a:<{left}}  {b:<{middle}}  {c:>{right}}".rstrip() for a, b, c in rows)


def initial_arrays(
    architecture: Architecture, seed: int, init: InitialiserLike
) -> dict[str, npt.NDArray[Any]]:
    """First values of every parameter and state array by path, of the architecture's dtype.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If `init` is no scheme, or an initialiser gives what does not fit; the message names the path.
    """
    as_scheme(init, "init")
    arrays: dict[str, npt.NDArray[Any]] = {}
    for path, parameter in architecture.parameters.items():
        values = initial_value(parameter, init, seed, path)
        with np.errstate(over="ignore"):
            arrays[path] = values.astype(architecture.dtype)
        if not np.isfinite(arrays[path]).all():
            raise ArgumentError(f"{path}: its initial values are beyond the range of {architecture.dtype}")
    for path, state in architecture.state.items():
        arrays[path] = np.full(state.shape, state.value, architecture.dtype)
    return arrays


def describe_layer(name: str, layer: Layer) -> str:
    """A layer in a message: its part of the paths, and its class."""
    return f"layer {name} ({type(layer).__name__})"


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _below(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What belongs to one layer, by the names within the layer."""
    prefix = f"{name}."
    return {path.removeprefix(prefix): t for path, t in tensors.items() if path.startswith(prefix)}


def _checked_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    if isinstance(layers, Layer) or not isinstance(layers, Sequence):
        raise ArgumentTypeError(f"layers is a {type(layers).__name__}; expected a list of layers")
    for index, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            hint = "; call the class" if isinstance(layer, type) and issubclass(layer, Layer) else ""
            raise ArgumentTypeError(f"layers[{index}] is {layer!r}; expected a layer{hint}")
    if not layers:
        raise ArgumentError("layers is empty; expected at least one layer")
    return tuple(layers)


def _checked_shape(shape: Sequence[int], argument: str) -> Shape:
    try:
        sizes = tuple(operator.index(n) for n in shape)
    except TypeError:
        raise ArgumentTypeError(
            f"{argument} is {shape!r}; expected a tuple of whole numbers, such as (784,) or (1, 28, 28)"
        ) from None
    if not sizes or min(sizes) < 1:
        raise ShapeError(f"{argument} is {list(sizes)}; expected sizes of at least 1")
    # Beyond this no array exists, and NumPy's own integers overflow.
    if math.prod(sizes) > np.iinfo(np.int64).max:
        raise ShapeError(f"{argument} is {list(sizes)}; that is more than any memory holds")
    return sizes


def _checked_names(layers: Sequence[Layer]) -> tuple[str, ...]:
    names: list[str] = []
    for index, layer in enumerate(layers):
        name = str(index) if layer.name is None else layer.name
        if name in names:
            raise ArgumentError(f"layers[{index}] is named {name!r}, as is layers[{names.index(name)}]")
        names.append(name)
    return tuple(names)
