"""Updates are simultaneous: each new value comes from the old state, whatever way it is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph import reference
from isograd_numpy.backend import NumpyBackend

Array = np.ndarray[Any, Any]
Check = Callable[..., Any]
Parts = tuple[dict[str, G.Tensor], dict[str, G.Tensor]]  # outputs and updates
Form = Callable[[dict[str, G.Tensor]], Parts]

FORMS: dict[str, Form] = {}


def form(build: Form) -> Form:
    """A shape of updates, of states a, b, c (n, n), p (m, n) and s (), inputs x (k, m), d (k, n), eta ()."""
    FORMS[build.__name__.strip("_").replace("_", " ")] = build
    return build


@form
def _swap(v: dict[str, G.Tensor]) -> Parts:
    return {}, {"a": v["b"], "b": v["a"]}


@form
def _rotation_of_three(v: dict[str, G.Tensor]) -> Parts:
    return {}, {"a": v["b"], "b": v["c"], "c": v["a"]}


@form
def _swap_of_steps(v: dict[str, G.Tensor]) -> Parts:
    return {}, {"a": v["b"] - v["eta"] * v["c"], "b": v["a"] - v["eta"] * v["c"]}


@form
def _each_added_to_the_other(v: dict[str, G.Tensor]) -> Parts:
    return {}, {"a": v["a"] + v["b"], "b": v["b"] + v["a"]}


@form
def _each_from_the_next(v: dict[str, G.Tensor]) -> Parts:
    a, b, c = v["a"], v["b"], v["c"]
    return {}, {"a": a - b * 0.5, "b": b - c * 0.5, "c": c - a * 0.5}


@form
def _a_chain_of_readers(v: dict[str, G.Tensor]) -> Parts:
    a, b, c = v["a"], v["b"], v["c"]
    return {}, {"b": b - c * 0.5, "a": a - b * 0.5, "c": c - v["eta"] * c}


@form
def _gradient_step_with_decay(v: dict[str, G.Tensor]) -> Parts:
    gradient = v["x"].transpose() @ v["d"]
    return {}, {"p": v["p"] - v["eta"] * (gradient + 0.25 * v["p"])}


@form
def _gradient_step_that_is_an_output(v: dict[str, G.Tensor]) -> Parts:
    gradient = v["x"].transpose() @ v["d"]
    return {"gradient": gradient, "norm": (gradient * gradient).sum()}, {"p": v["p"] - v["eta"] * gradient}


@form
def _product_with_the_state_that_is_written(v: dict[str, G.Tensor]) -> Parts:
    return {}, {"a": v["a"] - v["eta"] * (v["a"] @ v["b"]), "c": v["c"] - v["eta"] * (v["b"] @ v["c"])}


@form
def _products_that_read_each_others_state(v: dict[str, G.Tensor]) -> Parts:
    a, b = v["a"], v["b"]
    return {}, {"a": a - v["eta"] * (b @ b.transpose()), "b": b - v["eta"] * (a.transpose() @ a)}


@form
def _sum_with_the_own_transpose(v: dict[str, G.Tensor]) -> Parts:
    return {}, {"a": v["a"] + v["a"].transpose(), "b": v["b"] - 0.5 * v["b"].transpose()}


@form
def _own_rows_in_another_order(v: dict[str, G.Tensor]) -> Parts:
    b = v["b"]
    return {}, {"b": G.concat(b[1:], b[:1], axis=0), "c": v["c"] - G.concat(b[1:], b[:1], axis=0)}


@form
def _view_of_another_state(v: dict[str, G.Tensor]) -> Parts:
    b, c = v["b"], v["c"]
    return {"row": b[:1], "whole": b}, {"a": b.transpose(), "b": b * 0.5 - c, "c": c + b.transpose() * 0.5}


@form
def _momentum(v: dict[str, G.Tensor]) -> Parts:
    step = 0.9 * v["q"] - v["eta"] * (v["x"].transpose() @ v["d"])
    return {}, {"q": step, "p": v["p"] + step}


@form
def _momentum_with_an_input_for_its_coefficient(v: dict[str, G.Tensor]) -> Parts:
    step = v["s"] * v["q"] - v["eta"] * (v["x"].transpose() @ v["d"] + 0.125 * v["p"])
    return {"step": step}, {"p": v["p"] + step, "q": step}


@form
def _nesterov(v: dict[str, G.Tensor]) -> Parts:
    gradient = v["x"].transpose() @ v["d"]
    step = 0.9 * v["q"] - v["eta"] * gradient
    return {}, {"q": step, "p": v["p"] + 0.9 * step - v["eta"] * gradient}


@form
def _new_value_that_is_an_output(v: dict[str, G.Tensor]) -> Parts:
    new = v["a"] - v["eta"] * (v["b"] @ v["c"])
    return {"new": new, "old": v["a"], "again": new}, {"a": new}


@form
def _new_value_that_is_read_further(v: dict[str, G.Tensor]) -> Parts:
    new = v["a"] - v["eta"] * (v["b"] @ v["c"])
    return {"read": G.tanh(new), "view": new.transpose()}, {"a": new, "b": v["b"] + new @ v["c"]}


@form
def _new_value_that_only_another_update_reads(v: dict[str, G.Tensor]) -> Parts:
    new = v["a"] - v["eta"] * v["b"]
    return {}, {"c": v["c"] - 0.5 * (new @ v["b"]), "a": new}


@form
def _new_value_and_old_value_in_one_update(v: dict[str, G.Tensor]) -> Parts:
    new = v["a"] - v["eta"] * v["b"]
    return {}, {"a": new, "c": v["c"] + new - v["a"]}


@form
def _one_new_value_for_two_states(v: dict[str, G.Tensor]) -> Parts:
    new = v["a"] - v["eta"] * (v["b"] @ v["c"])
    return {}, {"a": new, "b": new}


@form
def _scalar_state_as_a_coefficient(v: dict[str, G.Tensor]) -> Parts:
    gradient = v["x"].transpose() @ v["d"]
    return {"s": v["s"]}, {"p": v["p"] - v["s"] * gradient, "s": v["s"] * 0.5 + v["eta"]}


@form
def _new_scalar_as_a_coefficient(v: dict[str, G.Tensor]) -> Parts:
    s = v["s"] + v["eta"] * (v["a"] * v["a"]).sum()
    return {}, {"s": s, "a": v["a"] - s * v["b"], "b": v["b"] * s - v["a"]}


@form
def _nothing_of_the_old_value(v: dict[str, G.Tensor]) -> Parts:
    return {}, {
        "p": -(v["eta"] * (v["x"].transpose() @ v["d"])),
        "a": -v["b"] - v["c"],
        "b": -(v["c"] - v["b"]),
    }


@form
def _whole_multiples(v: dict[str, G.Tensor]) -> Parts:
    a, b = v["a"], v["b"]
    return {}, {"a": a + a, "b": b - b, "c": v["c"] + a + a - (b - v["c"])}


@form
def _coefficients_of_several_factors(v: dict[str, G.Tensor]) -> Parts:
    eta, s, a = v["eta"], v["s"], v["a"]
    return {}, {"a": a - eta * (s * (v["b"] - 0.5 * (eta * a)) + s * v["c"]), "s": s - eta * s}


@form
def _a_term_spread_from_a_row(v: dict[str, G.Tensor]) -> Parts:
    a, b = v["a"], v["b"]
    return {}, {"a": a - v["eta"] * G.broadcast_to(b[:1], a.shape), "b": b + G.broadcast_to(v["s"], b.shape)}


@form
def _pooling_by_one_pixel_of_a_state(v: dict[str, G.Tensor]) -> Parts:
    a, b = v["a"], v["b"]
    if not a.size:  # no window fits into an empty image
        return {}, {"a": b, "b": a}
    image = a.reshape(1, 1, *a.shape)
    pooled = G.max_pool2d(image, window=1).reshape(*a.shape)
    return {"pooled": pooled}, {"a": a * 0.5 - b, "b": b - pooled}


@form
def _two_products(v: dict[str, G.Tensor]) -> Parts:
    a, b, c = v["a"], v["b"], v["c"]
    return {}, {"a": a - v["eta"] * (b @ c + c @ b)}


def function_of(build: Form, dtype: str, m: int, n: int, k: int) -> G.Function:
    shapes = {"x": (k, m), "d": (k, n), "eta": ()}
    states = {"a": (n, n), "b": (n, n), "c": (n, n), "p": (m, n), "q": (m, n), "s": ()}
    inputs, state = (
        {x: G.variable(x, shape, dtype) for x, shape in part.items()} for part in (shapes, states)
    )
    outputs, updates = build({**inputs, **state})
    return G.Function(inputs, outputs, state, updates)


def values_of(function: G.Function, seed: int, normal: Check) -> tuple[dict[str, Array], dict[str, Array]]:
    return normal(seed, function.inputs), normal(seed + 1, function.state)


ALL_FORMS = pytest.mark.parametrize("build", FORMS.values(), ids=FORMS.keys())
SIZE = st.sampled_from([1, 2, 3, 4, 0])
SEEDS = st.integers(0, 2**32 - 1)


@ALL_FORMS
@given(dtype=st.sampled_from(["float32", "float64"]), m=SIZE, n=SIZE, k=SIZE, seed=SEEDS)
def test_updates_come_from_the_old_state(
    build: Form, dtype: str, m: int, n: int, k: int, seed: int, check: Check, normal: Check
) -> None:
    function = function_of(build, dtype, m, n, k)
    check(function, *values_of(function, seed, normal))


@ALL_FORMS
def test_states_may_be_given_in_any_order_of_updates(build: Form, check: Check, normal: Check) -> None:
    function = function_of(build, "float64", 3, 2, 4)
    backwards = dict(reversed(function.updates.items()))
    turned = G.Function(function.inputs, function.outputs, function.state, backwards)
    check(turned, *values_of(function, 0, normal))


@ALL_FORMS
def test_several_steps_follow_the_reference(
    build: Form, backend: NumpyBackend, normal: Check, agree: Check
) -> None:
    """Each step judged from the state that the last one left, so that the bound is one step deep."""
    function = function_of(build, "float32", 2, 3, 4)
    inputs, state = values_of(function, 0, normal)
    executable = backend.compile(function, "cpu")
    for step in range(4):
        inputs = normal(step, function.inputs)
        per_step = {name: array[None] for name, array in inputs.items()}
        outputs, new = backend.run_steps(executable, state, {}, per_step, 1)
        agree({name: rows[0] for name, rows in outputs.items()}, function.outputs, {**inputs, **state})
        agree(new, {**function.state, **function.updates}, {**inputs, **state})
        state = {name: np.tanh(array) for name, array in new.items()}  # kept from growing


@ALL_FORMS
def test_a_run_of_steps_is_a_chain_of_calls_to_the_bit(
    build: Form, backend: NumpyBackend, normal: Check, same_bits: Check
) -> None:
    function = function_of(build, "float32", 2, 3, 4)
    executable = backend.compile(function, "cpu")
    rows = [normal(step, function.inputs) for step in range(5)]
    state = start = normal(9, function.state)
    for row in rows:
        _, state = executable(row, state)
    for chunks in ([rows], [rows[:2], rows[2:]], [[row] for row in rows]):
        after = start
        for chunk in chunks:
            per_step = {name: np.stack([row[name] for row in chunk]) for name in function.inputs}
            _, after = backend.run_steps(executable, after, {}, per_step, len(chunk))
        assert same_bits(after, state)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_a_coefficient_of_zero_does_not_hide_what_is_not_finite(
    bad: float, eta: float, keep: float, backend: NumpyBackend
) -> None:
    """0 * NaN is NaN: in the state and in the product, whose factors BLAS skips when they are 0."""
    w, x, d = (G.variable(name, (2, 2)) for name in "wxd")
    scalars = {"eta": G.variable("eta", ()), "keep": G.variable("keep", ())}
    new = w * scalars["keep"] - (x @ d) * scalars["eta"]
    added = w * scalars["keep"] + x
    values = {"d": np.eye(2, dtype="float32"), "eta": np.float32(eta), "keep": np.float32(keep)}
    values = {name: np.asarray(value, "float32") for name, value in values.items()}
    for update in (new, added):
        function = G.Function({"x": x, "d": d, **scalars}, {}, {"w": w}, {"w": update})
        executable = backend.compile(function, "cpu")
        for place in "wx":
            arrays = {"w": np.ones((2, 2), "float32"), "x": np.ones((2, 2), "float32")}
            arrays[place][0, 0] = bad
            inputs, state = {**values, "x": arrays["x"]}, {"w": arrays["w"]}
            _, expected = reference.call(function, inputs, state)
            _, found = executable(inputs, state)
            np.testing.assert_array_equal(np.isfinite(found["w"]), np.isfinite(expected["w"]))
            np.testing.assert_array_equal(np.isnan(found["w"]), np.isnan(expected["w"]))


@given(seed=SEEDS, shape=st.lists(st.integers(1, 3), min_size=3, max_size=5))
def test_batched_products_update_a_state_of_any_number_of_axes(
    seed: int, shape: list[int], check: Check, normal: Check
) -> None:
    *batch, i, k = shape
    w, a = G.variable("w", (*batch, i, i)), G.variable("a", (*batch, i, k))
    swapped = G.transpose(a, axes=[*range(len(batch)), len(batch) + 1, len(batch)])
    function = G.Function({"a": a}, {}, {"w": w}, {"w": w - 0.5 * (a @ swapped)})
    check(function, normal(seed, {"a": a}), normal(seed + 1, {"w": w}))


def test_integer_and_bool_state_is_updated_too(check: Check) -> None:
    count, seen = G.variable("count", (2,), "int32"), G.variable("seen", (2,), "bool")
    x = G.variable("x", (2,), "int32")
    updates = {"count": count + x, "seen": G.greater(x, count)}
    state = {"count": np.asarray([1, 2**31 - 1], "int32"), "seen": np.asarray([True, False])}
    check(
        G.Function({"x": x}, {}, {"count": count, "seen": seen}, updates),
        {"x": np.asarray([2, 1], "int32")},
        state,
    )
