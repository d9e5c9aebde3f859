"""Rows, masks and initial weights against the documented generator (`isograd_conformance.contract.draws`)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import ConvPool, FullyConnected, Layer, Network, Softmax
from isograd import graph as G
from isograd.architecture import Architecture
from isograd.training.draws import Chunk, draw, epoch_order
from isograd.training.step import MASK
from isograd_conformance.contract import draws
from isograd_conformance.profiles import examples

pytestmark = pytest.mark.judges("contract")


@given(seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 1000), first=st.integers(0, 1000))
@examples(10)
def test_rows_and_masks_are_those_of_the_documented_generator(seed: int, epoch: int, first: int) -> None:
    layers: list[Layer] = [FullyConnected(3, p_dropout=0.25), Softmax(2, 0.5, name="out")]
    architecture = Architecture(layers, (4,), "float32")
    examples_, rows, steps = 3 * (first + 2), 3, 2
    shuffled = epoch_order(seed, epoch, examples_, True)
    assert shuffled.tolist() == draws.order(seed, epoch, examples_)
    assert epoch_order(seed, epoch, examples_, False).tolist() == list(range(examples_))
    drawn = draw(architecture, seed, Chunk(epoch, first, steps, rows), shuffled, rows, 0.1)
    for i in range(steps):
        place = (first + i) * rows
        assert drawn["rows"][i].tolist() == shuffled[place : place + rows].tolist()
        for path, width, p_dropout in (("0.dropout", 4, 0.25), ("out.dropout", 3, 0.5)):
            expected = draws.mask(seed, path, (rows, width), p_dropout, epoch, first + i)
            assert drawn[MASK + path][i].tobytes() == expected.tobytes()


# By scheme: the gain and n of a weight's deviation sqrt(gain / n), and whether biases are drawn.
SCHEMES: dict[str, tuple[int, Callable[[int, int], int], bool]] = {
    "chapter": (1, lambda n_in, n_out: n_out, True),
    "n_in": (1, lambda n_in, n_out: n_in, False),
    "glorot": (2, lambda n_in, n_out: n_in + n_out, False),
    "he": (2, lambda n_in, n_out: n_in, False),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", sorted(G.FLOATING))
@given(seed=st.integers(0, 2**64 - 1))
@examples(3)
def test_initial_weights_are_those_of_the_documented_generator(scheme: str, dtype: str, seed: int) -> None:
    layers: list[Layer] = [ConvPool(4, window=(3, 2), name="filters"), FullyConnected(30), Softmax(10)]
    net = Network(layers, (2, 8, 7), seed, init=scheme, dtype=dtype)
    gain, size, biases = SCHEMES[scheme]
    # Of a convolution with pooling n_out is, as in the listing, maps * height * width by the pooling window.
    expected = {}
    for name, shape, n_in, n_out in (
        ("filters", (4, 2, 3, 2), 12, 4 * 6 // 4),
        ("1", (4 * 3 * 3, 30), 36, 30),
    ):
        weight, bias = f"{name}.weight", f"{name}.bias"
        width = shape[0] if name == "filters" else shape[1]
        expected[weight] = draws.normal(seed, weight, shape) * math.sqrt(gain / size(n_in, n_out))
        expected[bias] = draws.normal(seed, bias, (width,)) if biases else np.zeros(width)
    expected |= {"2.weight": np.zeros((30, 10)), "2.bias": np.zeros(10)}
    assert net.parameters.keys() == expected.keys()
    for path, values in expected.items():
        assert net.parameters[path].tobytes() == values.astype(dtype).tobytes(), path
