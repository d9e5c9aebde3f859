"""Groups of nodes that mean one thing, and the questions of who reads what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.patterns import is_sum_of_squares, is_zero, match_softmax, repeated_constant
from isograd.graph.reference import evaluate
from isograd.graph.tensor import Tensor
from isograd.graph.uses import Uses, viewed

X = G.variable("x", (3, 4), "float64")
TOTAL = G.logsumexp(X, axes=1)


def uses_of(*tensors: Tensor) -> Uses:
    return Uses(G.simplify(G.Function({"x": X}, {str(i): t for i, t in enumerate(tensors)})))


def softmaxes(uses: Uses) -> list[tuple[Tensor, bool]]:
    found = [(node, match_softmax(uses, node)) for node in uses.function.nodes]
    return [(node, match.guarded) for node, match in found if match is not None]


@given(
    axis=st.sampled_from([0, 1]),
    rows=st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 2.0]), min_size=12, max_size=12),
)
def test_a_softmax_and_the_gradient_of_a_logsumexp_are_the_exponentials_over_their_sum(
    axis: int, rows: list[float]
) -> None:
    """Exactly as a backend computes them: where guarded, 0 in place of 0 / 0."""
    total = G.logsumexp(X, axes=axis)
    for outputs, guarded in (
        ((G.softmax(X, axis=axis), total), False),
        ((G.grad(total.sum(), X), total), True),
    ):
        uses = uses_of(*outputs)
        ((node, found),) = softmaxes(uses)
        assert found is guarded
        x = np.asarray(rows).reshape(3, 4)
        value = evaluate([node], {"x": x})[0]
        with np.errstate(invalid="ignore"):
            terms = np.exp(x - np.maximum(x.max(axis, keepdims=True), -1e300))
            quotient = terms / np.maximum(terms.sum(axis, keepdims=True), 1e-300 if guarded else 0)
        # Five roundings of numbers of at most 1, and of exponents of at most 4: 2^-53 each.
        assert np.array_equal(np.isnan(value), np.isnan(quotient))
        assert np.nanmax(abs(value - quotient), initial=0) <= 16 * 2.0**-53


@pytest.mark.parametrize(
    "build",
    [
        lambda: [G.exp(X)],
        lambda: [G.exp(X - 1.0)],
        lambda: [G.exp(X - G.logsumexp(X * 2.0, axes=1).reshape(3, 1))],  # of other numbers
        lambda: [G.exp(X - G.reduce_max(X, axes=1).reshape(3, 1))],
        lambda: (lambda d: [G.exp(d), d])(X - G.logsumexp(X, axes=1).reshape(3, 1)),  # the difference is read
        lambda: [G.exp(X - G.where(G.greater(TOTAL, 0.0), 0.0, TOTAL).reshape(3, 1))],  # another guard
    ],
)  # fmt: skip
def test_what_only_looks_like_a_softmax_is_none(build: object) -> None:
    assert softmaxes(uses_of(*build())) == []  # type: ignore[operator]


def test_a_sum_of_squares_is_one_only_where_nothing_else_needs_the_squares() -> None:
    def count(*outputs: Tensor) -> int:
        uses = uses_of(*outputs)
        return sum(is_sum_of_squares(uses, node) for node in uses.function.nodes)

    square = X * X
    assert count(square.sum()) == 1
    assert count(square.sum(), square) == 0
    assert count(square.sum(0)) == 0
    assert count((X * (X + 1.0)).sum()) == 0


def test_constants_that_are_repeated() -> None:
    assert repeated_constant(X) is None
    assert repeated_constant(G.broadcast_to(G.constant(2.0), (3,))) == 2
    assert is_zero(G.broadcast_to(G.constant(0.0), (3,)))
    assert not is_zero(G.constant(-0.0))
    assert not is_zero(X)


def test_readers_and_what_a_value_looks_into() -> None:
    w = G.variable("w", (3, 4), "float64")
    view = G.broadcast_to(w.transpose().reshape(1, 12), (2, 12))
    doubled = w + w
    function = G.Function({}, {"view": view, "twice": doubled * 2.0}, {"w": w})
    uses = Uses(function)
    assert viewed(view) is w
    assert uses.viewed_state(view) is w
    assert uses.viewed_state(doubled) is None
    assert [node.primitive for node in uses.consumers[id(w)]].count("add") == 2
    reader = uses.sole_consumer(doubled)
    assert reader is not None
    assert reader.primitive == "mul"
    assert uses.sole_consumer(w) is None
    assert uses.sole_consumer(view) is None  # it is a result


@pytest.mark.parametrize(
    ("cost", "wrt", "error", "message"),
    [
        ("y", ["x"], ShapeError, "needs a scalar"),
        ("no", ["x"], ArgumentError, "cost is 'no'; expected an output: c, y"),
        ("c", ["x", "z"], ArgumentError, "wrt names 'z'; expected inputs or state: x, k"),
        ("c", ["k"], ArgumentTypeError, "gradients exist for floating point only"),
    ],
)
def test_what_has_no_gradient_is_refused(
    cost: str, wrt: Sequence[str], error: type[Exception], message: str
) -> None:
    k = G.variable("k", (2,), "int32")
    function = G.Function({"x": X, "k": k}, {"c": X.sum(), "y": G.gather(X, k)})
    G.check_gradient(function, "c", ["x"])
    with pytest.raises(error, match=message):
        G.check_gradient(function, cost, wrt)
