"""Layer specs as data: what they refuse, their normal form, and how they compare, hash and print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
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
    Normal,
    Softmax,
    functions,
)


def swish(z: G.Tensor) -> G.Tensor:
    return z * G.sigmoid(z)


@pytest.fixture
def registered_swish() -> Iterator[None]:
    functions.register("activation", "swish", swish)
    yield
    functions.unregister("activation", "swish")


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, z: G.Tensor) -> G.Tensor:
        return z


VALUE_ERRORS: list[tuple[Callable[[], Layer], str]] = [
    (lambda: FullyConnected(0), "FullyConnected: n_out is 0; expected at least 1"),
    (lambda: Softmax(-3), "Softmax: n_out is -3; expected at least 1"),
    (lambda: FullyConnected(3, p_dropout=1), r"FullyConnected: p_dropout is 1; .* \[0, 1\)"),
    (lambda: Softmax(3, p_dropout=-0.1), r"Softmax: p_dropout is -0.1; .* \[0, 1\)"),
    (lambda: Dropout(float("nan")), r"Dropout: p_dropout is nan; .* \[0, 1\)"),
    (lambda: FullyConnected(3, "sigmoyd"), "FullyConnected: activation is 'sigmoyd'; .*sigmoid, softplus"),
    (lambda: FullyConnected(3, name="fc", activation="x"), "FullyConnected 'fc': activation is 'x'"),
    (lambda: Activation("nope"), "Activation: function is 'nope'; expected linear, relu"),
    (lambda: ConvPool(2, activation="nope"), "ConvPool: activation is 'nope'; expected linear, relu"),
    (lambda: ConvPool(0), "ConvPool: maps is 0; expected at least 1"),
    (lambda: ConvPool(2, window=(5, 0)), "ConvPool: window is 0; expected at least 1"),
    (
        lambda: ConvPool(2, poolsize=(2, 2, 2)),
        r"ConvPool: poolsize is \(2, 2, 2\); expected one number or two",
    ),
    (lambda: ConvPool(2, pooling="mean"), "ConvPool: pooling is 'mean'; expected max, average, l2"),  # type: ignore[arg-type]
    (lambda: Convolution(0, 3), "Convolution: maps is 0; expected at least 1"),
    (lambda: Convolution(4, 3, groups=3), "Convolution: maps is 4, .* 3 groups"),
    (lambda: Convolution(4, 3, stride=0), "Convolution: stride is 0; expected at least 1"),
    (lambda: Convolution(4, 3, dilation=0), "Convolution: dilation is 0; expected at least 1"),
    (lambda: Convolution(4, 3, padding=-1), "Convolution: padding is -1; expected at least 0"),
    (lambda: Convolution(4, 3, padding="full"), "Convolution: padding is 'full'; expected 'valid', 'same'"),
    (lambda: Convolution(4, 3, padding=(1, 2, 3)), r"Convolution: padding is \(1, 2, 3\); expected 'valid'"),
    (
        lambda: Convolution(4, 3, weight_init="best"),
        "Convolution: weight_init is 'best'; expected chapter, glo",
    ),
    (
        lambda: FullyConnected(4, bias=False, bias_init="zeros"),
        "FullyConnected: bias_init is 'zeros', but bias",
    ),
    (lambda: MaxPool((2, 0)), "MaxPool: window is 0; expected at least 1"),
    (lambda: L2Pool(2, stride=-1), "L2Pool: stride is -1; expected at least 1"),
    (lambda: Flatten(name="0"), "Flatten: name is '0'; expected letters"),
    (lambda: Flatten(name="a.b"), "Flatten: name is 'a.b'; expected letters"),
    (lambda: Flatten(name=""), "Flatten: name is ''; expected letters"),
]

TYPE_ERRORS: list[tuple[Callable[[], Layer], str]] = [
    (lambda: FullyConnected(True), "FullyConnected: n_out is True; expected a whole number"),
    (lambda: FullyConnected(2.0), "FullyConnected: n_out is 2.0; expected a whole number"),  # type: ignore[arg-type]
    (lambda: Softmax("10"), "Softmax: n_out is '10'; expected a whole number"),  # type: ignore[arg-type]
    (lambda: Softmax(10, "0.5"), "Softmax: p_dropout is '0.5'; expected a number"),  # type: ignore[arg-type]
    (lambda: Softmax(10, inverted=1), "Softmax: inverted is 1; expected True or False"),  # type: ignore[arg-type]
    (lambda: Dropout(False), "Dropout: p_dropout is False; expected a number"),
    (lambda: Dropout(0.5, inverted="no"), "Dropout: inverted is 'no'; expected True or False"),  # type: ignore[arg-type]
    (lambda: ConvPool(2, bias=0), "ConvPool: bias is 0; expected True or False"),  # type: ignore[arg-type]
    (lambda: ConvPool(2, window="55"), "ConvPool: window is '5'; expected a whole number"),  # type: ignore[arg-type]
    (lambda: ConvPool(2, pooling=["max"]), "ConvPool: pooling is .'max'.; expected a str"),  # type: ignore[arg-type]
    (lambda: Convolution(2, 3, padding=1.5), "Convolution: padding is 1.5; expected a whole number"),  # type: ignore[arg-type]
    (lambda: Convolution(2, 3, padding=(0, 0, 0, True)), "Convolution: padding is True; expected a whole"),
    (lambda: Activation(3), "Activation: function is 3; expected the name of an activation or a function"),  # type: ignore[arg-type]
    (lambda: Activation(Unhashable()), "Activation: function is .*, which is not hashable"),
    (
        lambda: FullyConnected(3, weight_init=0.1),  # type: ignore[arg-type]
        "FullyConnected: weight_init is 0.1; expected the name of an",
    ),
    (lambda: AveragePool(None), "AveragePool: window is None; expected a whole number"),  # type: ignore[arg-type]
    (lambda: Flatten(name=3), "Flatten: name is 3; expected a str or None"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "message"), VALUE_ERRORS)
def test_a_value_that_can_not_be_used_is_refused_by_layer_and_argument(
    make: Callable[[], Layer], message: str
) -> None:
    with pytest.raises(ArgumentError, match=f"^{message}"):
        make()


@pytest.mark.parametrize(("make", "message"), TYPE_ERRORS)
def test_a_value_of_another_type_is_refused_by_layer_and_argument(
    make: Callable[[], Layer], message: str
) -> None:
    with pytest.raises(ArgumentTypeError, match=f"^{message}"):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (ConvPool(2), (1, 3, 3), "ConvPool: a 5x5 window does not fit into an image of 3x3 pixels"),
        (ConvPool(2, 3, 4), (1, 5, 5), "ConvPool, pooling: a 4x4 window does not fit .* 3x3 pixels"),
        (Convolution(2, 5), (1, 3, 9), "Convolution: a 5x5 window does not fit into an image of 3x9 pixels"),
        (
            Convolution(2, 3, dilation=2),
            (1, 4, 9),
            "Convolution: a 3x3 window with dilation 2x2 .* 4x9 pixels",
        ),
        (
            Convolution(2, 7, padding=1),
            (1, 4, 9),
            r"Convolution, after padding \(1, 1, 1, 1\): a 7x7 window .* 6x11 pixels",
        ),
        (
            Convolution(4, 1, groups=2),
            (3, 5, 5),
            r"Convolution: the input has shape \(3, 5, 5\), whose 3 channels .* 2 groups",
        ),
        (
            MaxPool(4, name="p"),
            (1, 3, 9),
            "MaxPool 'p': a 4x4 window does not fit into an image of 3x9 pixels",
        ),
        (AveragePool(2), (784,), r"AveragePool: the input has shape \(784,\); expected an image \(channels"),
        (
            Convolution(2, 3),
            (5, 5),
            r"Convolution: the input has shape \(5, 5\); expected an image \(channels",
        ),
        (FullyConnected(2), (3, 0), r"FullyConnected: the input has shape \(3, 0\); expected positive"),
        (Flatten(), (-1,), r"Flatten: the input has shape \(-1,\); expected positive"),
        (Dropout(0.5), (True,), r"Dropout: the input has shape \(True,\); expected positive"),
    ],
)
def test_an_input_shape_that_does_not_fit_is_refused_with_both_shapes(
    layer: Layer, shape: tuple[int, ...], message: str
) -> None:
    for method in (layer.output_shape, layer.parameters, layer.masks):
        if method.__qualname__.startswith("Layer."):
            continue  # not overridden: it declares nothing, whatever the shape
        with pytest.raises(ShapeError, match=f"^{message}"):
            method(shape)


def test_lists_become_tuples_so_that_specs_hash() -> None:
    layers = [
        ConvPool(2, [3, 4], [1, 2]),
        Convolution(2, [3, 4], stride=[1, 2], padding=[0, 1, 2, 3], dilation=[2, 1]),
        MaxPool([2, 3], [1, 1]),
    ]
    assert len({hash(layer) for layer in layers}) == 3
    assert layers[1] == Convolution(2, (3, 4), (1, 2), (0, 1, 2, 3), (2, 1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ConvPool(20), ConvPool(20, 5, 2, "sigmoid", "max")),
        (ConvPool(20, 5), ConvPool(20, (5, 5))),
        (Convolution(2, 3, padding="valid"), Convolution(2, 3, padding=0)),
        (Convolution(2, 3, padding=(1, 2)), Convolution(2, 3, padding=(1, 1, 2, 2))),
        (MaxPool(3), MaxPool(3, stride=3)),
        (FullyConnected(3, G.tanh), FullyConnected(3, "tanh")),
        (Activation(G.linear), Activation("linear")),
        (FullyConnected(3, p_dropout=0), FullyConnected(3)),
        (Softmax(3, weight_init=Constant(0)), Softmax(3, weight_init="zeros")),
    ],
)
def test_one_meaning_has_one_normal_form(one: Layer, other: Layer) -> None:
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == repr(other)


def test_specs_differ_in_any_field_and_in_class() -> None:
    layers = [
        FullyConnected(3),
        FullyConnected(4),
        FullyConnected(3, "tanh"),
        FullyConnected(3, swish),
        FullyConnected(3, p_dropout=0.5),
        FullyConnected(3, p_dropout=0.5, inverted=True),
        FullyConnected(3, bias=False),
        FullyConnected(3, weight_init="he"),
        FullyConnected(3, bias_init="he"),
        FullyConnected(3, name="fc"),
        Softmax(3),
        MaxPool(3),
        L2Pool(3),
        AveragePool(3),
        MaxPool(3, 2),
    ]
    assert len(set(layers)) == len(layers)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (ConvPool(20), "ConvPool(maps=20)"),
        (FullyConnected(100, "relu", 0.5), "FullyConnected(n_out=100, activation='relu', p_dropout=0.5)"),
        (
            Softmax(10, name="out", weight_init=Normal(0.1)),
            "Softmax(n_out=10, name='out', weight_init=Normal(s",
        ),
        (Flatten(), "Flatten()"),
        (MaxPool(3, 3, name="pool"), "MaxPool(window=(3, 3), name='pool')"),
    ],
)
def test_a_spec_prints_as_the_call_that_makes_it_without_defaults(layer: Layer, text: str) -> None:
    assert repr(layer).startswith(text)
    assert eval(repr(layer)) == layer


def test_a_spec_is_frozen() -> None:
    layer: Any = FullyConnected(3)
    with pytest.raises(FrozenInstanceError):
        layer.n_out = 4


@pytest.mark.usefixtures("registered_swish")
def test_a_registered_function_and_its_name_are_the_same_spec() -> None:
    assert FullyConnected(3, swish) == FullyConnected(3, "swish")
    assert FullyConnected(3, swish).activation == "swish"


def test_the_chapters_fans_and_shapes() -> None:
    """The sizes of the chapter's network: 28x28, ConvPool 20@5x5, FullyConnected 100, Softmax 10."""
    conv, dense, output = ConvPool(20), FullyConnected(100), Softmax(10)
    assert conv.output_shape((1, 28, 28)) == (20, 12, 12)
    weight, bias = conv.parameters((1, 28, 28)).values()
    assert (weight.shape, weight.fan_in, weight.fan_out) == ((20, 1, 5, 5), 25, 20 * 25 // 4)
    assert (bias.shape, bias.fan_in, bias.fan_out) == ((20,), 25, 20 * 25 // 4)
    weight, bias = dense.parameters((20, 12, 12)).values()
    assert (weight.shape, weight.fan_in, weight.fan_out) == ((2880, 100), 2880, 100)
    assert weight.regularised
    assert not bias.regularised
    assert output.output_shape((100,)) == (10,)
    assert list(output.parameters((100,))) == ["weight", "bias"]
    # 1 * 1 * 1 // 4 would be a fan of 0 and an infinite standard deviation.
    assert ConvPool(1, 1).parameters((1, 2, 2))["weight"].fan_out == 1


def test_fans_of_a_grouped_convolution() -> None:
    weight = Convolution(6, (3, 5), groups=2).parameters((4, 8, 8))["weight"]
    assert (weight.shape, weight.fan_in, weight.fan_out) == ((6, 2, 3, 5), 2 * 15, 6 * 15)
