"""Functions by name: registration, lookup, and what activations must return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from isograd import graph as G
from isograd import plugins
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.layers import Activation, FullyConnected, functions


def double(z: Any) -> Any:
    return z * 2


def triple(z: Any) -> Any:
    return z * 3


class Plugin:
    @plugins.hookimpl
    def isograd_functions(self) -> Mapping[str, Callable[..., Any]]:
        return {"triple": triple, "relu": double}


@pytest.fixture
def registered_double() -> Iterator[None]:
    functions.register("activation", "double", double)
    yield
    functions.unregister("activation", "double")


@pytest.mark.usefixtures("registered_double")
def test_a_registered_function_is_found_both_ways_in_its_kind_alone() -> None:
    assert functions.lookup("activation", "double") is double
    assert functions.name_of("activation", double) == "double"
    assert functions.registered_name("activation", double) == "double"
    assert "double" in functions.known("activation")
    assert functions.name_of("schedule", double) is None
    with pytest.raises(ArgumentError, match=r"^schedule is 'double'; expected"):
        functions.lookup("schedule", "double")


@pytest.mark.usefixtures("registered_double")
def test_a_name_belongs_to_one_function() -> None:
    functions.register("activation", "double", double)
    with pytest.raises(
        ArgumentError, match=r"^name is 'double', which belongs to the activation <function double"
    ):
        functions.register("activation", "double", triple)
    with pytest.raises(ArgumentError, match=r"^name is 'relu', which belongs to"):
        functions.register("activation", "relu", double)
    assert functions.lookup("activation", "double") is double


@pytest.mark.parametrize("name", ["relu", "unheard-of"])
def test_only_what_was_registered_can_be_unregistered(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"^name is '{name}'; expected a registered activation"):
        functions.unregister("activation", name)
    assert functions.lookup("activation", "relu") is G.relu


@pytest.mark.parametrize(
    ("kind", "name", "function", "error", "message"),
    [
        (
            "cost",
            "double",
            double,
            ArgumentError,
            "kind is 'cost'; expected activation, initialiser, schedule",
        ),
        ("activation", "Double Up", double, ArgumentError, "name is 'Double Up'; expected lower-case"),
        ("activation", 3, double, ArgumentTypeError, "name is 3"),
        ("activation", "double", "double", ArgumentTypeError, "function is 'double'; expected a function"),
    ],
)
def test_a_registration_that_is_not_as_described_is_refused(
    kind: Any, name: Any, function: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}"):
        functions.register(kind, name, function)


def test_an_unknown_name_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(ArgumentError, match=r"^eta is 'x'; expected .*isograd.layers.functions.register"):
        functions.lookup("schedule", "x", "eta")
    with pytest.raises(
        ArgumentError, match=r"^activation is 'x'; expected linear, relu, sigmoid, softplus, tanh"
    ):
        functions.lookup("activation", "x")


def test_a_function_without_a_name_can_not_be_saved_and_the_error_says_how_to_name_it() -> None:
    with pytest.raises(ArgumentError, match=r'^eta is <function .*functions\.register\("schedule", name'):
        functions.registered_name("schedule", double, "eta")


def test_a_plugins_function_has_a_name_unless_isograds_own_goes_before_it() -> None:
    with plugins.registered(Plugin()):
        assert functions.lookup("activation", "triple") is triple
        assert FullyConnected(3, triple).activation == "triple"
        assert "triple" in functions.known("activation")
        assert functions.lookup("activation", "relu") is G.relu
        assert functions.name_of("activation", double) is None
        assert functions.known("activation").count("relu") == 1
    with pytest.raises(ArgumentError, match=r"^activation is 'triple'"):
        functions.lookup("activation", "triple")


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (
            lambda z: 3,
            ArgumentTypeError,
            "Activation: function <.*> returned a int; expected a Tensor of float64",
        ),
        (
            lambda z: z > 0,
            ArgumentTypeError,
            r"Activation: function <.*> returned <Tensor greater bool\[2, 3\]>",
        ),
        (
            lambda z: z.sum(),
            ShapeError,
            r"Activation: function <.*> returned shape \(\); expected .* \(2, 3\)",
        ),
    ],
)
def test_an_activation_returns_a_tensor_like_its_input(
    function: functions.ActivationFunction, error: type[Exception], message: str
) -> None:
    x = G.variable("x", (2, 3), "float64")
    with pytest.raises(error, match=f"^{message}"):
        Activation(function).build((x,), {}, {}, "train", {})
