"""Costs at the ends of the range: finite where they are defined so, and without anything added for safety."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd_conformance.checks import check_executable, require
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.arrays import SEEDS
from isograd_conformance.subject import Subject

pytestmark = pytest.mark.judges("extremes")

# Logits, the label, the cost of each row and its gradient: known to the last bit.
LOGITS: list[tuple[list[float], int, float, list[float]]] = [
    ([1e4, -1e4, 0.0], 0, 0.0, [0, 0, 0]),
    ([1e4, -1e4, 0.0], 1, 2e4, [1, -1, 0]),
    ([-1e4, -1e4, 1e4], 0, 2e4, [-1, 0, 1]),
    ([0.0, -1000.0, -2000.0], 2, 2000.0, [1, 0, -1]),
    ([512.0, 512.0 - 2000, 512.0 - 4000], 1, 2000.0, [1, -1, 0]),
]


@pytest.mark.parametrize("dtype", sorted(G.FLOATING))
def test_the_log_likelihood_of_extreme_logits_and_its_gradient_are_exact(
    dtype: str, subject: Subject
) -> None:
    require(subject, dtype, "int32", "bool")
    z, labels = G.variable("z", (len(LOGITS), 3), dtype), G.variable("labels", (len(LOGITS),), "int32")
    costs = G.log_likelihood(z, labels)
    outputs = {"costs": costs, "gradient": G.grad(costs.sum(), z), "probabilities": G.softmax(z)}
    logits, chosen, expected, gradients = zip(*LOGITS, strict=True)
    values = {"z": np.asarray(logits, dtype), "labels": np.asarray(chosen, "int32")}
    executable = subject.compile(G.Function({"z": z, "labels": labels}, outputs))
    found = check_executable(subject, executable, values).outputs
    assert found["costs"].tolist() == list(expected)
    assert found["gradient"].tolist() == list(gradients)


# Costs that rise as a difference of logits does.
COSTS: dict[str, Callable[[G.Tensor], G.Tensor]] = {
    "log likelihood": lambda d: -G.log_softmax(G.concat(d * 0, d, axis=1))[:, 0],
    "cross-entropy of 0": lambda d: G.cross_entropy(d, d * 0),
    "cross-entropy of 1": lambda d: G.cross_entropy(-d, d * 0 + 1),
    "softplus": lambda d: G.softplus(d)[:, 0],
    "logarithm of an exponential": lambda d: -G.log(G.exp(-d))[:, 0],
}


@given(data=st.data(), seed=SEEDS)
@examples(3)
def test_an_improbable_label_costs_what_its_logit_says(
    subject: Subject, data: st.DataObject, seed: int
) -> None:
    """From 40 to 80, where 1 + exp(-d) is 1: something added inside a logarithm would cap the cost."""
    require(subject, "bool")
    dtype = data.draw(st.sampled_from(subject.floating))
    d = G.variable("d", (5, 1), dtype)
    outputs = {name: build(d) for name, build in COSTS.items()}
    outputs |= {f"slope of {name}": G.grad(y.sum(), d) for name, y in list(outputs.items())}
    differences = np.asarray(np.random.default_rng(seed).uniform(40, 80, (5, 1)), dtype)
    executable = subject.compile(G.Function({"d": d}, outputs))
    check_executable(subject, executable, {"d": differences})


def test_sums_that_cancel_lose_no_more_than_their_terms_round(subject: Subject) -> None:
    """Of numbers from 2^-20 to 2^20 and their negatives, in another order: within the bound of the terms."""
    dtype = subject.floating[-1]
    rng = np.random.default_rng(0)
    half = rng.normal(size=(4, 50)) * 2.0 ** rng.integers(-20, 21, (4, 50))
    terms = rng.permuted(np.concatenate([half, -half], axis=1), axis=1).astype(dtype)
    x, ones = G.variable("x", terms.shape, dtype), G.variable("ones", (terms.shape[1], 1), dtype)
    image = x.reshape(4, 1, 10, 10)
    outputs: dict[str, Any] = {
        "sum": x.sum(1),
        "product": x @ ones,
        "pooled": G.sum_pool2d(image, window=10),
        "convolved": G.conv2d(image, ones.reshape(1, 1, 10, 10)),
        "added": x[:, :50] + x[:, 50:],
    }
    values = {"x": terms, "ones": np.ones(ones.shape, dtype)}
    executable = subject.compile(G.Function({"x": x, "ones": ones}, outputs))
    check_executable(subject, executable, values)
