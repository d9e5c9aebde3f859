"""The executable specification against SciPy, the math module and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, special

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.reference import REFERENCE, call, evaluate

U = 2.0**-53


def value(case):
    variables = case.variables()
    return evaluate([case.build(variables)], case.values())[0], case.build(variables)


def stuffed(array, steps):
    """Zeros between the neighbours in the two last axes: a dilated kernel, a strided gradient."""
    rows, columns = ((n - 1) * s + 1 for n, s in zip(array.shape[-2:], steps, strict=True))
    result = np.zeros((*array.shape[:-2], rows, columns))
    result[..., :: steps[0], :: steps[1]] = array
    return result


def channels(w, groups):
    """For each output channel o and filter channel c the input channel that they meet."""
    outs, ins = w
    return [(o, c, o // (outs // groups) * ins + c) for o in range(outs) for c in range(ins)]


# The operands of convolutions are quarters, whose sums and products are exact in any order.


@given(data=st.data())
def test_conv2d_is_the_strided_cross_correlation_with_the_dilated_kernel(draw_case, data):
    case = draw_case(data.draw, "conv2d", "float64")
    (x, w), (s, t) = case.operands, case.attributes["stride"]
    found, _ = value(case)
    expected = np.zeros(found.shape)
    kernel = stuffed(w, case.attributes["dilation"])
    for n in range(x.shape[0]):
        for o, c, at in channels(w.shape[:2], case.attributes["groups"]):
            expected[n, o] += signal.correlate2d(x[n, at], kernel[o, c], mode="valid")[::s, ::t]
    np.testing.assert_array_equal(found, expected)


@given(data=st.data())
def test_conv2d_dx_is_the_full_convolution_of_the_spread_gradient(draw_case, data):
    case = draw_case(data.draw, "conv2d_dx", "float64")
    g, w = case.operands
    found, _ = value(case)
    expected = np.zeros(found.shape)
    spread, kernel = stuffed(g, case.attributes["stride"]), stuffed(w, case.attributes["dilation"])
    for n in range(g.shape[0]):
        for o, c, at in channels(w.shape[:2], case.attributes["groups"]):
            full = signal.convolve2d(spread[n, o], kernel[o, c], mode="full")
            expected[n, at, : full.shape[0], : full.shape[1]] += full
    np.testing.assert_array_equal(found, expected)


@given(data=st.data())
def test_conv2d_dw_correlates_the_image_with_the_spread_gradient(draw_case, data):
    case = draw_case(data.draw, "conv2d_dw", "float64")
    (x, g), (d, e) = case.operands, case.attributes["dilation"]
    found, _ = value(case)
    expected = np.zeros(found.shape)
    spread, (height, width) = stuffed(g, case.attributes["stride"]), found.shape[2:]
    for n in range(x.shape[0]):
        for o, c, at in channels(found.shape[:2], case.attributes["groups"]):
            moved = signal.correlate2d(x[n, at], spread[n, o], mode="valid")
            expected[o, c] += moved[: d * height : d, : e * width : e]
    np.testing.assert_array_equal(found, expected)


def windows(x, y, attributes):
    """For each plane and output pixel: its place, and (row, column, value) of each pixel of its window."""
    window, stride = attributes["window"], attributes["stride"] or attributes["window"]
    for n, c, i, j in np.ndindex(y.shape):
        pixels = [(i * stride[0] + u, j * stride[1] + v) for u in range(window[0]) for v in range(window[1])]
        yield (n, c, i, j), [(row, column, x[n, c, row, column]) for row, column in pixels]


@given(data=st.data())
def test_pools_are_sums_and_first_maxima_over_windows(draw_case, data):
    case = draw_case(data.draw, "sum_pool2d", "float64")
    (image,) = case.operands
    image[...] = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 4, image.shape)  # with ties
    x = G.variable("x", image.shape, "float64")
    names = "sum_pool2d", "max_pool2d", "max_pool2d_index"
    totals, maxima, places = evaluate(
        [G.PRIMITIVES[name].build(x, **case.attributes) for name in names], {"x": image}
    )
    for at, pixels in windows(image, totals, case.attributes):
        assert totals[at] == sum(v for _, _, v in pixels)
        largest = max(v for _, _, v in pixels)
        assert maxima[at] == largest
        row, column, _ = next(pixel for pixel in pixels if pixel[2] == largest)
        assert places[at] == row * image.shape[3] + column


@given(data=st.data())
def test_sum_pool2d_t_adds_each_element_to_every_pixel_of_its_window(draw_case, data):
    case = draw_case(data.draw, "sum_pool2d_t", "float64")
    (g,) = case.operands
    found, _ = value(case)
    expected = np.zeros(found.shape)
    for at, pixels in windows(expected, g, case.attributes):
        for row, column, _ in pixels:
            expected[at[0], at[1], row, column] += g[at]
    np.testing.assert_array_equal(found, expected)


@given(data=st.data())
def test_pool_gather2d_and_unpool2d_read_and_add_at_flat_places_of_a_plane(draw_case, data):
    case = draw_case(data.draw, "pool_gather2d", "float64")
    x, index = case.operands
    found, _ = value(case)
    variable, places = G.variable("g", index.shape, "float64"), G.variable("index", index.shape, "int32")
    unpooled = G.unpool2d(variable, places, input_size=x.shape[2:])
    (spread,) = evaluate([unpooled], {"g": found, "index": index})
    expected = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(index.shape):
        row, column = index[n, c, i, j] // x.shape[3], index[n, c, i, j] % x.shape[3]
        assert found[n, c, i, j] == x[n, c, row, column]
        expected[n, c, row, column] += found[n, c, i, j]
    np.testing.assert_array_equal(spread, expected)


@given(data=st.data())
def test_pad_spreads_the_elements_and_slice_takes_them_back(draw_case, data):
    case = draw_case(data.draw, "pad", "float64")
    (x,) = case.operands
    found, _ = value(case)
    low, high, interior = (case.attributes[side] for side in ("low", "high", "interior"))
    expected = np.full(found.shape, float(case.attributes["value"]))
    for at in np.ndindex(x.shape):
        expected[tuple(a + k * (i + 1) for a, k, i in zip(low, at, interior, strict=True))] = x[at]
    np.testing.assert_array_equal(found, expected)
    padded = G.variable("padded", found.shape, "float64")
    stop = [n - b for n, b in zip(found.shape, high, strict=True)]
    back = G.slice_(padded, start=low, stop=stop, step=[i + 1 for i in interior])
    np.testing.assert_array_equal(evaluate([back], {"padded": found})[0], x)


@given(data=st.data())
def test_slice_takes_every_step_th_element(draw_case, data):
    case = draw_case(data.draw, "slice", "int32")
    (x,) = case.operands
    found, _ = value(case)
    start, stop, step = (case.attributes[name] for name in ("start", "stop", "step"))
    axes = [range(a, b, s) for a, b, s in zip(start, stop, step, strict=True)]
    assert found.shape == tuple(map(len, axes))
    for at in np.ndindex(found.shape):
        assert found[at] == x[tuple(axis[k] for axis, k in zip(axes, at, strict=True))]


@given(data=st.data())
def test_gather_takes_rows_and_scatter_add_adds_them_up(draw_case, data):
    case = draw_case(data.draw, "scatter_add", "float64")
    updates, rows = case.operands
    found, _ = value(case)
    expected = np.zeros(found.shape)
    np.add.at(expected, rows, updates)
    np.testing.assert_array_equal(found, expected)
    x, indices = G.variable("x", found.shape, "float64"), G.variable("i", rows.shape, "int32")
    (taken,) = evaluate([G.gather(x, indices)], {"x": found, "i": rows})
    for at in np.ndindex(rows.shape):
        np.testing.assert_array_equal(taken[at], found[rows[at]])


@given(data=st.data())
def test_matmul_sums_products_over_the_inner_axis(draw_case, data):
    case = draw_case(data.draw, "matmul", "float64")
    a, b = case.operands
    found, _ = value(case)
    for *batch, i, j in np.ndindex(found.shape):
        terms = (a[(*batch, i, k)] * b[(*batch, k, j)] for k in range(a.shape[-1]))
        assert found[(*batch, i, j)] == sum(terms)  # of quarters: exact


ORDINARY = st.floats(-30, 30, allow_subnormal=False)
POSITIVE = st.floats(2.0**-40, 2.0**40)


def real(function, *arguments):
    return np.array([function(*each) for each in zip(*arguments, strict=True)])


@pytest.mark.parametrize(
    ("name", "truth", "numbers", "ulps"),
    [
        ("exp", math.exp, ORDINARY, 4),
        ("log", math.log, POSITIVE, 4),
        ("tanh", math.tanh, ORDINARY, 4),
        ("sqrt", math.sqrt, POSITIVE, 0),
        ("neg", lambda x: -x, ORDINARY, 0),
        ("abs", math.fabs, ORDINARY, 0),
        ("sign", lambda x: math.copysign(1, x) if x else 0.0, ORDINARY, 0),
        ("relu", lambda x: x if x > 0 else 0.0, ORDINARY, 0),
        ("sigmoid", special.expit, ORDINARY, 8),  # two functions of 4 ulps each, at most
        ("softplus", lambda x: -special.log_expit(-x), ORDINARY, 8),
    ],
)
@given(data=st.data())
def test_functions_of_one_number(name, truth, numbers, ulps, data):
    x = np.array(data.draw(st.lists(numbers, min_size=1, max_size=8)))
    found, expected = REFERENCE[name](x), real(truth, x)
    assert (abs(found - expected) <= ulps * np.spacing(abs(expected))).all()


@given(
    data=st.data(),
    exponent=st.sampled_from([-2.0, -0.75, 0.0, 0.5, 1.0, 2.0, 3.0]),
)
def test_pow_raises_to_the_static_exponent(data, exponent):
    x = np.array(data.draw(st.lists(POSITIVE, min_size=1, max_size=8)))
    found, expected = REFERENCE["pow"](x, exponent=exponent), real(lambda v: math.pow(v, exponent), x)
    assert (abs(found - expected) <= 4 * np.spacing(expected)).all()


@given(data=st.data())
def test_logsumexp_is_scipys(draw_case, data):
    """m + log(sum(exp(x - m))) in n + 6 roundings of numbers no larger than |m| + |result| + 1."""
    case = draw_case(data.draw, "logsumexp", "float64")
    (x,), axes = case.operands, case.attributes["axes"]
    found, y = value(case)
    axes = y.attributes["axes"]
    if any(x.shape[a] == 0 for a in axes):
        assert (found == -np.inf).all()
        return
    expected = special.logsumexp(x, axis=axes) if axes else x
    largest = abs(x).max(axis=axes) if axes else abs(x)
    assert (abs(found - expected) <= 2 * U * (x.size + 6) * (largest + abs(expected) + 1)).all()


@given(data=st.data(), precision=st.sampled_from([None, "float32", "float64"]))
def test_everything_floating_is_computed_in_the_precision_asked_for(draw_case, data, precision):
    x = G.variable("x", (3,), "float32")
    third = G.div(1, x).cast("float64") + 1
    (found,) = evaluate([third], {"x": np.array([3, 7, 10], "float32")}, precision=precision)
    assert found.dtype == (precision or "float64")
    divisor = np.array([3, 7, 10], precision or "float32")
    expected = (1 / divisor).astype(precision or "float64") + 1
    assert found.tobytes() == expected.tobytes()


def test_a_value_that_is_missing_or_does_not_fit_is_refused_by_name():
    x, k = G.variable("x", (2, 3)), G.variable("k", (2,), "int32")
    with pytest.raises(ArgumentError, match=r"lack 'x'.*float32"):
        evaluate([x.sum()])
    with pytest.raises(ShapeError, match=r"x has shape \[3, 2\]; expected \[2, 3\]"):
        evaluate([x], {"x": np.zeros((3, 2))})
    with pytest.raises(ArgumentTypeError, match="k is int64; expected int32"):
        evaluate([k], {"k": np.zeros(2, "int64")})
    with pytest.raises(ArgumentTypeError, match="x is int32; expected float32"):
        evaluate([x], {"x": np.zeros((2, 3), "int32")})


def test_evaluation_leaves_the_operands_alone_and_does_not_alias_them():
    x = G.variable("x", (2, 3))
    array = np.ones((2, 3), "float32")
    (same,) = evaluate([x], {"x": array})
    assert not np.shares_memory(same, array)


def test_call_computes_all_updates_from_the_old_state_and_hands_on_the_rest():
    a, b, c, x = (G.variable(name, ()) for name in "abcx")
    function = G.Function({"x": x}, {"sum": a + b + x}, {"a": a, "b": b, "c": c}, {"a": b, "b": a})
    state = {name: np.float32(i) for i, name in enumerate("abc", start=1)}
    outputs, new = call(function, {"x": np.float32(10)}, state)
    assert outputs == {"sum": 13}
    assert new == {"a": 2, "b": 1, "c": 3}
    assert state == {"a": 1, "b": 2, "c": 3}
