"""What the layers compute, against the formulas of the chapter written directly in NumPy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
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
    MaxPool,
    Mode,
    Softmax,
)

Array = npt.NDArray[np.float64]

U = 2.0**-53
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "softplus": lambda z: np.log1p(np.exp(z)),
}
POOLINGS: dict[str, Callable[..., Array]] = {
    "max": lambda w: w.max(axis=(-2, -1)),
    "average": lambda w: w.mean(axis=(-2, -1)),
    "l2": lambda w: np.sqrt((w**2).sum(axis=(-2, -1))),
}

activations = st.sampled_from(sorted(FUNCTIONS))
sizes = st.tuples(st.integers(1, 3), st.integers(1, 3))
seeds = st.integers(0, 2**32 - 1)


def run(layer: Layer, mode: Mode, x: Array, masks: Any = None, **params: Any) -> Array:
    """The layer's output, evaluated in float64."""
    masks = masks or {}
    variables = {n: G.variable(n, v.shape, "float64") for n, v in params.items()}
    flags = {n: G.variable(n, v.shape, "bool") for n, v in masks.items()}
    inputs = (G.variable("x", x.shape, "float64"),)
    (y,), _ = layer.build(inputs, variables, {}, mode, flags)
    (value,) = evaluate([y], {"x": x, **params, **masks})
    return value


def assert_close(got: Array, expected: Array, terms: int, magnitude: Array | float) -> None:
    """Two evaluations of sums of `terms` products, whose absolute values add up to `magnitude`.

    Each errs by at most gamma_(terms + 8) * magnitude (Higham, "Accuracy and Stability of Numerical
    Algorithms", section 3.1) and a few units in the last place of the result.
    """
    k = terms + 8
    bound = 2 * k * U / (1 - k * U) * (magnitude + 1) + 8 * U * np.abs(expected)
    assert got.shape == expected.shape
    assert (np.abs(got - expected) <= bound).all()


def windows(x: Array, window: tuple[int, int], stride: tuple[int, int] = (1, 1)) -> Array:
    """(n, channels, rows, columns, *window)."""
    view = np.lib.stride_tricks.sliding_window_view(x, window, (2, 3))
    return view[:, :, :: stride[0], :: stride[1]]


@given(
    seed=seeds,
    activation=activations,
    p=st.sampled_from([0.0, 0.3, 0.5]),
    mode=st.sampled_from(["train", "evaluate"]),
    inverted=st.booleans(),
    shape=st.lists(st.integers(1, 4), max_size=3),
)
def test_fully_connected_and_softmax_as_the_chapter(
    seed: int, activation: str, p: float, mode: Mode, inverted: bool, shape: list[int]
) -> None:
    """Training act((x * mask).w + b); evaluation act((1 - p) * x.w + b)."""
    random = np.random.default_rng(seed)
    n_in = math.prod(shape)
    x, w, b = (random.standard_normal(s) for s in ([3, *shape], [n_in, 4], [4]))
    mask = random.random((3, n_in)) < 1 - p
    masks = {"dropout": mask} if p and mode == "train" else {}
    flat = x.reshape(3, n_in)
    if mode == "train":
        z = ((flat * mask if p else flat) @ w) / (1 - p if inverted else 1) + b
    else:
        z = (1 if inverted else 1 - p) * (flat @ w) + b
    magnitude = (np.abs(flat) @ np.abs(w)) / (1 - p) + np.abs(b)
    dense = run(FullyConnected(4, activation, p, inverted=inverted), mode, x, masks, weight=w, bias=b)
    assert_close(dense, FUNCTIONS[activation](z), n_in, magnitude)
    assert_close(run(Softmax(4, p, inverted=inverted), mode, x, masks, weight=w, bias=b), z, n_in, magnitude)


