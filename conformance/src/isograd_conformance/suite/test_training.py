"""Whole training runs: stopping, resuming and cutting into chunks; steps within the bound; learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import Callback, ConvPool, Dataset, FullyConnected, Network, Softmax
from isograd import graph as G
from isograd.training.step import step_function
from isograd_conformance.checks import bytes_of, require
from isograd_conformance.networks import check_layers, first_step
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.arrays import SEEDS
from isograd_conformance.strategies.networks import every_kind_of_layer, layer_lists, toy_digits
from isograd_conformance.subject import Subject
from isograd_conformance.whole import judge_whole

pytestmark = pytest.mark.judges("training")

BATCH, EPOCHS = 5, 2
STEPS = -(-len(toy_digits()) // BATCH)


# Of the module, so that it comes before `whole`.
@pytest.fixture(autouse=True, scope="module")
def _needed(subject: Subject) -> None:
    require(subject, "int32", "uint8", "bool")


def network(subject: Subject, seed: int = 3) -> Network:
    return Network(every_kind_of_layer(), (1, 12, 12), seed=seed, dtype=subject.floating[0])


def train(subject: Subject, net: Network, **options: Any) -> None:
    """Two epochs of partial last batches, with L2 and Nesterov's momentum."""
    settings = {"lmbda": 0.1, "momentum": 0.5, "nesterov": True, **options}
    net.SGD(toy_digits(), EPOCHS, BATCH, 0.1, backend=subject.specification, **settings)


def bits(net: Network) -> dict[str, bytes]:
    return bytes_of(net.checked_arrays())


@pytest.fixture(scope="module")
def whole(subject: Subject) -> dict[str, dict[str, bytes]]:
    """The parameters after an uninterrupted run, by the kind of gradient."""
    found = {}
    for gradient in kinds_of_gradient(subject):
        net = network(subject)
        train(subject, net, gradient=gradient)
        found[gradient] = bits(net)
    return found


def kinds_of_gradient(subject: Subject) -> list[str]:
    return ["symbolic", "native"] if subject.capabilities.native_gradient else ["symbolic"]


@pytest.fixture(autouse=True)
def _deterministic(request: pytest.FixtureRequest, subject: Subject) -> None:
    if request.node.get_closest_marker("same_bits") and not subject.capabilities.deterministic:
        pytest.skip(f"{subject.specification} does not declare deterministic")


@pytest.mark.same_bits
@pytest.mark.xdist_group("same bits")
@given(data=st.data(), stop=st.integers(1, EPOCHS * STEPS - 1))
@examples(5)
def test_a_run_stopped_anywhere_and_resumed_from_its_file_has_the_same_bits(
    subject: Subject,
    whole: dict[str, dict[str, bytes]],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    stop: int,
) -> None:
    gradient = data.draw(st.sampled_from(sorted(whole)))
    path: Path = tmp_path_factory.mktemp("run") / "run.safetensors"
    first = network(subject)
    train(subject, first, gradient=gradient, max_steps=stop, checkpoint=path)
    second = Network.load(path)
    assert bits(second) == bits(first)
    train(subject, second, gradient=gradient, resume=True)
    assert bits(second) == whole[gradient]
    assert bits(second) != bits(first)


class Often(Callback):
    """Has chunks end after every so many steps."""

    def __init__(self, every: int) -> None:
        self.every = every


@pytest.mark.same_bits
@pytest.mark.xdist_group("same bits")
@pytest.mark.parametrize("every", [1, 2, 3])
def test_where_steps_are_cut_into_chunks_changes_no_bit(
    every: int, subject: Subject, whole: dict[str, dict[str, bytes]]
) -> None:
    for gradient, expected in whole.items():
        net = network(subject)
        train(subject, net, gradient=gradient, callbacks=[Often(every)])
        assert bits(net) == expected


@given(
    data=st.data(),
    seed=SEEDS,
    rows=st.integers(1, 3),
    lmbda=st.sampled_from([0.0, 0.5]),
    momentum=st.sampled_from([0.0, 0.5]),
    nesterov=st.booleans(),
)
@examples(7)
def test_a_step_of_a_random_network_is_right_layer_by_layer(
    subject: Subject,
    data: st.DataObject,
    seed: int,
    rows: int,
    lmbda: float,
    momentum: float,
    nesterov: bool,
) -> None:
    layers, shape = data.draw(layer_lists())
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, *shape)).astype(np.uint8)
    net = Network(layers, shape, seed, init="n_in", dtype=data.draw(st.sampled_from(subject.floating)))
    data_set = Dataset(images, rng.integers(0, 2, 5), scale=1 / 256)
    check_layers(subject, first_step(net, data_set, rows, lmbda, momentum, nesterov))


def test_a_step_of_every_kind_of_layer_is_right_layer_by_layer(subject: Subject) -> None:
    check_layers(subject, first_step(network(subject), toy_digits(), BATCH, 0.1, 0.5, True, averaging=0.9))


@pytest.mark.parametrize("dtype", sorted(G.FLOATING))
def test_further_outputs_of_a_step_change_nothing_but_rounding(dtype: str, subject: Subject) -> None:
    """In double precision the bound is small enough from end to end of a network, so that it is judged."""
    require(subject, dtype)
    net = Network(every_kind_of_layer(), (1, 12, 12), seed=3, dtype=dtype)
    case = first_step(net, toy_digits(), BATCH, 0.1, 0.5, True)
    instrumented = subject.call(subject.compile(case.function), case.inputs, case.state)
    verdict = judge_whole(
        subject, subject.compile(step_function(case.graph)), case.inputs, case.state, instrumented
    )
    verdict.raise_for_problem(subject, {**case.inputs, **case.state})
    assert verdict.judgements or dtype != "float64"


def test_a_network_learns_in_which_quarter_of_an_image_the_spot_is(subject: Subject) -> None:
    labels = np.arange(40) % 4
    images = np.zeros((40, 1, 12, 12), subject.floating[0])
    for image, label in zip(images, labels, strict=True):
        image[0, 6 * (label // 2) :, 6 * (label % 2) :][1:4, 2:5] = 1
    data = Dataset(images, labels)
    layers = [ConvPool(4, window=3, activation="relu"), FullyConnected(20, activation="tanh"), Softmax(4)]
    net = Network(layers, (1, 12, 12), init="n_in", dtype=subject.floating[0])
    history = net.SGD(data, 20, 4, 0.1, momentum=0.5, backend=subject.specification)
    assert history.epochs[-1].cost < history.epochs[0].cost
    assert net.accuracy(data, backend=subject.specification) == 1
