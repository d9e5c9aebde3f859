"""`Network`: what it begins with, what it predicts, and which layers and data it refuses."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd import random
from isograd.data import Dataset
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError
from isograd.evaluation import CHUNK_ROWS
from isograd.graph import variable
from isograd.layers import Constant, ConvPool, Flatten, FullyConnected, Layer, Softmax, initial_value
from isograd.network import Network
from isograd.testing import ReferenceBackend

Make = Callable[..., Any]


@given(seed=st.integers(0, 2**64 - 1), dtype=st.sampled_from(["float32", "float64"]))
def test_the_first_parameters_are_those_of_the_book_drawn_by_path(seed: int, dtype: str) -> None:
    network = Network([FullyConnected(5, name="hidden"), Softmax(3)], (2, 2), seed, dtype=dtype)
    weights = random.normal(seed, "initialise", "hidden.weight", shape=(4, 5)) * np.sqrt(1 / 5)
    biases = random.normal(seed, "initialise", "hidden.bias", shape=(5,))
    assert network.parameters["hidden.weight"].tobytes() == weights.astype(dtype).tobytes()
    assert network.parameters["hidden.bias"].tobytes() == biases.astype(dtype).tobytes()
    assert not network.parameters["1.weight"].any()
    assert list(network.parameters) == ["hidden.weight", "hidden.bias", "1.weight", "1.bias"]


@pytest.mark.parametrize(
    "init", ["chapter", "n_in", "he", "glorot", Constant(0.5), lambda s, p, spec: np.ones(spec.shape)]
)
def test_init_decides_for_the_whole_network(init: Any) -> None:
    network = Network([FullyConnected(5), Softmax(3)], (4,), 7, init=init, dtype="float64")
    for path, spec in network.architecture.parameters.items():
        assert network.parameters[path].tobytes() == initial_value(spec, init, 7, path).tobytes()


@settings(max_examples=15)
@given(examples=st.integers(1, 2 * CHUNK_ROWS + 3), dtype=st.sampled_from(["float32", "float64", "uint8"]))
def test_predictions_do_not_depend_on_how_many_examples_are_given(
    backend: ReferenceBackend, make_network: Make, examples: int, dtype: str
) -> None:
    network = make_network()
    inputs = np.random.default_rng(0).integers(0, 5, (2 * CHUNK_ROWS + 3, 4)).astype(dtype)
    everything = network.predict_proba(inputs, backend=backend)
    some = network.predict_proba(inputs[:examples], backend=backend)
    assert some.tobytes() == everything[:examples].tobytes()
    assert (some.shape, some.dtype) == ((examples, 3), network.dtype)
    classes = network.predict(inputs[:examples], backend=backend)
    assert (classes.shape, classes.dtype) == ((examples,), np.int32)
    assert classes.tolist() == some.argmax(axis=1).tolist()


@given(seed=st.integers(0, 100))
def test_probabilities_are_the_softmax_of_the_last_layer(
    backend: ReferenceBackend, make_data: Make, make_network: Make, seed: int
) -> None:
    network, data = make_network(seed=seed), make_data(5, seed)
    p = network.parameters
    a = 1 / (1 + np.exp(-(data.inputs @ p["0.weight"] + p["0.bias"])))
    z = a @ p["1.weight"] + p["1.bias"]
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    found = network.predict_proba(data, backend=backend)
    # At most 100 roundings of numbers below max|z| <= 30 before the exponential, and 10 after it.
    assert np.abs(z).max() < 30
    assert np.all(np.abs(found - expected) <= (100 * 30 + 10) * 2.0**-53 * expected)
    assert np.all(np.abs(found.sum(axis=1) - 1) <= (100 * 30 + 10) * 2.0**-53)


@given(examples=st.integers(1, 600), seed=st.integers(0, 9))
def test_accuracy_is_the_fraction_of_right_classes(
    backend: ReferenceBackend, make_data: Make, make_network: Make, examples: int, seed: int
) -> None:
    network, data = make_network(seed=seed), make_data(examples, seed)
    right = sum(int(a == b) for a, b in zip(network.predict(data, backend=backend), data.labels, strict=True))
    assert network.accuracy(data, backend=backend) == right / examples
    assert network.accuracy((data.inputs, data.labels.tolist()), backend=backend) == right / examples


@given(examples=st.integers(1, 300), lmbda=st.sampled_from([0.0, 0.5, 10.0]), size=st.integers(1, 50))
def test_cost_is_the_mean_log_likelihood_and_the_l2_term_of_the_weights(
    backend: ReferenceBackend, make_data: Make, make_network: Make, examples: int, lmbda: float, size: int
) -> None:
    network, data = make_network(), make_data(examples)
    probabilities = network.predict_proba(data, backend=backend)
    of_data = -np.log(probabilities[np.arange(examples), data.labels]).mean()
    squares = sum(float((network.parameters[path] ** 2).sum()) for path in ("0.weight", "1.weight"))
    expected = of_data + 0.5 * lmbda * squares / math.ceil(examples / size)
    found = network.cost(data, lmbda, size, backend=backend)
    # exp and log undo each other within 100 roundings of numbers below 30; the means are of positive numbers.
    bound = (100 * 30 + 2 * examples) * 2.0**-53
    assert abs(found - expected) <= bound * (1 + expected)
    assert network.cost(data, lmbda, backend=backend) == network.cost(data, lmbda, 1, backend=backend)


shapes = st.sampled_from([(12,), (1, 12), (12, 1), (3, 4), (1, 3, 4), (3, 1, 4)])


@given(of_data=shapes, of_network=shapes)
def test_the_same_image_may_have_axes_of_size_one_or_be_flat(
    backend: ReferenceBackend, of_data: tuple[int, ...], of_network: tuple[int, ...]
) -> None:
    inputs = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    network = Network([FullyConnected(3), Softmax(3, weight_init="n_in")], of_network)
    expected = network.predict_proba(inputs, backend=backend) if 12 in of_network else None
    reshaped = inputs.reshape(5, *of_data)
    compatible = 1 in (len(of_data), len(of_network)) or (12 in of_data) == (12 in of_network)
    if compatible:
        found = network.predict_proba(reshaped, backend=backend)
        flat = network.predict_proba(inputs.reshape(5, *of_network), backend=backend)
        assert found.tobytes() == flat.tobytes()
        assert expected is None or found.tobytes() == expected.tobytes()
    else:
        with pytest.raises(ShapeError, match=r"x has examples of shape .*; the network's input_shape is"):
            network.predict_proba(reshaped, backend=backend)


def test_axes_in_another_order_are_not_the_same_image(backend: ReferenceBackend) -> None:
    network = Network([ConvPool(2, window=3), Softmax(2)], (3, 8, 6))
    data = (np.zeros((2, 8, 6, 3)), [0, 1])
    for use in (
        network.accuracy,
        network.cost,
        lambda data, backend: network.SGD(data, 1, 1, 0.1, backend=backend),
    ):
        with pytest.raises(ShapeError, match=r"\[8, 6, 3\]; the network's input_shape is \[3, 8, 6\]"):
            use(data, backend=backend)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((0, 4)), ShapeError, "x: inputs: expected at least one example"),
        (np.zeros(4), ShapeError, "x: inputs: expected shape"),
        (np.zeros((2, 5)), ShapeError, r"x has examples of shape \[5\]"),
        (np.full((2, 4), np.nan), ArgumentError, "x: inputs: expected finite numbers"),
        ([["a"] * 4], ArgumentTypeError, "x: inputs"),
        ([[1.0], [1.0, 2.0]], ArgumentTypeError, "x: inputs"),
        (None, IsogradError, "x: inputs"),
        (7, ShapeError, "x: inputs"),
    ],
)
def test_what_can_not_be_predicted_from_is_refused(
    backend: ReferenceBackend, make_network: Make, x: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_network().predict(x, backend=backend)


def test_labels_beyond_the_classes_are_refused(backend: ReferenceBackend, make_network: Make) -> None:
    data = (np.zeros((3, 4)), [1, 2, 3])
    for use in (make_network().accuracy, make_network().cost):
        with pytest.raises(
            ArgumentError, match="data has labels from 1 to 3; the network has 3 classes, 0 to 2"
        ):
            use(data, backend=backend)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Network([], (4,)), ArgumentError, "layers is empty"),
        (lambda: Network(Softmax(2), (4,)), ArgumentTypeError, "layers is a Softmax"),  # type: ignore[arg-type]
        (lambda: Network([Softmax], (4,)), ArgumentTypeError, r"layers\[0\] is .*call the class"),  # type: ignore[list-item]
        (lambda: Network(["Softmax"], (4,)), ArgumentTypeError, r"layers\[0\] is 'Softmax'"),  # type: ignore[list-item]
        (lambda: Network([Softmax(2)], 4), ArgumentTypeError, "input_shape is 4; expected a tuple"),  # type: ignore[arg-type]
        (lambda: Network([Softmax(2)], "4"), ArgumentTypeError, "input_shape is '4'"),  # type: ignore[arg-type]
        (lambda: Network([Softmax(2)], ()), ShapeError, r"input_shape is \[\]"),
        (lambda: Network([Softmax(2)], (0,)), ShapeError, r"input_shape is \[0\]"),
        (lambda: Network([Softmax(2)], (2**40, 2**40)), ShapeError, "more than any memory holds"),
        (lambda: Network([Softmax(2)], (4,), -1), ArgumentError, "seed is -1"),
        (lambda: Network([Softmax(2)], (4,), 2**64), ArgumentError, r"seed is .*expected less than 2\*\*64"),
        (lambda: Network([Softmax(2)], (4,), 0.5), ArgumentTypeError, "seed is 0.5"),  # type: ignore[arg-type]
        (lambda: Network([Softmax(2)], (4,), dtype="float16"), ArgumentTypeError, "dtype is float16"),
        (
            lambda: Network([Softmax(2)], (4,), dtype="int32"),
            ArgumentTypeError,
            "dtype is int32; expected float32",
        ),
        (lambda: Network([Softmax(2)], (4,), init="best"), ArgumentError, "init is 'best'"),
        (lambda: Network([Softmax(2)], (4,), init=3), ArgumentTypeError, "init is 3"),  # type: ignore[arg-type]
        (
            lambda: Network([Softmax(2)], (4,), init=Constant(1e300)),
            ArgumentError,
            "0.weight: its initial values",
        ),
        (lambda: Network([Flatten()], (4,)).predict(np.ones((1, 5))), ShapeError, r"\[5\]"),
        (lambda: Network([ConvPool(2)], (1, 28, 28)), ShapeError, r"the last one gives \[2, 12, 12\]"),
        (lambda: Network([ConvPool(2), Softmax(2)], (784,)), ShapeError, r"layers: layer 0 \(ConvPool\): "),
        (
            lambda: Network([FullyConnected(2, name="a"), Softmax(2, name="a")], (4,)),
            ArgumentError,
            r"layers\[1\] is named 'a', as is layers\[0\]",
        ),
    ],
)
def test_what_is_no_network_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@dataclass(frozen=True, repr=False)
class Liar(Layer):
    """Declares one shape and builds another."""

    def output_shape(self, shape: Any) -> Any:
        return (2,)

    def build(self, inputs: Any, params: Any, state: Any, mode: Any, masks: Any) -> Any:
        return inputs, {}


def test_a_layer_that_builds_another_shape_than_it_declares_is_named(backend: ReferenceBackend) -> None:
    network = Network([Flatten(), Liar()], (3,))
    with pytest.raises(ShapeError, match=r"layer 1 \(Liar\) builds \[250, 3\]; it declares \[250, 2\]"):
        network.predict(np.ones((1, 3)), backend=backend)


def test_forward_gives_the_outputs_of_every_layer() -> None:
    network = Network([ConvPool(2, window=3), Flatten(), FullyConnected(4), Softmax(3)], (1, 8, 8))
    variables = network.architecture.variables()
    outputs, new_state = network.forward(variable("x", (5, 1, 8, 8)), variables, variables, "evaluate", {})
    assert [t.shape for t in outputs] == [(5, *shape) for shape in network.shapes]
    assert network.shapes == ((2, 3, 3), (18,), (4,), (3,))
    assert network.output_shape == (3,)
    assert new_state == {}


def test_the_summary_is_a_table_of_layers_shapes_and_parameters() -> None:
    network = Network([ConvPool(20), FullyConnected(100, name="hidden"), Softmax(10)], (1, 28, 28))
    assert network.summary().splitlines() == [
        "layer                          output shape  parameters",
        "input                          1 x 28 x 28",
        "layer 0 (ConvPool)             20 x 12 x 12         520",
        "layer hidden (FullyConnected)  100              288,100",
        "layer 2 (Softmax)              10                 1,010",
        "total                                           289,630",
    ]


def test_a_network_prints_as_what_made_it() -> None:
    network = Network([FullyConnected(3), Softmax(2)], (4,), 5)
    assert repr(network) == "Network([FullyConnected(n_out=3), Softmax(n_out=2)], input_shape=(4,), seed=5)"
    assert network.layers == (FullyConnected(3), Softmax(2))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copied_or_pickled_network_goes_on_with_the_same_run(
    copied: Callable[[Network], Network], backend: ReferenceBackend, make_network: Make
) -> None:
    network = make_network()
    data = Dataset(np.random.default_rng(0).normal(size=(6, 4)), np.arange(6) % 3, weights=np.arange(6))
    network.SGD(data, 1, 4, 0.1, data, momentum=0.9, backend=backend)
    other = copied(network)
    for one in (network, other):
        one.SGD(copied(data), 2, 4, 0.1, data, momentum=0.9, backend=backend, resume=True)
    assert other.predict_proba(data, backend=backend).tobytes() == (
        network.predict_proba(data, backend=backend).tobytes()
    )
    assert other.training.history.epochs[-1].validation_cost == (
        network.training.history.epochs[-1].validation_cost
    )


def test_predicting_any_number_of_examples_compiles_once(recording_backend: Make, make_network: Make) -> None:
    backend, network = recording_backend(), make_network()
    for examples in (1, 2, 249, 250, 251, 600):
        network.predict(np.ones((examples, 4)), backend=backend)
    assert len(backend.compiled) == 1


def test_a_data_set_is_scaled_as_in_training(backend: ReferenceBackend) -> None:
    network = Network([Softmax(3, weight_init="n_in")], (4,))
    images = np.random.default_rng(0).integers(0, 256, (6, 4), dtype=np.uint8)
    scaled = network.predict_proba(Dataset(images, np.zeros(6, np.int32), scale=1 / 256), backend=backend)
    assert scaled.tobytes() == network.predict_proba(images / np.float32(256), backend=backend).tobytes()


@settings(max_examples=15)
@given(
    examples=st.sampled_from([1, 7, CHUNK_ROWS, CHUNK_ROWS + 1]),
    lmbda=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 2**16),
)
def test_gradients_are_those_of_the_cost_over_the_whole_data_set(
    backend: ReferenceBackend, examples: int, lmbda: float, seed: int
) -> None:
    network = Network([Softmax(3)], (4,), dtype="float64")
    rng = np.random.default_rng(seed)
    network.parameters = {path: rng.normal(size=w.shape) for path, w in network.parameters.items()}
    x, labels = rng.normal(size=(examples, 4)), rng.integers(0, 3, examples)
    found = network.gradients((x, labels), lmbda, mini_batch_size=5, backend=backend)

    weight, bias = network.parameters["0.weight"], network.parameters["0.bias"]
    z = x @ weight + bias
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    difference, size = p - np.eye(3)[labels], p + np.eye(3)[labels]
    batches = math.ceil(examples / 5)
    # z has 5 terms, so p a relative error of 2 * gamma_5 * sum |terms| and some 20 roundings, on both sides;
    # then come the sums over the examples (Higham, "Accuracy and Stability", section 3.1).
    terms = (np.abs(x) @ np.abs(weight) + np.abs(bias)).max()
    rounding = (2 * (2 * 5 * terms + 20) + 2 * examples) * np.finfo(np.float64).eps
    decay = lmbda / batches * weight
    error = np.abs(found["0.weight"] - (x.T @ difference / examples + decay))
    assert (error <= rounding * (np.abs(x).T @ size / examples + np.abs(decay))).all()
    error = np.abs(found["0.bias"] - difference.sum(axis=0) / examples)
    assert (error <= rounding * size.sum(axis=0) / examples).all()
