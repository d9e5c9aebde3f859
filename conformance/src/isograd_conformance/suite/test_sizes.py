"""Operands larger than what kernels take at once: blocks, tiles, vectors, and what is left beyond them."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph import Tensor
from isograd_conformance.checks import check, require
from isograd_conformance.profiles import examples
from isograd_conformance.steps import check_steps
from isograd_conformance.strategies.arrays import SEEDS, normal
from isograd_conformance.subject import Subject

pytestmark = pytest.mark.judges("sizes")

# Kernels work in powers of two; a size is one of them, or a few more.
LARGE = st.builds(lambda power, more: 2**power + more, st.integers(4, 8), st.integers(0, 7))
SMALL = st.integers(1, 3)


@pytest.mark.parametrize("large", ["rows", "inner", "columns", "batch"])
@given(data=st.data(), n=LARGE, seed=SEEDS)
@examples(4)
def test_a_product_with_one_long_side(
    large: str, subject: Subject, data: st.DataObject, n: int, seed: int
) -> None:
    sides = ("batch", "rows", "inner", "columns")
    size = {side: n if side == large else data.draw(SMALL) for side in sides}
    dtype = data.draw(st.sampled_from(subject.floating))
    a = G.variable("a", [size[side] for side in ("batch", "rows", "inner")], dtype)
    b = G.variable("b", [size[side] for side in ("batch", "inner", "columns")], dtype)
    inputs = {"a": a, "b": b}
    outputs = {"batched": a @ b, "plain": a.reshape(-1, size["inner"]) @ b[:1].reshape(size["inner"], -1)}
    check(subject, G.Function(inputs, outputs), normal(seed, inputs))


@pytest.mark.parametrize("large", ["images", "channels", "maps", "pixels"])
@given(data=st.data(), n=st.builds(lambda p, m: 2**p + m, st.integers(3, 5), st.integers(0, 3)), seed=SEEDS)
@examples(2)
def test_a_convolution_with_many(
    large: str, subject: Subject, data: st.DataObject, n: int, seed: int
) -> None:
    size = {part: n if part == large else 2 for part in ("images", "channels", "maps")}
    rows, columns = (n, 5) if large == "pixels" else (4, 5)
    dtype = data.draw(st.sampled_from(subject.floating))
    x = G.variable("x", (size["images"], size["channels"], rows, columns), dtype)
    w = G.variable("w", (size["maps"], size["channels"], 2, 3), dtype)
    y = G.conv2d(x, w)
    g = G.variable("g", y.shape, dtype)
    outputs = {
        "y": y,
        "dx": G.conv2d_dx(g, w, input_size=(rows, columns)),
        "dw": G.conv2d_dw(x, g, filter_size=(2, 3)),
    }
    inputs = {"x": x, "w": w, "g": g}
    check(subject, G.Function(inputs, outputs), normal(seed, inputs))


LONG: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "reduce_sum": lambda x, i: x.sum(0),
    "reduce_sum of rows": lambda x, i: x.sum(1),
    "reduce_max": lambda x, i: x.max(0),
    "logsumexp": lambda x, i: G.logsumexp(x, axes=0),
    "argmax": lambda x, i: G.argmax(x, axis=0),
    "gather": lambda x, i: G.gather(x, i),
    "scatter_add": lambda x, i: G.scatter_add(x, i, size=x.shape[0]),
    "transpose": lambda x, i: x.transpose(),
    "concat": lambda x, i: G.concat(x, x, axis=0),
    "slice": lambda x, i: x[1::2],
    "pad": lambda x, i: G.pad(x, low=[1, 0], high=[0, 1], interior=[1, 0], value=1),
    "tanh": lambda x, i: G.tanh(x),
    "exp": lambda x, i: G.exp(x),
    "relu": lambda x, i: G.relu(x),
    "mul": lambda x, i: x * x,
    "sub": lambda x, i: x - x[:1],
    "where": lambda x, i: G.where(G.greater(x, 0), x, x * 2),
    "max_pool2d": lambda x, i: G.max_pool2d(x.reshape(1, 1, *x.shape), window=(2, 1)),
    "sum_pool2d": lambda x, i: G.sum_pool2d(x.reshape(1, 1, *x.shape), window=(3, 1), stride=1),
}


@given(data=st.data(), n=st.builds(lambda p, m: 2**p + m, st.integers(7, 10), st.integers(1, 9)), seed=SEEDS)
@examples(3)
def test_long_arrays(subject: Subject, data: st.DataObject, n: int, seed: int) -> None:
    """All in one function, as one compilation; and the same along the other axis."""
    require(subject, "int32", "bool")
    dtype = data.draw(st.sampled_from(subject.floating))
    x, i = G.variable("x", (n, 3), dtype), G.variable("i", (n,), "int32")
    outputs = {name: build(x, i) for name, build in LONG.items()}
    rng = np.random.default_rng(seed)
    values = {**normal(seed, {"x": x}), "i": rng.integers(0, n, n).astype("int32")}
    check(subject, G.Function({"x": x, "i": i}, outputs), values)


@given(steps=st.builds(lambda power, more: 2**power + more, st.integers(4, 7), st.integers(0, 7)), seed=SEEDS)
@examples(2)
def test_a_long_run_of_steps(subject: Subject, steps: int, seed: int) -> None:
    """Rows, outputs and state of every kind; cut anywhere."""
    require(subject, "int32", "bool")
    dtype = subject.floating[-1]
    x, scale = G.variable("x", (2,), dtype), G.variable("scale", (2,), dtype)
    keep = G.variable("keep", (2,), "bool")
    w, count = G.variable("w", (2,), dtype), G.variable("count", (), "int32")
    kept = G.where(keep, x * scale, 0)
    outputs = {"cost": (w * x).sum(), "count": count + 1, "small": G.greater(x, w)}
    updates = {"w": w * 0.5 + kept, "count": count + 1}
    function = G.Function({"x": x, "scale": scale, "keep": keep}, outputs, {"w": w, "count": count}, updates)
    rows = [normal(seed + step, function.inputs) for step in range(steps)]
    cut = int(np.random.default_rng(seed).integers(steps))
    check_steps(subject, function, rows, normal(seed, function.state), ["scale"], cut)


def test_many_axes(subject: Subject) -> None:
    require(subject, "int32")
    dtype, shape = subject.floating[-1], (2, 1, 3, 2, 1, 2)
    x = G.variable("x", shape, dtype)
    turned = x.transpose(5, 2, 0, 4, 3, 1)
    outputs = {
        "transpose": turned,
        "twice": turned.transpose(3, 1, 0, 5, 4, 2) * 2,
        "broadcast_to": G.broadcast_to(x, (2, 2, 3, 2, 4, 2)),
        "further axes": G.broadcast_to(x, (2, *shape)),
        "slice": turned[1:, ::2, :, :, 1:],
        "pad": G.pad(turned, low=[1, 0, 0, 1, 0, 0], high=[0] * 6, interior=[0, 1, 0, 0, 0, 1]),
        "concat": G.concat(turned, turned * 2, axis=3),
        "some": turned.sum((0, 2, 4)),
        "others": turned.max((1, 3)),
        "all but one": G.logsumexp(turned, axes=(0, 2, 3, 4, 5)),
        "first of all": G.argmax(turned, axis=1),
        "product": turned @ turned.transpose(0, 1, 2, 3, 5, 4),
    }
    check(subject, G.Function({"x": x}, outputs), normal(0, {"x": x}))


def test_a_deep_function(subject: Subject) -> None:
    """Deeper than Python's functions may call each other."""
    x = G.variable("x", (3,), subject.floating[-1])
    y = x
    for number in range(sys.getrecursionlimit()):
        y = y + x if number % 2 else -y
    check(subject, G.Function({"x": x}, {"y": y}), normal(0, {"x": x}))


@pytest.mark.parametrize("dtype", G.DTYPES)
@pytest.mark.parametrize("size", [2**9 + 1, 2**13 + 7, 2**17 + 3])
def test_long_arrays_pass_to_a_device_and_back(size: int, dtype: str, subject: Subject) -> None:
    require(subject, dtype)
    array = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 256, size).astype(dtype)
    for laid in (array, array[::-1], np.repeat(array, 2)[::2]):
        found = subject.backend.to_host(subject.backend.to_device(laid, subject.device))
        assert (found.shape, found.dtype) == (laid.shape, laid.dtype)
        np.testing.assert_array_equal(found, laid)
