"""Core's reference evaluation, which judges every backend, against exact arithmetic; and its gradient rules.

No backend takes part: what is tested here is the yardstick.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph import reference
from isograd_conformance import exact
from isograd_conformance.bounds import track
from isograd_conformance.exact.primitives import EXACT
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.arrays import KINDS, SEEDS
from isograd_conformance.strategies.primitives import (
    CASES,
    Application,
    applications,
    differentiable,
    smooth,
)
from isograd_conformance.subject import HostArray

pytestmark = pytest.mark.judges("specification")

PAIRS = [(name, dtype) for name, entry in CASES.items() for dtype in sorted(entry.dtypes)]


def test_every_primitive_is_defined_in_exact_arithmetic() -> None:
    assert EXACT.keys() == G.PRIMITIVES.keys()


def applied(application: Application) -> tuple[list[G.Tensor], G.Tensor]:
    """A variable for each operand, and the result."""
    variables = [G.variable(f"x{i}", o.shape, o.dtype) for i, o in enumerate(application.operands)]
    return variables, G.PRIMITIVES[application.primitive].build(*variables, **application.attributes)


def values_of(application: Application, seed: int, kind: str) -> dict[str, HostArray]:
    rng = np.random.default_rng(seed)
    return {f"x{i}": o.fill(rng, kind, o.shape, o.dtype) for i, o in enumerate(application.operands)}


@pytest.mark.parametrize(("name", "dtype"), PAIRS)
@given(data=st.data(), seed=SEEDS)
@examples(2)
def test_the_reference_is_the_definition(name: str, dtype: str, data: st.DataObject, seed: int) -> None:
    """In its own precision, within the bound that a backend is allowed, which must say something."""
    application = data.draw(applications(name, dtype))
    _, y = applied(application)
    for kind in KINDS:
        values = values_of(application, seed, kind)
        (found,) = reference.evaluate([y], values)
        (expected,) = exact.evaluate([y], values)
        (tracked,) = track([y], values)
        wrong = exact.far(found, expected, tracked.error)
        shown = {at: (found[at], exact.MP.nstr(exact.number(expected[at]), 17)) for at in wrong[:3]}
        assert not wrong, f"{y!r} of {values}: found and exact at {shown}"
        if kind != "extreme":  # there, sums may overflow on the way
            assert not unbounded(expected, tracked.error, y.dtype), f"{y!r} of {values} has no bound"


def unbounded(value: exact.Exact, error: HostArray, dtype: str) -> list[tuple[int, ...]]:
    """Where the bound is infinite, although the exact value lies well within the range of the dtype."""
    limit = float(np.finfo(dtype).max) / 4 if dtype in G.FLOATING else np.inf
    return [at for at in np.ndindex(value.shape) if np.isinf(error[at]) and abs(value[at]) < limit]


@pytest.mark.parametrize("name", differentiable())
@given(data=st.data(), seed=SEEDS)
@examples(3)
def test_the_vjp_is_what_differences_of_the_value_say(name: str, data: st.DataObject, seed: int) -> None:
    """<J v, w> by differences against <v, J'w>, for random directions v and cotangents w."""
    application = data.draw(applications(name, "float64"))
    variables, y = applied(application)
    if y.dtype not in G.FLOATING:
        return  # a cast may leave the real numbers
    for salt in range(3):
        rng = np.random.default_rng([seed, salt])
        values = {x.name: value for x, value in zip(variables, smooth(application, rng), strict=True)}
        hold_vjp(y, [x for x in variables if x.dtype in G.FLOATING], values, rng)


def hold_vjp(
    y: G.Tensor, moving: list[G.Tensor], values: dict[str, HostArray], rng: np.random.Generator
) -> None:
    """Fail unless the rule's product with a random direction is the derivative along it."""
    (y_value,) = reference.evaluate([y], values)
    # The logsumexp of nothing is -inf, and has no derivative.
    cotangent = np.where(np.isfinite(y_value), rng.normal(size=y.shape), 0).astype(y.dtype)
    direction = {x.name: np.asarray(rng.normal(size=x.shape)) for x in moving}
    expected, error = exact.derivative(y, cotangent, values, direction)
    gradients = G.vector_jacobian_product(y, G.variable("g", y.shape, y.dtype), moving)
    held = track(gradients, {**values, "g": cotangent})
    found, bound = exact.number(0), error
    for x, gradient, (value, doubt) in zip(moving, gradients, held, strict=True):
        assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype)
        for at in np.ndindex(x.shape):
            found += exact.number(float(value[at])) * float(direction[x.name][at])
            bound += 2 * exact.number(float(doubt[at])) * abs(float(direction[x.name][at]))
    assert bound < exact.MP.inf
    assert abs(found - expected) <= bound, f"{y!r}: <v, J'w> is {found}, by differences {expected} +- {bound}"
