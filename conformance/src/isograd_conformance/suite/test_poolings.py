"""Max pooling and softmax beside what belongs to them, which backends like to compute in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph.tensor import topological
from isograd_conformance.checks import check, require, without_subnormals
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.arrays import SEEDS, normal
from isograd_conformance.subject import HostArray, Subject

pytestmark = pytest.mark.judges("fusion")

INF, NAN = np.inf, np.nan


@st.composite
def pooled(draw: st.DrawFn, dtypes: tuple[str, ...]) -> tuple[G.Tensor, dict[str, Any], HostArray]:
    """An image full of ties, perhaps with NaN and infinities, and windows of any kind."""
    dtype = draw(st.sampled_from(dtypes))
    window = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.one_of(st.just(window), st.tuples(st.integers(1, 4), st.integers(1, 4))))
    extra = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    shape = (draw(st.integers(0, 3)), draw(st.integers(1, 3)), window[0] + extra[0], window[1] + extra[1])
    special = draw(st.sampled_from([[], [INF, -INF], [NAN], [NAN, INF, -INF]]))
    rng = np.random.default_rng(draw(SEEDS))
    values = np.asarray(rng.choice([-1.0, -0.0, 0.0, 1.0, 2.0, *special], size=shape), dtype)
    return G.variable("x", shape, dtype), {"window": window, "stride": stride}, values


@given(data=st.data(), seed=SEEDS, index=st.booleans(), forward=st.booleans())
@examples(10)
def test_the_gradient_of_max_pooling_and_the_gradient_of_that(
    subject: Subject, data: st.DataObject, seed: int, index: bool, forward: bool
) -> None:
    """Whether or not the index is asked for, which may decide between two ways, and the maximum beside it."""
    require(subject, "int32")
    x, attributes, values = data.draw(pooled(subject.floating))
    y = G.max_pool2d(x, **attributes)
    g, h = G.variable("g", y.shape, y.dtype), G.variable("h", x.shape, x.dtype)
    dx = G.vector_jacobian_product(y, g, x)
    outputs = {"dx": dx, "twice": G.vector_jacobian_product((dx * h).sum(), G.constant(1, x.dtype), g)}
    outputs |= {"index": G.max_pool2d_index(x, **attributes)} if index else {}
    outputs |= {"y": y} if forward else {}
    function = G.Function({"x": x, "g": g, "h": h}, outputs)
    check(subject, function, {**normal(seed, {"g": g, "h": h}), "x": values})


@given(seed=SEEDS, windows=st.permutations([(2, 2), (1, 2), (2, 1), (1, 1)]))
@examples(3)
def test_poolings_of_one_image_and_of_several_are_told_apart(
    seed: int, windows: list[tuple[int, int]], subject: Subject
) -> None:
    """Windows of several sizes and strides that all give 3 x 3 pixels."""
    require(subject, "int32")
    inputs = {name: G.variable(name, (1, 2, 6, 6), subject.floating[0]) for name in ("one", "other")}
    outputs: dict[str, G.Tensor] = {}
    for name, x in inputs.items():
        for window in windows:
            y = G.max_pool2d(x, window=window, stride=2)
            outputs |= {f"{name} {window}": y, f"{name} {window} gradient": G.grad((y * y).sum(), x)}
    check(subject, G.Function(inputs, outputs), normal(seed, inputs))


def _windows(image: HostArray) -> HostArray:
    """The windows (3, 2) of an image (2, 2, 6, 6) that lie side by side, each as one axis."""
    return image.reshape(2, 2, 2, 3, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(2, 2, 2, 3, 6)


@pytest.mark.parametrize("dtype", sorted(G.FLOATING))
def test_a_gradient_of_any_bits_arrives_in_one_place_unchanged(dtype: str, subject: Subject) -> None:
    """NaN, infinities and -0 are neither spread nor rounded by pooling without overlap."""
    require(subject, dtype, "int32")
    x, g = G.variable("x", (2, 2, 6, 6), dtype), G.variable("g", (2, 2, 2, 3), dtype)
    y = G.max_pool2d(x, window=(3, 2))
    function = G.Function({"x": x, "g": g}, {"dx": G.vector_jacobian_product(y, g, x)})
    executable = subject.compile(function)
    tiny = float(np.finfo(dtype).smallest_subnormal)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        image = np.asarray(rng.integers(0, 3, size=x.shape), dtype)
        gradient = np.asarray(rng.choice([NAN, INF, -INF, -0.0, tiny, -1.5], size=g.shape), dtype)
        dx = subject.call(executable, {"x": image, "g": gradient}).outputs["dx"]
        windows, pixels = (_windows(array) for array in (dx, image))
        first = pixels.argmax(axis=-1)[..., None]
        arrived, sent = (
            without_subnormals(subject, array)
            for array in (np.take_along_axis(windows, first, axis=-1), gradient[..., None])
        )
        np.testing.assert_array_equal(arrived, sent)
        np.put_along_axis(windows, first, 0, axis=-1)
        assert not windows.any()


@given(data=st.data(), axes=st.sets(st.integers(0, 2)), special=st.booleans(), seed=SEEDS)
@examples(6)
def test_a_softmax_beside_the_logsumexp_of_its_own_or_of_other_values(
    subject: Subject, data: st.DataObject, axes: set[int], special: bool, seed: int
) -> None:
    """exp(x - s) for the s of x, of other values, and of other axes; and the gradient, which guards -inf."""
    require(subject, "bool")
    dtype = data.draw(st.sampled_from(subject.floating))
    inputs = {name: G.variable(name, (3, 3, 3), dtype) for name in "xyh"}
    values = normal(seed, inputs)
    if special:
        rng = np.random.default_rng(seed)
        values["x"] = np.asarray(rng.choice([-INF, -INF, -INF, 0.0, 1e4, INF, NAN], size=(3, 3, 3)), dtype)
    x, y, h = inputs.values()

    def spread(z: G.Tensor, over: set[int]) -> G.Tensor:
        total = G.logsumexp(z, axes=sorted(over))
        return G.broadcast_to(total.reshape(*(1 if a in over else 3 for a in range(3))), (3, 3, 3))

    outputs = {
        "softmax": G.exp(x - spread(x, axes)),
        "of others": G.exp(x - spread(y, axes)),
        "over others": G.exp(x - spread(x, {0, 1, 2} - axes)),
        "log": x - spread(x, axes),
        "gradient": G.grad((spread(x, axes) * h).sum(), x),
    }
    alone = data.draw(st.sampled_from(["softmax", "gradient"]))
    for chosen in (outputs, {alone: outputs[alone]}):
        used = {t.name: t for t in topological(chosen.values()) if t.primitive == "variable"}
        check(subject, G.Function(used, chosen), {name: values[name] for name in used})