@given(
    seed=seeds,
    activation=activations,
    pooling=st.sampled_from(sorted(POOLINGS)),
    window=sizes,
    poolsize=sizes,
    extra=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_conv_pool_as_the_chapter(
    seed: int, activation: str, pooling: Any, window: tuple[int, int], poolsize: tuple[int, int], extra: Any
) -> None:
    """act(pool(w * x) + b): equation 125 without a flip, pooling, then the bias, then the activation."""
    random = np.random.default_rng(seed)
    height, width = (k - 1 + p + e for k, p, e in zip(window, poolsize, extra, strict=True))
    x, w, b = (random.standard_normal(s) for s in ([2, 2, height, width], [3, 2, *window], [3]))
    convolved = np.einsum("ncijuv,ocuv->noij", windows(x, window), w)
    z = POOLINGS[pooling](windows(convolved, poolsize, poolsize)) + b[:, None, None]
    largest = np.einsum("ncijuv,ocuv->noij", windows(np.abs(x), window), np.abs(w)).max()
    area = math.prod(poolsize)
    got = run(ConvPool(3, window, poolsize, activation, pooling), "train", x, weight=w, bias=b)
    assert_close(got, FUNCTIONS[activation](z), w[0].size + area, area * largest + np.abs(b).max())


def naive_convolution(x: Array, w: Array, layer: Any, padding: tuple[int, int, int, int]) -> Array:
    """Equation 125 element by element, with stride, dilation and groups."""
    top, bottom, left, right = padding
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    maps, channels, rows, columns = w.shape
    (s, t), (d, e) = layer.stride, layer.dilation
    height = (x.shape[2] - d * (rows - 1) - 1) // s + 1
    width = (x.shape[3] - e * (columns - 1) - 1) // t + 1
    y = np.zeros((len(x), maps, height, width))
    for m, i, j in itertools.product(range(maps), range(height), range(width)):
        first = m // (maps // layer.groups) * channels
        seen = x[:, first : first + channels, i * s : i * s + d * rows : d, j * t : j * t + e * columns : e]
        y[:, m, i, j] = (seen[:, :, :rows, :columns] * w[m]).sum(axis=(1, 2, 3))
    return y


@given(
    seed=seeds,
    activation=activations,
    window=sizes,
    stride=sizes,
    dilation=sizes,
    groups=st.integers(1, 3),
    padding=st.one_of(st.just("same"), st.tuples(*[st.integers(0, 2)] * 4)),
    bias=st.booleans(),
    extra=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_convolution_as_equation_125(
    seed: int,
    activation: str,
    window: Any,
    stride: Any,
    dilation: Any,
    groups: int,
    padding: Any,
    bias: bool,
    extra: Any,
) -> None:
    random = np.random.default_rng(seed)
    layer = Convolution(2 * groups, window, stride, padding, dilation, groups, activation, bias=bias)
    height, width = (d * (k - 1) + 1 + n for k, d, n in zip(window, dilation, extra, strict=True))
    x, w, b = (
        random.standard_normal(s)
        for s in ([2, 2 * groups, height, width], [2 * groups, 2, *window], [2 * groups])
    )
    amounts = layer.explicit_padding(x.shape[1:])
    b = b if bias else np.zeros(2 * groups)
    z = naive_convolution(x, w, layer, amounts) + b[:, None, None]
    magnitude = naive_convolution(np.abs(x), np.abs(w), layer, amounts) + np.abs(b)[:, None, None]
    got = run(layer, "train", x, weight=w, **({"bias": b} if bias else {}))
    assert_close(got, FUNCTIONS[activation](z), w[0].size, magnitude)


@given(
    size=sizes.map(lambda s: (3 * s[0] - 1, 2 * s[1] + 1)),
    window=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    stride=sizes,
    dilation=sizes,
)
def test_same_padding_gives_ceil_size_over_stride_with_the_odd_zero_below_and_right(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> None:
    layer = Convolution(1, window, stride, "same", dilation)
    top, bottom, left, right = layer.explicit_padding((1, *size))
    expected = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
    assert layer.output_shape((1, *size)) == (1, *expected)
    for before, after, n, k, s, d in zip(
        (top, left), (bottom, right), size, window, stride, dilation, strict=True
    ):
        assert after - before in (0, 1)
        # No more than needed: one zero less, and the last window would not fit.
        assert before + after == 0 or (n + before + after - d * (k - 1) - 2) // s + 1 < -(-n // s)


@pytest.mark.parametrize(
    ("window", "stride", "padding"),
    # tf.nn.conv2d's documentation, "SAME", for an image of 5x6 pixels.
    [
        (3, 1, (1, 1, 1, 1)),
        (2, 1, (0, 1, 0, 1)),
        (3, 2, (1, 1, 0, 1)),
        (2, 2, (0, 1, 0, 0)),
        (1, 3, (0, 0, 0, 0)),
    ],
)
def test_same_padding_by_example(window: int, stride: int, padding: tuple[int, ...]) -> None:
    assert Convolution(1, window, stride, "same").explicit_padding((1, 5, 6)) == padding


@given(
    seed=seeds, window=sizes, stride=st.none() | sizes, extra=st.tuples(st.integers(0, 4), st.integers(0, 4))
)
def test_pooling_over_windows_that_may_overlap(seed: int, window: Any, stride: Any, extra: Any) -> None:
    x = np.random.default_rng(seed).standard_normal(
        [2, 2, *(k + n for k, n in zip(window, extra, strict=True))]
    )
    seen = windows(x, window, stride or window)
    area = math.prod(window)
    np.testing.assert_array_equal(run(MaxPool(window, stride), "train", x), POOLINGS["max"](seen))
    for layer, pooling in ((AveragePool(window, stride), "average"), (L2Pool(window, stride), "l2")):
        magnitude = area * float(np.abs(x).max())
        assert_close(run(layer, "evaluate", x), POOLINGS[pooling](seen), area, magnitude)


@given(seed=seeds, activation=activations, shape=st.lists(st.integers(1, 4), max_size=3))
def test_layers_of_any_shape(seed: int, activation: str, shape: list[int]) -> None:
    random = np.random.default_rng(seed)
    x = random.standard_normal([3, *shape])
    mask = random.random(x.shape) < 0.75
    masks = {"dropout": mask}
    np.testing.assert_array_equal(run(Flatten(), "train", x), x.reshape(3, -1))
    assert_close(run(Activation(activation), "train", x), FUNCTIONS[activation](x), 1, np.abs(x))
    np.testing.assert_array_equal(run(Dropout(0.25), "train", x, masks), x * mask)
    np.testing.assert_array_equal(run(Dropout(0.25), "evaluate", x), x * 0.75)
    # 1 / 0.75 is rounded before the product, hence one more rounding than in a division.
    inverted = run(Dropout(0.25, inverted=True), "train", x, masks)
    assert_close(inverted, x * mask / 0.75, 1, np.abs(x))
    np.testing.assert_array_equal(run(Dropout(0.25, inverted=True), "evaluate", x), x)


@given(
    seed=seeds,
    p=st.floats(0.01, 0.99),
    n_in=st.integers(1, 5),
    kind=st.sampled_from(["dense", "softmax", "dropout"]),
    inverted=st.booleans(),
)
def test_evaluation_of_a_linear_layer_is_the_mean_of_training_over_all_masks(
    seed: int, p: float, n_in: int, kind: str, inverted: bool
) -> None:
    """Each of the 2^n masks counts with its probability: (1 - p) for what it keeps, p for what it drops."""
    random = np.random.default_rng(seed)
    masks = np.array(list(itertools.product([False, True], repeat=n_in)))
    probability = np.where(masks, 1 - p, p).prod(axis=1)
    x, w, b = (random.standard_normal(s) for s in ([1, n_in], [n_in, 3], [3]))
    layers: dict[str, Layer] = {
        "dense": FullyConnected(3, "linear", p, inverted=inverted),
        "softmax": Softmax(3, p, inverted=inverted),
        "dropout": Dropout(p, inverted=inverted),
    }
    params = {} if kind == "dropout" else {"weight": w, "bias": b}
    trained = run(layers[kind], "train", np.repeat(x, len(masks), axis=0), {"dropout": masks}, **params)
    evaluated = run(layers[kind], "evaluate", x, **params)
    magnitude = (np.abs(x).sum() * (1 + np.abs(w).sum())) / (1 - p) + np.abs(b).sum()
    assert_close((probability @ trained)[None], evaluated, 2**n_in + 2 * n_in, float(magnitude))


@pytest.mark.parametrize(
    "layer", [FullyConnected(3, "linear"), Softmax(3), Dropout(0.0), Dropout(0.5, inverted=True)]
)
def test_no_factor_is_built_where_none_is_needed(layer: Layer) -> None:
    x = G.variable("x", (2, 4))
    params = {n: G.variable(n, s.shape) for n, s in layer.parameters((4,)).items()}
    (y,), _ = layer.build((x,), params, {}, "evaluate", {})
    assert "mul" not in {t.primitive for t in topological([y])}


def test_scaling_all_weights_of_a_bias_free_relu_network_scales_its_output_by_the_power_of_its_layers() -> (
    None
):
    """The chapter's problem on rectified units: three layers of weights scaled by 2 scale the output by 8."""
    random = np.random.default_rng(1)
    x = random.standard_normal((5, 6))
    network = [
        FullyConnected(4, "relu", bias=False),
        FullyConnected(3, "relu", bias=False),
        Softmax(2, bias=False),
    ]
    weights = [random.standard_normal(s) for s in ((6, 4), (4, 3), (3, 2))]
    plain, scaled = x, x
    for layer, w in zip(network, weights, strict=True):
        plain = run(layer, "evaluate", plain, weight=w)
        scaled = run(layer, "evaluate", scaled, weight=2 * w)
    # Exact, because a factor of 2 rounds nothing.
    np.testing.assert_array_equal(scaled, 8 * plain)
