"""Initial values: their distribution, their determinism, and what each scheme decides."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import random
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.layers import (
    SCHEMES,
    Constant,
    Convolution,
    ConvPool,
    FromFunction,
    FullyConnected,
    Initialiser,
    InitialiserLike,
    Layer,
    Normal,
    ParameterSpec,
    ScaledNormal,
    SchemeDefault,
    Softmax,
    as_initialiser,
    as_scheme,
    initial_value,
)

# What each named initialiser multiplies standard normal numbers by.
DEVIATIONS = {
    "chapter": lambda spec: math.sqrt(1 / spec.fan_out),
    "n_in": lambda spec: math.sqrt(1 / spec.fan_in),
    "glorot": lambda spec: math.sqrt(2 / (spec.fan_in + spec.fan_out)),
    "he": lambda spec: math.sqrt(2 / spec.fan_in),
}

seeds = st.integers(0, 2**64 - 1)
paths = st.sampled_from(["0.weight", "conv.weight", "2.branch1.0.weight"])
specs = st.builds(
    lambda shape, fan_in, fan_out: ParameterSpec(tuple(shape), Constant(0), fan_in, fan_out, True),
    st.lists(st.integers(1, 5), max_size=4),
    st.integers(1, 5000),
    st.integers(1, 5000),
)


@pytest.mark.parametrize("name", DEVIATIONS)
@given(spec=specs, seed=seeds, path=paths)
def test_named_weights_are_the_paths_normal_numbers_times_the_documented_deviation(
    name: str, spec: ParameterSpec, seed: int, path: str
) -> None:
    expected = random.normal(seed, "initialise", path, shape=spec.shape) * DEVIATIONS[name](spec)
    value = initial_value(replace(spec, initialiser=as_initialiser(name)), "chapter", seed, path)
    assert value.dtype == np.float64
    np.testing.assert_array_equal(value, expected)


@given(spec=specs, seed=seeds, scheme=st.sampled_from(sorted(SCHEMES)))
def test_a_value_depends_on_seed_and_path_alone_and_is_the_callers_own(
    spec: ParameterSpec, seed: int, scheme: str
) -> None:
    spec = replace(spec, initialiser=SchemeDefault("weight"))
    one = initial_value(spec, scheme, seed, "0.weight")
    again = initial_value(spec, scheme, seed, "0.weight")
    np.testing.assert_array_equal(one, again)
    assert one.flags.writeable
    assert not np.shares_memory(one, again)
    other_path = initial_value(spec, scheme, seed, "1.weight")
    other_seed = initial_value(spec, scheme, (seed + 1) % 2**64, "0.weight")
    assert not np.array_equal(one, other_path)
    assert not np.array_equal(one, other_seed)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("layer", [FullyConnected(400), ConvPool(400, 5), Convolution(400, 5)])
def test_mean_and_deviation_lie_within_sampling_error(scheme: str, layer: Layer) -> None:
    """Six standard errors: sigma / sqrt(n) of a mean, about sigma / sqrt(2 n) of a deviation."""
    spec = layer.parameters((8, 10, 10))["weight"]
    value = initial_value(spec, scheme, 7, "0.weight")
    sigma, n = DEVIATIONS[scheme](spec), value.size
    assert n >= 80_000
    assert abs(value.mean()) < 6 * sigma / math.sqrt(n)
    assert abs(value.std() - sigma) < 6 * sigma / math.sqrt(2 * n)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_biases_are_standard_normal_in_the_chapter_and_zero_elsewhere(scheme: str) -> None:
    spec = FullyConnected(1000).parameters((3,))["bias"]
    value = initial_value(spec, scheme, 3, "0.bias")
    expected = random.normal(3, "initialise", "0.bias", shape=(1000,)) if scheme == "chapter" else 0
    np.testing.assert_array_equal(value, np.broadcast_to(expected, 1000))


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_a_softmax_layer_starts_at_zero_under_every_named_scheme(scheme: str) -> None:
    for name, spec in Softmax(10).parameters((4, 5)).items():
        assert not initial_value(spec, scheme, 0, f"2.{name}").any()


@pytest.mark.parametrize("scheme", [*sorted(SCHEMES), Constant(3)])
def test_a_layers_own_initialisers_go_before_the_scheme(scheme: InitialiserLike) -> None:
    for layer in (
        FullyConnected(4, weight_init="he", bias_init=Constant(0.5)),
        Softmax(4, weight_init="he", bias_init=Constant(0.5)),
        Convolution(4, 1, weight_init="he", bias_init=Constant(0.5)),
        ConvPool(4, 1, weight_init="he", bias_init=Constant(0.5)),
    ):
        weight, bias = layer.parameters((3, 2, 2)).values()
        expected = random.normal(1, "initialise", "w", shape=weight.shape) * math.sqrt(2 / weight.fan_in)
        np.testing.assert_array_equal(initial_value(weight, scheme, 1, "w"), expected)
        np.testing.assert_array_equal(initial_value(bias, scheme, 1, "b"), np.full(4, 0.5))


def by_path(seed: int, path: str, spec: ParameterSpec) -> npt.NDArray[np.float64]:
    return np.full(spec.shape, float(len(path)) + spec.fan_in)


def test_a_function_as_scheme_decides_every_parameter() -> None:
    for layer in (FullyConnected(4), Softmax(4)):
        for name, spec in layer.parameters((3,)).items():
            np.testing.assert_array_equal(
                initial_value(spec, by_path, 0, f"7.{name}"), np.full(spec.shape, len(name) + 2.0 + 3)
            )


def test_a_name_is_a_scheme_first_and_else_an_initialiser_throughout() -> None:
    assert as_scheme("he") is SCHEMES["he"]
    assert as_scheme("he").bias == Constant(0)
    zeros = as_scheme("zeros")
    assert zeros.weight == zeros.bias == zeros.softmax == Constant(0)
    assert as_scheme(Normal(0.1)).softmax == Normal(0.1)
    assert as_scheme(by_path).bias == FromFunction(by_path)


def test_an_unknown_scheme_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(ArgumentError, match=r"^init is 'xavier'; expected chapter, glorot, he, n_in, zeros"):
        as_scheme("xavier")
    with pytest.raises(
        ArgumentTypeError, match=r"^init is 3; expected the name of an initialiser or a function"
    ):
        as_scheme(3)  # type: ignore[arg-type]


def test_the_schemes_place_holder_does_not_draw_by_itself() -> None:
    spec = FullyConnected(4).parameters((3,))["weight"]
    with pytest.raises(ArgumentError, match=r"^0.weight: the network's scheme decides"):
        spec.initialiser.draw(0, "0.weight", spec)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.zeros(3), ShapeError, r"0.weight: .* gave shape \(3,\); expected \(2, 2\)"),
        (np.full((2, 2), np.nan), ArgumentError, "0.weight: .* gave numbers that are not finite"),
        (np.full((2, 2), -np.inf), ArgumentError, "0.weight: .* gave numbers that are not finite"),
        (np.full((2, 2), "a"), ArgumentTypeError, "0.weight: .* gave an array of <U1; expected numbers"),
        (
            np.full((2, 2), 1j),
            ArgumentTypeError,
            "0.weight: .* gave an array of complex128; expected numbers",
        ),
        (np.full((2, 2), True), ArgumentTypeError, "0.weight: .* gave an array of bool; expected numbers"),
    ],
)
def test_a_function_that_returns_anything_else_is_named_with_the_path(
    value: Any, error: type[Exception], message: str
) -> None:
    spec = ParameterSpec((2, 2), FromFunction(lambda seed, path, spec: value), 2, 2, True)
    with pytest.raises(error, match=f"^{message}"):
        initial_value(spec, "chapter", 0, "0.weight")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Normal(-1), ArgumentError, "Normal: standard_deviation is -1.0; expected 0 or more"),
        (lambda: Normal(True), ArgumentTypeError, "Normal: standard_deviation is True; expected a number"),
        (lambda: Normal(1, math.inf), ArgumentError, "Normal: mean is inf; expected a finite number"),
        (lambda: ScaledNormal(0), ArgumentError, "ScaledNormal: gain is 0.0; expected more than 0"),
        (
            lambda: ScaledNormal(1, "n_in"),  # type: ignore[arg-type]
            ArgumentError,
            "ScaledNormal: fan is 'n_in'; expected in, out, both",
        ),
        (lambda: Constant(math.nan), ArgumentError, "Constant: value is nan; expected a finite number"),
        (lambda: Constant(10**400), ArgumentError, "Constant: value is 10+; expected a finite number"),
        (lambda: Constant("0"), ArgumentTypeError, "Constant: value is '0'; expected a number"),  # type: ignore[arg-type]
    ],
)
def test_an_initialiser_that_makes_no_sense_is_refused(
    make: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}"):
        make()


def test_what_a_function_returns_is_copied_as_float64_in_c_order() -> None:
    shared = np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3))
    spec = ParameterSpec((2, 3), FromFunction(lambda seed, path, spec: shared), 2, 3, True)
    value = initial_value(spec, "chapter", 0, "0.weight")
    assert value.dtype == np.float64
    assert value.flags.c_contiguous
    assert not np.shares_memory(value, shared)
    np.testing.assert_array_equal(value, shared)
    kept = FromFunction(lambda seed, path, spec: value)
    assert not np.shares_memory(
        initial_value(replace(spec, initialiser=kept), "chapter", 0, "0.weight"), value
    )


def test_an_initialiser_is_itself_such_a_function() -> None:
    spec = ParameterSpec((3,), Constant(0), 1, 1, False)
    initialiser: Initialiser = Normal(2, 1)
    expected = random.normal(5, "initialise", "p", shape=(3,)) * 2 + 1
    np.testing.assert_array_equal(initialiser(5, "p", spec), expected)
