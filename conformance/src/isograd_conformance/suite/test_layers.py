"""Every layer by itself: both modes, its gradient, and how far a NaN or an infinity reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from inspect import isabstract

import numpy as np
import pytest

import isograd.layers
from isograd import (
    Activation,
    AveragePool,
    BatchNorm,
    Convolution,
    ConvPool,
    Dropout,
    Flatten,
    FullyConnected,
    L2Pool,
    Layer,
    MaxPool,
    Softmax,
)
from isograd import graph as G
from isograd.backend import Executable
from isograd_conformance.checks import check_executable, require
from isograd_conformance.strategies.arrays import normal
from isograd_conformance.strategies.functions import gradient_or_none
from isograd_conformance.strategies.networks import ACTIVATIONS
from isograd_conformance.subject import Subject
from isograd_conformance.witnesses import bounded, hold_adjoint

ROWS, SHAPE = 3, (2, 5, 4)
LAYERS: dict[str, Layer] = {
    "ConvPool, max": ConvPool(3, window=2, activation="relu"),
    "ConvPool, average": ConvPool(3, window=2, activation="sigmoid", pooling="average"),
    "ConvPool, L2": ConvPool(3, window=2, activation="tanh", pooling="l2"),
    "Convolution": Convolution(
        4, window=(3, 2), stride=(2, 1), padding="same", groups=2, activation="softplus"
    ),
    "Convolution, dilated": Convolution(2, window=2, dilation=2, padding=(1, 0, 0, 2), bias=False),
    "MaxPool": MaxPool(window=(2, 3), stride=1),
    "AveragePool": AveragePool(window=2),
    "L2Pool": L2Pool(window=(2, 1), stride=(1, 2)),
    "FullyConnected": FullyConnected(3, "tanh", p_dropout=0.25),
    "FullyConnected, inverted": FullyConnected(3, "relu", p_dropout=0.25, inverted=True),
    "Softmax": Softmax(3, p_dropout=0.5),
    "Dropout": Dropout(0.25),
    "Dropout, inverted": Dropout(0.25, inverted=True),
    "BatchNorm": BatchNorm(momentum=0.25, epsilon=0.125),
    "Flatten": Flatten(),
    **{f"Activation, {name}": Activation(name) for name in ACTIVATIONS},
}
EACH = pytest.mark.parametrize("layer", LAYERS)


def test_every_layer_has_a_case() -> None:
    public = [getattr(isograd.layers, name) for name in isograd.layers.__all__]
    kinds = {t for t in public if isinstance(t, type) and issubclass(t, Layer)}
    assert {type(layer) for layer in LAYERS.values()} == {t for t in kinds if not isabstract(t)}


@dataclass(frozen=True)
class Alone:
    """A layer as a function: its outputs in both modes, its new state, J'g and J v in training.

    `moving` are the names of the input and the parameters.
    """

    outputs: dict[str, G.Tensor]
    variables: dict[str, G.Tensor]
    moving: list[str]

    @classmethod
    def of(cls, layer: Layer, dtype: str) -> Alone:
        """With names that begin with the dtype."""

        def variable(name: str, shape: tuple[int, ...], kind: str = dtype) -> G.Tensor:
            made[f"{dtype} {name}"] = G.variable(f"{dtype} {name}", shape, kind)
            return made[f"{dtype} {name}"]

        made: dict[str, G.Tensor] = {}
        x = variable("x", (ROWS, *SHAPE))
        parameters = {name: variable(name, spec.shape) for name, spec in layer.parameters(SHAPE).items()}
        moving = {x.name: x, **{w.name: w for w in parameters.values()}}
        masks = {name: variable(name, (ROWS, *m.shape), "bool") for name, m in layer.masks(SHAPE).items()}
        # Not below 0: a variance among them has a square root.
        state = {name: G.abs_(variable(name, spec.shape)) for name, spec in layer.state(SHAPE).items()}
        (train,), new_state = layer.build((x,), parameters, state, "train", masks)
        (evaluate,), _ = layer.build((x,), parameters, state, "evaluate", {})
        g = variable("g", train.shape)
        gradients = G.vector_jacobian_product(train, g, list(moving.values()))
        product = G.constant(0, dtype)
        for gradient, (name, operand) in zip(gradients, moving.items(), strict=True):
            product = product + (gradient * variable(f"v/{name}", operand.shape)).sum()
        pushed = gradient_or_none(product, g)
        assert pushed is not None
        outputs = {f"{dtype} train": train, f"{dtype} evaluate": evaluate, f"{dtype} J v": pushed}
        outputs |= {f"{dtype} new {name}": array for name, array in new_state.items()}
        outputs |= {f"d/{name}": gradient for name, gradient in zip(moving, gradients, strict=True)}
        return cls(outputs, made, list(moving))


@cache
def compiled(subject: Subject, layer: str) -> tuple[Executable, dict[str, Alone]]:
    """A layer in every precision that is declared, in one function: it is compiled once for all tests."""
    alone = {dtype: Alone.of(LAYERS[layer], dtype) for dtype in subject.floating}
    inputs = {name: v for each in alone.values() for name, v in each.variables.items()}
    outputs = {name: y for each in alone.values() for name, y in each.outputs.items()}
    return subject.compile(G.Function(inputs, outputs)), alone


@pytest.fixture(scope="module", autouse=True)
def _forget() -> Iterator[None]:
    yield
    compiled.cache_clear()


@EACH
@pytest.mark.judges("gradient")
def test_outputs_and_gradients_of_a_layer(layer: str, subject: Subject) -> None:
    """Within the bound of the reference; and <J v, g> is <v, J'g>."""
    require(subject, "bool", "int32")
    executable, alone = compiled(subject, layer)
    values = normal(7, executable.function.inputs)
    check_executable(subject, executable, values)
    found = bounded(subject, executable, values)
    for dtype, each in alone.items():
        pulled = [(found[f"d/{name}"], values[f"{dtype} v/{name}"]) for name in each.moving]
        hold_adjoint(dtype, (found[f"{dtype} J v"], values[f"{dtype} g"]), pulled)


@EACH
@pytest.mark.judges("extremes")
def test_a_bad_pixel_reaches_what_depends_on_it_and_nothing_else(layer: str, subject: Subject) -> None:
    """As the reference says; and in the other rows it does not change a bit.

    A layer with state keeps there what it takes in training of all rows of a batch, which so depend on each
    other.
    """
    require(subject, "bool", "int32")
    if subject.capabilities.normwise_convolution:
        pytest.skip(f"{subject.specification} declares normwise_convolution: transforms spread a NaN")
    executable, alone = compiled(subject, layer)
    clean = normal(7, executable.function.inputs)
    before, others = subject.call(executable, clean).outputs, [0, 2]
    modes = ("evaluate",) if LAYERS[layer].state(SHAPE) else ("train", "evaluate")
    for bad in (np.nan, np.inf, -np.inf):
        values = {**clean, **{f"{dtype} x": clean[f"{dtype} x"].copy() for dtype in alone}}
        for dtype in alone:
            values[f"{dtype} x"][1, 0, 2, 1] = bad
        found = check_executable(subject, executable, values).outputs
        for name in (f"{dtype} {mode}" for dtype in alone for mode in modes):
            if subject.capabilities.deterministic:
                assert found[name][others].tobytes() == before[name][others].tobytes(), name
