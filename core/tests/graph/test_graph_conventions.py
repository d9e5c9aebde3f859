"""The conventions where frameworks disagree: ties, kinks, NaN and infinity, each to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph.reference import evaluate

INF, NAN = float("inf"), float("nan")

pytestmark = pytest.mark.parametrize("dtype", ["float32", "float64"])


def values(y, **variables):
    return evaluate([y], variables)[0]


def value_and_gradient(f, x, dtype, weights=None):
    """f(x), and the gradient of sum(weights * f(x)); without weights of sum(f(x))."""
    x = np.asarray(x, dtype)
    variable = G.variable("x", x.shape, dtype)
    y = f(variable)
    cost = (y if weights is None else y * np.asarray(weights, dtype)).sum()
    return evaluate([y, G.grad(cost, variable)], {"x": x})


def assert_same(found, expected):
    """Equal to the bit, but for the sign and payload of a NaN."""
    expected = np.asarray(expected, found.dtype)
    np.testing.assert_array_equal(found, expected, strict=True)
    numbers = ~np.isnan(found)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


def test_relu_is_flat_at_zero_and_hands_on_nan(dtype):
    y, gradient = value_and_gradient(G.relu, [-1, -0.0, 0.0, 2, NAN, INF, -INF], dtype)
    assert_same(y, [0, 0, 0, 2, NAN, INF, 0])
    assert_same(gradient, [0, 0, 0, 1, 0, 1, 0])


def test_the_gradient_of_relu_is_chosen_and_not_multiplied(dtype):
    # g * 0 would be NaN.
    assert_same(value_and_gradient(G.relu, [-1.0, 2.0], dtype, weights=[INF, INF])[1], [0, INF])


def test_sign_and_the_slope_of_abs_are_zero_at_zero(dtype):
    x = [-2, -0.0, 0.0, 3, NAN, -INF]
    sign, slope_of_sign = value_and_gradient(G.sign, x, dtype)
    assert_same(sign, [-1, 0, 0, 1, NAN, -1])
    assert_same(slope_of_sign, np.zeros(6))
    magnitude, slope = value_and_gradient(G.abs_, x, dtype)
    assert_same(magnitude, [2, 0, 0, 3, NAN, INF])
    assert_same(slope, [-1, 0, 0, 1, NAN, -1])


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_a_tie_of_maximum_and_minimum_gives_half_to_each(name, dtype):
    a, b = G.variable("a", (5,), dtype), G.variable("b", (5,), dtype)
    y = G.PRIMITIVES[name].build(a, b)
    operands = {"a": np.array([1, 3, 2, NAN, 1], dtype), "b": np.array([1, 2, 3, 1, NAN], dtype)}
    found, to_a, to_b = evaluate([y, *G.grad((y * 6).sum(), [a, b])], operands)
    larger = name == "maximum"
    assert_same(found, [1, 3, 3, NAN, NAN] if larger else [1, 2, 2, NAN, NAN])
    assert_same(to_a, [3, 6, 0, 0, 0] if larger else [3, 0, 6, 0, 0])
    assert_same(to_b, [3, 0, 6, 0, 0] if larger else [3, 6, 0, 0, 0])


@given(ties=st.integers(1, 6), others=st.integers(0, 6), random=st.randoms(use_true_random=False))
def test_tied_maxima_of_reduce_max_share_evenly(dtype, ties, others, random):
    x = [7.0] * ties + [-1.0] * others
    random.shuffle(x)
    y, gradient = value_and_gradient(lambda t: t.max(), x, dtype)
    share = np.array(1, dtype) / np.array(ties, dtype)
    assert_same(y, 7)
    assert_same(gradient, np.where(np.array(x) == 7, share, 0))


def test_a_tie_of_max_pool2d_goes_to_the_first_of_each_overlapping_window(dtype):
    def pool(x):
        return G.max_pool2d(x, window=2, stride=1)

    image = np.ones((1, 1, 3, 3))
    weights = np.array([[1, 2], [4, 8]]).reshape(1, 1, 2, 2)
    _, gradient = value_and_gradient(pool, image, dtype, weights)
    assert_same(gradient[0, 0], [[1, 2, 0], [4, 8, 0], [0, 0, 0]])
    # The centre is the maximum of all four windows and gathers what they give.
    image[0, 0, 1, 1] = 2
    _, gradient = value_and_gradient(pool, image, dtype, weights)
    assert_same(gradient[0, 0], [[0, 0, 0], [0, 15, 0], [0, 0, 0]])


def test_argmax_takes_the_first_maximum_and_the_first_nan(dtype):
    rows = [[1, 3, 3], [3, NAN, NAN], [-INF, -INF, -INF], [-0.0, 0.0, -1]]
    x = G.variable("x", (4, 3), dtype)
    assert values(G.argmax(x, axis=1), x=np.array(rows, dtype)).tolist() == [1, 1, 0, 0]


def test_max_pool2d_index_takes_the_first_nan_or_else_the_first_maximum(dtype):
    rows = np.array([[1, NAN, -INF, -INF], [NAN, 9, -INF, -INF], [5, 5, -0.0, 0.0], [5, 5, -1, -1]], dtype)
    x = G.variable("x", (1, 1, 4, 4), dtype)
    operand = rows.reshape(1, 1, 4, 4)
    assert values(G.max_pool2d_index(x, window=2), x=operand)[0, 0].tolist() == [[1, 2], [8, 10]]
    assert_same(abs(values(G.max_pool2d(x, window=2), x=operand)[0, 0]), [[NAN, INF], [5, 0]])


def test_max_pool2d_gives_the_gradient_to_the_first_nan(dtype):
    x = [[[[1, NAN], [NAN, 2]]]]
    y, gradient = value_and_gradient(lambda t: G.max_pool2d(t, window=2), x, dtype)
    assert_same(y, [[[[NAN]]]])
    assert_same(gradient, [[[[0, 1], [0, 0]]]])


def test_softplus_has_slope_one_half_at_zero_and_does_not_overflow(dtype):
    y, gradient = value_and_gradient(G.softplus, [0.0, -0.0, 1e4, -1e4, INF, -INF, NAN], dtype)
    assert_same(y[2:], [1e4, 0, INF, 0, NAN])
    assert_same(gradient, [0.5, 0.5, 1, 0, 1, 0, NAN])


def test_sigmoid_and_tanh_reach_their_limits_without_overflow(dtype):
    x = [-INF, -1e4, 0.0, 1e4, INF, NAN]
    assert_same(value_and_gradient(G.sigmoid, x, dtype)[0], [0, 0, 0.5, 1, 1, NAN])
    assert_same(value_and_gradient(G.tanh, x, dtype)[0], [-1, -1, 0, 1, 1, NAN])


@pytest.mark.parametrize("name", ["reduce_sum", "reduce_max", "logsumexp"])
def test_nan_propagates_through_reductions(name, dtype):
    x = G.variable("x", (2, 3), dtype)
    y = G.PRIMITIVES[name].build(x, axes=1)
    found = values(y, x=np.array([[1, NAN, INF], [1, 2, 3]], dtype))
    assert np.isnan(found).tolist() == [True, False]


@pytest.mark.parametrize("name", ["sum_pool2d", "max_pool2d"])
@given(row=st.integers(0, 4), column=st.integers(0, 4))
def test_nan_propagates_through_exactly_the_windows_that_hold_it(name, dtype, row, column):
    image = np.zeros((1, 1, 5, 5), dtype)
    image[0, 0, row, column] = NAN
    x = G.variable("x", image.shape, dtype)
    found = values(G.PRIMITIVES[name].build(x, window=2, stride=1), x=image)[0, 0]
    i, j = np.indices((4, 4))
    assert (np.isnan(found) == ((row - i) // 2 == 0) & ((column - j) // 2 == 0)).all()


def test_where_passes_an_exact_zero_to_the_branch_not_taken(dtype):
    condition = np.array([True, False])
    c, a, b = G.variable("c", (2,), "bool"), G.variable("a", (2,), dtype), G.variable("b", (2,), dtype)
    y = G.where(c, a, b)
    operands = {"c": condition, "a": np.array([1, NAN], dtype), "b": np.array([INF, 2], dtype)}
    found, to_a, to_b = evaluate([y, *G.grad((y * INF).sum(), [a, b])], operands)
    assert_same(found, [1, 2])
    assert_same(to_a, [INF, 0])
    assert_same(to_b, [0, INF])


def test_the_zero_of_where_times_an_infinite_slope_is_nan_unless_the_operand_is_guarded(dtype):
    unguarded = value_and_gradient(lambda x: G.where(x > 0, G.sqrt(x), 0), [0.0, 4.0], dtype)[1]
    assert_same(unguarded, [NAN, 0.25])
    assert_same(value_and_gradient(G.safe_sqrt, [0.0, 4.0], dtype)[1], [0, 0.25])


def test_l2_pooling_of_a_window_of_zeros_has_gradient_zero(dtype):
    image = np.zeros((1, 1, 2, 4))
    image[0, 0, 0, 2:] = 3, 4
    y, gradient = value_and_gradient(lambda x: G.l2_pool2d(x, window=2), image, dtype)
    assert_same(y[0, 0], [[0, 5]])
    assert_same(gradient[0, 0, :, :2], np.zeros((2, 2)))
    assert (gradient[0, 0, 0, 2:] > 0).all()


def test_the_slope_of_sqrt_at_zero_is_infinite(dtype):
    y, gradient = value_and_gradient(G.sqrt, [0.0, 4.0, -1.0], dtype)
    assert_same(y, [0, 2, NAN])
    assert_same(gradient, [INF, 0.25, NAN])


@pytest.mark.parametrize(
    ("exponent", "value", "slope"),
    [(3, 0, 0), (2, 0, 0), (1.5, 0, 0), (1, 0, 1), (0.5, 0, INF), (0.1, 0, INF), (0, 1, 0), (-1, INF, -INF)],
)
def test_the_slope_of_a_power_at_zero(exponent, value, slope, dtype):
    y, gradient = value_and_gradient(lambda x: x**exponent, 0.0, dtype)
    assert_same(y, value)
    assert_same(gradient, slope)


def test_logsumexp_of_minus_infinities_is_minus_infinity_with_gradient_zero(dtype):
    rows = [[-INF, -INF, -INF], [-INF, 0, -INF]]
    y, gradient = value_and_gradient(lambda x: G.logsumexp(x, axes=1), rows, dtype)
    assert_same(y, [-INF, 0])
    assert_same(gradient, [[0, 0, 0], [0, 1, 0]])


def test_logsumexp_of_nothing_and_of_infinity(dtype):
    x = G.variable("x", (0, 2), dtype)
    assert_same(values(G.logsumexp(x, axes=0), x=np.zeros((0, 2), dtype)), [-INF, -INF])
    row = G.variable("row", (3,), dtype)
    assert_same(values(G.logsumexp(row, axes=0), row=np.array([1, INF, -INF], dtype)), INF)


def test_sums_of_nothing_are_zero(dtype):
    x, w = G.variable("x", (2, 0), dtype), G.variable("w", (0, 3), dtype)
    operands = {"x": np.zeros((2, 0), dtype), "w": np.zeros((0, 3), dtype)}
    product, total = evaluate([x @ w, x.sum(1)], operands)
    assert_same(product, np.zeros((2, 3)))
    assert_same(total, np.zeros(2))


def test_division_by_zero_follows_ieee_754(dtype):
    a, b = G.variable("a", (4,), dtype), G.variable("b", (4,), dtype)
    operands = {"a": np.array([1, -1, 0, 1], dtype), "b": np.array([0, 0, 0, -0.0], dtype)}
    assert_same(values(a / b, **operands), [INF, -INF, NAN, -INF])


@pytest.mark.parametrize("name", ["greater", "equal"])
def test_comparisons_with_nan_are_false(name, dtype):
    a, b = G.variable("a", (3,), dtype), G.variable("b", (3,), dtype)
    y = G.PRIMITIVES[name].build(a, b)
    operands = {"a": np.array([NAN, NAN, 1], dtype), "b": np.array([NAN, 1, NAN], dtype)}
    assert not values(y, **operands).any()
