"""What a Function refuses, guards and promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.reference import call

X, W, B = G.variable("x", (4, 3)), G.variable("w", (3, 2)), G.variable("b", (2,))
K = G.variable("k", (4,), "int32")


@given(values=st.tuples(*[st.floats(-9, 9, width=32)] * 3))
def test_updates_are_computed_from_the_old_state_and_applied_at_once(values):
    a, b, c = (G.variable(name, ()) for name in "abc")
    function = G.Function({}, {"sum": a + b}, {"a": a, "b": b, "c": c}, {"a": b, "b": a})
    old = dict(zip("abc", map(np.float32, values), strict=True))
    outputs, new = call(function, {}, old)
    assert outputs == {"sum": old["a"] + old["b"]}
    assert new == {"a": old["b"], "b": old["a"], "c": old["c"]}  # c has no update and is handed on


def test_the_nodes_are_what_outputs_and_updates_need_operands_first():
    unused = G.variable("unused", (9,))
    y = G.relu(X @ W) + B
    function = G.Function({"x": X, "unused": unused}, {"y": y}, {"w": W, "b": B}, {"b": B * 2})
    assert unused not in function.nodes
    assert {"x", "w", "b"} <= {node.name for node in function.nodes}
    assert len(set(function.nodes)) == len(function.nodes)
    position = {node: i for i, node in enumerate(function.nodes)}
    assert all(position[x] < position[node] for node in function.nodes for x in node.inputs)
    assert repr(function) == f"<Function (x, unused) -> (y), {len(function.nodes)} nodes>"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({"x": X}, {"y": X @ W}), ArgumentError, r"uses <Tensor variable 'w' .*neither an input nor state"),
        (({"x": X}, {"y": X.sum()}, {"w": W}, {"w": B}), ShapeError, r"update 'w' .*\[2\].*\[3, 2\]"),
        (
            ({"x": X}, {"y": X.sum()}, {"w": W}, {"w": W.cast("float64")}),
            ArgumentTypeError,
            r"update 'w' .*float64.*float32",
        ),
        (({"x": X}, {"y": X.sum()}, {"w": W}, {"v": W}), ArgumentError, "update 'v' has no state.*is w"),
        (({"x": X}, {"y": X.sum()}, None, {"x": X}), ArgumentError, "update 'x' has no state.*empty"),
        (({"z": X}, {"y": X.sum()}), ArgumentError, "input 'z' is .*'x'.*variable of that name"),
        (({"x": X + 1}, {"y": X.sum()}), ArgumentError, "input 'x' is <Tensor add"),
        (({}, {"y": W.sum()}, {"v": W}), ArgumentError, "state 'v' is .*'w'"),
        (({"x": X}, {"y": X.sum()}, {"x": X}), ArgumentError, "x: both input and state"),
        (({"x": X}, {"y": 1.0}), ArgumentTypeError, "output 'y' is a float; expected a Tensor"),
        (({"x": "x"}, {}), ArgumentTypeError, "input 'x' is a str; expected a Tensor"),
        (({"x": X}, {}, {"w": W}, {"w": 0}), ArgumentTypeError, "update 'w' is a int; expected a Tensor"),
    ],
)
def test_an_interface_that_does_not_fit_the_graph_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        G.Function(*arguments)


def test_two_variables_of_one_name_are_not_confused():
    other = G.variable("x", (4, 3))
    with pytest.raises(ArgumentError, match="neither an input nor state"):
        G.Function({"x": X}, {"y": X + other})


# Indices: no backend checks them, so a Function sees to it that the host can.


def test_indices_have_to_be_an_input_or_a_constant_in_range():
    rows = G.variable("rows", (5, 2))
    good = G.gather(rows, G.constant([0, 4]))
    assert G.Function({"rows": rows}, {"y": good}).index_limits == {}
    for bad in ([5], [-1]):
        with pytest.raises(ArgumentError, match="gather: constant indices lie outside 0 to 4"):
            G.Function({"rows": rows}, {"y": G.gather(rows, G.constant(bad))})
    computed = G.gather(rows, K + 1)
    with pytest.raises(ArgumentError, match=r"gather: the indices <Tensor add .* are no input"):
        G.Function({"rows": rows, "k": K}, {"y": computed})
    with pytest.raises(ArgumentError, match=r"scatter_add: the indices .* are no input"):
        G.Function({"x": X}, {"y": G.scatter_add(X, K, size=3)}, {"k": K})


def test_the_strictest_use_of_an_index_sets_its_limit():
    many, few = G.variable("many", (7, 2)), G.variable("few", (3, 2))
    outputs = {"a": G.gather(many, K), "b": G.gather(few, K), "c": G.scatter_add(X, K, size=5)}
    function = G.Function({"many": many, "few": few, "x": X, "k": K}, outputs)
    assert function.index_limits == {"k": 3}


@given(indices=st.lists(st.integers(-2, 6), min_size=4, max_size=4))
def test_indices_out_of_range_are_refused_before_the_run(indices):
    rows = G.variable("rows", (5, 2))
    function = G.Function({"k": K}, {"y": G.gather(rows, K)}, {"rows": rows})
    inputs = {"k": np.array(indices, "int32")}
    state = {"rows": np.zeros((5, 2), "float32")}
    if all(index in range(5) for index in indices):
        function.check_call(inputs, state)
    else:
        with pytest.raises(ArgumentError, match=f"k has indices from {min(indices)} to .*; expected 0 to 4"):
            function.check_call(inputs, state)


def inputs(**changes):
    return {"x": np.zeros((4, 3), "float32"), "k": np.zeros(4, "int32"), **changes}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (inputs(z=np.zeros(1)), ArgumentError, "'z' is not an input; the inputs are x, k"),
        ({"x": inputs()["x"]}, ArgumentError, "inputs lack k; the function needs x, k"),
        (inputs(x=np.zeros((3, 4), "float32")), ShapeError, r"x has shape \[3, 4\]; expected \[4, 3\]"),
        (inputs(x=np.zeros((4, 3))), ArgumentTypeError, "x is float64; expected float32"),
        (inputs(k=np.zeros(4, "int64")), ArgumentTypeError, "k is int64; expected int32"),
        (inputs(x=[[0.0] * 3] * 4), ArgumentTypeError, "x is a list; expected an array"),
        (inputs(k=np.full(4, 4, "int32")), ArgumentError, "k has indices from 4 to 4; expected 0 to 3"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_name(given, error, message):
    function = G.Function({"x": X, "k": K}, {"y": G.gather(X, K)})
    function.check_call(inputs(), {})
    with pytest.raises(error, match=message):
        function.check_call(given, {})
    with pytest.raises(ArgumentError, match=r"state has \['w'\]; the function needs \[\]"):
        function.check_call(inputs(), {"w": np.zeros(1)})


def test_of_several_calls_what_changes_has_a_leading_axis():
    function = G.Function({"x": X, "k": K}, {"y": G.gather(X, K)})
    resident = {"x": np.zeros((4, 3), "float32")}
    function.check_run({}, resident, {"k": np.full((7, 4), 3, "int32")}, 7)
    with pytest.raises(ArgumentError, match="'z' is not an input"):
        function.check_run({}, {**resident, "z": np.zeros(1)}, {"k": np.zeros((7, 4), "int32")}, 7)
    with pytest.raises(ArgumentError, match="inputs lack k"):
        function.check_run({}, resident, {}, 7)
    with pytest.raises(ShapeError, match=r"k has shape \[7, 4\]; expected \[8, 4\]"):
        function.check_run({}, resident, {"k": np.zeros((7, 4), "int32")}, 8)
    with pytest.raises(ArgumentError, match="k has indices from 0 to 4"):
        function.check_run({}, resident, {"k": np.array([[0, 1, 2, 3], [0, 1, 2, 4]], "int32")}, 2)


@given(at=st.integers(0, 6), index=st.sampled_from([-1, 4]))
def test_indices_are_looked_at_on_the_host_wherever_the_array_lies(at, index):
    class Elsewhere:
        def __init__(self, array):
            self.shape, self.dtype, self.array = array.shape, array.dtype, array

        def __array__(self, *args, **kwargs):
            raise TypeError("it lies on a device")

    function = G.Function({"x": X, "k": K}, {"y": G.gather(X, K)})
    rows = np.zeros((7, 4), "int32")
    given = {"k": Elsewhere(rows)}, 7
    function.check_run({}, {"x": np.zeros((4, 3), "float32")}, *given, to_host=lambda value: value.array)
    rows[at] = index
    with pytest.raises(ArgumentError, match="k has indices"):
        function.check_run({}, {"x": np.zeros((4, 3), "float32")}, *given, to_host=lambda value: value.array)


# The digest


def function(
    name="x",
    shape=(2, 3),
    dtype="float32",
    constant=0.1,
    kind="float32",
    exponent=2.0,
    output="y",
    unused=(1,),
):
    x, spare = G.variable(name, shape, dtype), G.variable("spare", unused)
    y = (x * G.constant(constant, kind)) ** exponent
    return G.Function({name: x, "spare": spare}, {output: y})


def test_equal_functions_have_equal_digests():
    assert function().digest == function().digest
    assert len(function().digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"name": "z"},
        {"output": "z"},
        {"shape": (3, 2)},
        {"dtype": "float64"},
        {"constant": 0.10000001},
        {"kind": "float64"},
        {"exponent": 3.0},
        {"unused": (2,)},
    ],
)
def test_whatever_changes_a_function_changes_its_digest(change):
    assert function(**change).digest != function().digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (G.constant(0.0), G.constant(-0.0)),
        (G.constant(0.1, "float64"), G.constant(float(np.float32(0.1)), "float64")),
        (G.constant(1.0, "float32"), G.constant(1.0, "float64")),
        (G.constant([1, 2]), G.constant([[1, 2]])),
        (G.constant(np.arange(100.0)), G.constant(np.arange(100.0)[::-1])),
        (
            G.pad(X, low=(0, 0), high=(0, 1), interior=(0, 0)),
            G.pad(X, low=(0, 1), high=(0, 0), interior=(0, 0)),
        ),
        (
            G.pad(X, low=(1, 0), high=(0, 0), interior=(0, 0)),
            G.pad(X, low=(1, 0), high=(0, 0), interior=(0, 0), value=-0.0),
        ),
        (X.sum(0), X.sum((0,), keepdims=True)),
        (X - X.mean(), X.mean() - X),
    ],
)
def test_constants_attributes_and_operands_are_told_apart_to_the_bit(one, other):
    assert G.Function({"x": X}, {"y": one}).digest != G.Function({"x": X}, {"y": other}).digest


def test_inputs_are_told_apart_from_state_and_outputs_from_updates():
    new = B * 2
    digests = {
        G.Function({"b": B}, {"b": new}).digest,
        G.Function({}, {"b": new}, {"b": B}).digest,
        G.Function({}, {}, {"b": B}, {"b": new}).digest,
        G.Function({}, {"b": new}, {"b": B}, {"b": new}).digest,
    }
    assert len(digests) == 4
