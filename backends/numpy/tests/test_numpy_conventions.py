"""The table of conventions, exactly: ties, kinks, NaN, infinities and zeros, forward and in the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph.tensor import topological
from isograd_numpy.backend import NumpyBackend

Array = np.ndarray[Any, Any]
Check = Callable[..., Any]
INF, NAN = np.inf, np.nan
DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])


def value_and_gradient(
    backend: NumpyBackend, build: Callable[[G.Tensor], G.Tensor], x: Any, dtype: str
) -> tuple[Array, Array]:
    """build(x) and the gradient of its sum, computed by the backend."""
    given_value = np.asarray(x, dtype)
    variable = G.variable("x", given_value.shape, dtype)
    y = build(variable)
    outputs = {"y": y, "g": G.grad(y.sum(), variable)}
    made, _ = backend.compile(G.Function({"x": variable}, outputs), "cpu")({"x": given_value}, {})
    assert {array.dtype.name for array in made.values()} == {dtype}
    return made["y"], made["g"]


ELEMENTWISE: list[
    tuple[str, Callable[[G.Tensor], G.Tensor], Sequence[float], Sequence[float], Sequence[float]]
] = [
    ("relu", G.relu, [-1, -0.0, 0, 2, NAN, INF, -INF], [0, 0, 0, 2, NAN, INF, 0], [0, 0, 0, 1, 0, 1, 0]),
    ("sign", G.sign, [-3, -0.0, 0, 2, NAN, -INF], [-1, 0, 0, 1, NAN, -1], [0] * 6),
    ("abs", G.abs_, [-3, -0.0, 0, 2, INF], [3, 0, 0, 2, INF], [-1, 0, 0, 1, 1]),
    ("maximum tie", lambda x: G.maximum(x, 1.0), [0, 1, 2, NAN], [1, 1, 2, NAN], [0, 0.5, 1, 0]),
    ("minimum tie", lambda x: G.minimum(x, 1.0), [0, 1, 2, NAN], [0, 1, 1, NAN], [1, 0.5, 0, 0]),
    ("softplus", G.softplus, [0, INF, -INF, NAN], [np.log(2), INF, 0, NAN], [0.5, 1, 0, NAN]),
    ("sigmoid", G.sigmoid, [0, INF, -INF, NAN], [0.5, 1, 0, NAN], [0.25, 0, 0, NAN]),
    ("sqrt", G.sqrt, [0, 4, INF, -1], [0, 2, INF, NAN], [INF, 0.25, 0, NAN]),
    ("pow 3 at 0", lambda x: x**3, [0], [0], [0]),
    ("pow 1 at 0", lambda x: x**1, [0], [0], [1]),
    ("pow half at 0", lambda x: x**0.5, [0], [0], [INF]),
    ("pow 0", lambda x: x**0, [0, NAN, INF], [1, 1, 1], [0, 0, 0]),
    ("where passes 0", lambda x: G.where(G.greater(x, 0), x * 3, 0.0), [2, -2, NAN], [6, 0, 0], [3, 0, 0]),
    (
        "branch of inf derivative",
        lambda x: G.where(G.greater(x, 0), G.sqrt(x), 0.0),
        [4, 0],
        [2, 0],
        [0.25, NAN],
    ),
    ("safe sqrt", G.safe_sqrt, [4, 0], [2, 0], [0.25, 0]),
]


@DTYPE
@pytest.mark.parametrize(
    ("build", "x", "y", "g"), [row[1:] for row in ELEMENTWISE], ids=[row[0] for row in ELEMENTWISE]
)
def test_kinks(
    build: Callable[[G.Tensor], G.Tensor],
    x: Sequence[float],
    y: Sequence[float],
    g: Sequence[float],
    dtype: str,
    backend: NumpyBackend,
) -> None:
    value, gradient = value_and_gradient(backend, build, x, dtype)
    np.testing.assert_array_equal(value, np.asarray(y, dtype))
    np.testing.assert_array_equal(gradient, np.asarray(g, dtype))


@DTYPE
def test_reduce_max_shares_its_gradient_evenly_among_the_maxima(dtype: str, backend: NumpyBackend) -> None:
    value, gradient = value_and_gradient(
        backend, lambda x: x.max(1), [[1, 3, 3], [2, 1, 0], [NAN, 1, 2]], dtype
    )
    np.testing.assert_array_equal(value, [3, 2, NAN])
    np.testing.assert_array_equal(gradient[:2], [[0, 0.5, 0.5], [1, 0, 0]])


@DTYPE
def test_logsumexp_at_the_infinities(dtype: str, backend: NumpyBackend) -> None:
    rows = [[-INF, -INF], [-INF, 2], [INF, 1], [1e4, -1e4], [NAN, 1]]
    value, gradient = value_and_gradient(backend, lambda x: G.logsumexp(x, axes=1), rows, dtype)
    np.testing.assert_array_equal(value, [-INF, 2, INF, 1e4, NAN])
    np.testing.assert_array_equal(gradient[[0, 1, 3]], [[0, 0], [0, 1], [1, 0]])


@given(
    axes=st.sets(st.integers(0, 2)),
    special=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_softmax_beside_the_logsumexp_of_its_own_or_of_other_values(
    axes: set[int], special: bool, seed: int, dtype: str, check: Check, normal: Check
) -> None:
    """exp(x - s) for the s of x, of other values, and of other axes; and the gradient, which guards -inf."""
    inputs = {name: G.variable(name, (3, 3, 3), dtype) for name in "xyh"}
    values = normal(seed, inputs)
    if special:
        rng = np.random.default_rng(seed)
        values["x"] = np.asarray(rng.choice([-INF, -INF, -INF, 0.0, 1e4, INF, NAN], size=(3, 3, 3)), dtype)
    x, y, h = inputs.values()

    def spread(z: G.Tensor, over: set[int]) -> G.Tensor:
        total = G.logsumexp(z, axes=sorted(over))
        return G.broadcast_to(total.reshape(*(1 if a in over else 3 for a in range(3))), (3, 3, 3))

    others = {0, 1, 2} - axes
    outputs = {
        "softmax": G.exp(x - spread(x, axes)),
        "of others": G.exp(x - spread(y, axes)),
        "over others": G.exp(x - spread(x, others)),
        "log": x - spread(x, axes),
        "gradient": G.grad((spread(x, axes) * h).sum(), x),
    }
    for chosen in (outputs, {"softmax": outputs["softmax"]}, {"gradient": outputs["gradient"]}):
        used = {t.name: t for t in topological(chosen.values()) if t.primitive == "variable"}
        check(G.Function(used, chosen), {name: values[name] for name in used})


@DTYPE
def test_argmax_takes_the_first_maximum_or_the_first_nan(dtype: str, backend: NumpyBackend) -> None:
    x = G.variable("x", (4, 3), dtype)
    rows = np.asarray([[1, 2, 2], [1, NAN, NAN], [-INF, -INF, -INF], [-0.0, 0.0, 0.0]], dtype)
    made, _ = backend.compile(G.Function({"x": x}, {"i": G.argmax(x, axis=1)}), "cpu")({"x": rows}, {})
    assert made["i"].tolist() == [1, 1, 0, 0]


@DTYPE
def test_where_keeps_the_bits_of_either_branch_beside_a_constant_zero_of_either_sign(
    dtype: str, backend: NumpyBackend
) -> None:
    rows = np.asarray([NAN, -NAN, -0.0, 0.0, INF, 5e-324, 1.5], dtype)
    x, condition = G.variable("x", rows.shape, dtype), G.variable("c", rows.shape, "bool")
    chosen = np.arange(rows.size) % 2 == 0
    for zero in (0.0, -0.0):
        function = G.Function(
            {"x": x, "c": condition}, {"a": G.where(condition, x, zero), "b": G.where(condition, zero, x)}
        )
        made, _ = backend.compile(function, "cpu")({"x": rows, "c": chosen}, {})
        instead = np.asarray(zero, dtype)
        assert made["a"].tobytes() == np.where(chosen, rows, instead).tobytes()
        assert made["b"].tobytes() == np.where(chosen, instead, rows).tobytes()


def test_one_condition_may_choose_among_values_of_any_width(check: Check, normal: Check) -> None:
    inputs = {"c": G.variable("c", (3, 4), "bool")}
    inputs |= {
        f"{name} {dtype}": G.variable(f"{name} {dtype}", (3, 4), dtype) for name in "ab" for dtype in G.DTYPES
    }
    outputs = {}
    for dtype in G.DTYPES:
        a, b = inputs[f"a {dtype}"], inputs[f"b {dtype}"]
        outputs |= {f"either {dtype}": G.where(inputs["c"], a, b), f"a {dtype}": G.where(inputs["c"], a, 0)}
        outputs |= {f"b {dtype}": G.where(inputs["c"], 0, b)}
    check(G.Function(inputs, outputs), normal(0, inputs))


@DTYPE
def test_l2_pooling_of_an_all_zero_window_has_gradient_zero(dtype: str, backend: NumpyBackend) -> None:
    image = np.asarray([[[[0, 0, 3, 0], [0, 0, 0, 4]]]], dtype)
    value, gradient = value_and_gradient(backend, lambda x: G.l2_pool2d(x, window=2), image, dtype)
    np.testing.assert_array_equal(value, [[[[0, 5]]]])
    np.testing.assert_array_equal(gradient[..., :2], np.zeros((1, 1, 2, 2)))


@DTYPE
@pytest.mark.parametrize("stride", [2, 1], ids=["apart", "overlapping"])
def test_max_pooling_hands_its_gradient_to_the_first_of_equals_or_of_nans(
    dtype: str, stride: int, backend: NumpyBackend
) -> None:
    planes = {
        "tie": ([[3, 3], [3, 3]], [[1, 0], [0, 0]]),
        "late maximum": ([[3, 1], [4, 4]], [[0, 0], [1, 0]]),
        "nan": ([[9, NAN], [NAN, 9]], [[0, 1], [0, 0]]),
        "all -inf": ([[-INF, -INF], [-INF, -INF]], [[1, 0], [0, 0]]),
        "both infinities": ([[-INF, 1], [INF, INF]], [[0, 0], [1, 0]]),
        "zeros": ([[-0.0, 0.0], [0.0, -0.0]], [[1, 0], [0, 0]]),
        "nan last": ([[5, 5], [5, NAN]], [[0, 0], [0, 1]]),
    }
    # One plane without and one with a NaN beside it: a NaN elsewhere must not change where ties go.
    for batch in (list(planes), [name for name in planes if "nan" not in name]):
        images = np.asarray([[planes[name][0]] for name in batch], dtype)
        _, gradient = value_and_gradient(
            backend, lambda x: G.max_pool2d(x, window=2, stride=stride), images, dtype
        )
        np.testing.assert_array_equal(gradient, [[planes[name][1]] for name in batch])


@st.composite
def pooled(draw: st.DrawFn) -> tuple[G.Tensor, dict[str, Any], Array]:
    """An image full of ties, perhaps with NaN and infinities, and windows of any kind."""
    dtype = draw(st.sampled_from(["float32", "float64"]))
    window = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.one_of(st.just(window), st.tuples(st.integers(1, 4), st.integers(1, 4))))
    extra = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    shape = (draw(st.integers(0, 3)), draw(st.integers(1, 3)), window[0] + extra[0], window[1] + extra[1])
    special = draw(st.sampled_from([[], [INF, -INF], [NAN], [NAN, INF, -INF]]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = np.asarray(rng.choice([-1.0, -0.0, 0.0, 1.0, 2.0, *special], size=shape), dtype)
    return G.variable("x", shape, dtype), {"window": window, "stride": stride}, values


@given(drawn=pooled(), seed=st.integers(0, 2**32 - 1), index=st.booleans(), forward=st.booleans())
def test_the_gradient_of_max_pooling_and_the_gradient_of_that(
    drawn: tuple[G.Tensor, dict[str, Any], Array],
    seed: int,
    index: bool,
    forward: bool,
    check: Check,
    normal: Check,
) -> None:
    """Whether or not the index is asked for, which decides between two ways, and the maximum beside it."""
    x, attributes, values = drawn
    y = G.max_pool2d(x, **attributes)
    g, h = G.variable("g", y.shape, y.dtype), G.variable("h", x.shape, x.dtype)
    dx = G.vector_jacobian_product(y, g, x)
    outputs = {"dx": dx, "twice": G.vector_jacobian_product((dx * h).sum(), G.constant(1, x.dtype), g)}
    outputs |= {"index": G.max_pool2d_index(x, **attributes)} if index else {}
    outputs |= {"y": y} if forward else {}
    inputs = {"x": x, "g": g, "h": h}
    check(G.Function(inputs, outputs), {**normal(seed, {"g": g, "h": h}), "x": values})
    check(G.Function({"x": x, "g": g}, {"dx": dx}), {**normal(seed, {"g": g}), "x": values})


@given(seed=st.integers(0, 2**32 - 1), windows=st.permutations([(2, 2), (1, 2), (2, 1), (1, 1)]))
def test_poolings_of_one_image_and_of_several_are_told_apart(
    seed: int, windows: list[tuple[int, int]], check: Check, normal: Check
) -> None:
    """Windows of several sizes and strides that all give 3 x 3 pixels."""
    inputs = {name: G.variable(name, (1, 2, 6, 6)) for name in ("one", "other")}
    outputs = {}
    for name, x in inputs.items():
        for window in windows:
            y = G.max_pool2d(x, window=window, stride=2)
            outputs |= {f"{name} {window}": y, f"{name} {window} gradient": G.grad((y * y).sum(), x)}
    check(G.Function(inputs, outputs), normal(seed, inputs))


@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["float32", "float64"]))
def test_a_gradient_of_any_bits_arrives_in_one_place_unchanged(
    seed: int, dtype: str, backend: NumpyBackend
) -> None:
    """NaN, infinities, -0 and subnormals are neither spread nor rounded by pooling without overlap."""
    rng = np.random.default_rng(seed)
    x, g = G.variable("x", (2, 2, 6, 6), dtype), G.variable("g", (2, 2, 2, 3), dtype)
    image = np.asarray(rng.integers(0, 3, size=x.shape), dtype)
    tiny = float(np.finfo(dtype).smallest_subnormal)
    gradient = np.asarray(rng.choice([NAN, INF, -INF, -0.0, tiny, -1.5], size=g.shape), dtype)
    y = G.max_pool2d(x, window=(3, 2))
    function = G.Function({"x": x, "g": g}, {"dx": G.vector_jacobian_product(y, g, x)})
    dx = backend.compile(function, "cpu")({"x": image, "g": gradient}, {})[0]["dx"]
    windows = dx.reshape(2, 2, 2, 3, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(2, 2, 2, 3, 6)
    pixels = image.reshape(2, 2, 2, 3, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(2, 2, 2, 3, 6)
    first = pixels.argmax(axis=-1)[..., None]
    assert np.take_along_axis(windows, first, axis=-1).tobytes() == gradient[..., None].tobytes()
    np.put_along_axis(windows, first, 0, axis=-1)
    assert not windows.view(f"uint{8 * windows.itemsize}").any()
