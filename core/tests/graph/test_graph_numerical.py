"""Numerical gradients lie within the error that they report."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError

numbers = st.floats(0.5, 8)
arrays = st.lists(numbers, min_size=1, max_size=4).map(np.array)


@pytest.mark.parametrize(
    ("f", "derivative"),
    [
        (np.exp, np.exp),
        (np.log, lambda x: 1 / x),
        (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
        (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
        (lambda x: 1 / x, lambda x: -1 / x**2),
        (lambda x: x**3, lambda x: 3 * x**2),
        (lambda x: 5 * x, lambda x: 5 + 0 * x),
        (lambda x: 1 + 0 * x, lambda x: 0 * x),
        (lambda x: np.sin(20 * x), lambda x: 20 * np.cos(20 * x)),
    ],
)
@given(x=arrays)
def test_the_error_estimate_covers_the_error_and_is_small(f, derivative, x):
    total = lambda v: np.sum(f(v))  # noqa: E731
    magnitude = float(np.sum(abs(f(x)))) + 20 * x.max()  # the argument of the sine is rounded, too
    gradient, error = G.numerical_gradient(total, x, noise=8 * len(x) * 2.0**-53 * magnitude)
    assert gradient.shape == error.shape == x.shape
    assert (abs(gradient - derivative(x)) <= error).all()
    assert (error <= 1e-4 * (1 + abs(derivative(x)) + magnitude)).all()


@given(x=arrays, rows=st.integers(0, 3))
def test_a_function_with_an_array_for_its_value_has_a_matrix_of_derivatives(x, rows):
    matrix = np.arange(1.0, rows * len(x) + 1).reshape(rows, len(x))
    gradient, error = G.numerical_gradient(lambda v: matrix @ v, x, noise=1e-12)
    assert gradient.shape == error.shape == (rows, len(x))
    assert (abs(gradient - matrix) <= error).all()


def test_shapes_without_axes_and_without_elements():
    gradient, error = G.numerical_gradient(lambda v: v * v, 3.0)
    assert gradient.shape == error.shape == ()
    assert abs(gradient - 6) <= error
    assert G.numerical_gradient(np.sum, np.zeros((2, 0)))[0].shape == (2, 0)


def test_a_kink_shows_in_the_error_unless_a_smaller_step_avoids_it():
    gradient, error = G.numerical_gradient(abs, 0.01)  # 1/128 < 0.01 < 1/64
    assert abs(gradient - 1) <= error < 1e-12
    assert G.numerical_gradient(abs, 0.002)[1] > 0.05


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_no_error_estimate(value):
    gradient, error = G.numerical_gradient(lambda v: value + v, 1.0)
    assert np.isnan(gradient)
    assert np.isnan(error)


def test_the_argument_of_the_function_is_float64_and_the_given_array_stays():
    x = np.array([1, 2])
    seen = []
    G.numerical_gradient(lambda v: seen.append(v.dtype) or v.sum(), x)
    assert set(seen) == {np.dtype("float64")}
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("x", "step", "error", "message"),
    [
        (1j, 0.1, ArgumentTypeError, "x has dtype complex128"),
        ("one", 0.1, ArgumentTypeError, "x has dtype"),
        (1.0, 0.0, ArgumentError, "step is 0.0"),
        (1.0, float("nan"), ArgumentError, "step is nan"),
    ],
)
def test_what_can_not_be_differentiated_is_refused(x, step, error, message):
    with pytest.raises(error, match=message):
        G.numerical_gradient(lambda v: v, x, step=step)
