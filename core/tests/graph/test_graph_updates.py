"""Updates read as linear combinations: done in place and in order they give what they give at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph.reference import call, evaluate
from isograd.graph.tensor import Tensor
from isograd.graph.updates import Update, find_updates
from isograd.graph.uses import Uses

SHAPE = (2, 2)
Arrays = dict[str, np.ndarray[Any, Any]]


class Growth:
    """New values for three states, grown from their old ones, an input and scalars."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.state = {name: G.variable(name, SHAPE, "float64") for name in "uvw"}
        self.inputs = {"x": G.variable("x", SHAPE, "float64"), "eta": G.variable("eta", (), "float64")}
        self.tensors: list[Tensor] = [*self.state.values(), self.inputs["x"]]

    def grow(self) -> Tensor:
        kind = self.draw(st.sampled_from(["add", "sub", "neg", "scale", "scale", "matmul", "view", "abs"]))
        a, b = (self.draw(st.sampled_from(self.tensors)) for _ in range(2))
        if kind == "scale":
            a = self.draw(st.sampled_from([2.0, -1.0, self.inputs["eta"]])) * a
        elif kind == "view":
            a = a.transpose()
        elif kind in ("neg", "abs"):
            a = G.neg(a) if kind == "neg" else G.abs_(a)
        else:
            a = {"add": G.add, "sub": G.sub, "matmul": G.matmul}[kind](a, b)
        self.tensors.append(a)
        return a


@st.composite
def functions(draw: st.DrawFn) -> G.Function:
    growth = Growth(draw)
    for _ in range(draw(st.integers(1, 8))):
        growth.grow()
    names = draw(st.lists(st.sampled_from("uvw"), min_size=1, max_size=3, unique=True))
    updates = {name: draw(st.sampled_from(growth.tensors)) for name in names}
    output = {"y": draw(st.sampled_from(growth.tensors))} if draw(st.booleans()) else {}
    return G.simplify(G.Function(growth.inputs, output, growth.state, updates))


def whole_numbers(function: G.Function, seed: int) -> tuple[Arrays, Arrays]:
    """Small whole numbers, of which float64 makes no rounding error."""
    rng = np.random.default_rng(seed)
    inputs, state = (
        {name: rng.integers(-2, 3, t.shape).astype("float64") for name, t in part.items()}
        for part in (function.inputs, function.state)
    )
    return inputs, state


class InPlace:
    """What a backend does: everything but the updates first, then one update after another."""

    def __init__(self, uses: Uses, inputs: Arrays, state: Arrays) -> None:
        self.uses, self.inputs = uses, inputs
        self.old = state
        self.now = {name: array.copy() for name, array in state.items()}
        self.made: dict[int, str] = {}

    def value(self, tensor: Tensor) -> np.ndarray[Any, Any]:
        if id(tensor) in self.made:
            return self.now[self.made[id(tensor)]]
        state = self.now if self.uses.viewed_state(tensor) is not None else self.old
        return evaluate([tensor], {**self.inputs, **state})[0]

    def apply(self, update: Update) -> None:
        target = self.now[update.name]
        shares = [self.factor(c) for c in update.shares]
        additions = []
        for coefficient, term in update.additions:
            if term is update.product:
                left, right = (self.value(x) for x in term.inputs)
                additions.append(self.factor(coefficient) * (left @ right))
            else:
                additions.append(self.factor(coefficient) * self.value(term))
        target[...] = target * sum(shares) if shares else 0
        for addition in additions:
            target += addition
        self.made[id(update.root)] = update.name

    def factor(self, coefficient: Any) -> float:
        number, varying = coefficient.split()
        for scalar in varying:
            assert scalar.shape == ()
            number *= float(self.value(scalar))
        return float(number)


@pytest.mark.parametrize("accumulates", [True, False], ids=["products accumulate", "none does"])
@given(function=functions(), seed=st.integers(0, 999))
def test_in_place_and_in_order_is_at_once(accumulates: bool, function: G.Function, seed: int) -> None:
    inputs, state = whole_numbers(function, seed)
    uses = Uses(function)
    updates = find_updates(uses, lambda node, name: accumulates and node.primitive == "matmul")
    run = InPlace(uses, inputs, state)
    for update in updates:
        run.apply(update)
    _, expected = call(function, inputs, state)
    for update in updates:
        np.testing.assert_array_equal(run.now[update.name], expected[update.name])


def test_a_step_along_a_gradient_is_read_as_such() -> None:
    w, x, d = (G.variable(name, SHAPE) for name in "wxd")
    eta = G.variable("eta", ())
    new = w - eta * (x.transpose() @ d + 0.5 * w)
    function = G.simplify(G.Function({"x": x, "d": d, "eta": eta}, {}, {"w": w}, {"w": new}))
    (update,) = find_updates(Uses(function), lambda node, name: name == "w" and node.primitive == "matmul")
    assert update.product is not None
    assert update.product.primitive == "matmul"
    assert [c.split() for c in update.shares] == [(1.0, ()), (-0.5, (eta,))]
    assert [c.split() for c, _ in update.additions] == [(-1.0, (eta,))]


def test_states_that_read_each_other_are_not_both_done_in_place() -> None:
    u, v = G.variable("u", SHAPE), G.variable("v", SHAPE)
    function = G.Function({}, {}, {"u": u, "v": v}, {"u": u + v, "v": v + u})
    assert len(find_updates(Uses(function), lambda node, name: False)) == 1
