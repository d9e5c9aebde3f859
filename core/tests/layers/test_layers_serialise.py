"""Layers in files: every spec comes back equal, and what could not come back is not written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd import plugins
from isograd.errors import ArgumentError, ArgumentTypeError, FileFormatError
from isograd.graph.tensor import Shape
from isograd.layers import (
    Activation,
    AveragePool,
    Constant,
    Convolution,
    ConvPool,
    Dropout,
    Flatten,
    FullyConnected,
    L2Pool,
    Layer,
    MaxPool,
    Mode,
    Normal,
    ScaledNormal,
    Softmax,
    from_data,
    from_json,
    from_toml,
    functions,
    initialiser_from_data,
    initialiser_to_data,
    layer_types,
    layers_to_data,
    to_data,
    to_json,
    to_toml,
)


def swish(z: Any) -> Any:
    return z * G.sigmoid(z)


@pytest.fixture
def registered_swish() -> Iterator[None]:
    functions.register("activation", "swish", swish)
    yield
    functions.unregister("activation", "swish")


finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
names = st.none() | st.from_regex(r"[^\W\d][\w-]{0,8}", fullmatch=True)
activations = st.sampled_from(["linear", "sigmoid", "tanh", "relu", "softplus"])
initialisers = st.one_of(
    st.sampled_from(["chapter", "n_in", "glorot", "he", "zeros"]),
    st.builds(Constant, finite),
    st.builds(Normal, st.floats(min_value=0, allow_infinity=False), finite),
    st.builds(ScaledNormal, positive, st.sampled_from(["in", "out", "both"])),
)
counts = st.integers(1, 10**6)
pairs = counts | st.tuples(counts, counts) | st.lists(counts, min_size=2, max_size=2)
probabilities = st.floats(0, 1, exclude_max=True)
paddings = st.one_of(
    st.sampled_from(["same", "valid"]), st.integers(0, 9), st.tuples(*[st.integers(0, 9)] * 4)
)
named: dict[str, Any] = {"name": names}
weighted: dict[str, Any] = {**named, "weight_init": st.none() | initialisers}
dense: dict[str, Any] = {
    **weighted,
    "n_out": counts,
    "p_dropout": probabilities,
    "inverted": st.booleans(),
    "bias_init": st.none() | initialisers,
}
layers = st.one_of(
    st.builds(Flatten, **named),
    st.builds(Activation, activations, **named),
    st.builds(Dropout, probabilities, inverted=st.booleans(), **named),
    *(st.builds(pool, pairs, st.none() | pairs, **named) for pool in (MaxPool, AveragePool, L2Pool)),
    st.builds(Softmax, **dense),
    st.builds(FullyConnected, activation=activations, **dense),
    st.builds(
        Convolution,
        counts,
        pairs,
        stride=pairs,
        padding=paddings,
        dilation=pairs,
        activation=activations,
        bias=st.booleans(),
        **weighted,
    ),
    st.builds(Convolution, st.just(6), pairs, groups=st.sampled_from([1, 2, 3]), **weighted),
    st.builds(
        ConvPool,
        counts,
        pairs,
        pairs,
        activations,
        st.sampled_from(["max", "average", "l2"]),
        bias=st.booleans(),
        **weighted,
    ),
)


@given(layers)
def test_every_spec_comes_back_equal_from_plain_data(layer: Layer) -> None:
    data = to_data(layer)
    assert from_data(data) == layer
    assert hash(from_data(data)) == hash(layer)
    assert data["type"] == type(layer).__name__


@given(st.lists(layers, max_size=4))
def test_every_list_of_specs_comes_back_equal_from_json_and_toml(specs: list[Layer]) -> None:
    assert from_json(to_json(specs)) == tuple(specs)
    assert from_toml(to_toml(specs)) == tuple(specs)
    # The text is read by other programs too.
    assert json.loads(to_json(specs)) == tomllib.loads(to_toml(specs)) == layers_to_data(specs)


@given(initialisers)
def test_every_initialiser_comes_back_equal(initialiser: Any) -> None:
    assert initialiser_from_data(initialiser_to_data(initialiser)) == initialiser


def test_only_initialisers_are_written_as_such() -> None:
    assert initialiser_to_data(Constant(0)) == "zeros"
    with pytest.raises(ArgumentTypeError, match=r"^initialiser is 3; expected the name of an initialiser"):
        initialiser_to_data(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"^initialiser is 'best'; expected chapter"):
        initialiser_to_data("best")
    with pytest.raises(ArgumentError, match=r"^initialiser is <function .*, which has no name"):
        initialiser_to_data(lambda seed, path, spec: 0)


def test_fields_at_their_defaults_are_left_out() -> None:
    assert to_data(ConvPool(20)) == {"type": "ConvPool", "maps": 20}
    assert to_data(FullyConnected(9, weight_init=Normal(), bias_init="he")) == {
        "type": "FullyConnected",
        "n_out": 9,
        "weight_init": {"type": "Normal"},
        "bias_init": "he",
    }


def test_a_file_that_a_person_wrote() -> None:
    text = """
        format = 1

        [[layers]]
        type = "Convolution"
        name = "first"
        maps = 20
        window = 5
        padding = "same"
        activation = "relu"
        weight_init = { type = "Constant", value = 0 }

        [[layers]]
        type = "MaxPool"
        window = [3, 3]
        stride = 2

        [[layers]]
        type = "Softmax"
        n_out = 10
        p_dropout = 0.5
    """
    assert from_toml(text) == (
        Convolution(20, 5, padding="same", activation="relu", weight_init="zeros", name="first"),
        MaxPool(3, 2),
        Softmax(10, 0.5),
    )


@pytest.mark.usefixtures("registered_swish")
def test_a_registered_function_goes_by_its_name() -> None:
    assert to_data(Activation(swish)) == {"type": "Activation", "function": "swish"}
    assert from_data({"type": "Activation", "function": "swish"}) == Activation(swish)


def test_a_function_registered_after_the_spec_was_made_is_still_found() -> None:
    layer = Activation(swish)
    functions.register("activation", "swish", swish)
    try:
        assert to_data(layer) == {"type": "Activation", "function": "swish"}
    finally:
        functions.unregister("activation", "swish")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            Activation(swish),
            r'Activation: function is <.*functions\.register\("activation", name, function\)',
        ),
        (FullyConnected(2, swish, name="a"), r"FullyConnected 'a': activation is <.*, which has no name"),
        (
            Softmax(2, weight_init=lambda seed, path, spec: 0),
            r'Softmax: weight_init is <.*functions\.register\("initialiser", name, function\)',
        ),
    ],
)
def test_a_function_without_a_name_is_not_written_and_the_error_says_how_to_name_it(
    layer: Layer, message: str
) -> None:
    with pytest.raises(ArgumentError, match=f"^{message}"):
        to_data(layer)
    for write in (to_json, to_toml, layers_to_data):
        with pytest.raises(ArgumentError, match=rf"^layers\[1\]: {message}"):
            write([Flatten(), layer])


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["relu", "same", "he", "x"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.fixed_dictionaries(
            {"type": st.sampled_from(["Constant", "Flatten", "Nothing"])}, optional={"value": inner}
        )
    ),
    max_leaves=5,
)


@st.composite
def damaged_tables(draw: st.DrawFn) -> dict[str, Any]:
    """A good table of which fields are dropped, replaced or added."""
    table = to_data(draw(layers))
    for key in draw(st.lists(st.sampled_from([*table, "window", "activation", "news"]), max_size=3)):
        if draw(st.booleans()):
            table[key] = draw(plain)
        else:
            table.pop(key, None)
    return table


@given(damaged_tables())
def test_a_damaged_table_is_a_layer_or_a_file_error_and_nothing_else(table: dict[str, Any]) -> None:
    try:
        layer = from_data(table)
    except FileFormatError:
        return
    assert from_data(to_data(layer)) == layer


@dataclass(frozen=True, repr=False)
class Pair(Layer):
    """A plugin's layer that holds other layers."""

    both: tuple[Layer, ...]
    scale: Any = 1.0

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def build(self, inputs: Any, params: Any, state: Any, mode: Mode, masks: Any) -> Any:
        return inputs, {}


