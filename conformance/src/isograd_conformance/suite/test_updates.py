"""Updates are simultaneous: each new value comes from the old state, whatever way it is computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph import reference
from isograd_conformance.checks import check, require
from isograd_conformance.profiles import examples
from isograd_conformance.steps import check_steps
from isograd_conformance.strategies.arrays import SEEDS, normal
from isograd_conformance.strategies.updates import FORMS, Form, combinations, function_of
from isograd_conformance.subject import Subject

pytestmark = pytest.mark.judges("updates")

ALL_FORMS = pytest.mark.parametrize("build", FORMS.values(), ids=FORMS.keys())
SIZE = st.sampled_from([2, 1, 3, 4, 0])


@ALL_FORMS
@given(data=st.data(), m=SIZE, n=SIZE, k=SIZE, seed=SEEDS)
@examples(2)
def test_updates_come_from_the_old_state(
    build: Form, subject: Subject, data: st.DataObject, m: int, n: int, k: int, seed: int
) -> None:
    function = function_of(build, data.draw(st.sampled_from(subject.floating)), m, n, k)
    check(subject, function, normal(seed, function.inputs), normal(seed + 1, function.state))


@given(data=st.data(), seed=SEEDS)
@examples(25)
def test_any_linear_combinations(subject: Subject, data: st.DataObject, seed: int) -> None:
    function = data.draw(combinations(data.draw(st.sampled_from(subject.floating))))
    check(subject, function, normal(seed, function.inputs), normal(seed + 1, function.state))


@ALL_FORMS
def test_each_step_of_a_run_begins_from_the_state_that_the_last_one_left(
    build: Form, subject: Subject
) -> None:
    """With updates written in reverse order, too: the order of a mapping means nothing."""
    function = function_of(build, subject.floating[0], 2, 3, 4)
    backwards = dict(reversed(function.updates.items()))
    turned = G.Function(function.inputs, function.outputs, function.state, backwards)
    rows = [normal(step, function.inputs) for step in range(5)]
    check_steps(subject, turned, rows, normal(9, function.state), cut=2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_coefficient_of_zero_does_not_hide_what_is_not_finite(bad: float, subject: Subject) -> None:
    """0 * NaN is NaN: in the state, and in a product whose coefficient is 0."""
    dtype = subject.floating[0]
    w, v, x, d = (G.variable(name, (2, 2), dtype) for name in "wvxd")
    scalars = {"eta": G.variable("eta", (), dtype), "keep": G.variable("keep", (), dtype)}
    updates = {
        "w": w * scalars["keep"] - (x @ d) * scalars["eta"],
        "v": v * scalars["keep"] + x,
    }
    function = G.Function({"x": x, "d": d, **scalars}, {}, {"w": w, "v": v}, updates)
    executable = subject.compile(function)
    for eta, keep, place in [(e, k, p) for e in (0.0, 0.5) for k in (0.0, 1.0) for p in "wvx"]:
        arrays = {name: np.ones((2, 2), dtype) for name in "wvx"}
        arrays[place][0, 0] = bad
        inputs = {
            "x": arrays["x"],
            "d": np.eye(2, dtype=dtype),
            "eta": np.asarray(eta, dtype),
            "keep": np.asarray(keep, dtype),
        }
        state = {"w": arrays["w"], "v": arrays["v"]}
        _, expected = reference.call(function, inputs, state)
        found = subject.call(executable, inputs, state).state
        for name in state:
            np.testing.assert_array_equal(np.isfinite(found[name]), np.isfinite(expected[name]))
            np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(expected[name]))


@given(data=st.data(), seed=SEEDS, shape=st.lists(st.integers(1, 3), min_size=3, max_size=5))
@examples(3)
def test_batched_products_update_a_state_of_any_number_of_axes(
    subject: Subject, data: st.DataObject, seed: int, shape: list[int]
) -> None:
    *batch, i, k = shape
    dtype = data.draw(st.sampled_from(subject.floating))
    w, a = G.variable("w", (*batch, i, i), dtype), G.variable("a", (*batch, i, k), dtype)
    swapped = G.transpose(a, axes=[*range(len(batch)), len(batch) + 1, len(batch)])
    function = G.Function({"a": a}, {}, {"w": w}, {"w": w - 0.5 * (a @ swapped)})
    check(subject, function, normal(seed, {"a": a}), normal(seed + 1, {"w": w}))


def test_integer_and_bool_state_is_updated_too(subject: Subject) -> None:
    require(subject, "int32", "bool")
    count, seen = G.variable("count", (2,), "int32"), G.variable("seen", (2,), "bool")
    x = G.variable("x", (2,), "int32")
    updates = {"count": count + x, "seen": G.greater(x, count)}
    state = {"count": np.asarray([1, 2**31 - 1], "int32"), "seen": np.asarray([True, False])}
    function = G.Function({"x": x}, {}, {"count": count, "seen": seen}, updates)
    check(subject, function, {"x": np.asarray([2, 1], "int32")}, state)
