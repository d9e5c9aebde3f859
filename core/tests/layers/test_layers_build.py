"""What every layer declares against the graph that it builds: shapes, dtypes and gradients."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.numerical import numerical_gradient
from isograd.graph.primitives.checks import pair
from isograd.graph.reference import evaluate
from isograd.graph.tensor import topological
from isograd.layers import (
    Activation,
    AveragePool,
    Convolution,
    ConvPool,
    Dropout,
    Flatten,
    FullyConnected,
    L2Pool,
    Layer,
    MaskSpec,
    MaxPool,
    Mode,
    Softmax,
)

Float64Array = npt.NDArray[np.float64]
Case = tuple[Layer, tuple[int, ...]]

U = 2.0**-53
ACTIVATIONS = ["linear", "sigmoid", "tanh", "softplus", "relu"]

activations = st.sampled_from(ACTIVATIONS)
probabilities = st.sampled_from([0.0, 0.25, 0.5])
any_shape = st.lists(st.integers(1, 4), max_size=3).map(tuple)
seeds = st.integers(0, 2**32 - 1)


def sizes(limit: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(1, limit), st.integers(1, limit))


@st.composite
def dense_cases(draw: st.DrawFn) -> Case:
    common: dict[str, Any] = {
        "n_out": draw(st.integers(1, 4)),
        "p_dropout": draw(probabilities),
        "inverted": draw(st.booleans()),
        "bias": draw(st.booleans()),
    }
    layer = (
        Softmax(**common) if draw(st.booleans()) else FullyConnected(activation=draw(activations), **common)
    )
    return layer, draw(any_shape)


@st.composite
def convolution_cases(draw: st.DrawFn) -> Case:
    window, stride, dilation = draw(sizes(3)), draw(sizes(3)), draw(sizes(2))
    padding = draw(st.one_of(st.sampled_from(["valid", "same"]), st.tuples(*[st.integers(0, 2)] * 4)))
    groups = draw(st.integers(1, 3))
    layer = Convolution(
        maps=groups * draw(st.integers(1, 2)),
        window=window,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        activation=draw(activations),
        bias=draw(st.booleans()),
    )
    least = [d * (k - 1) + 1 for k, d in zip(window, dilation, strict=True)]
    if padding == "same":
        least = [1, 1]
    elif isinstance(padding, tuple):
        least = [max(least[0] - sum(padding[:2]), 1), max(least[1] - sum(padding[2:]), 1)]
    height, width = (n + draw(st.integers(0, 3)) for n in least)
    return layer, (groups * draw(st.integers(1, 2)), height, width)


@st.composite
def conv_pool_cases(draw: st.DrawFn) -> Case:
    window, poolsize = draw(sizes(3)), draw(sizes(3))
    layer = ConvPool(
        maps=draw(st.integers(1, 2)),
        window=window,
        poolsize=poolsize,
        activation=draw(activations),
        pooling=draw(st.sampled_from(["max", "average", "l2"])),
        bias=draw(st.booleans()),
    )
    height, width = (k - 1 + p + draw(st.integers(0, 3)) for k, p in zip(window, poolsize, strict=True))
    return layer, (draw(st.integers(1, 2)), height, width)


@st.composite
def pool_cases(draw: st.DrawFn) -> Case:
    window = draw(sizes(3))
    layer = draw(st.sampled_from([MaxPool, AveragePool, L2Pool]))(window, draw(st.none() | sizes(3)))
    return layer, (draw(st.integers(1, 2)), *(n + draw(st.integers(0, 3)) for n in window))


simple_layers = st.one_of(
    st.just(Flatten()),
    st.builds(Activation, activations),
    st.builds(Dropout, probabilities, inverted=st.booleans()),
)
cases = st.one_of(
    st.tuples(simple_layers, any_shape), pool_cases(), dense_cases(), conv_pool_cases(), convolution_cases()
)
modes: st.SearchStrategy[Mode] = st.sampled_from(["evaluate", "train"])


class Built:
    """A layer's graph over variables, and random values for these."""

    def __init__(
        self,
        case: Case,
        rows: int,
        mode: Mode,
        dtype: str = "float64",
        random: np.random.Generator | None = None,
    ) -> None:
        layer, shape = case
        random = random or np.random.default_rng(0)
        self.x = G.variable("x", (rows, *shape), dtype)
        self.params = {n: G.variable(n, s.shape, dtype) for n, s in layer.parameters(shape).items()}
        declared = layer.masks(shape) if mode == "train" else {}
        masks = {n: G.variable(n, (rows, *s.shape), "bool") for n, s in declared.items()}
        (self.y,), self.state = layer.build((self.x,), self.params, {}, mode, masks)
        floating = {"x": self.x, **self.params}
        self.values: dict[str, Any] = {n: random.standard_normal(t.shape) for n, t in floating.items()}
        self.values |= {n: random.random(t.shape) < 0.5 for n, t in masks.items()}


