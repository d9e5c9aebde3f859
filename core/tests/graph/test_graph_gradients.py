"""Symbolic gradients against difference quotients, and what `grad` refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.reference import evaluate
from isograd.graph.tensor import topological

WITHOUT_GRADIENT = {"argmax", "max_pool2d_index", "greater", "equal", "iota", "stop_gradient"}
DIFFERENTIABLE = sorted(G.PRIMITIVES.keys() - WITHOUT_GRADIENT)


def floating(tensors):
    return [t for t in tensors if t.dtype in G.FLOATING]


def generator(data):
    return np.random.default_rng(data.draw(st.integers(0, 99)))


def test_every_primitive_has_a_gradient_rule():
    assert G.VJP.keys() == G.PRIMITIVES.keys()


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_the_gradient_is_what_differences_of_the_value_say(name, draw_case, check_gradient, data):
    case = draw_case(data.draw, name, "float64")
    variables = case.variables()
    y = case.build(variables)
    assume(y.dtype in G.FLOATING)  # a cast may leave the real numbers
    check_gradient(y, floating(variables), case.values(), generator(data))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_the_gradient_of_the_gradient_is_what_differences_of_the_gradient_say(
    name, draw_case, check_gradient, data
):
    case = draw_case(data.draw, name, "float64")
    variables = case.variables()
    y = case.build(variables)
    assume(y.dtype in G.FLOATING)
    g = G.variable("g", y.shape, y.dtype)
    gradients = G.vector_jacobian_product(y, g, floating(variables))
    together = G.concat(*(gradient.reshape(-1).cast("float64") for gradient in gradients), axis=0)
    rng = generator(data)
    values = {**case.values(), "g": rng.choice([-1.5, -0.5, 0.5, 1.5], size=g.shape)}
    check_gradient(together, [*floating(variables), g], values, rng)


@pytest.mark.parametrize("name", sorted(WITHOUT_GRADIENT - {"iota"}))
@given(data=st.data())
def test_no_gradient_flows_through_what_has_none(name, draw_case, data):
    case = draw_case(data.draw, name, "float32")
    variables = case.variables()
    cost = case.build(variables).cast("float32").sum()
    with pytest.raises(ArgumentError, match=r"does not depend on .*'x0'"):
        G.grad(cost, variables[0])


@given(data=st.data())
def test_a_gradient_is_summed_over_what_was_broadcast(check_gradient, data):
    a, b = data.draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)).input_shapes
    x, y = G.variable("x", a, "float64"), G.variable("y", b, "float64")
    rng = generator(data)
    values = {"x": rng.standard_normal(a), "y": rng.standard_normal(b)}
    check_gradient(x * y + y, [x, y], values, rng)


@given(data=st.data())
def test_gradients_of_a_tensor_with_several_uses_add_up(check_gradient, data):
    x, w = G.variable("x", (2, 3), "float64"), G.variable("w", (3, 3), "float64")
    rng = generator(data)
    values = {"x": rng.standard_normal((2, 3)), "w": rng.standard_normal((3, 3))}
    check_gradient(G.tanh(x @ w) @ w + x @ w, [x, w], values, rng)


def test_the_gradient_of_an_inner_tensor_is_that_of_a_variable_in_its_place():
    x = G.variable("x", (3,), "float64")
    hidden = G.exp(x)
    variable = G.variable("hidden", (3,), "float64")
    inner, outer = G.grad((G.tanh(hidden) * hidden).sum(), [hidden, x])
    direct = G.grad((G.tanh(variable) * variable).sum(), variable)
    values = {"x": np.array([-1.0, 0.0, 1.0])}
    values["hidden"] = np.exp(values["x"])
    found, chained, expected = evaluate([inner, outer, direct], values)
    assert found.tobytes() == expected.tobytes()
    assert chained.tobytes() == (expected * values["hidden"]).tobytes()


def test_one_tensor_gives_one_gradient_and_a_sequence_a_list_in_its_order():
    x, y = G.variable("x", ()), G.variable("y", ())
    cost = x * 2 + y * 3
    assert evaluate([G.grad(cost, x), *G.grad(cost, [y, x]), G.grad(cost, cost)]) == [2, 3, 2, 1]


def test_the_gradient_graph_grows_with_the_graph_and_not_with_its_paths():
    x = G.variable("x", (), "float64")
    y = x
    for _ in range(1000):  # 2^1000 paths, and deeper than Python's recursion limit
        y = y + y
    gradient = G.grad(y, x)
    assert evaluate([gradient]) == [2.0**1000]
    assert len(topological([gradient])) < 5000


X = G.variable("x", (2, 3))
K = G.variable("k", (2,), "int32")


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: G.grad(X, X), ShapeError, r"cost has shape \[2, 3\].*scalar"),
        (lambda: G.grad(K.sum(), X), ArgumentTypeError, "int32.*floating"),
        (lambda: G.grad(X.sum(), K), ArgumentTypeError, "'k'.*int32.*floating"),
        (lambda: G.grad(X.sum(), X > 0), ArgumentTypeError, "bool.*floating"),
        (lambda: G.grad(X.sum(), G.variable("w", ())), ArgumentError, "does not depend on .*'w'"),
        (lambda: G.grad(G.stop_gradient(X).sum(), X), ArgumentError, "does not depend on .*'x'"),
        (lambda: G.grad(X.cast("int32").cast("float32").sum(), X), ArgumentError, "does not depend on .*'x'"),
        (lambda: G.grad(1.0, X), ArgumentTypeError, "cost is a float; expected a Tensor"),
        (lambda: G.grad(X.sum(), ["x"]), ArgumentTypeError, "wrt is a str; expected a Tensor"),
        (lambda: G.vector_jacobian_product(X, X[0], X), ShapeError, r"\[2, 3\] and \[3\]"),
        (lambda: G.vector_jacobian_product(X, X.cast("float64"), X), ArgumentTypeError, "float32, float64"),
    ],
)
def test_what_has_no_gradient_is_refused_where_it_is_asked_for(build, error, message):
    with pytest.raises(error, match=message):
        build()
