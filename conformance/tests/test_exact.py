"""Exact arithmetic: what rounds nothing, what differences give, and that a distance is seen."""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph.gradient import VJP
from isograd.graph.reference import REFERENCE
from isograd_conformance import exact, options
from isograd_conformance.exact.numbers import divided, power, total
from isograd_conformance.options import Options


@given(st.lists(st.floats(-1e30, 1e30), max_size=8))
def test_a_sum_is_exact(terms: list[float]) -> None:
    found = total(terms)
    expected = sum(map(Fraction, terms))
    assert exact.number(expected.numerator) / expected.denominator == found


@given(x=st.floats(), y=st.floats())
def test_a_quotient_is_that_of_ieee_754(x: float, y: float) -> None:
    with np.errstate(all="ignore"):
        expected = np.divide(x, y)
    found = divided(x, y)
    assert np.array_equal(float(found), expected, equal_nan=True)


@given(x=st.floats(width=32), exponent=st.sampled_from([2, 1, 0, 3, 0.5, -1, -2, 2.5, -0.75, -3]))
def test_a_power_is_that_of_ieee_754(x: float, exponent: float) -> None:
    """To the unit in the last place of NumPy's own, which is not always rounded correctly."""
    with np.errstate(all="ignore"):
        expected = np.power([x], [float(exponent)])
    rounded = float(power(x, exponent))
    around = {rounded, *(float(np.nextafter(rounded, end)) for end in (-np.inf, np.inf))}
    assert np.isnan(rounded) == np.isnan(expected[0])
    assert np.isnan(rounded) or float(expected[0]) in around


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=5), st.integers(-3, 3))
def test_differences_give_the_derivative_of_a_polynomial(coefficients: list[int], at: int) -> None:
    x = G.variable("x", (), "float64")
    y = x * 0
    for coefficient in coefficients:
        y = y * x + coefficient
    slopes = [c * k for k, c in enumerate(reversed(coefficients))][1:]
    expected = sum(c * at**k for k, c in enumerate(slopes))
    found, error = exact.derivative(y, np.ones(()), {"x": np.float64(at)}, {"x": np.ones(())})
    assert abs(found - expected) <= error + abs(exact.number(expected)) * exact.number(2) ** -300


@given(value=st.floats(1, 1e30), steps=st.integers(1, 4))
def test_a_distance_beyond_twice_the_error_is_seen(value: float, steps: int) -> None:
    walk = [value]
    for _ in range(steps):
        walk.append(float(np.nextafter(walk[-1], np.inf)))
    gaps = [abs(b - a) for a, b in pairwise(walk)]
    error, target = np.asarray(sum(gaps) / 2), np.empty((), object)
    target[()] = exact.number(value)
    assert not exact.far(np.asarray(walk[-1]), target, error)
    assert exact.far(np.asarray(walk[-1]), target, np.nextafter(error, 0))


def test_an_infinity_is_near_what_is_beyond_the_range_alone() -> None:
    target = np.empty(2, object)
    target[:] = exact.number(2) ** 200, exact.number(1)
    found = exact.far(np.float32([np.inf, np.inf]), target, np.zeros(2))
    assert found == [(1,)]


def test_where_nothing_is_known_no_value_is_far_but_what_is_no_number_stays_none() -> None:
    target = np.empty(3, object)
    target[:] = exact.number(1), exact.number(np.inf), exact.number(np.nan)
    unknown = np.full(3, np.inf)
    assert not exact.far(np.float32([np.nan, -np.inf, np.nan]), target, unknown)
    assert exact.far(np.float32([np.nan, -np.inf, 1]), target, unknown) == [(2,)]


@pytest.fixture
def specification() -> ModuleType:
    """The suite's tests of the yardstick, which do not shrink."""
    options.enter(Options(shrink=False))
    try:
        return import_module("isograd_conformance.suite.test_specification")
    finally:
        options.leave()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("tanh", lambda x: np.tanh(x) * (1 + 2.0**-45)),
        ("log", lambda x: np.log(x + 1e-30)),
        ("logsumexp", lambda x, *, axes: np.log(np.exp(x).sum(axis=axes))),
        ("softplus", lambda x: np.log(1 + np.exp(x))),
        ("max_pool2d", lambda x, **a: np.maximum(REFERENCE["sum_pool2d"](x, **a), 0)),
    ],
)
def test_a_wrong_yardstick_is_caught(
    name: str, wrong: object, specification: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REFERENCE, name, wrong)
    with np.errstate(all="ignore"), pytest.raises((AssertionError, BaseExceptionGroup)):
        specification.test_the_reference_is_the_definition(name=name, dtype="float64")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("relu", lambda y, g: (g,)),
        ("sigmoid", lambda y, g: (g * y * (1 - y) * 1.000001,)),
        ("div", lambda y, g: (g / y.inputs[1], -(g * y))),
        ("max_pool2d", lambda y, g: (G.zeros_like(y.inputs[0]),)),
    ],
)
def test_a_wrong_gradient_rule_is_caught(
    name: str, wrong: object, specification: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VJP, name, wrong)
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        specification.test_the_vjp_is_what_differences_of_the_value_say(name=name)
