"""The listing's layers and what their weights lie in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import network3
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph import sigmoid, variable
from isograd.graph.reference import evaluate
from isograd.network3 import ConvPoolLayer, FullyConnectedLayer, Network, SoftmaxLayer, dropout_layer

sizes = st.integers(1, 4)


@given(maps=sizes, channels=sizes, window=st.tuples(sizes, sizes), pool=st.tuples(sizes, sizes), seed=sizes)
def test_weights_have_the_listing_s_shapes_and_scales(
    maps: int, channels: int, window: tuple[int, int], pool: tuple[int, int], seed: int
) -> None:
    image = (2, channels, window[0] + pool[0] - 1, window[1] + pool[1] - 1)
    conv = ConvPoolLayer((maps, channels, *window), image, pool)
    dense = FullyConnectedLayer(n_in=maps, n_out=3)
    softmax = SoftmaxLayer(n_in=3, n_out=2)
    Network([conv, dense, softmax], 2, seed=seed)
    shapes = [param.eval().shape for layer in (conv, dense, softmax) for param in layer.params]
    assert shapes == [(maps, channels, *window), (maps,), (maps, 3), (3,), (3, 2), (2,)]
    assert all(param.get_value().dtype == np.float32 for param in (*conv.params, *softmax.params))
    assert not softmax.w.eval().any()
    assert not softmax.b.eval().any()
    # isograd's "chapter" scheme is tested where it is; here, that no draw is beyond its 8.29 deviations.
    n_out = max(maps * window[0] * window[1] // (pool[0] * pool[1]), 1)
    for values, deviation in ((conv.w, n_out**-0.5), (conv.b, 1), (dense.w, 3**-0.5), (dense.b, 1)):
        assert 0 < abs(values.eval()).max() < 8.3 * deviation


@pytest.fixture
def w() -> network3.SharedVariable:
    layer = SoftmaxLayer(2, 3)
    layer.w.set_value([[1, 2, 3], [4, 5, 6]])
    return layer.w


def test_what_is_taken_out_is_a_copy_and_what_is_borrowed_can_not_be_written_to(
    w: network3.SharedVariable,
) -> None:
    w.get_value()[:] = 0
    w.eval()[:] = 0
    assert w.eval().tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(ValueError, match="read-only"):
        w.get_value(borrow=True)[:] = 0


def test_what_is_put_in_is_copied(w: network3.SharedVariable) -> None:
    value = np.ones((2, 3), np.float32)
    w.set_value(value, borrow=True)
    value[:] = 0
    assert w.eval().tolist() == [[1, 1, 1], [1, 1, 1]]


BAD_VALUES = [
    (np.zeros((3, 2)), ShapeError, r"SoftmaxLayer: w: the value has shape \[3, 2\]; expected \[2, 3\]"),
    ([["a"] * 3] * 2, ArgumentTypeError, "SoftmaxLayer: w: the value is of dtype <U1; expected numbers"),
    (np.full((2, 3), 1e39), ArgumentError, "SoftmaxLayer: w: the value holds what is no finite float32"),
    (np.full((2, 3), np.nan), ArgumentError, "no finite float32"),
]


@pytest.mark.parametrize(("value", "error", "message"), BAD_VALUES)
def test_a_value_that_does_not_fit_is_refused_and_the_old_one_stays(
    value: Any, error: type[Exception], message: str, w: network3.SharedVariable
) -> None:
    with pytest.raises(error, match=message):
        w.set_value(value)
    assert w.eval().tolist() == [[1, 2, 3], [4, 5, 6]]


def test_weights_that_nobody_has_drawn_yet_are_an_error_that_says_when_they_are() -> None:
    with pytest.raises(ArgumentError, match="SoftmaxLayer: w has no value yet; a network draws it"):
        SoftmaxLayer(2, 3).w.get_value()


def test_values_set_before_a_network_is_made_are_kept(w: network3.SharedVariable) -> None:
    layer = SoftmaxLayer(2, 3)
    layer.w.set_value(w.eval())
    net = Network([layer], 1)
    assert net.network.parameters["0.weight"].tolist() == w.eval().tolist()


BAD_LAYERS = [
    (lambda: ConvPoolLayer((2, 1, 3), (1, 1, 6, 6)), ArgumentError, r"filter_shape is \(2, 1, 3\); expected"),
    (lambda: ConvPoolLayer((2, 1, 3, 3), 6), ArgumentError, "image_shape is 6; expected .mini-batch size"),
    (lambda: ConvPoolLayer((2, 1, 3, 0), (1, 1, 6, 6)), ArgumentError, "ConvPoolLayer: filter_shape is 0"),
    (
        lambda: ConvPoolLayer((2, 3, 3, 3), (1, 1, 6, 6)),
        ShapeError,
        "has 3 input feature maps, image_shape .* has 1",
    ),
    (
        lambda: ConvPoolLayer((2, 1, 7, 7), (1, 1, 6, 6)),
        ShapeError,
        "do not fit image_shape .* a 7x7 window does",
    ),
    (lambda: ConvPoolLayer((2, 1, 3, 3), (1, 1, 6, 6), 2), ArgumentError, "poolsize is 2; expected"),
    (
        lambda: ConvPoolLayer((2, 1, 3, 3), (1, 1, 6, 6), activation_fn=None),  # type: ignore[arg-type]
        ArgumentTypeError,
        "ConvPoolLayer: activation_fn is None",
    ),
    (lambda: FullyConnectedLayer(0, 3), ArgumentError, "FullyConnectedLayer: n_in is 0"),
    (lambda: FullyConnectedLayer(3, 1.5), ArgumentTypeError, "n_out is 1.5"),  # type: ignore[arg-type]
    (lambda: FullyConnectedLayer(3, 3, p_dropout=1), ArgumentError, "p_dropout is 1"),
    (lambda: FullyConnectedLayer(3, 3, "swosh"), ArgumentError, "activation_fn is 'swosh'"),  # type: ignore[arg-type]
    (lambda: SoftmaxLayer(3, -1), ArgumentError, "SoftmaxLayer: n_out is -1"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_LAYERS)
def test_a_layer_of_arguments_that_do_not_fit_is_refused(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


def test_an_activation_of_one_s_own_is_a_function_of_a_tensor() -> None:
    layer = FullyConnectedLayer(2, 2, activation_fn=lambda z: z * sigmoid(z))
    net = Network([layer, SoftmaxLayer(2, 2)], 1, seed=0)
    layer.w.set_value(np.array([[1, 0.5], [0.25, -1]], np.float32))
    layer.b.set_value(np.array([0.5, -0.25], np.float32))
    x = np.array([[0.5, -1]], np.float32)
    (output,) = evaluate([layer.output], {"x": x, **net.network.parameters}, precision="float64")
    z = x @ layer.w.eval() + layer.b.eval()
    # z is exact. On each side follow an exponential of at most 4 units in the last place, which are at most 8
    # roundings, a sum, a quotient and a product.
    z = z.astype(np.float64)
    np.testing.assert_allclose(output, z / (1 + np.exp(-z)), rtol=2 * 11 * 2.0**-53)


@given(rows=sizes, units=sizes, data=st.data())
def test_dropout_keeps_what_the_mask_keeps_and_rescales_nothing(
    rows: int, units: int, data: st.DataObject
) -> None:
    masked = dropout_layer(variable("layer", (rows, units)), 0.5)
    cells = st.lists(st.booleans(), min_size=rows * units, max_size=rows * units)
    mask = np.array(data.draw(cells)).reshape(rows, units)
    layer = np.arange(1, rows * units + 1, dtype=np.float32).reshape(rows, units)
    (result,) = evaluate([masked], {"layer": layer, "mask": mask})
    np.testing.assert_array_equal(result, np.where(mask, layer, 0))


def test_dropout_of_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="dropout_layer: layer is a ndarray; expected a Tensor"):
        dropout_layer(np.ones((2, 2)), 0.5)  # type: ignore[arg-type]


def test_the_flag_of_the_listing_for_a_gpu_is_an_error_that_names_the_backend() -> None:
    with pytest.raises(AttributeError, match="'GPU'; where to compute is said by a backend"):
        _ = network3.GPU
    with pytest.raises(AttributeError, match=r"no attribute 'gpu'$"):
        _ = network3.gpu
