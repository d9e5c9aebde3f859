"""Training steps and networks: a fixed small one, and lists of typed layers that fit by construction."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from hypothesis import strategies as st

from isograd import (
    Activation,
    AveragePool,
    BatchNorm,
    Convolution,
    ConvPool,
    Dataset,
    Dropout,
    FullyConnected,
    L2Pool,
    Layer,
    MaxPool,
    Softmax,
)
from isograd import graph as G
from isograd_conformance.subject import HostArray

EXAMPLES, CLASSES = 30, 10
ACTIVATIONS = ("linear", "relu", "sigmoid", "softplus", "tanh")
Pooling = Literal["max", "average", "l2"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
NORMALISATIONS = st.builds(
    BatchNorm, momentum=st.sampled_from([0.1, 0.5, 1.0]), epsilon=st.sampled_from([0.001, 0.25])
)


def small_step(dtype: str, batch: int = 4) -> G.Function:
    """A training step: convolutions, max pooling, a fully connected layer; rows of a data set.

    Inputs: "images" uint8 (30, 1, 12, 12), "labels" int32 (30,), "rows" int32 (batch,), "eta" (). Output:
    "cost".
    """
    images, labels = (
        G.variable("images", (EXAMPLES, 1, 12, 12), "uint8"),
        G.variable("labels", (EXAMPLES,), "int32"),
    )
    rows, eta = G.variable("rows", (batch,), "int32"), G.variable("eta", (), dtype)
    shapes = {"w1": (16, 1, 3, 3), "b1": (16,), "w2": (4, 16, 3, 3), "w3": (36, CLASSES), "b3": (CLASSES,)}
    state = {name: G.variable(name, shape, dtype) for name, shape in shapes.items()}
    x = G.gather(images, rows).cast(dtype) / 256.0
    x = G.conv2d(x, state["w1"]) + state["b1"].reshape(1, 16, 1, 1)
    x = G.conv2d(G.relu(G.max_pool2d(x, window=2)), state["w2"])
    z = G.relu(x).reshape(batch, 36) @ state["w3"] + state["b3"]
    cost = G.log_likelihood(z, G.gather(labels, rows)).sum() / batch
    updates = {}
    for (name, w), g in zip(state.items(), G.grad(cost, list(state.values())), strict=True):
        updates[name] = w - eta * (g + 0.01 * w if name.startswith("w") else g)
    inputs = {"images": images, "labels": labels, "rows": rows, "eta": eta}
    return G.Function(inputs, {"cost": cost}, state, updates)


def small_data(seed: int) -> dict[str, HostArray]:
    """The resident inputs of `small_step`."""
    rng = np.random.default_rng(seed)
    return {
        "images": rng.integers(0, 256, size=(EXAMPLES, 1, 12, 12)).astype("uint8"),
        "labels": rng.integers(0, CLASSES, size=EXAMPLES).astype("int32"),
    }


def small_rows(seed: int, steps: int, dtype: str, batch: int = 4) -> list[dict[str, HostArray]]:
    """The inputs of `small_step` that change, for so many steps."""
    rng = np.random.default_rng(seed)
    return [
        {"rows": rng.integers(0, EXAMPLES, size=batch).astype("int32"), "eta": np.asarray(0.01, dtype)}
        for _ in range(steps)
    ]


def small_weights(function: G.Function, seed: int) -> dict[str, HostArray]:
    """Small random weights for the state of a function."""
    rng = np.random.default_rng(seed)
    return {n: np.asarray(rng.normal(size=w.shape) * 0.1, w.dtype) for n, w in function.state.items()}


def toy_digits(examples: int = 23, classes: int = 4, side: int = 12) -> Dataset:
    """Random images of bytes, with labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (examples, 1, side, side)).astype(np.uint8)
    return Dataset(images, rng.integers(0, classes, examples), scale=1 / 256)


def every_kind_of_layer() -> list[Layer]:
    """Layers for `toy_digits` of every kind that isograd has, with dropout."""
    return [
        ConvPool(6, window=3, activation="relu"),
        Convolution(4, window=(3, 2), padding="same", groups=2, activation="tanh"),
        BatchNorm(momentum=0.25, epsilon=0.001),
        MaxPool(window=2, stride=1),
        AveragePool(window=(2, 1), stride=1),
        L2Pool(window=(1, 2), stride=1),
        Activation("softplus"),
        Dropout(0.125),
        FullyConnected(6, activation="sigmoid", p_dropout=0.25),
        BatchNorm(),
        Softmax(4, p_dropout=0.5, weight_init="n_in"),
    ]


@st.composite
def layer_lists(draw: st.DrawFn) -> tuple[list[Layer], tuple[int, int, int]]:
    """Layers ending in a `Softmax`, and the shape of one example; nothing of it is filtered."""
    channels, side = draw(st.integers(1, 2)), draw(st.integers(5, 8))
    layers: list[Layer] = []
    maps, size = channels, side
    for _ in range(draw(st.integers(0, 2))):
        layer, maps, size = draw(_image_layers(maps, size))
        layers.append(layer)
    if draw(st.booleans()):
        p_dropout = draw(st.sampled_from([0.0, 0.25, 0.5]))
        inverted = draw(st.booleans())
        layers.append(
            FullyConnected(
                draw(st.integers(1, 6)), draw(st.sampled_from(ACTIVATIONS)), p_dropout, inverted=inverted
            )
        )
        if draw(st.booleans()):
            layers.append(draw(NORMALISATIONS))
    classes, p_dropout = draw(st.integers(2, 4)), draw(st.sampled_from([0.0, 0.5]))
    # From zero, as it begins by default, no gradient would reach the layers below.
    layers.append(Softmax(classes, p_dropout, weight_init="n_in", bias_init="n_in"))
    return layers, (channels, side, side)


@st.composite
def _image_layers(draw: st.DrawFn, maps: int, size: int) -> tuple[Layer, int, int]:
    """A layer for images of so many channels and pixels a side; and what it makes of both."""
    # A failure shrinks to what comes first.
    kinds = ["activation", "dropout", "normalisation", "pooling", "convolution", "convolution and pooling"]
    kind = draw(st.sampled_from(kinds))
    activation = draw(st.sampled_from(ACTIVATIONS))
    if kind == "normalisation":
        return draw(NORMALISATIONS), maps, size
    if kind == "activation" or size < 4:
        return Activation(activation), maps, size
    if kind == "dropout":
        return Dropout(draw(st.sampled_from([0.25, 0.5]))), maps, size
    if kind == "pooling":
        pool = draw(st.sampled_from([MaxPool, AveragePool, L2Pool]))
        stride = draw(st.integers(1, 2))
        return pool(2, stride), maps, (size - 2) // stride + 1
    if kind == "convolution and pooling":
        made = draw(st.integers(1, 3))
        pooling: Pooling = draw(st.sampled_from(POOLINGS))
        return ConvPool(made, 2, 2, activation, pooling), made, (size - 1) // 2
    return draw(_convolutions(maps, size, activation))


@st.composite
def _convolutions(draw: st.DrawFn, maps: int, size: int, activation: str) -> tuple[Layer, int, int]:
    groups = draw(st.sampled_from([1, maps]))
    made, window, stride = groups * draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    dilation, padding = draw(st.integers(1, 2)) if window < 3 else 1, draw(st.integers(0, 1))
    layer = Convolution(
        made, window, stride=stride, padding=padding, dilation=dilation, groups=groups, activation=activation
    )
    return layer, made, (size + 2 * padding - dilation * (window - 1) - 1) // stride + 1
