"""Functions made of primitives: their definitions, their extremes, their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.reference import evaluate

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 5))


def variable(name, array):
    return G.variable(name, array.shape, array.dtype.name)


def apply(f, *arrays):
    """f of variables that hold the arrays, evaluated."""
    variables = [variable(f"x{i}", a) for i, a in enumerate(arrays)]
    return evaluate([f(*variables)], {f"x{i}": a for i, a in enumerate(arrays)})[0]


def gradient_of(f, array):
    x = variable("x", array)
    return evaluate([G.grad(f(x).sum(), x)], {"x": array})[0]


def logits(rng, shape, dtype="float64"):
    return rng.uniform(-20, 20, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(rng=seeds, shape=shapes)
def test_the_rows_of_softmax_are_positive_and_sum_to_one(dtype, rng, shape):
    """p = exp(z - L) with L = logsumexp(z).

    The exponent takes n + 8 roundings relative to |z| + |L| + 1, which move p by as much relative to itself;
    the exponential takes 8 (4 ulps), the sum, whose terms add up to 1, n.
    """
    z = logits(rng, shape, dtype)
    p = apply(G.softmax, z)
    assert (p >= 0).all()
    largest = 1 + abs(z).max(axis=1) + abs(special.logsumexp(z, axis=1))
    bound = UNIT[dtype] * ((shape[1] + 8) * largest + 8 + shape[1])
    assert (abs(p.astype("float64").sum(axis=1) - 1) <= bound).all()


@given(rng=seeds, shape=shapes)
def test_log_likelihood_is_minus_the_log_of_the_labels_softmax(rng, shape):
    z = logits(rng, shape)
    labels = rng.integers(0, shape[1], shape[0]).astype("int32")
    cost = apply(G.log_likelihood, z, labels)
    rows = np.arange(shape[0])
    expected = -special.log_softmax(z, axis=1)[rows, labels]
    largest = 1 + abs(z).max(axis=1) + abs(special.logsumexp(z, axis=1))
    bound = 2 * UNIT["float64"] * (shape[1] + 8) * largest  # as for softmax, in both of the two
    assert (abs(cost - expected) <= bound).all()
    assert (abs(cost + apply(G.log_softmax, z)[rows, labels]) <= bound).all()


@given(rng=seeds, shape=shapes, a=st.floats(0, 0.999))
def test_a_smoothed_log_likelihood_shares_a_part_among_all_classes(rng, shape, a):
    z = logits(rng, shape)
    labels = rng.integers(0, shape[1], shape[0]).astype("int32")
    cost = apply(lambda z, y: G.log_likelihood(z, y, label_smoothing=a), z, labels)
    costs = -special.log_softmax(z, axis=1)
    expected = (1 - a) * costs[np.arange(shape[0]), labels] + a * costs.mean(axis=1)
    largest = 1 + abs(z).max(axis=1) + abs(special.logsumexp(z, axis=1))
    # As without smoothing; beside that the sum over the classes, its factor, a product and two additions.
    bound = 2 * UNIT["float64"] * (2 * shape[1] + 16) * largest
    assert (abs(cost - expected) <= bound).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_costs_and_their_gradients_stay_finite_and_exact_at_extreme_logits(dtype):
    z = np.array([[1e4, -1e4], [1e4, -1e4], [-1e4, -1e4]], dtype)
    labels = G.constant(np.array([0, 1, 0], "int32"))
    y = np.array([[1, 0], [0, 1], [0, 1]], dtype)
    log_two = np.log(np.array(2, dtype))
    likelihood = apply(lambda t: G.log_likelihood(t, labels), z)
    assert likelihood[:2].tolist() == [0, 2e4]
    assert abs(likelihood[2] - log_two) <= 3 * np.spacing(np.array(1e4, dtype))
    assert apply(G.softmax, z)[:2].tolist() == [[1, 0], [1, 0]]
    assert apply(G.cross_entropy, z, y).tolist() == [0, 2e4, 1e4]
    assert gradient_of(lambda t: G.log_likelihood(t, labels), z)[:2].tolist() == [[0, 0], [1, -1]]
    assert gradient_of(lambda t: G.cross_entropy(t, G.constant(y)), z).tolist() == [[0, 0], [1, -1], [0, -1]]


@given(rng=seeds, shape=st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_cross_entropy_is_its_definition(rng, shape):
    """A term of either sum takes at most 20 roundings (two functions of 4 ulps), a sum one for each term."""
    z, y = logits(rng, shape), rng.uniform(0, 1, shape)
    cost = apply(G.cross_entropy, z, y)
    terms = y * special.log_expit(z), (1 - y) * special.log_expit(-z)
    axes = tuple(range(1, len(shape)))
    magnitude = (abs(terms[0]) + abs(terms[1]) + 2 * abs(y * z) + 1).sum(axis=axes)
    bound = 2 * UNIT["float64"] * (z[0].size + 20) * magnitude
    assert cost.shape == (shape[0],)
    assert (abs(cost + (terms[0] + terms[1]).sum(axis=axes)) <= bound).all()


@given(rng=seeds, shape=st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_quadratic_cost_is_half_the_squared_distance_of_each_row(rng, shape):
    a, y = (rng.integers(-8, 9, shape) / 4 for _ in range(2))  # quarters: exact
    expected = [
        sum((p - q) ** 2 for p, q in zip(u.flat, v.flat, strict=True)) / 2 for u, v in zip(a, y, strict=True)
    ]
    assert apply(G.quadratic_cost, a, y).tolist() == expected


@given(data=st.data())
def test_average_and_l2_pooling_of_windows(draw_case, data):
    case = draw_case(data.draw, "sum_pool2d", "float64")
    (image,) = case.operands  # odd multiples of 1/4: sums of squares are exact
    average = apply(lambda x: G.average_pool2d(x, **case.attributes), image)
    norm = apply(lambda x: G.l2_pool2d(x, **case.attributes), image)
    window, stride = case.attributes["window"], case.attributes["stride"] or case.attributes["window"]
    count = window[0] * window[1]
    for n, c, i, j in np.ndindex(average.shape):
        rows = slice(i * stride[0], i * stride[0] + window[0])
        pixels = image[n, c, rows, j * stride[1] : j * stride[1] + window[1]]
        # One rounding of 1 / count, one of the product.
        expected = pixels.sum() / count
        assert abs(average[n, c, i, j] - expected) <= 3 * UNIT["float64"] * abs(expected)
        assert norm[n, c, i, j] == math.sqrt((pixels * pixels).sum())


@given(rng=seeds, shape=st.lists(st.integers(0, 3), max_size=3), p=st.floats(0, 0.99))
def test_dropout_keeps_what_the_mask_keeps_and_rescales_only_when_inverted(rng, shape, p):
    x, mask = rng.standard_normal(shape), rng.random(shape) < 0.5
    plain = apply(lambda t, m: G.dropout(t, m, p), x, mask)
    inverted = apply(lambda t, m: G.dropout(t, m, p, inverted=True), x, mask)
    assert (plain == np.where(mask, x, 0)).all()
    assert (inverted == np.where(mask, x * (1 / (1 - p)), 0)).all()


@given(
    rng=seeds,
    channels=st.integers(1, 7),
    n=st.sampled_from([1, 3, 5, 9]),
    beta=st.sampled_from([0.5, 0.75, 2.0]),
)
def test_local_response_normalisation_is_its_formula(rng, channels, n, beta):
    """A total has n + 3 roundings of positive terms; the power magnifies them beta-fold and adds 10."""
    x = rng.standard_normal((2, channels, 2, 1))
    k, alpha = 2.0, 0.125
    found = apply(lambda t: G.local_response_normalisation(t, k=k, n=n, alpha=alpha, beta=beta), x)
    for i in range(channels):
        near = x[:, max(i - n // 2, 0) : i + n // 2 + 1]
        expected = x[:, i] / (k + alpha * (near**2).sum(axis=1)) ** beta
        bound = 2 * UNIT["float64"] * (beta * (n + 3) + 10) * abs(expected)
        assert (abs(found[:, i] - expected) <= bound).all()


@given(rng=seeds, shape=shapes)
def test_accuracy_counts_the_rows_whose_first_maximum_is_at_the_label(rng, shape):
    scores = rng.integers(0, 3, shape).astype("float32")  # with ties
    labels = rng.integers(0, shape[1], shape[0]).astype("int32")
    expected = sum(list(row).index(max(row)) == label for row, label in zip(scores, labels, strict=True))
    count = apply(G.accuracy_count, scores, labels)
    assert (count.shape, count.dtype, float(count)) == ((), "float32", expected)


@given(padding=st.tuples(*[st.integers(0, 2)] * 4), fill=st.sampled_from([0.0, -1.5]))
def test_pad2d_puts_pixels_around_an_image(padding, fill):
    image = np.arange(1.0, 13.0).reshape(1, 2, 2, 3)
    top, bottom, left, right = padding
    expected = np.pad(image, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    np.testing.assert_array_equal(apply(lambda x: G.pad2d(x, padding, value=fill), image), expected)


def test_padding_by_nothing_and_the_linear_activation_add_no_node():
    x = G.variable("x", (1, 1, 2, 2))
    assert G.pad2d(x, (0, 0, 0, 0)) is x
    assert G.linear(x) is x


LABELS = G.constant(np.array([1, 0], "int32"))
TARGET = G.constant(np.array([[0.25, 0.5, 1], [0, 0.75, 0.5]]))
MASK = G.constant(np.array([[True, False, True], [False, True, True]]))


@pytest.mark.parametrize(
    "f",
    [
        G.softmax,
        G.log_softmax,
        lambda z: G.softmax(z, axis=0),
        lambda z: G.log_likelihood(z, LABELS),
        lambda z: G.log_likelihood(z, LABELS, label_smoothing=0.25),
        lambda z: G.cross_entropy(z, TARGET),
        lambda z: G.quadratic_cost(z, TARGET),
        lambda z: G.dropout(z, MASK, 0.25),
        lambda z: G.dropout(z, MASK, 0.25, inverted=True),
        lambda z: G.safe_sqrt(z * z + 1),
        lambda z: G.average_pool2d(z.reshape(1, 1, 2, 3), window=2, stride=1),
        lambda z: G.l2_pool2d(z.reshape(1, 1, 2, 3), window=2, stride=1),
        lambda z: G.local_response_normalisation(z.reshape(1, 6, 1, 1), n=3, alpha=0.5),
        lambda z: G.pad2d(z.reshape(1, 1, 2, 3), (1, 0, 2, 1)),
    ],
)
@given(rng=seeds)
def test_gradients_of_derived_functions(check_gradient, f, rng):
    z = G.variable("z", (2, 3), "float64")
    order = rng.permutation(6).reshape(2, 3)
    check_gradient(f(z), [z], {"z": (order - 2.5) * 0.5}, rng)


IMAGE, ROWS = G.variable("image", (1, 2, 4, 4)), G.variable("rows", (2, 3))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: G.log_likelihood(ROWS, G.variable("y", (3,), "int32")), ShapeError, r"\[2, 3\].*\[3\]"),
        (lambda: G.log_likelihood(IMAGE, LABELS), ShapeError, r"\[1, 2, 4, 4\].*\[2\].*\(rows, classes\)"),
        (lambda: G.log_likelihood(ROWS, G.variable("y", (2,))), ArgumentTypeError, "labels are float32"),
        (
            lambda: G.log_likelihood(ROWS, LABELS, label_smoothing=1.0),
            ArgumentError,
            r"log_likelihood: label_smoothing is 1.0; expected a number in \[0, 1\)",
        ),
        (lambda: G.log_likelihood(ROWS, LABELS, label_smoothing=False), ArgumentTypeError, "label_smoothing"),
        (lambda: G.log_likelihood(ROWS.cast("int32"), LABELS), ArgumentTypeError, "logsumexp: x is int32"),
        (lambda: G.cross_entropy(ROWS, ROWS[0]), ShapeError, r"cross_entropy.*\[2, 3\].*\[3\]"),
        (
            lambda: G.quadratic_cost(ROWS, ROWS.cast("float64")),
            ArgumentTypeError,
            "quadratic_cost.*float32.*float64",
        ),
        (lambda: G.quadratic_cost(ROWS.sum(), ROWS.sum()), ShapeError, r"quadratic_cost.*\[\]"),
        (lambda: G.average_pool2d(IMAGE, window=(2, 2, 2)), ArgumentError, "average_pool2d: window"),
        (lambda: G.l2_pool2d(IMAGE, window=5), ShapeError, "5x5 window.*4x4"),
        (lambda: G.dropout(ROWS, MASK[0], 0.5), ShapeError, r"mask has shape \[3\]; expected \[2, 3\]"),
        (lambda: G.dropout(ROWS, ROWS, 0.5), ArgumentTypeError, "mask is float32; expected bool"),
        (
            lambda: G.dropout(ROWS, MASK, 1.0),
            ArgumentError,
            r"p_dropout is 1.0; expected a number in \[0, 1\)",
        ),
        (lambda: G.dropout(ROWS, MASK, -0.1), ArgumentError, "p_dropout is -0.1"),
        (lambda: G.dropout(ROWS, MASK, float("nan")), ArgumentError, "p_dropout is nan"),
        (lambda: G.dropout(ROWS, MASK, "half"), ArgumentTypeError, "p_dropout is 'half'"),
        (lambda: G.local_response_normalisation(ROWS), ShapeError, r"\[2, 3\]; expected 4 axes"),
        (lambda: G.local_response_normalisation(IMAGE.cast("int32")), ArgumentTypeError, "x is int32"),
        (lambda: G.local_response_normalisation(IMAGE, n=4), ArgumentError, "n is 4.*odd"),
    ],
)
def test_a_derived_function_refuses_what_does_not_fit_by_its_own_name(build, error, message):
    with pytest.raises(error, match=message):
        build()
