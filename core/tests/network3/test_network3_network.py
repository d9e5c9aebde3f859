"""Training by the listing's names is isograd's own, and prints the listing's lines."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isograd
from isograd import ConvPool, FullyConnected, Softmax, network3
from isograd.data import Dataset
from isograd.errors import ArgumentError, ArgumentTypeError, NonFiniteError, ShapeError
from isograd.graph.reference import evaluate
from isograd.network3 import ConvPoolLayer, FullyConnectedLayer, Network, ReLU, SoftmaxLayer, tanh
from isograd.random import keep_mask
from isograd.testing import ReferenceBackend
from isograd.training import History
from isograd.training.step import MASK

Make = Callable[..., Dataset]


def make_layers(rows: int, p_dropout: float = 0.0) -> list[Any]:
    return [
        ConvPoolLayer(filter_shape=(2, 1, 3, 3), image_shape=(rows, 1, 6, 6), activation_fn=ReLU),
        FullyConnectedLayer(n_in=2 * 2 * 2, n_out=4, activation_fn=tanh, p_dropout=p_dropout),
        SoftmaxLayer(n_in=4, n_out=3, p_dropout=p_dropout),
    ]


def printed_by(function: Callable[[], object]) -> list[str]:
    with redirect_stdout(io.StringIO()) as stream:
        function()
    return stream.getvalue().splitlines()


def parameters(net: Network) -> list[bytes]:
    return [param.get_value().tobytes() for param in net.params]


@given(
    sizes=st.tuples(*[st.integers(4, 11)] * 3),
    rows=st.integers(1, 4),
    epochs=st.integers(1, 3),
    seed=st.integers(0, 2**64 - 1),
    p_dropout=st.sampled_from([0.0, 0.5]),
    lmbda=st.sampled_from([0.0, 0.1]),
)
def test_training_gives_the_bits_of_isograd_s_network_and_prints_the_listing_s_lines(
    sizes: tuple[int, int, int],
    rows: int,
    epochs: int,
    seed: int,
    p_dropout: float,
    lmbda: float,
    backend: ReferenceBackend,
    make_digits: Make,
    listing_lines: Callable[[History, int], list[str]],
) -> None:
    training, validation, test = (make_digits(size, number) for number, size in enumerate(sizes))
    net = Network(make_layers(rows, p_dropout), rows, seed=seed, backend=backend)
    data = [network3.shared(part) for part in (training, validation, test)]
    lines = printed_by(lambda: net.SGD(data[0], epochs, rows, 0.5, data[1], data[2], lmbda=lmbda))

    other = isograd.Network(
        [
            ConvPool(2, 3, activation="relu"),
            FullyConnected(4, "tanh", p_dropout),
            Softmax(3, p_dropout),
        ],
        (1, 6, 6),
        seed,
    )
    history = other.SGD(
        training,
        epochs,
        rows,
        0.5,
        validation[: len(validation) // rows * rows],
        test[: len(test) // rows * rows],
        lmbda,
        shuffle=False,
        drop_last=True,
        backend=backend,
    )
    assert parameters(net) == [array.tobytes() for array in other.parameters.values()]
    assert lines == listing_lines(history, len(training) // rows)
    assert net.history is not None
    for number in range(len(test) // rows):
        expected = other.predict(test[number * rows : (number + 1) * rows], backend=backend)
        assert net.test_mb_predictions(number).tolist() == expected.tolist()


def test_mini_batches_are_numbered_by_thousands_also_where_an_epoch_begins(
    backend: ReferenceBackend, listing_lines: Callable[[History, int], list[str]]
) -> None:
    data = network3.shared((np.eye(250, 2), np.arange(250) % 2))
    few = data[0][:2], data[1][:2]
    net = Network([SoftmaxLayer(2, 2)], 1, backend=backend)
    lines = printed_by(lambda: net.SGD(data, 5, 1, 0.1, few, few))
    assert net.history is not None
    assert lines == listing_lines(net.history, 250)
    assert "Training mini-batch number 1000" in lines


def test_the_graph_of_a_network_computes_what_it_predicts(
    backend: ReferenceBackend, make_digits: Make
) -> None:
    digits = make_digits(5)
    net = Network(make_layers(5, 0.5), 5, seed=3, backend=backend)
    net.layers[-1].w.set_value(np.random.default_rng(0).normal(size=(4, 3)))
    core = net.network
    x, y = (half.eval() for half in network3.shared(digits))
    masks = {
        MASK + path: keep_mask(0, path, shape=(5, *spec.shape), p_dropout=0.5)
        for path, spec in core.architecture.masks.items()
    }
    values = {"x": x, "y": y, **core.parameters, **masks}
    last = net.layers[-1]
    wanted = [net.output, last.y_out, last.accuracy(net.y), net.output_dropout, last.cost(net)]
    output, classes, accuracy, dropped, cost = evaluate(wanted, values)
    # Two evaluations of one graph, but for simplification, by the same operations.
    np.testing.assert_array_equal(output, core.predict_proba(digits, backend=backend))
    np.testing.assert_array_equal(classes, core.predict(digits, backend=backend))
    assert float(accuracy) == np.float32(core.accuracy(digits, backend=backend))
    # A mean of five logarithms, each of a number that was rounded a few times, in float32.
    assert abs(float(cost) + np.log(dropped[np.arange(5), y]).mean()) < 64 * 2.0**-24


def test_without_a_seed_networks_differ_as_numpy_s_global_generator_says(make_digits: Make) -> None:
    def drawn() -> list[bytes]:
        return parameters(Network(make_layers(2), 2))

    state = np.random.get_state()
    try:
        np.random.seed(1)
        first, second = drawn(), drawn()
        np.random.seed(1)
        again = drawn()
    finally:
        np.random.set_state(state)
    assert first != second
    assert first == again


def test_a_trained_layer_keeps_its_weights_in_another_network(
    backend: ReferenceBackend, make_digits: Make
) -> None:
    data = network3.shared(make_digits(6))
    net = Network(make_layers(2), 2, seed=0, backend=backend)
    printed_by(lambda: net.SGD(data, 1, 2, 0.5, data, data))
    before = parameters(net)
    other = Network([*net.layers[:2], SoftmaxLayer(4, 3)], 2, seed=1, backend=backend)
    assert parameters(other)[:4] == before[:4]
    printed_by(lambda: other.SGD(data, 1, 2, 0.5, data, data))
    assert parameters(net)[:4] == parameters(other)[:4] != before[:4]
    assert parameters(net)[4:] == before[4:]


def test_predictions_follow_the_weights(backend: ReferenceBackend, make_digits: Make) -> None:
    data = network3.shared(make_digits(4))
    net = Network(make_layers(2), 2, seed=0, backend=backend)
    printed_by(lambda: net.SGD(data, 1, 2, 0.5, data, data))
    softmax = net.layers[-1]
    softmax.w.set_value(np.zeros((4, 3)))
    for number in range(3):
        softmax.b.set_value(np.eye(3)[number])
        assert net.test_mb_predictions(1).tolist() == [number, number]


def test_ctrl_c_leaves_the_weights_of_the_last_step_as_in_the_listing(
    backend: ReferenceBackend, make_digits: Make
) -> None:
    data = network3.shared(make_digits(6))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            if "Epoch 1" in text:
                os.kill(os.getpid(), signal.SIGINT)
            return super().write(text)

    try:
        net = Network(make_layers(2), 2, seed=3, backend=backend)
        with redirect_stdout(Interrupted()) as stream, pytest.raises(KeyboardInterrupt):
            net.SGD(data, 4, 2, 0.5, data, data)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "Finished" not in stream.getvalue()
    assert net.history is not None
    assert net.history.best_epoch == 0
    other = Network(make_layers(2), 2, seed=3, backend=backend)
    printed_by(lambda: other.SGD(data, 2, 2, 0.5, data, data))
    assert parameters(net) == parameters(other)


def test_training_that_diverges_says_where_and_keeps_finite_weights(backend: ReferenceBackend) -> None:
    data = network3.shared((np.full((2, 1), 1e30, np.float32), [0, 1]))
    net = Network([SoftmaxLayer(1, 2)], 1, backend=backend)
    with pytest.raises(NonFiniteError), redirect_stdout(io.StringIO()):
        net.SGD(data, 1, 1, 1e30, data, data)
    assert np.isfinite(net.layers[0].w.get_value()).all()


BAD_NETWORKS = [
    (lambda: Network([], 2), ArgumentTypeError, "layers is"),
    (
        lambda: Network([Softmax(3)], 2),
        ArgumentTypeError,
        r"layers\[0\] is Softmax\(n_out=3\); expected a ConvPool",
    ),
    (lambda: Network([FullyConnectedLayer(2, 2)], 2), ArgumentError, "SoftmaxLayer as the last layer"),
    (lambda: Network([SoftmaxLayer(2, 2)] * 2, 2), ArgumentError, "expected a SoftmaxLayer as the last"),
    (
        lambda: Network([*[FullyConnectedLayer(2, 2)] * 2, SoftmaxLayer(2, 2)], 2),
        ArgumentError,
        r"layers\[1\] \(FullyConnectedLayer\) is in the list twice",
    ),
    (
        lambda: Network([*make_layers(2)[:1], SoftmaxLayer(9, 2)], 2),
        ShapeError,
        r"layers\[1\] \(SoftmaxLayer\): n_in is 9; layers\[0\] gives 8 \(2 x 2 x 2\)",
    ),
    (
        lambda: Network(make_layers(3), 2),
        ShapeError,
        r"layers\[0\] \(ConvPoolLayer\): image_shape is \(3, 1, 6, 6\).* gives \(2, 1, 6, 6\)",
    ),
    (
        lambda: Network([FullyConnectedLayer(2, 36), *make_layers(2)], 2),
        ShapeError,
        r"layers\[1\] \(ConvPoolLayer\): layers\[0\] gives examples of shape \(36,\); expected images",
    ),
    (
        lambda: Network(FullyConnectedLayer(2, 2), 2),  # type: ignore[arg-type]
        ArgumentTypeError,
        r"layers is <FullyConnectedLayer, w \[2, 2\]>; expected a list of layers",
    ),
    (lambda: Network(make_layers(2), 0), ArgumentError, "mini_batch_size is 0; expected at least 1"),
    (lambda: Network(make_layers(2), 2, seed=-1), ArgumentError, "seed is -1"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_NETWORKS)
def test_a_network_of_what_does_not_fit_is_refused(
    make: Callable[[], Network], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


BAD_RUNS = [
    ({"mini_batch_size": 3}, ArgumentError, "mini_batch_size is 3; the network was made for .* of 2"),
    ({"training_data": np.zeros((2, 2))}, ArgumentTypeError, "training_data is a ndarray; expected a pair"),
    ({"training_data": (np.zeros((4, 35)), [0, 1, 2, 0])}, ShapeError, "training_data has examples of"),
    ({"training_data": (np.zeros((1, 36)), [0])}, ArgumentError, "mini_batch_size is 2; training_data has"),
    ({"validation_data": (np.zeros((1, 36)), [0])}, ArgumentError, "validation_data has 1 examples"),
    ({"test_data": None}, ArgumentTypeError, "test_data is a NoneType"),
    ({"test_data": (np.zeros((2, 36)), [0, 3])}, ArgumentError, "test_data has labels from 0 to 3"),
    ({"eta": 0}, ArgumentError, "eta is 0"),
    ({"epochs": 0}, ArgumentError, "epochs is 0"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD_RUNS)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_printed_or_changed(
    changed: dict[str, Any],
    error: type[Exception],
    message: str,
    backend: ReferenceBackend,
    make_digits: Make,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = network3.shared(make_digits(4))
    net = Network(make_layers(2), 2, backend=backend)
    before = parameters(net)
    given_arguments = {
        "training_data": data,
        "epochs": 1,
        "mini_batch_size": 2,
        "eta": 0.1,
        "validation_data": data,
        "test_data": data,
    }
    with pytest.raises(error, match=message):
        net.SGD(**{**given_arguments, **changed})
    assert capsys.readouterr().out == ""
    assert parameters(net) == before
    assert net.history is None
    with pytest.raises(ArgumentError, match="SGD, which is given the test data, has not been called"):
        net.test_mb_predictions(0)


def test_a_mini_batch_that_is_not_there_is_refused(backend: ReferenceBackend, make_digits: Make) -> None:
    data = network3.shared(make_digits(5))
    net = Network(make_layers(2), 2, backend=backend)
    printed_by(lambda: net.SGD(data, 1, 2, 0.5, data, data))
    with pytest.raises(ArgumentError, match="i is 2; the test data have 2 mini-batches"):
        net.test_mb_predictions(2)
