"""A rectified linear network without biases is homogeneous in its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isograd.graph import variable
from isograd.graph.reference import evaluate
from isograd.layers import FullyConnected, Softmax
from isograd.network import Network

UNIT = 2.0**-53


@st.composite
def relu_networks(draw: st.DrawFn) -> tuple[Network, np.ndarray[Any, Any]]:
    """A network in float64 without biases, and rows of inputs."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    n_in, *hidden, n_out = sizes
    layers = [FullyConnected(n, activation="relu", bias=False) for n in hidden]
    network = Network(
        [*layers, Softmax(n_out, bias=False, weight_init="n_in")],
        (n_in,),
        draw(st.integers(0, 2**32)),
        dtype="float64",
    )
    rows = np.random.default_rng(draw(st.integers(0, 2**32))).uniform(-1, 1, (3, n_in))
    return network, rows


def outputs(network: Network, rows: np.ndarray[Any, Any], scale: float = 1.0) -> np.ndarray[Any, Any]:
    """The weighted inputs of the softmax, with every weight multiplied by `scale`."""
    weights = {path: array * scale for path, array in network.parameters.items()}
    return evaluated(network, rows, weights)


def evaluated(network: Network, rows: np.ndarray[Any, Any], weights: dict[str, Any]) -> Any:
    """The weighted inputs of the softmax with these weights."""
    x = variable("x", rows.shape, "float64")
    layers, _ = network.forward(x, network.architecture.variables(), {}, "evaluate", {})
    return evaluate([layers[-1]], {"x": rows, **weights})[0]


@given(case=relu_networks(), exponent=st.integers(-20, 20))
def test_weights_times_a_power_of_two_multiply_the_outputs_exactly(
    case: tuple[Network, np.ndarray[Any, Any]], exponent: int
) -> None:
    network, rows = case
    # Both are exact: no product of these sizes leaves the range of normal numbers.
    weighted_layers = len(network.layers)  # L - 1, as the chapter counts the input as a layer too
    expected = np.ldexp(outputs(network, rows), exponent * weighted_layers)
    np.testing.assert_array_equal(outputs(network, rows, 2.0**exponent), expected)


@given(case=relu_networks(), scale=st.floats(0.01, 100))
def test_weights_times_any_positive_number_multiply_the_outputs_within_rounding(
    case: tuple[Network, np.ndarray[Any, Any]], scale: float
) -> None:
    network, rows = case
    power = scale ** len(network.layers)
    # What all terms add up to without cancellation: the same network with the absolute values.
    absolute = {path: abs(array) for path, array in network.parameters.items()}
    terms = evaluated(network, abs(rows), absolute) * power
    # A path from an input to an output takes, at each layer, the rounding of its weight's scaling, of a
    # product and of n_in - 1 sums, so n_in + 1 of them; relu increases no error (it is 1-Lipschitz). The
    # other side takes as many but the scaling's, and those of the power. gamma_k = k u / (1 - k u) of Higham,
    # "Accuracy and Stability of Numerical Algorithms", section 3.1; and once more as many for `terms` itself.
    widths = [shape[0] for shape in (network.input_shape, *network.shapes[:-1])]
    roundings = 3 * sum(width + 1 for width in widths) + 4
    bound = roundings * UNIT / (1 - roundings * UNIT) * terms
    found = outputs(network, rows, scale)
    assert (abs(found - power * outputs(network, rows)) <= bound).all()
