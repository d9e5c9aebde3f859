"""Training steps with every cost and with weights of examples, and with the layers that plugins offer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import Activation, Dataset, FullyConnected, Network
from isograd.costs import Quadratic, cost_types
from isograd.layers import layer_types
from isograd_conformance.checks import require
from isograd_conformance.networks import check_layers, first_step
from isograd_conformance.profiles import examples
from isograd_conformance.subject import Subject

pytestmark = pytest.mark.judges("training")


# Of the module, so that it comes before all else.
@pytest.fixture(autouse=True, scope="module")
def _needed(subject: Subject) -> None:
    require(subject, "int32", "bool")


COSTS = {repr(cost): cost for kind in cost_types().values() for cost in kind.examples()}
OFFERED = {
    name: kind for name, kind in layer_types().items() if kind.__module__.partition(".")[0] != "isograd"
}


def data_for(net: Network, number: int, weighted: bool, seed: int) -> Dataset:
    """Random data that fit the network's cost; some weights are 0."""
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(-1, 1, (number, *net.input_shape)).astype(net.dtype)
    labels = rng.integers(0, net.output_shape[0], number)
    values = rng.random((number, *net.output_shape)).astype(net.dtype)
    of_classes = net.architecture.cost.targets == "classes"
    weights = (rng.integers(0, 4, number) / 2).astype(net.dtype)
    weights[0] = 1
    return Dataset(inputs, labels if of_classes else values, weights=weights if weighted else None)


@pytest.mark.parametrize("cost", COSTS)
@examples(10)
@given(st.data())
def test_a_step_with_every_cost_and_with_weights(subject: Subject, cost: str, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(subject.floating))
    weighted, seed = data.draw(st.booleans()), data.draw(st.integers(0, 2**32 - 1))
    layers = [FullyConnected(4, "tanh"), FullyConnected(data.draw(st.integers(1, 3)), "linear")]
    net = Network(layers, (3,), seed, init="n_in", dtype=dtype, cost=COSTS[cost])
    rows = data.draw(st.integers(1, 5))
    check_layers(subject, first_step(net, data_for(net, 7, weighted, seed), rows, lmbda=0.5, momentum=0.5))


@pytest.mark.parametrize(
    "name", [*OFFERED] or [pytest.param("none", marks=pytest.mark.skip("no plugin offers a layer"))]
)
def test_a_step_with_every_layer_that_a_plugin_offers(subject: Subject, name: str) -> None:
    cases = list(OFFERED[name].examples())
    if not cases:
        pytest.skip(f"{name}.examples() gives none to judge it by")
    for layer, shape in cases:
        # Behind another one, so that the gradient with respect to its input is judged too.
        layers = [Activation("tanh"), layer, FullyConnected(2, "linear")]
        net = Network(layers, shape, init="n_in", dtype=subject.floating[-1], cost=Quadratic())
        check_layers(subject, first_step(net, data_for(net, 7, True, 0), 3, lmbda=0.5))
