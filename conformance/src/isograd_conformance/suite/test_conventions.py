"""The table of conventions, exactly: ties, kinks, NaN, infinities and zeros, forward and in the gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from isograd import graph as G
from isograd_conformance.checks import require
from isograd_conformance.subject import HostArray, Subject

pytestmark = pytest.mark.judges("conventions")

INF, NAN = np.inf, np.nan


class Kink(NamedTuple):
    """A function, points, and what value and gradient of its sum are there; None is judged elsewhere."""

    build: Callable[[G.Tensor], G.Tensor]
    x: Any
    y: Any
    g: Any


ELEMENTWISE: dict[str, Kink] = {
    "relu": Kink(G.relu, [-1, -0.0, 0, 2, NAN, INF, -INF], [0, 0, 0, 2, NAN, INF, 0], [0, 0, 0, 1, 0, 1, 0]),
    "sign": Kink(G.sign, [-3, -0.0, 0, 2, NAN, -INF], [-1, 0, 0, 1, NAN, -1], [0] * 6),
    "abs": Kink(G.abs_, [-3, -0.0, 0, 2, INF], [3, 0, 0, 2, INF], [-1, 0, 0, 1, 1]),
    "maximum tie": Kink(lambda x: G.maximum(x, 1.0), [0, 1, 2, NAN], [1, 1, 2, NAN], [0, 0.5, 1, 0]),
    "minimum tie": Kink(lambda x: G.minimum(x, 1.0), [0, 1, 2, NAN], [0, 1, 1, NAN], [1, 0.5, 0, 0]),
    "softplus": Kink(G.softplus, [INF, -INF, NAN], [INF, 0, NAN], [1, 0, NAN]),
    "softplus at 0": Kink(G.softplus, [0], None, [0.5]),
    "sigmoid": Kink(G.sigmoid, [0, INF, -INF, NAN], [0.5, 1, 0, NAN], [0.25, 0, 0, NAN]),
    "sqrt": Kink(G.sqrt, [0, 4, INF, -1], [0, 2, INF, NAN], [INF, 0.25, 0, NAN]),
    "pow 3 at 0": Kink(lambda x: x**3, [0], [0], [0]),
    "pow 1 at 0": Kink(lambda x: x**1, [0], [0], [1]),
    "pow half at 0": Kink(lambda x: x**0.5, [0], [0], [INF]),
    "pow half of -inf": Kink(lambda x: x**0.5, [-INF, 4], [INF, 2], None),
    "pow half of -inf alone": Kink(lambda x: x**0.5, -INF, INF, None),
    "pow 0": Kink(lambda x: x**0, [0, NAN, INF], [1, 1, 1], [0, 0, 0]),
    "where passes 0": Kink(
        lambda x: G.where(G.greater(x, 0), x * 3, 0.0), [2, -2, NAN], [6, 0, 0], [3, 0, 0]
    ),
    "branch of inf derivative": Kink(
        lambda x: G.where(G.greater(x, 0), G.sqrt(x), 0.0), [4, 0], [2, 0], [0.25, NAN]
    ),
    "stop_gradient": Kink(lambda x: G.stop_gradient(x) * x, [2, -3], [4, 9], [2, -3]),
    "safe sqrt": Kink(G.safe_sqrt, [4, 0], [2, 0], [0.25, 0]),
    "reduce_max tie": Kink(lambda x: x.max(1), [[1, 3, 3], [2, 1, 0]], [3, 2], [[0, 0.5, 0.5], [1, 0, 0]]),
    "reduce_max of NaN": Kink(lambda x: x.max(0), [NAN, 1, 2], NAN, [0, 0, 0]),
    "logsumexp at the infinities": Kink(
        lambda x: G.logsumexp(x, axes=1),
        [[-INF, -INF], [-INF, 2], [1e4, -1e4]],
        [-INF, 2, 1e4],
        [[0, 0], [0, 1], [1, 0]],
    ),
    "logsumexp of inf and NaN": Kink(
        lambda x: G.logsumexp(x, axes=1), [[INF, 1], [NAN, 1]], [INF, NAN], None
    ),
    "L2 pooling": Kink(
        lambda x: G.l2_pool2d(x, window=2), [[[[0, 0], [0, 0]]]], [[[[0]]]], [[[[0, 0], [0, 0]]]]
    ),
    "L2 pooling, not zero": Kink(lambda x: G.l2_pool2d(x, window=2), [[[[3, 0], [0, 4]]]], [[[[5]]]], None),
}

PLANES: dict[str, tuple[Any, Any]] = {
    "tie": ([[3, 3], [3, 3]], [[1, 0], [0, 0]]),
    "late maximum": ([[3, 1], [4, 4]], [[0, 0], [1, 0]]),
    "nan": ([[9, NAN], [NAN, 9]], [[0, 1], [0, 0]]),
    "all -inf": ([[-INF, -INF], [-INF, -INF]], [[1, 0], [0, 0]]),
    "both infinities": ([[-INF, 1], [INF, INF]], [[0, 0], [1, 0]]),
    "zeros": ([[-0.0, 0.0], [0.0, -0.0]], [[1, 0], [0, 0]]),
    "nan last": ([[5, 5], [5, NAN]], [[0, 0], [0, 1]]),
}


def pooled_planes(stride: int, names: Sequence[str]) -> Kink:
    """Max pooling of a batch of planes: where each gradient goes."""
    images = [[PLANES[name][0]] for name in names]
    return Kink(
        lambda x: G.max_pool2d(x, window=2, stride=stride),
        images,
        None,
        [[PLANES[name][1]] for name in names],
    )


# Without and with a NaN beside it: a NaN elsewhere must not change where ties go.
for _stride, _kind in ((2, "apart"), (1, "overlapping")):
    ELEMENTWISE[f"max pooling, {_kind}"] = pooled_planes(
        _stride, [name for name in PLANES if "nan" not in name]
    )
    ELEMENTWISE[f"max pooling with NaN, {_kind}"] = pooled_planes(_stride, list(PLANES))


class Kinks(NamedTuple):
    """All kinks in one function: one compilation judges them all."""

    function: G.Function
    inputs: dict[str, HostArray]
    cost: G.Tensor


def all_kinks(dtype: str) -> Kinks:
    variables, outputs, inputs = {}, {}, {}
    cost: G.Tensor | None = None
    for name, kink in ELEMENTWISE.items():
        inputs[name] = np.asarray(kink.x, dtype)
        variables[name] = G.variable(name, inputs[name].shape, dtype)
        y = kink.build(variables[name])
        outputs[f"value/{name}"] = y
        cost = y.sum() if cost is None else cost + y.sum()
    assert cost is not None
    return Kinks(G.Function(variables, outputs), inputs, cost)


def judge(found: Mapping[str, HostArray], kind: str, dtype: str) -> None:
    """Hold the outputs "KIND/NAME" to the table; all that differ are told at once."""
    wrong = {}
    for name, kink in ELEMENTWISE.items():
        expected = kink.y if kind == "value" else kink.g
        array = found[f"{kind}/{name}"]
        assert array.dtype.name == dtype
        if expected is not None and not np.array_equal(array, np.asarray(expected, dtype), equal_nan=True):
            wrong[name] = f"{array.tolist()}, expected {expected}"
    assert not wrong, f"{kind} of {wrong}"


@pytest.mark.parametrize("dtype", sorted(G.FLOATING))
def test_values_and_symbolic_gradients(dtype: str, subject: Subject) -> None:
    require(subject, dtype)
    function, inputs, cost = all_kinks(dtype)
    gradients = G.grad(cost, list(function.inputs.values()))
    derived = {f"gradient/{name}": g for name, g in zip(function.inputs, gradients, strict=True)}
    whole = G.Function(function.inputs, {**function.outputs, **derived})
    require(subject, *{node.dtype for node in whole.nodes})
    found = subject.call(subject.compile(whole), inputs).outputs
    judge(found, "value", dtype)
    judge(found, "gradient", dtype)


@pytest.mark.parametrize("dtype", sorted(G.FLOATING))
def test_values_and_native_gradients(dtype: str, subject: Subject) -> None:
    require(subject, dtype)
    if not subject.capabilities.native_gradient:
        pytest.skip(f"{subject.specification} does not declare native_gradient")
    function, inputs, cost = all_kinks(dtype)
    whole = G.Function(function.inputs, {**function.outputs, "cost": cost})
    executable = subject.compile_native_gradient(whole, "cost", list(function.inputs))
    found = subject.call(executable, inputs).outputs
    judge(found, "value", dtype)
    judge(found, "gradient", dtype)


@pytest.mark.parametrize("dtype", sorted(G.FLOATING))
def test_argmax_takes_the_first_maximum_or_the_first_nan(dtype: str, subject: Subject) -> None:
    require(subject, dtype, "int32")
    rows = [[1, 2, 2], [1, NAN, NAN], [-INF, -INF, -INF], [-0.0, 0.0, 0.0], [0.0, -0.0, INF]]
    x = G.variable("x", (5, 3), dtype)
    function = G.Function({"x": x}, {"rows": G.argmax(x, axis=1), "columns": G.argmax(x, axis=0)})
    found = subject.call(subject.compile(function), {"x": np.asarray(rows, dtype)}).outputs
    assert found["rows"].tolist() == [1, 1, 0, 0, 2]
    assert found["columns"].tolist() == [0, 1, 1]


@pytest.mark.parametrize("dtype", sorted(G.FLOATING))
def test_where_keeps_the_bits_of_either_branch_beside_a_constant_zero_of_either_sign(
    dtype: str, subject: Subject
) -> None:
    require(subject, dtype, "bool")
    rows = np.asarray([NAN, -NAN, -0.0, 0.0, INF, 1e-30, 1.5], dtype)
    x, condition = G.variable("x", rows.shape, dtype), G.variable("c", rows.shape, "bool")
    chosen = np.arange(rows.size) % 2 == 0
    zeros = {"+": 0.0, "-": -0.0}
    outputs = {f"a{sign}": G.where(condition, x, zero) for sign, zero in zeros.items()}
    outputs |= {f"b{sign}": G.where(condition, zero, x) for sign, zero in zeros.items()}
    function = G.Function({"x": x, "c": condition}, outputs)
    found = subject.call(subject.compile(function), {"x": rows, "c": chosen}).outputs
    for sign, zero in zeros.items():
        instead = np.asarray(zero, dtype)
        assert found[f"a{sign}"].tobytes() == np.where(chosen, rows, instead).tobytes()
        assert found[f"b{sign}"].tobytes() == np.where(chosen, instead, rows).tobytes()
