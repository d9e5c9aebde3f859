"""The operators of a Tensor do what NumPy's do: broadcasting, promotion, indexing, reductions."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices, mutually_broadcastable_shapes

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.dtypes import promote
from isograd.graph.reference import evaluate

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]
COMPARISONS = [operator.gt, operator.lt]
NAMED = [(G.maximum, np.maximum), (G.minimum, np.minimum), (G.equal, np.equal), (G.greater, np.greater)]


def value(tensor, **values):
    return evaluate([tensor], values)[0]


def quarters(data, shape, dtype="float32"):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    return np.asarray(rng.integers(1, 9, size=shape) / 4, dtype)


def pair(data, dtypes=("float32", "float32")):
    shapes = data.draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)).input_shapes
    return [quarters(data, shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]


@pytest.mark.parametrize("apply", ARITHMETIC + COMPARISONS)
@given(data=st.data())
def test_operators_broadcast_as_numpy_does(apply, data):
    a, b = pair(data)
    x, y = G.variable("x", a.shape), G.variable("y", b.shape)
    expected = apply(a, b)
    # An array on either side of a tensor is a constant, also on the left, where NumPy is asked first.
    for tensor in (apply(x, y), apply(x, b), apply(a, y)):
        np.testing.assert_array_equal(value(tensor, x=a, y=b), expected, strict=True)


@pytest.mark.parametrize(("ours", "numpys"), NAMED)
@given(data=st.data())
def test_named_operators_broadcast_as_numpy_does(ours, numpys, data):
    a, b = pair(data)
    found = value(ours(G.variable("x", a.shape), G.variable("y", b.shape)), x=a, y=b)
    np.testing.assert_array_equal(found, numpys(a, b), strict=True)


@given(data=st.data())
def test_where_broadcasts_all_three(data):
    shapes = data.draw(mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3)).input_shapes
    c, a, b = (quarters(data, shape) for shape in shapes)
    condition = G.variable("c", c.shape) > 1
    found = value(G.where(condition, G.variable("a", a.shape), G.variable("b", b.shape)), c=c, a=a, b=b)
    np.testing.assert_array_equal(found, np.where(c > 1, a, b), strict=True)


@given(data=st.data())
def test_matmul_broadcasts_batch_axes(data):
    i, k, j = (data.draw(st.integers(0, 3)) for _ in range(3))
    batches = data.draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3, min_dims=0))
    a, b = (quarters(data, (*s, *ij)) for s, ij in zip(batches.input_shapes, [(i, k), (k, j)], strict=True))
    found = value(G.variable("x", a.shape) @ G.variable("y", b.shape), x=a, y=b)
    np.testing.assert_array_equal(found, a @ b, strict=True)  # of quarters: exact


@pytest.mark.parametrize("a", G.DTYPES)
@pytest.mark.parametrize("b", G.DTYPES)
def test_operands_are_promoted_to_the_wider_dtype(a, b):
    order = ["bool", "uint8", "int32", "float32", "float64"]
    wider = max(a, b, key=order.index)
    assert promote(a, b) == promote(b, a) == wider
    x, y = G.variable("x", (), a), G.variable("y", (), b)
    chosen = G.where(G.variable("c", (), "bool"), x, y)
    assert chosen.dtype == wider


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_python_number_takes_the_dtype_of_the_tensor_beside_it(dtype):
    x = G.variable("x", (2,), dtype)
    for tensor in (x + 1, 0.1 * x, 1 - x, x / 3, 2 / x, G.maximum(x, 0), G.where(x > 0, x, 0)):
        assert tensor.dtype == dtype
    assert value(x * 0.1, x=np.ones(2, dtype))[0] == np.array(0.1, dtype)


@given(data=st.data())
def test_indexing_is_numpys(data):
    shape = data.draw(array_shapes(min_dims=0, max_dims=3, max_side=4))
    index = data.draw(basic_indices(shape, allow_newaxis=False, allow_ellipsis=True))
    parts = index if isinstance(index, tuple) else (index,)
    array = quarters(data, shape)
    x = G.variable("x", shape)
    if any(isinstance(part, slice) and (part.step or 1) < 0 for part in parts):
        with pytest.raises(ArgumentError, match="negative step"):
            x[index]
    else:
        np.testing.assert_array_equal(value(x[index], x=array), array[index], strict=True)


@pytest.mark.parametrize(("ours", "numpys"), [("sum", np.sum), ("max", np.max), ("mean", np.mean)])
@given(data=st.data())
def test_reductions_are_numpys_with_and_without_the_reduced_axes(ours, numpys, data):
    shape = data.draw(array_shapes(min_dims=0, max_dims=3, max_side=2))  # sizes of powers of two: exact means
    axes = data.draw(
        st.one_of(st.none(), st.sets(st.integers(-len(shape), len(shape) - 1)) if shape else st.none())
    )
    axes = None if axes is None else tuple({a % len(shape): a for a in axes}.values())
    keepdims = data.draw(st.booleans())
    array = quarters(data, shape)
    found = value(getattr(G.variable("x", shape), ours)(axes, keepdims=keepdims), x=array)
    np.testing.assert_array_equal(found, numpys(array, axis=axes, keepdims=keepdims), strict=True)


@given(data=st.data())
def test_reshape_with_a_size_left_open_and_transpose(data):
    shape = data.draw(array_shapes(min_dims=1, max_dims=3, max_side=3))
    array, x = quarters(data, shape), G.variable("x", shape)
    target = list(data.draw(st.permutations(shape)))
    target[data.draw(st.integers(0, len(target) - 1))] = -1
    np.testing.assert_array_equal(value(x.reshape(*target), x=array), array.reshape(target), strict=True)
    np.testing.assert_array_equal(value(x.transpose(), x=array), array.T, strict=True)
    axes = data.draw(st.permutations(range(len(shape))))
    np.testing.assert_array_equal(value(x.transpose(*axes), x=array), array.transpose(axes), strict=True)


def test_what_changes_nothing_is_the_tensor_itself():
    x = G.variable("x", (2, 3))
    assert G.broadcast_to(x, (2, 3)) is G.cast(x, "float32") is x.reshape(2, 3) is x


def test_operators_on_one_tensor():
    x = G.variable("x", (3,))
    array = np.array([1, 2, 4], "float32")
    assert value(-x, x=array).tolist() == [-1, -2, -4]
    assert value(abs(x), x=-array).tolist() == [1, 2, 4]
    assert value(x**2, x=array).tolist() == [1, 4, 16]
    assert value(x.cast("int32"), x=array + np.float32(0.75)).dtype == "int32"


# Constants


@pytest.mark.parametrize(
    ("given", "dtype"),
    [(1.5, "float32"), (2, "int32"), (True, "bool"), ([1.0, 2.0], "float32"), ([[1, 2]], "int32")],
)
def test_a_python_value_becomes_a_constant_of_the_default_dtype(given, dtype):
    tensor = G.constant(given)
    assert tensor.dtype == dtype
    np.testing.assert_array_equal(value(tensor), np.array(given, dtype), strict=True)


def test_a_constant_keeps_its_arrays_dtype_and_does_not_follow_its_changes():
    array = np.array([1.0, 2.0])
    tensor = G.constant(array)
    array[0] = 9
    assert tensor.dtype == "float64"
    assert value(tensor).tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        tensor.attributes["value"][0] = 3


@pytest.mark.parametrize(
    ("given", "dtype", "error", "message"),
    [
        (2**31, None, ArgumentError, "int32"),
        (-1, "uint8", ArgumentError, "uint8"),
        (256, "uint8", ArgumentError, "uint8"),
        (0.5, "int32", ArgumentError, "whole numbers.*int32"),
        (float("nan"), "int32", ArgumentError, "int32"),
        (1e300, "float32", ArgumentError, "range of float32"),
        ("one", None, ArgumentTypeError, "value is 'one'"),
        (None, None, ArgumentTypeError, "value is None"),
        (2**70, None, ArgumentTypeError, "value is"),
        (1j, "float32", ArgumentTypeError, "value is 1j"),
        (np.zeros(2, "int64"), None, ArgumentTypeError, "int64; expected one of float32"),
        (1.0, "float16", ArgumentTypeError, "float16; expected one of float32"),
    ],
)
def test_a_constant_that_its_dtype_can_not_hold_is_refused(given, dtype, error, message):
    with pytest.raises(error, match=message):
        G.constant(given, dtype)


def test_infinities_and_nan_are_float32_constants():
    assert np.isposinf(value(G.constant(float("inf"))))
    assert np.isnan(value(G.constant([float("nan")])))


# What a Tensor is not


def test_a_tensor_has_no_truth_value_and_can_not_be_iterated_over():
    x = G.variable("x", (2,))
    with pytest.raises(ArgumentTypeError, match=r"'x'.*no truth value.*`where`"):
        bool(x)
    with pytest.raises(ArgumentTypeError, match=r"'x'.*iterated"):
        list(x)


def test_tensors_compare_by_identity_and_are_named_by_their_variable():
    x, y = G.variable("x", (2,)), G.variable("x", (2,))
    assert x != y
    assert len({x, y, x}) == 2
    assert (x.name, (x + y).name) == ("x", "")
    assert repr(x) == "<Tensor variable 'x' float32[2]>"
    assert repr(x + y) == "<Tensor add float32[2]>"


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda x: x + G.variable("y", (2,)), ShapeError, r"add: shapes \[2, 3\] and \[2\] do not broadcast"),
        (lambda x: x @ G.variable("y", (2, 3)), ShapeError, r"matmul: shapes \[2, 3\] and \[2, 3\]"),
        (lambda x: x @ np.ones((3, 2)), ArgumentTypeError, "matmul: the second operand is a ndarray"),
        (lambda x: x + "one", ArgumentTypeError, "add: an operand is a str"),
        (lambda x: x.cast("int32") * 0.5, ArgumentTypeError, "mul: the number 0.5 meets a tensor of int32"),
        (lambda x: x.cast("uint8") > 256, ArgumentError, "range of uint8"),
        (lambda x: x**x, ArgumentTypeError, "pow: exponent is <Tensor"),
        (lambda x: G.where(True, x, x), ArgumentTypeError, "where: condition is a bool; expected a Tensor"),
        (lambda x: G.where(x, x, x), ArgumentTypeError, "where: condition is float32; expected bool"),
        (lambda x: x[0, 0, 0], ShapeError, "index has 3 parts.*2 axes"),
        (lambda x: x[2], ArgumentError, "index 2 is out of range for axis 0 of size 2"),
        (lambda x: x[::-1], ArgumentError, "negative step"),
        (lambda x: x[None], ArgumentTypeError, "index None"),
        (lambda x: x[True], ArgumentTypeError, "index True"),
        (lambda x: x[np.array([0, 1])], ArgumentTypeError, "index array.*gather"),
        (lambda x: x[..., ...], ArgumentTypeError, "index Ellipsis"),
        (lambda x: x.reshape(4, -1), ShapeError, r"reshape: \[2, 3\].*\[4, -1\]"),
        (lambda x: x.reshape(-1, -1), ShapeError, "negative"),
        (lambda x: x.sum(2), ArgumentError, "reduce_sum: axis is 2.*2 axes"),
        (lambda x: x.sum((0, -2)), ArgumentError, r"axes \[0, 0\] name one axis twice"),
        (lambda x: x.sum("rows"), ArgumentTypeError, "axis is 'r'"),
        (lambda x: x.cast("complex64"), ArgumentTypeError, "complex64; expected one of"),
        (lambda _: G.variable("", (2,)), ArgumentError, "name is ''"),
        (lambda _: G.variable("x", (2, -1)), ShapeError, r"shape is \[2, -1\].*negative"),
        (lambda _: G.variable("x", (2.5,)), ArgumentTypeError, "whole numbers"),
        (lambda _: G.variable("x", "23"), ArgumentTypeError, "whole numbers"),
        (lambda _: G.variable("x", 3), ArgumentTypeError, "shape is 3"),
    ],
)
def test_operators_refuse_what_does_not_fit_where_it_is_written(build, error, message):
    with pytest.raises(error, match=message):
        build(G.variable("x", (2, 3)))


def test_numpy_integers_are_whole_numbers_too():
    x = G.variable("x", (2, 3))
    assert x.sum(np.int64(1)).shape == (2,)
    assert G.transpose(x, axes=np.array([1, 0])).shape == (3, 2)
    assert G.variable("y", np.array([4, 5])).shape == (4, 5)
