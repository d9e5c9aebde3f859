"""A softmax that takes its exponentials from the logsumexp beside it is the same softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isograd import graph as G
from isograd.graph.reference import evaluate
from isograd_numpy.backend import NumpyBackend
from isograd_numpy.program import make_plan

Array = np.ndarray[Any, Any]
DTYPES = st.sampled_from(["float32", "float64"])
SPECIAL = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e4, -1e4]


def exponentials(function: G.Function) -> int:
    """How many calls of `numpy.exp` a plan has."""
    return sum(getattr(call, "func", None) is np.exp for call in make_plan(function, {}).calls)


def run(function: G.Function, x: Array) -> dict[str, Array]:
    return NumpyBackend().compile(function, "cpu")({"x": x}, {})[0]


def matrices(dtype: str, *, special: bool) -> st.SearchStrategy[Array]:
    width = 32 if dtype == "float32" else 64
    numbers = st.floats(-30, 30, width=width)
    elements = st.one_of(numbers, st.sampled_from(SPECIAL)) if special else numbers
    shapes = st.one_of(st.integers(1, 4).map(lambda n: (n, n)), st.just((3, 5)))
    return hnp.arrays(dtype, shapes, elements=elements)


def outputs(x: G.Tensor, axes: int | tuple[int, ...]) -> dict[str, G.Tensor]:
    """The gradient of logsumexp (guarded against -inf), the plain softmax, and logsumexp itself."""
    lse = G.logsumexp(x, axes=axes)
    kept = tuple(1 if a in np.atleast_1d(axes) else n for a, n in enumerate(x.shape))
    return {
        "gradient": G.grad(lse.sum(), x),
        "softmax": G.exp(x - lse.reshape(*kept)),
        "logsumexp": lse,
    }


@given(data=st.data(), dtype=DTYPES, axes=st.sampled_from([0, 1, (0, 1)]))
def test_it_is_within_the_bound_of_the_reference(data: st.DataObject, dtype: str, axes: Any) -> None:
    value = data.draw(matrices(dtype, special=False))
    x = G.variable("x", value.shape, dtype)
    wanted = outputs(x, axes)
    found = run(G.Function({"x": x}, wanted), value)
    u = float(np.finfo(dtype).eps) / 2
    for name in ("gradient", "softmax"):
        exact = evaluate([wanted[name]], {"x": value.astype(np.float64)}, precision="float64")[0]
        # The argument of exp is rounded by u times its size and that of what it is the difference of; exp by
        # 4 units in the last place, twice for the sum; the sum by gamma; then a division.
        span = np.abs(value).max() * 4 + np.log(value.size) * 2
        bound = (span + 2 * 8 + value.size + 4) * 2 * u * exact + np.finfo(dtype).smallest_subnormal
        assert (np.abs(found[name] - exact) <= bound).all()


@given(data=st.data(), dtype=DTYPES, axes=st.sampled_from([0, 1, (0, 1)]))
def test_nan_and_infinities_come_out_as_in_the_reference(data: st.DataObject, dtype: str, axes: Any) -> None:
    value = data.draw(matrices(dtype, special=True))
    x = G.variable("x", value.shape, dtype)
    wanted = outputs(x, axes)
    found = run(G.Function({"x": x}, wanted), value)
    for name, exact in zip(wanted, evaluate(list(wanted.values()), {"x": value}), strict=True):
        assert (np.isnan(found[name]) == np.isnan(exact)).all()
        assert (np.isposinf(found[name]) == np.isposinf(exact)).all()
        assert (np.isneginf(found[name]) == np.isneginf(exact)).all()


def test_a_row_of_minus_infinities_has_gradient_0_and_softmax_nan() -> None:
    x = G.variable("x", (2, 2), "float64")
    found = run(G.Function({"x": x}, outputs(x, 1)), np.array([[-np.inf, -np.inf], [0.0, 0.0]]))
    assert found["gradient"].tolist() == [[0, 0], [0.5, 0.5]]
    assert np.isnan(found["softmax"][0]).all()
    assert found["softmax"][1].tolist() == [0.5, 0.5]


def test_a_cost_and_its_gradient_take_one_exponential() -> None:
    x, y = G.variable("x", (10, 4)), G.variable("y", (10,), "int32")
    cost = G.log_likelihood(x, y).mean()
    function = G.simplify(G.Function({"x": x, "y": y}, {"cost": cost, "gradient": G.grad(cost, x)}))
    assert exponentials(function) == 1


@pytest.mark.parametrize("case", ["other operand", "other axis", "other shift"])
def test_what_only_looks_like_a_softmax_is_computed_as_it_stands(case: str) -> None:
    x = G.variable("x", (3, 3), "float64")
    lse = G.logsumexp(x, axes=1)
    difference = {
        "other operand": x * 2 - lse.reshape(3, 1),
        "other axis": x - lse.reshape(1, 3),
        "other shift": x - G.where(G.equal(lse, 0), 0, lse).reshape(3, 1),
    }[case]
    function = G.simplify(G.Function({"x": x}, {"y": G.exp(difference)}))
    assert exponentials(function) == 2
    value = np.random.default_rng(0).normal(size=(3, 3))
    exact = evaluate([G.exp(difference)], {"x": value})[0]
    # Values of a few units, some 20 roundings in all.
    assert (np.abs(run(function, value)["y"] - exact) <= 40 * np.finfo(np.float64).eps * exact).all()