@given(case=cases, rows=st.integers(0, 3), mode=modes, dtype=st.sampled_from(["float32", "float64"]))
def test_the_inferred_shape_and_the_inputs_dtype_are_those_of_the_graph(
    case: Case, rows: int, mode: Mode, dtype: str
) -> None:
    built = Built(case, rows, mode, dtype)
    assert built.y.shape == (rows, *case[0].output_shape(case[1]))
    assert {t.dtype for t in topological([built.y])} <= {dtype, "bool"}
    assert built.y.dtype == dtype
    assert not built.state
    assert not case[0].state(case[1])


@given(case=cases, mode=modes)
def test_the_graph_evaluates_to_the_inferred_shape(case: Case, mode: Mode) -> None:
    built = Built(case, 2, mode)
    (y,) = evaluate([built.y], built.values)
    assert y.shape == built.y.shape
    assert np.isfinite(y).all()


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5])
@pytest.mark.parametrize(
    ("layer", "mask"),
    [(FullyConnected(3), (8,)), (Softmax(3), (8,)), (Dropout(0.0), (2, 4))],
    ids=lambda value: type(value).__name__,
)
def test_masks_are_declared_and_used_in_training_with_dropout_alone(
    layer: Any, mask: tuple[int, ...], p: float
) -> None:
    layer = replace(layer, p_dropout=p)
    declared = layer.masks((2, 4))
    assert declared == ({"dropout": MaskSpec(mask, p)} if p else {})
    for mode, used in (("train", set(declared)), ("evaluate", set())):
        built = Built((layer, (2, 4)), 2, mode)  # type: ignore[arg-type]
        variables = {t.name for t in topological([built.y]) if t.primitive == "variable"}
        assert variables - {"x", "weight", "bias"} == used


def gamma(k: int) -> float:
    """k u / (1 - k u): Higham, "Accuracy and Stability of Numerical Algorithms", lemma 3.1."""
    return k * U / (1 - k * U)


def without_activation(layer: Layer) -> Layer:
    if isinstance(layer, FullyConnected | Convolution | ConvPool):
        return replace(layer, activation="linear")
    return Activation("linear") if isinstance(layer, Activation) else layer


def kink_margin(y: G.Tensor, values: dict[str, Any]) -> float:
    """By how much any one value in the graph may change before the graph meets a kink.

    There it has no derivative: a relu's zero, two equal maxima of one pooling window, an L2 window of zeros.
    """
    margin = math.inf
    for node in topological([y]):
        if node.primitive not in ("relu", "max_pool2d", "sqrt"):
            continue
        (x,) = evaluate([node.inputs[0]], values)
        if node.primitive == "relu":
            # Exactly 0 is what dropped inputs and padding add up to, and they do so wherever x and w move to.
            margin = min(margin, np.abs(x[x != 0]).min(initial=math.inf))
        elif node.primitive == "sqrt":
            margin = min(margin, math.sqrt(x.min()))
        else:
            height, width = pair("", "", node.attributes["window"])
            rows, columns = node.attributes["stride"]
            windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), (2, 3))[
                :, :, ::rows, ::columns
            ]
            ordered = np.sort(windows.reshape(-1, height * width), axis=1)
            if ordered.shape[1] > 1:
                margin = min(margin, (ordered[:, -1] - ordered[:, -2]).min() / 2)
    return margin


