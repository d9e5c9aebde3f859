"""The value of a graph in exact arithmetic, its derivatives, and how far an array is from such a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import FLOATING, Tensor
from isograd.graph.tensor import topological
from isograd_conformance.exact.numbers import MP, Exact, is_nan, number, objects, total
from isograd_conformance.exact.primitives import EXACT, each

Array = npt.NDArray[Any]

# The derivative's truncation error is of the order of its square.
STEP = number(2) ** -200


def evaluate(tensors: Sequence[Tensor], values: Mapping[str, Array]) -> list[Exact]:
    """The value of each tensor: of variables' values as they are, and then without rounding.

    Parameters
    ----------
    tensors : sequence of Tensor
    values : mapping of variable name to ndarray
        Numbers of the variable's dtype, or object arrays of exact numbers.

    Returns
    -------
    list of object arrays
    """
    known: dict[int, Exact] = {}
    for tensor in topological(tensors):
        operands = [known[id(x)] for x in tensor.inputs]
        known[id(tensor)] = _value(tensor, operands, values)
    return [known[id(tensor)] for tensor in tensors]


def _value(tensor: Tensor, operands: list[Exact], values: Mapping[str, Array]) -> Exact:
    if tensor.primitive == "constant":
        return objects(np.asarray(tensor.attributes["value"]))
    if tensor.primitive == "variable":
        value = values[tensor.name]
        return value if value.dtype == object else objects(value)
    found = EXACT[tensor.primitive](*operands, **tensor.attributes)
    assert found.shape == tensor.shape, f"{tensor!r} has the exact shape {found.shape}"
    return found


def derivative(
    tensor: Tensor, weights: Array, values: Mapping[str, Array], direction: Mapping[str, Array]
) -> tuple[Any, Any]:
    """The derivative of sum(weights * tensor) along a direction, by differences, and its error.

    The central difference D(h) = (f(h) - f(-h)) / 2h is wrong by c h^2 + ...; so D(h / 2) is wrong by a third
    of its distance from D(h) (Richardson), beside which the rounding of mpmath counts as little as that.

    Parameters
    ----------
    tensor : Tensor
    weights : ndarray
        Of the shape of the tensor; where it is 0 the tensor may be infinite.
    values : mapping of variable name to ndarray
    direction : mapping of variable name to ndarray
        How far each variable moves; those that are not in it stay.

    Returns
    -------
    derivative, error : exact numbers
    """

    def along(t: Any) -> Any:
        moved = {name: _moved(values[name], t, v) for name, v in direction.items()}
        (found,) = evaluate([tensor], {**values, **moved})
        return total(number(w.item()) * found[at] for at, w in np.ndenumerate(weights) if w)

    whole, half = ((along(h) - along(-h)) / (2 * h) for h in (STEP, STEP / 2))
    return half, abs(whole - half)


def _moved(value: Array, t: Any, direction: Array) -> Exact:
    """value + t * direction."""
    return each(value.shape, lambda at: number(value[at].item()) + t * number(direction[at].item()))


def far(found: Array, value: Exact, error: Array) -> list[tuple[int, ...]]:
    """Where an array is farther from the exact value than twice the error.

    An exact number beyond the range of the array's dtype is an infinity there. An infinite error says that
    nothing is known, not even that there is a number: partial sums may overflow to both sides on the way to a
    finite sum, and infinities of both signs add up to NaN.
    """
    return [at for at in np.ndindex(value.shape) if not _near(found[at], value[at], float(error[at]))]


def _near(found: Any, value: Any, error: float) -> bool:
    if is_nan(value):
        return bool(np.isnan(found))
    if error == np.inf:
        return True
    if isinstance(value, int) and found.dtype.name not in FLOATING:
        return bool(found.item() == value)
    with np.errstate(over="ignore"):
        rounded = found.dtype.type(float(value))
    if not np.isfinite(found) or np.isinf(rounded):
        return bool(found == rounded)
    return bool(abs(number(found.item()) - number(value)) <= 2 * MP.mpf(error))
