"""What a backend gave together with the bound of its error, and sums of that which are exact themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isograd import graph as G
from isograd.backend import Executable
from isograd.training.step import GRADIENT
from isograd_conformance import exact
from isograd_conformance.bounds import Tracked, track
from isograd_conformance.subject import HostArray, HostArrays, Subject

# What was found with its bound, and the numbers that it is multiplied by.
Weighted = tuple[Tracked, HostArray]


def bounded(subject: Subject, executable: Executable, values: HostArrays) -> dict[str, Tracked]:
    """The outputs of a call without state, each with the bound of its error."""
    function = executable.function
    found = subject.call(executable, values).outputs
    tracked = track(list(function.outputs.values()), values, subject.arithmetic)
    return {name: Tracked(found[name], t.error) for name, t in zip(function.outputs, tracked, strict=True)}


def inner(found: Tracked, weights: HostArray) -> tuple[Any, Any]:
    """The exact inner product with what was found, and twice the bound of its error."""
    value, error = exact.number(0), exact.number(0)
    for at in np.ndindex(weights.shape):
        if weights[at]:  # 0 times what is not known is 0
            value += exact.number(found.value[at].item()) * weights[at].item()
            error += 2 * exact.number(float(found.error[at])) * abs(weights[at].item())
    return value, error


def hold_adjoint(what: str, pushed: Weighted, pulled: Sequence[Weighted]) -> None:
    """Fail unless <J v, g> is <v, J'g> within what the errors of J v and J'g can make of them.

    Parameters
    ----------
    what : str
        Whose Jacobian J is.
    pushed : tuple of J v and g
    pulled : sequence of tuple of J'g and v
        One for each operand.
    """
    left, left_error = inner(*pushed)
    right = [inner(*each) for each in pulled]
    total, error = sum(value for value, _ in right), left_error + sum(e for _, e in right)
    assert abs(left - total) <= error, (
        f"{what}: <J v, g> is {float(left)}, <v, J'g> {float(total)} +- {float(error)}"
    )


def with_gradients(function: G.Function, cost: str, wrt: Sequence[str]) -> G.Function:
    """The function with symbolic gradients as further outputs, "gradient/NAME" as the native ones are."""
    variables = {**function.inputs, **function.state}
    found = G.grad(function.outputs[cost], [variables[name] for name in wrt])
    outputs = {GRADIENT + name: g for name, g in zip(wrt, found, strict=True)}
    return G.Function(function.inputs, {**function.outputs, **outputs}, function.state, function.updates)
