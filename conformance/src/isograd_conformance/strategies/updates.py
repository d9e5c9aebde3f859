"""Shapes of updates: steps, swaps, chains and views, each of which must read the old state alone."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from isograd import graph as G

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


@st.composite
def combinations(draw: st.DrawFn, dtype: str) -> G.Function:
    """Updates of matrices (3, 3), each any linear combination of states and products.

    Terms are added and subtracted in any grouping, by themselves or times numbers, inputs and states.
    """
    a, b, c = (G.variable(name, (3, 3), dtype) for name in "abc")
    eta, s = G.variable("eta", (), dtype), G.variable("s", (), dtype)
    values = st.sampled_from([a, b, c, a @ b, b @ c, c.transpose(), G.broadcast_to(a[:1], (3, 3)), G.tanh(b)])
    factors = st.sampled_from([None, -1.0, 0.5, 2.0, eta, s, eta * s, -eta])

    def term() -> G.Tensor:
        value, factor = draw(values), draw(factors)
        return value if factor is None else factor * value if draw(st.booleans()) else value * factor

    def combination(depth: int) -> G.Tensor:
        if depth == 0 or not draw(st.booleans()):
            return term()
        left, right = combination(depth - 1), combination(depth - 1)
        return left + right if draw(st.booleans()) else left - right

    updates = {"a": a + combination(2), "b": combination(2) - b, "c": combination(3)}
    updates = {name: updates[name] for name in draw(st.permutations(sorted(updates)))}
    outputs = {"sum": a + b} if draw(st.booleans()) else {}
    return G.Function({"eta": eta}, outputs, {"a": a, "b": b, "c": c, "s": s}, updates)


def function_of(build: Form, dtype: str, m: int, n: int, k: int) -> G.Function:
    """The function of a form, for matrices of these sizes."""
    shapes = {"x": (k, m), "d": (k, n), "eta": ()}
    states = {"a": (n, n), "b": (n, n), "c": (n, n), "p": (m, n), "q": (m, n), "s": ()}
    inputs, state = (
        {x: G.variable(x, shape, dtype) for x, shape in part.items()} for part in (shapes, states)
    )
    outputs, updates = build({**inputs, **state})
    return G.Function(inputs, outputs, state, updates)
