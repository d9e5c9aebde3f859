"""Convolutions in both of their ways, with patches by rows and in full, and in every role within a graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd_conformance.checks import check
from isograd_conformance.strategies.arrays import normal
from isograd_conformance.strategies.convolutions import Drawn, convolutions
from isograd_conformance.subject import Subject
from isograd_numpy.lowering import contraction
from isograd_numpy.lowering.contraction import geometry_of

CONVOLUTIONS = convolutions(("float32", "float64"))
# Which inner length is long enough for a product a filter row: every one, or none.
WAYS = pytest.mark.parametrize("least", [1, 10**9], ids=["by rows", "in full"])


@contextmanager
def inner_length(least: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contraction, "_LEAST_INNER_LENGTH", least)
        yield


def test_the_two_ways_are_the_ones_meant() -> None:
    x, w = G.variable("x", (1, 2, 4, 4)), G.variable("w", (1, 2, 2, 2))
    with inner_length(1):
        assert geometry_of(G.conv2d(x, w)).by_rows
        assert not geometry_of(G.conv2d(x, w, stride=2)).by_rows
    with inner_length(10**9):
        assert not geometry_of(G.conv2d(x, w)).by_rows


def test_long_inner_lengths_go_by_rows_and_short_ones_do_not() -> None:
    x, w = G.variable("x", (1, 40, 4, 4)), G.variable("w", (1, 40, 2, 2))
    assert geometry_of(G.conv2d(x, w)).by_rows
    assert not geometry_of(G.conv2d(x[:, :1], w[:, :1])).by_rows


@WAYS
@given(drawn=CONVOLUTIONS, seed=st.integers(0, 2**32 - 1))
def test_a_convolution_and_its_gradients(least: int, drawn: Drawn, seed: int, numpy: Subject) -> None:
    x, w, settings = drawn
    y = G.conv2d(x, w, **settings)
    g = G.variable("g", y.shape, y.dtype)
    outputs = {
        "y": y,
        "dx": G.conv2d_dx(g, w, input_size=x.shape[2:], **settings),
        "dw": G.conv2d_dw(x, g, filter_size=w.shape[2:], **settings),
    }
    inputs = {"x": x, "w": w, "g": g}
    with inner_length(least):
        check(numpy, G.Function(inputs, outputs), normal(seed, inputs))


@WAYS
@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
@given(drawn=CONVOLUTIONS, seed=st.integers(0, 2**32 - 1))
def test_filters_that_are_state_learn_in_place_in_either_layout(
    least: int,
    drawn: Drawn,
    seed: int,
    momentum: bool,
    numpy: Subject,
) -> None:
    x, w, settings = drawn
    v, eta = G.variable("v", w.shape, w.dtype), G.variable("eta", (), w.dtype)
    y = G.conv2d(x, w, **settings)
    cost = (y * y).sum()
    gradient = G.grad(cost, w) + w * 0.125
    step = v * 0.75 - gradient * eta if momentum else -(gradient * eta)
    updates = {"v": step, "w": w + step} if momentum else {"w": w + step}
    function = G.Function({"x": x, "eta": eta}, {"cost": cost}, {"w": w, "v": v}, updates)
    values = normal(seed, {"x": x, "w": w, "v": v, "eta": eta})
    with inner_length(least):
        check(numpy, function, {n: values[n] for n in ("x", "eta")}, {n: values[n] for n in ("w", "v")})


@WAYS
@given(drawn=CONVOLUTIONS, seed=st.integers(0, 2**32 - 1))
def test_filters_shared_by_convolutions_of_different_geometry(
    least: int, drawn: Drawn, seed: int, numpy: Subject
) -> None:
    x, w, settings = drawn
    groups = settings["groups"]
    one = G.conv2d(x, w, **settings)
    other = G.conv2d(x, w, stride=(2, 1), groups=groups)
    cost = one.sum() + (other * other).sum()
    function = G.Function({"x": x}, {"cost": cost}, {"w": w}, {"w": w - G.grad(cost, w) * 0.5})
    values = normal(seed, {"x": x, "w": w})
    with inner_length(least):
        check(numpy, function, {"x": values["x"]}, {"w": values["w"]})


@WAYS
@pytest.mark.parametrize("shapes", [((0, 2, 3, 3), (2, 2)), ((2, 0, 3, 3), (2, 0)), ((2, 2, 3, 3), (0, 2))])
@pytest.mark.parametrize("kernel", [(1, 2), (2, 2)])
def test_no_images_no_channels_or_no_maps(
    least: int,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    kernel: tuple[int, int],
    numpy: Subject,
) -> None:
    x, w = G.variable("x", shapes[0]), G.variable("w", (*shapes[1], *kernel))
    cost = (G.conv2d(x, w) * 2.0).sum()
    dx, dw = G.grad(cost, [x, w])
    values = normal(0, {"x": x, "w": w})
    state = {"w": values["w"]}
    with inner_length(least):
        assert (
            not check(numpy, G.Function({"x": x}, {"dx": dx, "dw": dw}, {"w": w}), {"x": values["x"]}, state)
            .outputs["dw"]
            .any()
        )
    with inner_length(least):
        check(
            numpy,
            G.Function({"x": x}, {"cost": cost}, {"w": w}, {"w": w * 0.5 - dw}),
            {"x": values["x"]},
            state,
        )


@WAYS
@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["float32", "float64"]))
def test_a_product_with_a_nan_or_an_infinity_stays_where_it_belongs(
    seed: int, dtype: str, least: int, numpy: Subject
) -> None:
    """One bad pixel reaches exactly the outputs whose windows see it."""
    rng = np.random.default_rng(seed)
    x, w = G.variable("x", (2, 2, 5, 4), dtype), G.variable("w", (3, 2, 2, 3), dtype)
    pixels, filters = rng.normal(size=x.shape).astype(dtype), rng.normal(size=w.shape).astype(dtype)
    pixels[tuple(rng.integers(0, x.shape))] = rng.choice([np.nan, np.inf])
    with inner_length(least):
        check(numpy, G.Function({"x": x, "w": w}, {"y": G.conv2d(x, w)}), {"x": pixels, "w": filters})
