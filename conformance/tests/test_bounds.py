"""The interpreter of rounding bounds: a rule for all, exact where nothing rounds, wide where it must be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.graph.reference import evaluate
from isograd_conformance.bounds import RULES, Arithmetic, agree, disagreement, gamma, track
from isograd_conformance.bounds.tally import VACUOUS, Tally
from isograd_conformance.bounds.tracking import Tracked
from isograd_conformance.faults.catalogue.arithmetic import by_fourier
from isograd_conformance.strategies.arrays import SEEDS, arguments
from isograd_conformance.strategies.functions import functions


def test_every_primitive_has_a_rule() -> None:
    with_operands = G.PRIMITIVES.keys() - {"iota"}
    assert RULES.keys() == with_operands


@given(function=functions(("float32",)), seed=SEEDS)
def test_single_precision_is_within_the_bound_of_double_precision(function: G.Function, seed: int) -> None:
    inputs, state = arguments(function, seed)
    values = {**inputs, **state}
    tensors = {**function.outputs, **{f"new {n}": t for n, t in function.updates.items()}}
    found = dict(zip(tensors, evaluate(list(tensors.values()), values), strict=True))
    agree(found, tensors, values)


@given(function=functions(("float32",)), seed=SEEDS)
def test_the_same_values_an_error_beyond_the_bound_away_are_refused(function: G.Function, seed: int) -> None:
    inputs, state = arguments(function, seed)
    for tracked in track(list(function.outputs.values()), {**inputs, **state}):
        bounded = np.isfinite(tracked.value) & np.isfinite(tracked.error)
        assert disagreement(tracked.value, tracked) is None
        moved = np.where(bounded, tracked.value + 2.001 * tracked.error + 1e-300, tracked.value)
        differs = bounded & (moved != tracked.value)
        assert (disagreement(moved, tracked) is not None) == bool(differs.any())


@given(function=functions(("float32",)), seed=SEEDS)
def test_what_a_backend_declares_only_widens_a_bound(function: G.Function, seed: int) -> None:
    inputs, state = arguments(function, seed)
    outputs, values = list(function.outputs.values()), {**inputs, **state}
    declared = [
        Arithmetic(ulps={"tanh": 16.0, "add": 2.0}),
        Arithmetic(flushes_subnormals=True),
        Arithmetic(normwise_convolution=True),
        Arithmetic(reorders=True),
        Arithmetic(products={"float32": "tf32"}),
    ]
    plain = track(outputs, values)
    for arithmetic in declared:
        for narrow, wide in zip(plain, track(outputs, values, arithmetic), strict=True):
            assert (wide.error >= narrow.error * (1 - 1e-12)).all()


@given(
    sizes=st.tuples(*[st.integers(1, 3)] * 3, st.integers(1, 6), st.integers(1, 6)),
    stride=st.integers(1, 6),
    size=st.integers(0, 12),
    seed=SEEDS,
)
def test_a_convolution_by_transforms_is_within_the_normwise_bound_whatever_it_does_not_read(
    sizes: tuple[int, int, int, int, int], stride: int, size: int, seed: int
) -> None:
    rows, channels, maps, height, width = sizes
    generator = np.random.default_rng(seed)
    x, w = G.variable("x", (rows, channels, height, width)), G.variable("w", (maps, channels, 1, 1))
    y = G.conv2d(x, w, stride=(stride, stride))
    values = {v.name: generator.normal(size=v.shape).astype("float32") for v in (x, w)}
    # The last pixel is in no window where the stride passes it by.
    values["x"][..., -1, -1] *= np.float32(10.0**size)
    found = by_fourier(values["x"], values["w"], stride=(stride, stride), dilation=(1, 1), groups=1)
    agree({"y": found}, {"y": y}, values, Arithmetic(normwise_convolution=True))


def test_moving_and_integers_are_exact_and_one_rounding_is_u() -> None:
    x, i = G.variable("x", (3,)), G.variable("i", (3,), "int32")
    values = {"x": np.float32([1, 2, 3]), "i": np.int32([1, 2, 3])}
    moved, whole, rounded = track([x[::2].reshape(2, 1), i * i + i, x * x], values)
    assert not moved.error.any()
    assert not whole.error.any()
    # And what a product may lose by underflow: one subnormal number.
    underflow = float(np.finfo(np.float32).smallest_subnormal)
    np.testing.assert_array_equal(rounded.error, 2.0**-24 * values["x"].astype(float) ** 2 + underflow)


@given(k=st.integers(0, 10**6))
def test_gamma_is_k_u_and_a_little_more(k: int) -> None:
    u = 2.0**-24
    assert k * u <= gamma(k, u) <= k * u * (1 + 2 * k * u)
    assert gamma(2**24, u) == np.inf


def doubtful() -> tuple[G.Tensor, dict[str, np.ndarray]]:
    """x / 3 * 3 - x: an exact 0 in double precision, perhaps not in single."""
    x = G.variable("x", (4,))
    return x / 3.0 * 3.0 - x, {"x": np.float32([1, 2, 3, 5])}


def test_a_branch_decided_by_less_than_the_bound_may_go_either_way() -> None:
    d, values = doubtful()
    chosen = G.where(G.greater(d, 0), d + 7.0, d - 7.0)
    (tracked,) = track([chosen], values)
    for sign in (1, -1):
        assert disagreement(sign * 7 * np.ones(4), tracked) is None
    assert disagreement(np.zeros(4) + 22, tracked) is not None
    for tensor, others in ((G.sign(d), (-1, 0, 1)), (G.cast(G.greater(d, 0), dtype="float32"), (0, 1))):
        (tracked,) = track([tensor], values)
        for other in others:
            assert disagreement(np.full(4, float(other)), tracked) is None


def test_an_index_between_values_closer_than_the_bound_is_not_judged_and_others_are() -> None:
    d, values = doubtful()
    apart = d + G.constant(np.float32([0, 1, 2, 1]))
    close, far = track([G.argmax(d, axis=0), G.argmax(apart, axis=0)], values)
    assert np.isinf(close.error)
    assert far.error == 0
    image = d.reshape(1, 1, 2, 2)
    index, pool, back = track(
        [
            G.max_pool2d_index(image, window=2),
            G.max_pool2d(image, window=2),
            G.grad(G.max_pool2d(image, window=2).sum(), d),
        ],
        values,
    )
    assert np.isinf(index.error).all()
    assert (pool.error < 1e-5).all()
    assert (back.error >= 1).all()


def test_flushing_allows_zeros_for_subnormal_numbers_alone() -> None:
    x = G.variable("x", (2,))
    values = {"x": np.float32([1e-40, 1.0])}
    tracked = {flush: track([x * 0.5], values, Arithmetic(flushes_subnormals=flush))[0] for flush in (0, 1)}
    flushed = np.array([0, 0.5])
    assert disagreement(flushed, tracked[0]) is not None
    assert disagreement(flushed, tracked[1]) is None
    assert disagreement(np.zeros(2), tracked[1]) is not None


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_so_exactly(special: float) -> None:
    tracked = Tracked(np.array([special, 1.0]), np.array([0.0, 0.5]))
    assert disagreement(np.array([special, 1.5]), tracked) is None
    assert disagreement(np.array([0.0, 1.5]), tracked) is not None
    assert disagreement(np.array([special, special]), tracked) is not None


def test_the_tally_counts_what_proves_nothing() -> None:
    tally = Tally()
    value = np.array([1.0, 10.0, 10.0])
    tally.add(value + np.array([0, 0.25, 0]), Tracked(value, np.array([0.0, 0.5, 11 * VACUOUS])))
    assert (tally.elements, tally.vacuous, tally.worst) == (3, 1, 0.5)
