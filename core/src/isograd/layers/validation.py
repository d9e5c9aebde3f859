"""Checks that the layers share; each error begins with the layer's class, and its name where it has one."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.derived import check_probability
from isograd.graph.dtypes import FLOATING
from isograd.graph.primitives import checks
from isograd.graph.tensor import Shape, Tensor

if TYPE_CHECKING:
    from isograd.layers.base import Layer


def label(layer: Layer) -> str:
    """What messages call a layer."""
    kind = type(layer).__name__
    return kind if layer.name is None else f"{kind} {layer.name!r}"


def settle(spec: Any, **values: Any) -> None:
    """Set fields of a frozen dataclass from within its `__post_init__`."""
    for name, value in values.items():
        object.__setattr__(spec, name, value)


def flag(name: str, argument: str, value: object) -> bool:
    """`value`, if it is a bool."""
    if not isinstance(value, bool):
        raise ArgumentTypeError(f"{name}: {argument} is {value!r}; expected True or False")
    return value


def choice(name: str, argument: str, value: object, known: Collection[str]) -> None:
    """Refuse what is none of the known words."""
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{name}: {argument} is {value!r}; expected a str")
    if value not in known:
        raise ArgumentError(f"{name}: {argument} is {value!r}; expected {', '.join(known)}")


def probability(name: str, argument: str, value: float) -> float:
    """A probability of dropping out, in [0, 1)."""
    check_probability(name, argument, value)
    return float(value)


def finite(name: str, argument: str, value: object) -> float:
    """`value` as a float, if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArgumentTypeError(f"{name}: {argument} is {value!r}; expected a number")
    # An int may be too large for a float, which `isfinite` would not survive.
    if not -sys.float_info.max <= value <= sys.float_info.max:
        raise ArgumentError(f"{name}: {argument} is {value!r}; expected a finite number")
    return float(value)


def example_shape(layer: Layer, shape: Shape) -> Shape:
    """The shape of one example, if all its sizes are positive."""
    sizes = tuple(shape)
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sizes):
        raise ShapeError(f"{label(layer)}: the input has shape {sizes}; expected positive whole numbers")
    return sizes


def image_shape(layer: Layer, shape: Shape) -> tuple[int, int, int]:
    """The shape of one image: channels, height, width."""
    sizes = example_shape(layer, shape)
    if len(sizes) != 3:
        raise ShapeError(
            f"{label(layer)}: the input has shape {sizes}; expected an image (channels, height, width)"
        )
    channels, height, width = sizes
    return channels, height, width


def single_input(
    layer: Layer,
    inputs: tuple[Tensor, ...],
    params: Mapping[str, Tensor],
    mode: str,
    masks: Mapping[str, Tensor],
    state: Mapping[str, Tensor] = MappingProxyType({}),
) -> Tensor:
    """The one input of a layer, once all that `build` was given fits what the layer declares.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If there is not exactly one input, it is not floating point or not a batch of examples that the layer
        takes; if a parameter, an array of the state or, in training, a mask is missing or has another shape
        or dtype.
    """
    name = label(layer)
    choice(name, "mode", mode, ("train", "evaluate"))
    if len(inputs) != 1:
        raise ArgumentError(f"{name}: {len(inputs)} inputs came; expected one")
    (x,) = inputs
    checks.tensor(name, "the input", x, FLOATING)
    if x.ndim < 1:
        raise ShapeError(f"{name}: the input is a scalar; expected shape (rows, *features)")
    features = x.shape[1:]
    layer.output_shape(features)
    for key, spec in layer.parameters(features).items():
        _expect(name, f"parameter {key!r}", params.get(key), spec.shape, x.dtype)
    for key, array in layer.state(features).items():
        _expect(name, f"state {key!r}", state.get(key), array.shape, x.dtype)
    if mode == "train":
        for key, mask in layer.masks(features).items():
            _expect(name, f"mask {key!r}", masks.get(key), (x.shape[0], *mask.shape), "bool")
    return x


def _expect(name: str, what: str, tensor: Tensor | None, shape: Shape, dtype: str) -> None:
    if tensor is None:
        raise ArgumentError(f"{name}: {what} is missing")
    checks.tensor(name, what, tensor, {dtype})
    if tensor.shape != shape:
        raise ShapeError(f"{name}: {what} has shape {tensor.shape}; expected {shape}")
