"""`isograd.function`: forms of arguments and results, simultaneous updates, shared state, what is refused."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import isograd
from isograd import grad, variable
from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError
from isograd.graph.reference import call
from isograd.interpreter import Interpreter
from isograd.symbolic import CompiledFunction, State
from isograd.testing import ReferenceBackend

BACKEND = ReferenceBackend()
X, W, B = variable("x", (2,)), variable("w", (2,)), variable("b", ())
START = {W: [1, 2], B: 0.5}


def function(*args: Any, **options: Any) -> CompiledFunction:
    return isograd.function(*args, backend=BACKEND, **options)


@given(
    x=hnp.arrays("float32", 2, elements=st.floats(-4, 4, width=32)),
    w=hnp.arrays("float32", 2, elements=st.floats(-4, 4, width=32)),
)
def test_outputs_and_new_state_are_those_of_the_graph(x: np.ndarray, w: np.ndarray) -> None:
    cost = G.tanh(X * W).sum()
    updates = {W: W - 0.5 * grad(cost, W)}
    step = function([X], [cost, X * W], updates, state={W: w})
    graph = G.Function({"x": X}, {"0": cost, "1": X * W}, {"w": W}, {"w": updates[W]})
    outputs, state = call(graph, {"x": x}, {"w": w})
    found = step(x)
    assert [a.tobytes() for a in found] == [a.tobytes() for a in outputs.values()]
    assert step.state["w"].tobytes() == state["w"].tobytes()


def test_updates_are_simultaneous_and_outputs_are_of_the_old_state() -> None:
    a, b = variable("a", ()), variable("b", ())
    swap = function([], {"difference": a - b}, [(a, b), ("b", a)], state={a: 1.0, b: 3.0})
    assert swap() == {"difference": -2}
    assert (swap.state["a"], swap.state[b]) == (3, 1)


def test_results_come_in_the_form_that_was_asked_for() -> None:
    y = X + X
    one, several, named = (function([X], form)([1, 2]) for form in (y, (y, X), {"twice": y}))
    np.testing.assert_array_equal(one, [2, 4])
    assert [list(a) for a in several] == [[2, 4], [1, 2]]
    assert list(named["twice"]) == [2, 4]
    assert function([X], [])([1, 2]) == []


def test_inputs_go_by_position_or_by_name() -> None:
    product = function([X, W], X * W)
    for found in (product([1, 2], [3, 4]), product([1, 2], w=[3, 4]), product(w=[3, 4], x=[1, 2])):
        np.testing.assert_array_equal(found, [3, 8])


def test_functions_share_a_state() -> None:
    train = function([], [], {B: B + 1.0}, state=START)
    predict = isograd.function([X], (X * W).sum() + B, state=train.state)
    assert predict([1, 1]) == 3.5
    train()
    assert predict([1, 1]) == 4.5
    predict.state["b"] = 0
    train()
    assert train.state["b"] == 1
    assert predict.state is train.state


def test_no_array_is_shared_with_the_caller() -> None:
    begin, x = np.ones(2, "float32"), np.ones(2, "float32")
    step = function([X], [X * 1.0, W * 1.0], {W: X}, state={W: begin})
    begin[:] = 7
    first = step(x)
    x[:] = 8
    step.state["w"][:] = 9
    for array in first:
        array[:] = 10
    np.testing.assert_array_equal(step([1, 1])[1], [1, 1])


class Passing(ReferenceBackend):
    """It hands on what it is given, as the contract allows."""

    executables = Interpreter

    def compile(self, function: G.Function, device: str) -> Any:
        return Interpreter(function, device, lambda node, *operands: operands[0])


def test_no_array_is_shared_where_a_backend_hands_on_what_it_is_given() -> None:
    x = np.ones(2, "float32")
    step = isograd.function([X], [X, W], {W: X}, state={W: [3, 4]}, backend=Passing())
    for array in step(x):
        array[:] = 7
    x[:] = 8
    np.testing.assert_array_equal(step.state["w"], [1, 1])


def test_calls_from_several_threads_lose_no_update() -> None:
    count = function([], [], {B: B + 1.0}, state={B: 0})
    threads = [threading.Thread(target=lambda: [count() for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.state["b"] == 200


def test_an_index_out_of_range_is_refused_and_the_state_stays() -> None:
    rows = variable("rows", (2,), "int32")
    pick = function([rows], G.gather(W, rows), {W: W + 1.0}, state={W: [1, 2]})
    np.testing.assert_array_equal(pick([1, 0]), [2, 1])
    with pytest.raises(ArgumentError, match="rows has indices from 0 to 2; expected 0 to 1"):
        pick([0, 2])
    np.testing.assert_array_equal(pick.state["w"], [2, 3])


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        ((X, X), {}, ArgumentTypeError, "inputs is a Tensor; expected a list of variables"),
        (([X + X], X), {}, ArgumentTypeError, "inputs has <Tensor add .*; expected a variable"),
        (([X, variable("x", ())], X), {}, ArgumentError, "inputs has 'x' twice"),
        (([X], X * W), {}, ArgumentError, "uses <Tensor variable 'w' .* neither an input nor state"),
        (([X], "x"), {}, ArgumentTypeError, "outputs is a str; expected a Tensor, or a list or dict"),
        (([X], [3]), {}, ArgumentTypeError, "outputs has '0': 3; expected a name and a Tensor"),
        (([W], W), {"state": {W: [1, 2]}}, ArgumentError, "w: both input and state"),
        (([X], X), {"state": [1]}, ArgumentTypeError, "state is a list; expected a mapping"),
        (([X], X), {"state": {"w": [1]}}, ArgumentTypeError, "state has 'w'; expected a variable"),
        (([X], X), {"state": {W: [1]}}, ShapeError, r"w has shape \[1\]; expected \[2\]"),
        (([X], X), {"state": {W: np.ones(2)}}, ArgumentTypeError, "w is float64; expected float32"),
        (([X], X), {"state": {B: 1e300}}, ArgumentError, "b is a float that is no array of float32"),
        (([X], X), {"state": {B: "one"}}, ArgumentTypeError, "b is <U3; expected float32"),
        (([X], X, {W: X}), {}, ArgumentError, "updates has <Tensor variable 'w' .*; the state is empty"),
        (([X], X, {"v": X}), {"state": START}, ArgumentError, "updates has 'v', .* the state is w, b"),
        (([X], X, [(W, X), ("w", X)]), {"state": START}, ArgumentError, "updates has 'w' twice"),
        (([X], X, {W: B}), {"state": START}, ShapeError, "update 'w' is <Tensor variable 'b'"),
        (([X], X, {W: 1.0}), {"state": START}, ArgumentTypeError, "update 'w' is a float"),
        (([X], X, 5), {"state": START}, ArgumentTypeError, "updates is 5; expected a mapping, or pairs"),
        (([X], X, W), {"state": START}, ArgumentTypeError, "updates is <Tensor .*; expected a mapping"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    args: Any, options: dict[str, Any], error: type[IsogradError], message: str
) -> None:
    with pytest.raises(error, match=message):
        function(*args, **options)


@pytest.mark.parametrize(
    ("args", "named", "error", "message"),
    [
        ([], {}, ArgumentError, "inputs lack x; the inputs are x"),
        ([[1, 2], [3, 4]], {}, ArgumentError, "2 inputs were given by position; the inputs are x"),
        ([[1, 2]], {"x": [1, 2]}, ArgumentError, "input x was given by position and by name"),
        ([], {"z": 1}, ArgumentError, "'z' is not an input; the inputs are x"),
        ([[1, 2, 3]], {}, ShapeError, r"x has shape \[3\]; expected \[2\]"),
        ([np.ones(2, "int32")], {}, ArgumentTypeError, "x is int32; expected float32"),
        ([[[1], 2]], {}, ArgumentTypeError, "x is a list that is no array of float32"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_and_the_state_stays(
    args: list[Any], named: dict[str, Any], error: type[IsogradError], message: str
) -> None:
    step = function([X], X * W, {W: X}, state={W: [1, 2]})
    with pytest.raises(error, match=message):
        step(*args, **named)
    np.testing.assert_array_equal(step.state["w"], [1, 2])


def test_a_state_refuses_unknown_names_and_arrays_that_do_not_fit() -> None:
    state = State(START, backend=BACKEND)
    assert (list(state), W in state, X in state, "b" in state, repr(state)) == (
        ["w", "b"], True, False, True, "State(w: float32[2], b: float32[])",
    )  # fmt: skip
    with pytest.raises(ArgumentError, match="state has no 'v'; it has w, b"):
        state["v"]
    with pytest.raises(ArgumentError, match="state has no <Tensor variable 'w'"):
        state[variable("w", (2,))] = [1, 2]
    with pytest.raises(ShapeError, match=r"w has shape \[3\]"):
        state["w"] = [1, 2, 3]
    np.testing.assert_array_equal(state["w"], [1, 2])
    with pytest.raises(ArgumentError, match="the state lies on reference:cpu; leave backend out"):
        isograd.function([X], X, state=state, backend=ReferenceBackend())


def test_truth_values_are_not_made_of_numbers() -> None:
    mask = variable("mask", (2,), "bool")
    keep = function([mask], G.where(mask, W, 0), state={W: [1, 2]})
    np.testing.assert_array_equal(keep([True, False]), [1, 0])
    with pytest.raises(ArgumentTypeError, match="mask is a list that is no array of bool: it holds int64"):
        keep([1, 0])


def test_a_function_prints_its_graph() -> None:
    step = function([X], X * W, state=START)
    assert repr(step) == "<isograd.function <Function (x) -> (output), 3 nodes> on reference>"
    assert "mul" in str(step)
