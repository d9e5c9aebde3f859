"""Diagnostics are what plain NumPy computes from the same sample, and training does not notice them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd import evaluation, random
from isograd.data import Dataset, expanded
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph import Tensor, constant
from isograd.graph.reference import evaluate
from isograd.layers import Activation, BatchNorm, Constant, Convolution, ConvPool, FullyConnected, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Callback, Diagnostics, History, Progress

Make = Callable[..., Any]
Floats = npt.NDArray[np.float64]

U = 2.0**-53
WIDTHS = (4, 6, 5, 3)
ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}
# In terms of the activation, divided by the largest value.
DERIVATIVES: dict[str, tuple[Callable[[Floats], Floats], float]] = {
    "relu": (lambda a: (a > 0).astype(float), 1.0),
    "tanh": (lambda a: 1 - a**2, 1.0),
    "sigmoid": (lambda a: 4 * a * (1 - a), 0.25),
}


def deep_network(names: list[str], seed: int, spread: float) -> Network:
    """A hidden layer for each name, with biases that put some units to rest."""
    wide = {"weight_init": "n_in", "bias_init": lambda s, path, spec: spread * random_signs(s, path, spec)}
    hidden = [FullyConnected(n, name, **wide) for n, name in zip(WIDTHS[1:], names, strict=True)]  # type: ignore[arg-type]
    return Network([*hidden, Softmax(3, weight_init="n_in")], WIDTHS[:1], seed, dtype="float64")


def random_signs(seed: int, path: str, spec: Any) -> Floats:
    return np.where(random.uniform(seed, "test", path, shape=spec.shape) < 0.5, -1.0, 1.0)


def by_hand(network: Network, data: Dataset, names: list[str]) -> tuple[dict[str, Floats], list[Floats]]:
    """The gradient of the mean cost by backpropagation (Nielsen, chapter 2), and each hidden activation."""
    parameters, activations = network.parameters, [np.asarray(data.inputs)]
    for layer, name in enumerate(names):
        z = activations[-1] @ parameters[f"{layer}.weight"] + parameters[f"{layer}.bias"]
        activations.append(ACTIVATIONS[name](z))
    z = activations[-1] @ parameters["3.weight"] + parameters["3.bias"]
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    delta = powers / powers.sum(axis=1, keepdims=True)
    delta[np.arange(len(data)), data.labels] -= 1
    gradients: dict[str, Floats] = {}
    for layer in (3, 2, 1, 0):
        gradients[f"{layer}.weight"] = activations[layer].T @ delta / len(data)
        gradients[f"{layer}.bias"] = delta.sum(axis=0) / len(data)
        if layer:
            relative, largest = DERIVATIVES[names[layer - 1]]
            delta = delta @ parameters[f"{layer}.weight"].T * relative(activations[layer]) * largest
    return gradients, activations[1:]


def rounding(network: Network, gradient: Floats, activations: list[Floats], examples: int) -> float:
    """A bound on the difference of two computations of a norm of a gradient, in float64.

    As `rounding_bound` of the tests' conftest (Higham, "Accuracy and Stability of Numerical Algorithms",
    section 3.1): an operation makes at most 8 roundings for each number and one for each term of a sum, the
    square of the largest value that there is stands for cancelled terms and for what magnifies errors. The
    norm of the errors is at most the root of their number times the largest.
    """
    values = [*network.parameters.values(), *activations]
    largest = max(2.0, *(float(abs(value).max()) for value in values))
    operations = 6 * (len(WIDTHS) + 1)
    roundings = 2 * operations * (8 + max(*WIDTHS, examples))
    return roundings * U * largest**2 * float(np.sqrt(gradient.size)) + gradient.size * U


@settings(max_examples=15)
@given(
    names=st.lists(st.sampled_from(list(ACTIVATIONS)), min_size=3, max_size=3),
    seed=st.integers(0, 100),
    spread=st.sampled_from([0.0, 1.0, 3.0]),
    n=st.integers(1, 9),
    chunk=st.integers(1, 9),
)
def test_norms_dead_and_saturated_units_are_those_of_backpropagation_by_hand(
    backend: ReferenceBackend, make_data: Make, names: list[str], seed: int, spread: float, n: int, chunk: int
) -> None:
    data, network = make_data(9, seed), deep_network(names, seed, spread)
    callback = Diagnostics(data, n, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "CHUNK_ROWS", chunk)
        history = network.SGD(data, 1, 3, 0.1, callbacks=[callback], backend=backend)
    measured, sample = dict(history.epochs[0].measured), callback.sample
    assert len(sample) == n
    gradients, activations = by_hand(network, sample, names)
    assert measured.pop("training_accuracy") == network.accuracy(sample, backend=backend)
    cost = network.cost(sample, backend=backend)
    assert abs(measured.pop("training_cost") - cost) <= 2 * n * U * cost
    for path, array in network.parameters.items():
        bound = rounding(network, gradients[path], activations, n)
        assert abs(measured.pop(f"gradient_norm/{path}") - np.linalg.norm(gradients[path])) <= bound
        exact = float(np.sqrt(np.sum(array**2)))
        assert abs(measured.pop(f"weight_norm/{path}") - exact) <= 2 * array.size * U * exact
        measured.pop(f"update_ratio/{path}", None)
    for layer, (name, a) in enumerate(zip(names, activations, strict=True)):
        if name == "relu":
            assert measured.pop(f"dead/{layer}") == np.mean((a == 0).all(axis=0))
            continue
        # A derivative as near to the limit as rounding reaches may count either way.
        relative, near = DERIVATIVES[name][0](a), rounding(network, np.ones(1), activations, n)
        low, high = (np.mean(relative < 0.05 + shift) for shift in (-near, near))
        assert low <= measured.pop(f"saturated/{layer}") <= high
    assert measured == {}


def test_a_unit_of_a_convolution_is_a_position_of_a_map_after_the_layers_pooling(
    backend: ReferenceBackend,
) -> None:
    generator = np.random.default_rng(1)
    images = generator.integers(0, 2, (6, 1, 8, 8), dtype=np.uint8)
    data = Dataset(images, generator.integers(0, 3, 6), scale=0.5)
    layers = [
        ConvPool(3, 3, 2, activation="relu", bias_init=lambda s, path, spec: np.array([-9.0, -0.5, 1.0])),
        Convolution(2, 2, activation="relu", name="second"),
        BatchNorm(),
        Activation("relu"),
        FullyConnected(4, "linear"),
        Softmax(3),
    ]
    network = Network(layers, (1, 8, 8), 3, init="n_in")
    history = network.SGD(data, 1, 3, 0.01, callbacks=[Diagnostics(data)], backend=backend)
    architecture = network.architecture
    arrays: dict[str, Tensor] = {p: constant(a) for p, a in (network.parameters | network.state).items()}
    x = architecture.read(constant(images), 0.5)
    outputs = evaluate(architecture.forward(x, arrays, arrays, "evaluate", {})[0], {})
    found = {k: v for k, v in history.epochs[0].measured.items() if k.startswith(("dead/", "saturated/"))}
    expected = {
        name: float(np.mean((outputs[i] == 0).all(axis=0))) for i, name in ((0, "0"), (1, "second"), (3, "3"))
    }
    assert found == {f"dead/{name}": share for name, share in expected.items()}
    assert outputs[0].shape == (6, 3, 3, 3)
    assert 0 < expected["0"] < 1


class EachStep(Callback):
    """The parameters after each step, and before the first."""

    every = 1

    def __init__(self) -> None:
        self.parameters: list[dict[str, Floats]] = []

    def on_start(self, progress: Progress) -> None:
        self.on_chunk(progress)

    def on_chunk(self, progress: Progress) -> None:
        self.parameters.append({path: array.copy() for path, array in progress.network.parameters.items()})


@settings(max_examples=12)
@given(rows=st.integers(2, 9), batch=st.integers(1, 4), drop_last=st.booleans(), momentum=st.booleans())
def test_the_update_ratio_is_that_of_the_last_full_step(
    backend: ReferenceBackend,
    make_data: Make,
    make_network: Make,
    rows: int,
    batch: int,
    drop_last: bool,
    momentum: bool,
) -> None:
    batch = min(rows, batch)
    data, watch, options = make_data(rows), EachStep(), {"drop_last": drop_last, "momentum": momentum * 0.5}
    make_network(0.5).SGD(data, 2, batch, 0.5, callbacks=[watch], backend=backend, **options)
    history = make_network(0.5).SGD(
        data, 2, batch, 0.5, callbacks=[Diagnostics(data)], backend=backend, **options
    )
    full = rows // batch
    steps = (len(watch.parameters) - 1) // 2
    for epoch, record in enumerate(history.epochs):
        old, new = watch.parameters[epoch * steps + full - 1], watch.parameters[epoch * steps + full]
        for path, array in old.items():
            expected = np.sqrt(np.sum((new[path] - array) ** 2)) / np.sqrt(np.sum(array**2))
            found = record.measured[f"update_ratio/{path}"]
            assert abs(found - expected) <= 4 * (array.size + 2) * U * expected


def test_a_parameter_of_norm_0_has_no_update_ratio(backend: ReferenceBackend, make_data: Make) -> None:
    network, data = Network([FullyConnected(3), Softmax(3)], (4,)), make_data(4)
    history = network.SGD(data, 2, 4, 0.1, callbacks=[Diagnostics(data)], backend=backend)
    first, second = (
        {name for name in record.measured if name.startswith("update_ratio/")} for record in history.epochs
    )
    assert first == {"update_ratio/0.weight", "update_ratio/0.bias"}
    assert second == first | {"update_ratio/1.weight", "update_ratio/1.bias"}
    assert all(np.isfinite(list(record.measured.values())).all() for record in history.epochs)


@settings(max_examples=10)
@given(rows=st.sampled_from([1, 7, 9, 10]), batch=st.sampled_from([1, 2, 10]), momentum=st.booleans())
def test_training_is_the_same_to_the_last_bit_with_and_without_diagnostics(
    backend: ReferenceBackend,
    make_data: Make,
    make_network: Make,
    same_network: Any,
    rows: int,
    batch: int,
    momentum: bool,
) -> None:
    arguments = {"mini_batch_size": min(rows, batch), "eta": 0.5, "momentum": 0.5 * momentum, "lmbda": 0.1}
    data, without, watched = make_data(rows), make_network(0.5), make_network(0.5)
    plain = without.SGD(data, 3, validation_data=make_data(5, 1), backend=backend, **arguments)
    history = watched.SGD(
        data, 3, validation_data=make_data(5, 1), callbacks=[Diagnostics(data)], backend=backend, **arguments
    )
    assert same_network(without, watched)
    for one, other in zip(plain.epochs, history.epochs, strict=True):
        assert (one.cost, one.validation_cost) == (other.cost, other.validation_cost)


def without_ratios(history: History) -> list[dict[str, float]]:
    return [{k: v for k, v in r.measured.items() if not k.startswith("update_ratio")} for r in history.epochs]


@pytest.mark.parametrize("rows", [9, 10])
@pytest.mark.parametrize("steps", range(1, 11))
def test_a_resumed_run_measures_the_same_but_for_the_step_that_it_did_not_see(
    backend: ReferenceBackend, make_data: Make, make_network: Make, tmp_path: Path, rows: int, steps: int
) -> None:
    data, path = make_data(rows), tmp_path / "run.safetensors"
    whole = make_network(0.5).SGD(data, 2, 2, 0.5, callbacks=[Diagnostics(data, 5)], backend=backend)
    make_network(0.5).SGD(
        data, 2, 2, 0.5, callbacks=[Diagnostics(data, 5)], max_steps=steps, checkpoint=path, backend=backend
    )
    parts = Network.load(path).SGD(
        data, 2, 2, 0.5, callbacks=[Diagnostics(data, 5)], resume=True, backend=backend
    )
    assert without_ratios(parts) == without_ratios(whole)
    # Of 9 rows the fourth step is the last full one: who goes on after it has not seen where it began.
    unseen = steps // 5 if rows == 9 and steps % 5 == 4 else None
    for epoch, (one, other) in enumerate(zip(parts.epochs, whole.epochs, strict=True)):
        missing = {name for name in other.measured if name.startswith("update_ratio/")}
        assert one.measured == {
            k: v for k, v in other.measured.items() if epoch != unseen or k not in missing
        }


@given(n=st.integers(1, 12), examples=st.integers(1, 12), seed=st.integers(0, 2**64 - 1))
def test_the_sample_is_drawn_as_documented_and_all_where_there_are_not_more(
    n: int, examples: int, seed: int
) -> None:
    data = Dataset(np.arange(float(n))[:, np.newaxis], np.arange(n))
    sample = Diagnostics(data, examples, seed).sample
    words = random.words(seed, "diagnostics", "", count=n)
    drawn = np.argsort(words, kind="stable")[:examples] if examples < n else np.arange(n)
    assert sample.labels.tolist() == sample.inputs[:, 0].tolist() == drawn.tolist()


def test_the_sample_of_expanded_data_has_shifted_images(backend: ReferenceBackend) -> None:
    generator = np.random.default_rng(0)
    base = Dataset(generator.integers(0, 9, (3, 1, 2, 2), dtype=np.uint8), np.array([0, 1, 2]), scale=0.125)
    data = expanded(base)
    sample = Diagnostics(data).sample
    np.testing.assert_array_equal(sample.inputs, data.images(np.arange(15)))
    assert sample.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert sample.scale == 0.125
    network = Network([Softmax(3)], (1, 2, 2))
    history = network.SGD(data, 1, 5, 0.1, callbacks=[Diagnostics(data, 4)], backend=backend)
    assert "gradient_norm/0.weight" in history.epochs[0].measured


def test_one_callback_serves_several_runs(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    data = make_data(9)
    callback = Diagnostics(data)
    first, second = (
        make_network().SGD(data, 1, 2, 0.5, callbacks=[callback], backend=backend) for _ in range(2)
    )
    assert first.epochs[0].measured == second.epochs[0].measured


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((7,), ArgumentTypeError, "training_data: expected a Dataset"),
        (((np.zeros((2, 4)), [0, 1]), 0), ArgumentError, "examples is 0"),
        (((np.zeros((2, 4)), [0, 1]), 5, -1), ArgumentError, "seed is -1"),
    ],
)
def test_bad_arguments_are_refused(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        Diagnostics(*arguments)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            (np.zeros((2, 5)), [0, 1]),
            ShapeError,
            r"the training_data of Diagnostics has examples of shape \[5\]",
        ),
        ((np.zeros((2, 4)), [0, 3]), ArgumentError, "the training_data of Diagnostics has labels"),
    ],
)
def test_data_that_do_not_fit_the_network_are_refused_before_the_first_step(
    backend: ReferenceBackend, make_data: Make, make_network: Make, same_network: Any, data: Any, error: Any,
    message: str,
) -> None:  # fmt: skip
    network = make_network()
    with pytest.raises(error, match=message):
        network.SGD(make_data(), 1, 5, 0.1, callbacks=[Diagnostics(data)], backend=backend)
    assert same_network(network, make_network())


def test_a_dead_network_is_dead_and_a_saturated_one_saturated(
    backend: ReferenceBackend, make_data: Make
) -> None:
    data = make_data(6)
    layers = [
        FullyConnected(3, "relu", bias_init=Constant(-100.0)),
        FullyConnected(3, bias_init=Constant(100.0)),
        FullyConnected(3, "tanh", weight_init=Constant(0.0), bias_init=Constant(0.0)),
        Softmax(3),
    ]
    history = Network(layers, (4,)).SGD(data, 1, 3, 0.1, callbacks=[Diagnostics(data)], backend=backend)
    measured = history.epochs[0].measured
    assert (measured["dead/0"], measured["saturated/1"], measured["saturated/2"]) == (1.0, 1.0, 0.0)
    assert measured["gradient_norm/0.weight"] == 0.0
