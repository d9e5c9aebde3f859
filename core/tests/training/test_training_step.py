"""A training step is the book's: checked against one written out by hand, within its rounding bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd import random
from isograd.data import Dataset
from isograd.graph import grad, reference
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training.step import StepOptions, step_function, step_graph

Array = npt.NDArray[np.float64]

U = 2.0**-53
# A sigmoid, exp or log may be wrong by a few units in the last place; 4 is more than any C library's.
ELEMENTARY = 4 * U


def gamma(operations: int) -> float:
    """Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, lemma 3.1."""
    return operations * U / (1 - operations * U)


@dataclass
class Approximate:
    """A value and a bound, to first order, of the error with which float64 computes it in any order."""

    value: Array
    error: Array

    def scaled(self, factor: Array | float) -> Approximate:
        """Times a factor that is exact, rounded."""
        value = self.value * factor
        return Approximate(value, self.error * np.abs(factor) + U * np.abs(value))

    def __add__(self, other: Approximate) -> Approximate:
        value = self.value + other.value
        return Approximate(value, self.error + other.error + U * np.abs(value))

    def __mul__(self, other: Approximate) -> Approximate:
        value = self.value * other.value
        error = self.error * np.abs(other.value) + np.abs(self.value) * other.error + U * np.abs(value)
        return Approximate(value, error)

    def __matmul__(self, other: Approximate) -> Approximate:
        # Higham, section 3.5: an inner product of length n errs by at most gamma(n) * |x|.|y|, in any order.
        a, b = np.abs(self.value), np.abs(other.value)
        error = a @ other.error + self.error @ b + gamma(self.value.shape[-1]) * (a @ b)
        return Approximate(self.value @ other.value, error)

    @property
    def transposed(self) -> Approximate:
        return Approximate(self.value.T, self.error.T)

    def rows_summed(self) -> Approximate:
        error = self.error.sum(axis=0) + gamma(len(self.value)) * np.abs(self.value).sum(axis=0)
        return Approximate(self.value.sum(axis=0), error)


def exact(value: Array) -> Approximate:
    return Approximate(value, np.zeros_like(value))


def sigmoid(z: Approximate) -> Approximate:
    a = 1 / (1 + np.exp(-z.value))
    return Approximate(a, z.error / 4 + ELEMENTARY * a)  # the derivative is at most 1/4


def softmax(z: Approximate) -> Approximate:
    """exp(z - log(sum(exp(z)))): an error e in that exponent is a relative error of e in the result."""
    top = z.value.max(axis=1, keepdims=True)
    p = np.exp(z.value - top)
    total = p.sum(axis=1, keepdims=True)
    log_sum = np.abs(top) + np.log(total)
    worst = z.error.max(axis=1, keepdims=True)
    exponent = 2 * worst + gamma(2 * z.value.shape[1] + 4) + ELEMENTARY * (np.abs(z.value) + log_sum)
    p = p / total
    return Approximate(p, p * (exponent + ELEMENTARY))


@dataclass
class Step:
    """One step of a network of a sigmoid layer and a softmax, as chapter 6 defines it."""

    inputs: Array
    labels: npt.NDArray[Any]
    masks: tuple[npt.NDArray[Any], npt.NDArray[Any]]
    mini_batch_size: int
    decay: float
    eta: float
    momentum: float
    nesterov: bool
    label_smoothing: float

    def gradients(self, w: dict[str, Array]) -> dict[str, Approximate]:
        weights = {path: exact(array) for path, array in w.items()}
        x = exact(self.inputs * self.masks[0])
        rows = len(self.labels)
        z1 = x @ weights["0.weight"]
        a1 = sigmoid(z1 + exact(np.broadcast_to(w["0.bias"], z1.value.shape)))
        kept = a1.scaled(self.masks[1].astype(float))
        z2 = kept @ weights["1.weight"]
        p = softmax(z2 + exact(np.broadcast_to(w["1.bias"], z2.value.shape)))
        chosen = np.zeros_like(p.value)
        chosen[np.arange(rows), self.labels] = -1.0
        every = exact(np.full_like(chosen, -1.0)).scaled(self.label_smoothing / chosen.shape[1])
        target = exact(chosen).scaled(1 - self.label_smoothing) + every
        delta2 = (p + target).scaled(1 / self.mini_batch_size)
        one_minus = exact(np.ones_like(a1.value)) + a1.scaled(-1.0)
        back = (delta2 @ weights["1.weight"].transposed).scaled(self.masks[1].astype(float))
        delta1 = back * (a1 * one_minus)
        return {
            "0.weight": x.transposed @ delta1,
            "0.bias": delta1.rows_summed(),
            "1.weight": kept.transposed @ delta2,
            "1.bias": delta2.rows_summed(),
        }

    def new_values(self, w: dict[str, Array], v: dict[str, Array]) -> dict[str, Approximate]:
        new: dict[str, Approximate] = {}
        for path, g in self.gradients(w).items():
            if path.endswith("weight"):
                g = g + exact(w[path]).scaled(self.decay)
            step = g.scaled(-self.eta)
            if not self.momentum:
                new[path] = exact(w[path]) + step
                continue
            velocity = exact(v[path]).scaled(self.momentum) + step
            new[f"velocity/{path}"] = velocity
            ahead = velocity.scaled(self.momentum) + step if self.nesterov else velocity
            new[path] = exact(w[path]) + ahead
        return new


def assert_within(found: Array, expected: Approximate) -> None:
    # The hand-written value errs by the bound as well; the second half of the 4 is the bound's higher orders.
    excess = np.abs(found - expected.value) - 4 * expected.error
    assert np.all(excess <= 0), f"{excess.max()} beyond the bound"


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    examples=st.integers(1, 9),
    mini_batch_size=st.integers(1, 9),
    lmbda=st.sampled_from([0.0, 0.1, 5.0]),
    weight_decay=st.sampled_from([0.0, 0.01]),
    label_smoothing=st.sampled_from([0.0, 0.1, 0.75]),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    nesterov=st.booleans(),
    p_dropout=st.sampled_from([0.0, 0.5]),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
)
def test_every_step_is_the_one_of_the_book(
    backend: ReferenceBackend,
    make_data: Callable[..., Dataset],
    make_network: Callable[..., Network],
    seed: int,
    examples: int,
    mini_batch_size: int,
    lmbda: float,
    weight_decay: float,
    label_smoothing: float,
    momentum: float,
    nesterov: bool,
    p_dropout: float,
    shuffle: bool,
    drop_last: bool,
) -> None:
    mini_batch_size = min(mini_batch_size, examples)
    nesterov = nesterov and momentum > 0
    data, network, eta = make_data(examples, seed), make_network(p_dropout, seed), 0.5
    batches = examples // mini_batch_size if drop_last else -(-examples // mini_batch_size)
    velocity = {path: np.zeros_like(array) for path, array in network.parameters.items()}
    for taken in range(2 * batches):
        epoch, step = divmod(taken, batches)
        before = {path: array.copy() for path, array in network.parameters.items()}
        network.SGD(
            data, 2, mini_batch_size, eta, lmbda=lmbda, momentum=momentum, nesterov=nesterov,
            weight_decay=weight_decay, label_smoothing=label_smoothing,
            shuffle=shuffle, drop_last=drop_last, max_steps=1, resume=taken > 0, backend=backend,
        )  # fmt: skip
        order = random.permutation(seed, epoch=epoch, size=examples) if shuffle else np.arange(examples)
        rows = order[step * mini_batch_size : (step + 1) * mini_batch_size]
        masks = [np.ones((len(rows), size), bool) for size in (4, 3)]
        if p_dropout:
            masks = [
                random.keep_mask(
                    seed,
                    f"{layer}.dropout",
                    shape=(len(rows), size),
                    p_dropout=p_dropout,
                    step=step,
                    epoch=epoch,
                )
                for layer, size in ((0, 4), (1, 3))
            ]
        by_hand = Step(
            data.inputs[rows], data.labels[rows], (masks[0], masks[1]), mini_batch_size,
            lmbda / batches + weight_decay, eta, momentum, nesterov, label_smoothing,
        )  # fmt: skip
        assert network.training is not None
        expected = by_hand.new_values(before, velocity)
        assert network.training.arrays.keys() == expected.keys()
        for name, array in network.training.arrays.items():
            assert_within(array, expected[name])
        for path in velocity if momentum else ():
            velocity[path] = network.training.arrays[f"velocity/{path}"]


@given(seed=st.integers(0, 1000), decay=st.floats(1e-6, 1e3), rows=st.integers(1, 6))
def test_the_added_decay_is_the_gradient_of_the_l2_cost(
    make_data: Callable[..., Dataset],
    make_network: Callable[..., Network],
    seed: int,
    decay: float,
    rows: int,
) -> None:
    network, data = make_network(seed=seed), make_data(6, seed)
    graph = step_graph(network.architecture, data, rows, StepOptions(rows, decay))
    paths = list(network.parameters)
    data_gradients = graph.gradients()
    tensors = [data_gradients[path] for path in paths]
    tensors += grad(graph.cost, [graph.parameters[path] for path in paths])
    values = {"inputs": data.inputs, "labels": data.labels, "rows": np.arange(rows, dtype=np.int32)}
    found = reference.evaluate(tensors, values | network.parameters)
    for path, of_data, whole in zip(paths, found[: len(paths)], found[len(paths) :], strict=True):
        added = decay * network.parameters[path] if path.endswith("weight") else np.zeros_like(whole)
        # decay * w comes as two exact halves; then there are up to two additions, in one order or another.
        assert np.all(np.abs(whole - (of_data + added)) <= 4 * U * (np.abs(of_data) + np.abs(added)))


@given(rows=st.integers(1, 5), size=st.integers(5, 8), decay=st.sampled_from([0.0, 0.25]))
def test_the_cost_is_that_of_the_rows_by_the_batch_size_and_the_weights_squares(
    make_data: Callable[..., Dataset],
    make_network: Callable[..., Network],
    rows: int,
    size: int,
    decay: float,
) -> None:
    network, data = make_network(), make_data(6)
    graph = step_graph(network.architecture, data, rows, StepOptions(size, decay))
    values = {"inputs": data.inputs, "labels": data.labels, "rows": np.arange(rows, dtype=np.int32)}
    (cost,) = reference.evaluate([graph.cost], values | network.parameters)
    z = 1 / (
        1 + np.exp(-(data.inputs[:rows] @ network.parameters["0.weight"] + network.parameters["0.bias"]))
    )
    z = z @ network.parameters["1.weight"] + network.parameters["1.bias"]
    of_rows = np.log(np.exp(z).sum(axis=1)) - z[np.arange(rows), data.labels[:rows]]
    squares = sum((network.parameters[path] ** 2).sum() for path in ("0.weight", "1.weight"))
    expected = of_rows.sum() / size + 0.5 * decay * squares
    # All summands are sums of a few dozen rounded terms below 10: fewer than 1000 roundings of each.
    assert abs(float(cost) - expected) <= gamma(1000) * (np.abs(z).sum() + rows * 10 + squares)


def test_weight_decay_is_no_part_of_the_cost_and_smoothing_is(
    make_data: Callable[..., Dataset], make_network: Callable[..., Network]
) -> None:
    network, data = make_network(), make_data(6)
    values = {"inputs": data.inputs, "labels": data.labels, "rows": np.arange(4, dtype=np.int32)}

    def cost(**options: float) -> float:
        graph = step_graph(network.architecture, data, 4, StepOptions(4, **options))
        return float(reference.evaluate([graph.cost], values | network.parameters)[0])

    assert cost(weight_decay=0.5) == cost()
    assert cost(label_smoothing=0.5) != cost()


def test_without_lmbda_no_l2_term_is_built(
    make_data: Callable[..., Dataset], make_network: Callable[..., Network]
) -> None:
    network, data = make_network(), make_data()

    def squared(decay: float) -> set[str]:
        function = step_function(step_graph(network.architecture, data, 2, StepOptions(2, decay)))
        return {
            node.inputs[0].name
            for node in function.nodes
            if node.primitive == "mul" and node.inputs[0] is node.inputs[1] and node.inputs[0].name
        }

    assert squared(0.0) == set()
    assert squared(0.1) == {"0.weight", "1.weight"}


@given(p_dropout=st.sampled_from([0.3, 0.5, 0.8]), seed=st.integers(0, 100))
def test_what_the_mask_drops_going_forward_gets_no_gradient_going_back(
    backend: ReferenceBackend,
    make_data: Callable[..., Dataset],
    make_network: Callable[..., Network],
    p_dropout: float,
    seed: int,
) -> None:
    network, data = make_network(p_dropout, seed), make_data(1, seed)
    before = {path: array.copy() for path, array in network.parameters.items()}
    network.SGD(data, 1, 1, 1.0, backend=backend)
    for layer, size in ((0, 4), (1, 3)):
        mask = random.keep_mask(seed, f"{layer}.dropout", shape=(1, size), p_dropout=p_dropout)[0]
        changed = np.any(network.parameters[f"{layer}.weight"] != before[f"{layer}.weight"], axis=1)
        assert not np.any(changed & ~mask)
        if layer == 1:
            assert np.array_equal(changed, mask)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_state_and_cost_keep_the_networks_dtype(
    backend: ReferenceBackend,
    make_data: Callable[..., Dataset],
    make_network: Callable[..., Network],
    dtype: str,
) -> None:
    network = make_network(dtype=dtype)
    network.SGD(make_data(), 1, 4, 0.1, momentum=0.5, lmbda=0.1, backend=backend)
    assert network.training is not None
    assert {array.dtype.name for array in network.training.arrays.values()} == {dtype}
    assert {array.dtype.name for array in network.parameters.values()} == {dtype}
