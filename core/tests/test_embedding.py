"""The graph of a batch for other programs' loops, and the way back of the arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isograd import BatchNorm, Dataset, FullyConnected, Network, Softmax
from isograd.embedding import adopt_arrays, batch_function, check_network
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError
from isograd.graph.reference import call
from isograd.testing import ReferenceBackend


def network() -> Network:
    return Network([FullyConnected(3, p_dropout=0.5), BatchNorm(), Softmax(2)], (1, 2, 2), init="n_in")


def test_the_graph_of_an_evaluation_is_what_the_network_predicts() -> None:
    net, x = network(), np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    function = batch_function(net.architecture, x.shape, "evaluate")
    assert (list(function.inputs), function.updates) == (["x"], {})
    outputs, _ = call(function, {"x": x}, net.checked_arrays())
    np.testing.assert_array_equal(outputs["output"].argmax(1), net.predict(x, backend=ReferenceBackend()))


def test_the_graph_of_training_takes_masks_and_updates_the_state() -> None:
    function = batch_function(network().architecture, (5, 1, 2, 2), "train")
    assert {name: v.shape for name, v in function.inputs.items()} == {
        "x": (5, 1, 2, 2),
        "mask/0.dropout": (5, 4),
    }
    assert list(function.updates) == ["1.running_mean", "1.running_variance"]


@pytest.mark.parametrize("shape", [(), (0, 4), (5, 3)])
def test_a_batch_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"^x has "):
        batch_function(network().architecture, shape, "train")


def test_adopted_arrays_are_copies_and_end_the_run_that_could_be_resumed() -> None:
    net = network()
    data = Dataset(np.ones((4, 4), "float32"), [0, 1, 0, 1])
    net.SGD(data, 1, 2, 0.1, backend=ReferenceBackend())
    arrays = {path: array + 1 for path, array in net.checked_arrays().items()}
    adopt_arrays(net, arrays, "arrays")
    assert net.training is None
    arrays["2.bias"][:] = 7
    assert not (net.parameters["2.bias"] == 7).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"0.bias": None}, ArgumentError, r"arrays: 0.bias is missing"),
        ({"0.more": np.ones(3)}, ArgumentError, r"arrays: 0.more belongs to nothing in this network"),
        ({"0.bias": np.ones(2)}, ShapeError, r"arrays: 0.bias has shape \[2\]; expected \[3\]"),
        ({"0.bias": np.ones(3)}, ArgumentTypeError, r"arrays: 0.bias is float64; expected float32"),
    ],
)
def test_arrays_that_are_not_the_networks_are_refused_and_change_nothing(
    change: dict[str, Any], error: type[IsogradError], message: str
) -> None:
    net = network()
    before = {path: array.tobytes() for path, array in net.checked_arrays().items()}
    given = {path: array + 1 for path, array in net.checked_arrays().items()} | change
    with pytest.raises(error, match=message):
        adopt_arrays(net, {path: array for path, array in given.items() if array is not None}, "arrays")
    assert {path: array.tobytes() for path, array in net.checked_arrays().items()} == before


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="net is a str; expected a Network"):
        check_network("net")