# Many more than usual, because the kinds of layer and their fields share the examples.
@settings(max_examples=10 * settings().max_examples)
@given(case=cases, mode=modes, seed=seeds)
def test_symbolic_gradients_agree_with_central_differences(case: Case, mode: Mode, seed: int) -> None:
    """Along a random direction v of each variable: d/dt sum(c * y(x + t v)) at 0 against <grad, v>.

    With A the layer without its activation at the absolute values |x| + |v|, |w|, ..., the rounding error of
    y is at most gamma_k A for sums of k terms (the activations' slopes are at most 1, and they are good to a
    few units in the last place); the symbolic product sums the same terms in another order.

    No weighted input moves by more than 2^-7 of the way to a kink, or of 1, so that the fourth power of a
    step, the first that extrapolation leaves, is below the rounding error: that alone is the tolerance.
    """
    random = np.random.default_rng(seed)
    built = Built(case, 2, mode, random=random)
    weights = random.standard_normal(built.y.shape)
    cost = (built.y * G.constant(weights)).sum()
    bounded = Built((without_activation(case[0]), case[1]), 2, mode)
    terms = built.x.size + built.y.size + sum(p.size for p in built.params.values()) + 32
    margin = kink_margin(built.y, built.values)
    for variable in (built.x, *built.params.values()):
        name = variable.name
        direction = random.uniform(-1, 1, variable.shape)
        absolute = {n: np.abs(v) if v.dtype.kind == "f" else v for n, v in built.values.items()}
        (reach,) = evaluate([bounded.y], {**absolute, name: np.abs(direction)})
        (size,) = evaluate([bounded.y], {**absolute, name: absolute[name] + np.abs(direction)})
        noise = gamma(terms) * float((np.abs(weights) * (size + 1)).sum())
        step = 2.0**-7 * min(margin, 1.0) / max(float(reach.max()), 1.0)

        def along(t: Float64Array, name: str = name, direction: Float64Array = direction) -> npt.NDArray[Any]:
            return evaluate([cost], {**built.values, name: built.values[name] + t * direction})[0]

        numeric, error = numerical_gradient(along, 0.0, step=step, noise=noise)
        (gradient,) = evaluate([G.grad(cost, variable)], built.values)
        assert gradient.shape == variable.shape
        assert abs(float((gradient * direction).sum()) - numeric) <= error + 8 * noise


def test_build_refuses_what_does_not_fit_its_declarations() -> None:
    layer = FullyConnected(3, p_dropout=0.5, name="fc")
    x = G.variable("x", (4, 2))
    weight, bias = G.variable("weight", (2, 3)), G.variable("bias", (3,))
    mask = G.variable("mask", (4, 2), "bool")
    good: dict[str, Any] = {
        "inputs": (x,),
        "params": {"weight": weight, "bias": bias},
        "state": {},
        "mode": "train",
        "masks": {"dropout": mask},
    }
    assert layer.build(**good)[0][0].shape == (4, 3)
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"inputs": ()}, ArgumentError, "0 inputs came; expected one"),
        ({"inputs": (x, x)}, ArgumentError, "2 inputs came; expected one"),
        ({"inputs": (3,)}, ArgumentTypeError, "the input is a int; expected a Tensor"),
        (
            {"inputs": (G.variable("x", (4, 2), "uint8"),)},
            ArgumentTypeError,
            "the input is uint8; expected float",
        ),
        ({"inputs": (G.variable("x", ()),)}, ShapeError, "the input is a scalar"),
        ({"params": {"weight": weight}}, ArgumentError, "parameter 'bias' is missing"),
        (
            {"params": {"weight": bias, "bias": bias}},
            ShapeError,
            r"parameter 'weight' has shape \(3,\); expected \(2, 3\)",
        ),
        (
            {"params": {"weight": weight.cast("float64"), "bias": bias}},
            ArgumentTypeError,
            "parameter 'weight' is float64; expected float32",
        ),
        ({"masks": {}}, ArgumentError, "mask 'dropout' is missing"),
        ({"masks": {"dropout": x}}, ArgumentTypeError, "mask 'dropout' is float32; expected bool"),
        (
            {"masks": {"dropout": mask[:1]}},
            ShapeError,
            r"mask 'dropout' has shape \(1, 2\); expected \(4, 2\)",
        ),
        ({"mode": "test"}, ArgumentError, "mode is 'test'; expected train, evaluate"),
    ]
    for change, error, message in refused:
        with pytest.raises(error, match=f"^FullyConnected 'fc': {message}"):
            layer.build(**{**good, **change})
    assert layer.build(**{**good, "mode": "evaluate", "masks": {}})[0][0].shape == (4, 3)
