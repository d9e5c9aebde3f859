"""Costs: what is minimised, what is predicted, which data fit, and that files name them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import costs, plugins
from isograd.costs import Cost, CrossEntropy, LogLikelihood, Quadratic
from isograd.data import Dataset
from isograd.ensemble import Ensemble
from isograd.errors import ArgumentError, ArgumentTypeError, FileFormatError, ShapeError, UnsupportedError
from isograd.graph import Tensor
from isograd.layers import FullyConnected, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import Diagnostics, History

Make = Callable[..., Any]
REALS = st.integers(-8, 8).map(lambda n: n / 4)


@dataclass(frozen=True)
class Hinge(Cost):
    """sum over the other classes of max(0, margin + z_other - z_label)."""

    margin: float = 1.0
    targets = "classes"

    def build(self, outputs: Tensor, targets: Tensor) -> Tensor:
        from isograd import graph as G

        classes = G.iota(shape=outputs.shape, axis=1)
        is_label = G.equal(classes, G.broadcast_to(targets.reshape(-1, 1), outputs.shape))
        zero = G.constant(0.0, outputs.dtype)
        label = G.where(is_label, outputs, zero).sum(1).reshape(-1, 1)
        over = G.relu(outputs - label + self.margin)
        return G.where(is_label, zero, over).sum(1)


@dataclass(frozen=True)
class Wrong(Cost):
    """Of the wrong shape."""

    def build(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs - targets


class Offer:
    @plugins.hookimpl
    def isograd_costs(self) -> Sequence[type]:
        return [Hinge]


@pytest.fixture
def hinge_offered() -> Iterator[None]:
    with plugins.registered(Offer()):
        yield


def linear(outputs: int = 2, cost: Cost = Quadratic(), **options: Any) -> Network:  # noqa: B008
    layers = [FullyConnected(outputs, "linear", weight_init="n_in", bias_init="n_in")]
    return Network(layers, (3,), dtype="float64", cost=cost, **options)


def regression(n: int = 8, outputs: int = 2, seed: int = 0, **options: Any) -> Dataset:
    rng = np.random.default_rng(seed)
    inputs = rng.integers(-8, 9, (n, 3)) / 8
    return Dataset(inputs, inputs @ rng.integers(-2, 3, (3, outputs)) + 0.5, **options)


@given(st.lists(st.tuples(REALS, REALS, st.integers(0, 4)), min_size=1, max_size=5))
def test_the_quadratic_cost_is_half_the_square_of_the_distance_times_the_weight(
    backend: ReferenceBackend, rows: list[tuple[float, float, int]]
) -> None:
    a, y, weights = (np.array(column) for column in zip(*rows, strict=True))
    network = Network([FullyConnected(1, "linear")], (1,), cost=Quadratic(), dtype="float64")
    network.parameters.update({"0.weight": np.ones((1, 1)), "0.bias": np.zeros(1)})
    data = Dataset(a[:, None], y, weights=weights if weights.any() else None)
    factor = weights if weights.any() else np.ones(len(rows))
    # All are eighths of small whole numbers, and their sum is exact; the mean is rounded once by both.
    assert network.cost(data, backend=backend) == np.mean(factor * (a - y) ** 2 / 2)
    gradient = network.gradients(data, backend=backend)
    assert gradient["0.bias"].tolist() == [np.sum(factor * (a - y)) / len(rows)]


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.sampled_from([0.0, 0.25, 1.0])), min_size=1, max_size=5))
def test_the_cross_entropy_is_finite_and_predicts_probabilities(
    backend: ReferenceBackend, rows: list[tuple[float, float]]
) -> None:
    z, y = (np.array(column) for column in zip(*rows, strict=True))
    network = Network([FullyConnected(1, "linear")], (1,), cost=CrossEntropy(), dtype="float64")
    network.parameters.update({"0.weight": np.ones((1, 1)), "0.bias": np.zeros(1)})
    predicted = network.predict(z[:, None], backend=backend)[:, 0]
    assert ((predicted >= 0) & (predicted <= 1)).all()
    cost = network.cost(Dataset(z[:, None], y), backend=backend)
    exact = np.mean(np.logaddexp(0, z) - y * z)
    # softplus, product, difference and mean of up to 5: 8 roundings of terms no larger than these.
    assert abs(cost - exact) <= 8 * 2.0**-52 * np.mean(np.logaddexp(0, z) + abs(y * z))


def test_examples_of_weight_one_train_to_the_same_bits_as_without_weights(
    backend: ReferenceBackend, make_network: Make, make_data: Make, same_network: Make
) -> None:
    plain, weighted = make_network(0.5), make_network(0.5)
    data = make_data(7)
    plain.SGD(data, 2, 2, 0.5, backend=backend)
    weighted.SGD(
        Dataset(data.inputs, data.labels, weights=np.ones(7, np.float32)), 2, 2, 0.5, backend=backend
    )
    assert same_network(plain, weighted)


def test_an_example_of_weight_zero_moves_nothing(backend: ReferenceBackend) -> None:
    moved, still = linear(), linear()
    data = regression(4, weights=[0.0, 0.0, 0.0, 1.0])
    moved.SGD(data, 1, 1, 0.5, shuffle=False, backend=backend)
    still.SGD(data[3:], 1, 1, 0.5, shuffle=False, backend=backend)
    for path, array in moved.parameters.items():
        assert array.tobytes() == still.parameters[path].tobytes()


def test_the_best_epoch_of_values_has_the_lowest_validation_cost_and_is_kept_by_early_stopping(
    backend: ReferenceBackend,
) -> None:
    network = linear()
    # Ever longer steps: the cost falls at first, and then rises.
    history = network.SGD(
        regression(8),
        12,
        4,
        lambda epoch: 0.05 * 2**epoch,
        regression(6, seed=0),
        regression(5, seed=0),
        early_stopping=2,
        backend=backend,
    )
    costs_found = [record.validation_cost for record in history.epochs]
    best = costs_found.index(min(costs_found))  # type: ignore[type-var]
    assert 0 < best < len(costs_found) - 1
    assert (history.stopped, history.best_epoch) == ("early stopping", best)
    assert history.best_validation_cost == network.cost(regression(6, seed=0), backend=backend)
    assert history.test_epoch == best
    assert history.test_cost == network.cost(regression(5, seed=0), backend=backend)
    assert {record.validation_accuracy for record in history.epochs} == {None}
    assert history.test_accuracy is None
    assert History.from_json(history.to_json()) == history


def test_a_run_of_values_resumes_to_the_same_bits(
    backend: ReferenceBackend, tmp_path: Path, same_network: Make
) -> None:
    whole, part = linear(), linear()
    data, file = regression(7, weights=np.arange(7)), tmp_path / "run.safetensors"
    whole.SGD(data, 3, 2, 0.1, regression(4, seed=1), momentum=0.5, backend=backend)
    part.SGD(
        data, 3, 2, 0.1, regression(4, seed=1), momentum=0.5, max_steps=5, checkpoint=file, backend=backend
    )
    resumed = Network.load(file)
    assert resumed.architecture.cost == Quadratic()
    resumed.SGD(data, 3, 2, 0.1, regression(4, seed=1), momentum=0.5, resume=True, backend=backend)
    assert same_network(whole, resumed)
    with pytest.raises(ArgumentError, match=r"^training_data is data with the fingerprint"):
        Network.load(file).SGD(
            regression(7), 3, 2, 0.1, regression(4, seed=1), momentum=0.5, resume=True, backend=backend
        )


@pytest.mark.usefixtures("hinge_offered")
def test_an_offered_cost_of_classes_trains_predicts_and_is_found_again(
    backend: ReferenceBackend, make_data: Make, tmp_path: Path
) -> None:
    network = Network([Softmax(3)], (4,), dtype="float64", cost=Hinge(0.5))
    data = make_data(30)
    history = network.SGD(data, 6, 5, 0.1, data, backend=backend)
    assert history.epochs[-1].cost < history.epochs[0].cost
    assert history.best_validation_accuracy is not None
    classes = network.predict(data, backend=backend)
    assert network.accuracy(data, backend=backend) == np.mean(classes == data.labels)
    network.save(tmp_path / "hinge.safetensors")
    assert Network.load(tmp_path / "hinge.safetensors").architecture.cost == Hinge(0.5)
    with pytest.raises(UnsupportedError, match=r"^the cost Hinge\(margin=0.5\) gives no probabilities"):
        network.predict_proba(data, backend=backend)
    with pytest.raises(UnsupportedError, match=r"^networks\[0\]: the cost Hinge"):
        Ensemble([network])


def test_the_default_cost_is_in_no_file_so_that_earlier_versions_read_it(
    tmp_path: Path, open_file: Make
) -> None:
    for cost, listed in ((LogLikelihood(), False), (Quadratic(), True)):
        path = tmp_path / f"{listed}.safetensors"
        linear(cost=cost).save(path)
        assert ("cost" in open_file(path)[0]["network"]) == listed


def test_a_cost_that_nobody_offers_is_refused_before_training(tmp_path: Path, backend: Any) -> None:
    network = Network([Softmax(3)], (3,), cost=Hinge())
    with pytest.raises(ArgumentError, match=r"^cost is Hinge\(.*isograd_costs"):
        network.SGD(([[0, 0, 0]], [0]), 1, 1, 0.1, checkpoint=tmp_path / "a.safetensors", backend=backend)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cost", [LogLikelihood(), Quadratic(), CrossEntropy()])
def test_a_cost_round_trips_as_a_table_and_by_its_name(cost: Cost) -> None:
    assert costs.from_data(json.loads(json.dumps(costs.to_data(cost)))) == cost
    assert costs.from_data(type(cost).__name__) == cost


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("Hinge", "cost has type 'Hinge'; expected one of CrossEntropy"),
        ({"type": "Quadratic", "margin": 1}, "cost of type Quadratic has no field margin"),
        (3, "cost has 3; expected a table"),
        ({}, "cost has type None"),
    ],
)
def test_what_is_no_cost_of_a_file_is_named(data: object, message: str) -> None:
    with pytest.raises(FileFormatError, match=f"^{message}"):
        costs.from_data(data)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (([[1.0, 2, 3]], [0]), ArgumentTypeError, r"integer labels; the cost Quadratic\(\) takes values"),
        (([[1.0, 2, 3]], [0.5]), ShapeError, r"labels of shape \[\] an example; .* \[2\]"),
        (([[1.0, 2, 3]], [[0.5] * 3]), ShapeError, r"labels of shape \[3\] an example"),
    ],
)
def test_labels_that_are_no_values_of_the_outputs_are_refused(
    data: Any, error: type[Exception], message: str, backend: ReferenceBackend
) -> None:
    with pytest.raises(error, match=f"^training_data has {message}"):
        linear().SGD(data, 1, 1, 0.1, backend=backend)


def test_values_beyond_the_networks_precision_are_refused(backend: ReferenceBackend) -> None:
    network = Network([FullyConnected(1, "linear")], (1,), cost=Quadratic())
    for data in (Dataset([[1.0]], [1e300]), Dataset([[1.0]], [1.0], weights=[1e300])):
        with pytest.raises(ArgumentError, match=r"^training_data: (labels|weights): .* range of float32"):
            network.SGD(data, 1, 1, 0.1, backend=backend)


def test_values_are_no_classes(backend: ReferenceBackend) -> None:
    network = Network([Softmax(3)], (3,))
    with pytest.raises(ArgumentTypeError, match=r"^training_data has float64 labels; the cost LogLikelihood"):
        network.SGD(([[1.0, 2, 3]], [0.0]), 1, 1, 0.1, backend=backend)


def test_what_needs_classes_says_so(backend: ReferenceBackend) -> None:
    network, data = linear(), regression()
    with pytest.raises(UnsupportedError, match=r"Quadratic\(\) is of values, which have no accuracy"):
        network.accuracy(data, backend=backend)
    with pytest.raises(UnsupportedError, match="gives no probabilities"):
        network.predict_proba(data, backend=backend)
    with pytest.raises(ArgumentError, match=r"^label_smoothing needs the cost LogLikelihood"):
        network.SGD(data, 1, 1, 0.1, label_smoothing=0.1, backend=backend)


def test_what_is_no_cost_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match=r"^cost is .*Quadratic.*; call the class$"):
        linear(cost=Quadratic)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match=r"^cost is 'Quadratic'; expected a Cost$"):
        linear(cost="Quadratic")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"^cost Wrong\(\) builds float64 \[1, 2\]; expected float64 \[1\]$"):
        linear(cost=Wrong()).cost(regression(1), backend=ReferenceBackend())


def test_the_outputs_of_values_may_have_any_shape(backend: ReferenceBackend) -> None:
    from isograd.layers import Convolution

    network = Network(
        [Convolution(1, window=2, padding="same", activation="linear")], (1, 3, 3), cost=Quadratic()
    )
    images = np.random.default_rng(0).random((4, 1, 3, 3), np.float32)
    history = network.SGD((images, images), 3, 2, 0.1, backend=backend)
    assert history.epochs[-1].cost < history.epochs[0].cost
    assert network.predict(images, backend=backend).shape == images.shape


def test_diagnostics_of_values_have_no_accuracy(backend: ReferenceBackend) -> None:
    data = regression()
    history = linear().SGD(data, 1, 2, 0.1, callbacks=[Diagnostics(data, 5)], backend=backend)
    assert "training_cost" in history.epochs[0].measured
    assert "training_accuracy" not in history.epochs[0].measured


def test_the_representation_shows_a_cost_that_is_not_the_default() -> None:
    assert repr(linear()).endswith("cost=Quadratic())")
    assert "cost" not in repr(linear(cost=LogLikelihood()))