@dataclass(frozen=True)
class NotALayer:
    size: int = 1


class Plugin:
    @plugins.hookimpl
    def isograd_layers(self) -> Sequence[type]:
        return [Pair, NotALayer]


def test_a_plugins_layer_is_read_and_written_while_the_plugin_is_there() -> None:
    layer = Pair((Flatten(), MaxPool(2, 1)), name="pair")
    with pytest.raises(ArgumentError, match=r"^layer is Pair\(.*isograd_layers"):
        to_data(layer)
    with plugins.registered(Plugin()):
        data = to_data(layer)
        assert data["both"] == [to_data(Flatten()), to_data(MaxPool(2, 1))]
        assert from_data(data) == layer
        assert from_toml(to_toml([layer])) == (layer,)
        assert layer_types()["Pair"] is Pair
        assert "NotALayer" not in layer_types()
    with pytest.raises(FileFormatError, match=r"^type is 'Pair'; expected Activation"):
        from_data(data)


def test_a_class_that_borrows_the_name_of_another_is_not_written() -> None:
    borrowed = type("Flatten", (Flatten,), {})
    with pytest.raises(ArgumentError, match=r"^layer is Flatten\(\), whose class could not be found again"):
        to_data(borrowed())


@pytest.mark.parametrize("value", [float("inf"), float("nan"), b"bytes", {1: 2}, swish, None, NotALayer()])
def test_a_field_that_has_no_form_in_a_file_is_not_written(value: Any) -> None:
    with (
        plugins.registered(Plugin()),
        pytest.raises(ArgumentTypeError, match=r"^Pair: scale is .*; a file holds"),
    ):
        to_data(Pair((), value))


@pytest.mark.parametrize("thing", [None, "Flatten", Flatten, {"type": "Flatten"}])
def test_only_layers_are_written(thing: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^layer is a .*; expected a Layer"):
        to_data(thing)
